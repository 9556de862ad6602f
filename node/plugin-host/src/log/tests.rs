//! The ring keeps the last lines, cuts long ones and drops a flood.

use super::{BYTES_BURST, LINE_BYTES_MAX, LINES_MAX, LogLevel, LogPage, LogRing};

#[test]
fn the_last_lines_are_kept_in_order() {
    let ring = LogRing::new();
    for line in 0..LINES_MAX + 10 {
        ring.push(LogLevel::Info, &line.to_string());
    }
    let lines = ring.lines();
    assert_eq!(lines.len(), LINES_MAX);
    assert_eq!(lines.first().unwrap().message, "10");
    assert_eq!(lines.last().unwrap().message, (LINES_MAX + 9).to_string());
    assert_eq!(ring.dropped(), 0);
}

#[test]
fn a_long_line_is_cut_at_a_character() {
    let ring = LogRing::new();
    ring.push(LogLevel::Warn, &"ä".repeat(LINE_BYTES_MAX));
    let line = ring.lines().pop().unwrap();
    assert_eq!(line.message.len(), LINE_BYTES_MAX);
}

#[test]
fn a_flood_is_dropped_and_counted() {
    let ring = LogRing::new();
    let line = "x".repeat(LINE_BYTES_MAX);
    let lines = 4 * BYTES_BURST / LINE_BYTES_MAX as u64;
    for _ in 0..lines {
        ring.push(LogLevel::Error, &line);
    }
    assert!(ring.dropped() > lines / 2, "{} dropped", ring.dropped());
}

#[test]
fn a_reader_of_two_logs_misses_nothing_and_reads_nothing_twice() {
    let (one, other) = (LogRing::new(), LogRing::new());
    let rings = [&one, &other];
    assert_eq!(LogPage::of_rings(&rings, 0), LogPage::default());
    let (writers, mut after, mut read) = (2, 0, Vec::new());
    std::thread::scope(|scope| {
        for (name, ring) in [("a", &one), ("b", &other)] {
            scope.spawn(move || {
                for line in 0..LINES_MAX {
                    ring.push(LogLevel::Info, &format!("{name}{line}"));
                }
            });
        }
        while read.len() < writers * LINES_MAX {
            let page = LogPage::of_rings(&rings, after);
            assert!(!page.gap);
            after = page.lines.last().map_or(after, |(_, line)| line.seq);
            read.extend(page.lines);
        }
    });
    for (place, name) in [(0, "a"), (1, "b")] {
        let of_one = read.iter().filter(|(of, _)| *of == place);
        let messages: Vec<_> = of_one.map(|(_, line)| line.message.clone()).collect();
        let all: Vec<_> = (0..LINES_MAX).map(|line| format!("{name}{line}")).collect();
        assert_eq!(messages, all);
    }
    assert!(read.windows(2).all(|pair| pair[0].1.seq < pair[1].1.seq));
}

#[test]
fn a_reader_that_was_too_slow_is_told() {
    let ring = LogRing::new();
    ring.push(LogLevel::Info, "read");
    let read = LogPage::of_rings(&[&ring], 0).lines[0].1.seq;
    for line in 0..LINES_MAX {
        ring.push(LogLevel::Info, &line.to_string());
    }
    // The line that fell out was read before.
    let page = LogPage::of_rings(&[&ring], read);
    assert_eq!((page.lines.len(), page.gap), (LINES_MAX, false));
    ring.push(LogLevel::Info, "one more");
    assert!(LogPage::of_rings(&[&ring], read).gap);
    assert!("loud".parse::<LogLevel>().is_err());
    assert_eq!("warn".parse::<LogLevel>().unwrap(), LogLevel::Warn);
}
