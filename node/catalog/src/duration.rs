//! Durations as people write them in DDL and settings: `90d`, `10 s`, `1 minute`, `1h 30m`.
//! The only place that reads them; it knows no calendar (a day is 24 hours, a week 7 days).

use std::time::Duration;

use activestore_types::{Error, Result};

const NS_PER_S: u64 = 1_000_000_000;

/// Reads a duration: one or more whole numbers with a unit each (`ns`, `us`, `ms`, `s`, `min` or
/// `m`, `h`, `d`, `w`, and their English names); a lone number means seconds.
///
/// # Errors
/// `Invalid` for anything else, and for a sum beyond 584 years.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let wrong = || {
        Error::invalid(format!("'{text}' is not a duration")).with_hint(
            "write a whole number and a unit: '500 ms', '10 s', '1 minute', '6h', '90d', '2 weeks'",
        )
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    if let Ok(seconds) = rest.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total_ns: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let after = after.trim_start();
        let letters = after.len() - after.trim_start_matches(char::is_alphabetic).len();
        let (unit, next) = after.split_at_checked(letters).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit_ns = unit_ns(unit).ok_or_else(wrong)?;
        total_ns = number
            .checked_mul(unit_ns)
            .and_then(|part| total_ns.checked_add(part))
            .ok_or_else(wrong)?;
        rest = next.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
    }
    Ok(Duration::from_nanos(total_ns))
}

/// Writes whole seconds with the largest unit that divides them: `7776000` is `90d`.
pub fn format_duration_s(seconds: u64) -> String {
    for (unit, name) in [(86_400, "d"), (3_600, "h"), (60, "min")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

fn unit_ns(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "ns" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "microsecond" | "microseconds" => 1_000,
        "ms" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => NS_PER_S,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * NS_PER_S,
        "h" | "hour" | "hours" => 3_600 * NS_PER_S,
        "d" | "day" | "days" => 86_400 * NS_PER_S,
        "w" | "week" | "weeks" => 7 * 86_400 * NS_PER_S,
        _ => return None,
    })
}
