//! The program's own pages in memory. What a start needs of a large program is not what it needs from then on, and the
//! system leaves it mapped all the same until memory runs short.

use std::io;
use std::ops::Range;

use crate::machine::bytes_of;

/// Lets go of what is mapped of the program's code. What is needed of it again is found in the system's cache or in the file. Returns how many bytes of it were in memory.
///
/// # Errors
/// What the system says; nothing on systems that do not tell what is mapped.
pub fn let_go_of_program() -> io::Result<u64> {
    #[cfg(target_os = "linux")]
    {
        let program = std::fs::read_link("/proc/self/exe")?;
        let mappings = std::fs::read_to_string("/proc/self/smaps")?;
        let mut bytes = 0;
        for mapping in clean(&mappings, &program.to_string_lossy()) {
            let_go(mapping.range)?;
            bytes += mapping.resident;
        }
        Ok(bytes)
    }
    #[cfg(not(target_os = "linux"))]
    Ok(0)
}

/// Bytes of files, the program's own above all, that are mapped into this process and in memory; `None` on systems that do
/// not tell.
pub fn resident_of_files() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    bytes_of(&status, "RssFile:")
}

/// A stretch of a file in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    range: Range<usize>,
    /// Bytes of it that are in memory.
    resident: u64,
}

/// The mappings of a file's code that nobody can write to and nobody wrote to. Constants are left alone: the loader puts
/// addresses among them that are not in the file, and swaps may hide that it did.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "only Linux tells")
)]
fn clean(smaps: &str, file: &str) -> Vec<Mapping> {
    let mut found = Vec::new();
    let mut now: Option<Mapping> = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else {
            continue;
        };
        let Some(name) = first.strip_suffix(':') else {
            now = of_file(first, line, file);
            continue;
        };
        let kib = words.next().and_then(|kib| kib.parse::<u64>().ok());
        match (name, kib) {
            ("Rss", Some(kib)) => {
                if let Some(mapping) = &mut now {
                    mapping.resident = kib * 1024;
                }
            }
            // It comes behind the resident bytes. Without it nothing is known.
            ("Anonymous", Some(0)) => found.extend(now.take()),
            ("Anonymous", _) => now = None,
            _ => {}
        }
    }
    found
}

/// A mapping of the file's code, by its first line.
fn of_file(range: &str, line: &str, file: &str) -> Option<Mapping> {
    let (start, end) = range.split_once('-')?;
    let mut words = line.split_ascii_whitespace().skip(1);
    let rights = words.next()?;
    // Behind offset, device and inode stands the path, which may have spaces.
    let path = line.splitn(6, ' ').nth(5)?.trim_start();
    let address = |hex| usize::from_str_radix(hex, 16).ok();
    (rights == "r-xp" && path == file).then_some(Mapping {
        range: address(start)?..address(end)?,
        resident: 0,
    })
}

#[cfg(target_os = "linux")]
fn let_go(range: Range<usize>) -> io::Result<()> {
    #[expect(
        unsafe_code,
        reason = "the system is handed an address: it is of a private mapping of a file that nothing was written to, of which the same bytes are read again"
    )]
    // SAFETY: the pages hold what the file holds, so whoever reads them finds the same as before.
    unsafe {
        rustix::mm::madvise(
            std::ptr::without_provenance_mut(range.start),
            range.len(),
            rustix::mm::Advice::LinuxDontNeed,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
