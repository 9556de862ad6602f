//! The ring keeps the last lines, cuts long ones and drops a flood.

use super::{BYTES_BURST, LINE_BYTES_MAX, LINES_MAX, LogLevel, LogRing};

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
