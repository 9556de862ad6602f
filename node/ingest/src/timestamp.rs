//! Timestamps and dates from text.
//!
//! Accepted: `YYYY-MM-DD`, `YYYY-MM-DD HH:MM`, `YYYY-MM-DD HH:MM:SS[.fraction]`, the same with `T`,
//! each with an optional zone (`Z`, `+HH:MM`; UTC without one), and a number since 1970. The unit of
//! a number is the one given, or [`Precision::guess`]; a number with a fraction counts seconds
//! unless a unit is given.

use arrow::compute::kernels::cast_utils::{Parser, string_to_timestamp_nanos};
use arrow::datatypes::Date32Type;

use crate::decimal::parse_decimal;
use crate::precision::Precision;

/// Nanoseconds since 1970 in UTC, or why the text is not a timestamp.
pub fn parse_timestamp(text: &str, precision: Option<Precision>) -> Result<i64, String> {
    let text = text.trim();
    let refused = || format!("'{text}' is not a timestamp that 64 bits of nanoseconds hold");
    if let Ok(number) = text.parse::<i64>() {
        return precision
            .unwrap_or_else(|| Precision::guess(number))
            .to_ns(number)
            .ok_or_else(refused);
    }
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'))
        && let Some(ns) = fractional(text, precision.unwrap_or(Precision::Seconds))
    {
        return Ok(ns);
    }
    let seconds;
    let full = match text.as_bytes() {
        // Minutes are where many loggers stop.
        [
            _,
            _,
            _,
            _,
            b'-',
            _,
            _,
            b'-',
            _,
            _,
            b' ' | b'T',
            _,
            _,
            b':',
            _,
            _,
        ] => {
            seconds = format!("{text}:00");
            seconds.as_str()
        }
        _ => text,
    };
    string_to_timestamp_nanos(full).map_err(|_| {
        format!(
            "'{text}' is not a timestamp: YYYY-MM-DD HH:MM:SS, RFC 3339 or a number since 1970 expected"
        )
    })
}

/// Days since 1970 of `YYYY-MM-DD`.
pub fn parse_date(text: &str) -> Result<i32, String> {
    let text = text.trim();
    let shaped = matches!(text.as_bytes(), [_, _, _, _, b'-', _, _, b'-', _, _]);
    shaped
        .then(|| Date32Type::parse(text))
        .flatten()
        .ok_or_else(|| format!("'{text}' is not a date: YYYY-MM-DD expected"))
}

fn fractional(text: &str, precision: Precision) -> Option<i64> {
    let unit = i128::from(precision.nanoseconds());
    // Of units that are no power of ten, as many digits are read as tell nanoseconds apart.
    let scale = (unit - 1).checked_ilog10().map_or(0, |log| log + 1);
    let scale = u8::try_from(scale).ok()?;
    // Digits finer than a nanosecond are cut, as no column keeps them.
    let text = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.contains(['e', 'E']) => {
            let kept: String = fraction.chars().take(usize::from(scale)).collect();
            format!("{whole}.{kept}")
        }
        _ => text.to_owned(),
    };
    let units = parse_decimal(&text, 38, scale).ok()?;
    i64::try_from(units.checked_mul(unit)? / 10_i128.pow(u32::from(scale))).ok()
}
