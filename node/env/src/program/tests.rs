//! What is let go of is the program's own and nothing that was written to, and the program goes on.

use super::*;

const MAPS: &str = "\
55eacf050000-55eacf060000 r--p 00000000 fe:00 10117478                   /opt/a program
Size:              64 kB
Rss:               11 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
55eacf060000-55eacf070000 r-xp 02b53000 fe:00 10117478                   /opt/a program
Rss:               28 kB
Anonymous:             0 kB
55eacf070000-55eacf080000 r--p 0bcc0000 fe:00 10117478                   /opt/a program
Rss:                5 kB
Anonymous:          4 kB
55eacf080000-55eacf090000 rw-p 0c1f9000 fe:00 10117478                   /opt/a program
Rss:               72 kB
Anonymous:             0 kB
7f0000000000-7f0000010000 r-xp 00000000 fe:00 99                         /usr/lib/libc.so.6
Rss:              900 kB
Anonymous:             0 kB
7f0000020000-7f0000030000 r-xp 00000000 00:00 0 
Rss:              900 kB
Anonymous:             0 kB
7f0000040000-7f0000050000 r-xp 00000000 fe:00 10117478                   /opt/a program (deleted)
Rss:                1 kB
55eacf0a0000-55eacf0b0000 r-xp 02b53000 fe:00 10117478                   /opt/a program
Rss:               28 kB
Anonymous:             4 kB
";

#[test]
fn only_what_nobody_wrote_to_is_let_go() {
    let mapping = |start, end, kib: u64| Mapping {
        range: start..end,
        resident: kib * 1024,
    };
    let expected = [mapping(0x55ea_cf06_0000, 0x55ea_cf07_0000, 28)];
    assert_eq!(clean(MAPS, "/opt/a program"), expected);
    assert_eq!(clean(MAPS, "/opt/a program (deleted)"), []);
    assert_eq!(clean("nothing of the kind\n\n-", "of"), []);
}

#[cfg(target_os = "linux")]
#[test]
fn the_program_goes_on() {
    let before = resident_of_files().unwrap();
    let bytes = let_go_of_program().unwrap();
    let after = resident_of_files().unwrap();
    assert!(bytes > 0 && after < before, "{bytes}: {before} to {after}");
    // All of the program is still there, and what the loader wrote.
    assert!(let_go_of_program().unwrap() > 0);
    assert_eq!(format!("{:.3}", 0.5_f64.sin()), "0.479");
}
