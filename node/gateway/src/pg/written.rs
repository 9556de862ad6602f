//! Numbers and times as PostgreSQL writes them.

use std::fmt::Write as _;

use bytes::BytesMut;

use super::numeric;

pub(super) fn float(
    value: f64,
    shown: &impl std::fmt::LowerExp,
    out: &mut BytesMut,
) -> std::fmt::Result {
    if value.is_nan() {
        out.write_str("NaN")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        // The shortest digits that read back as the same number; written out where that is short.
        let text = format!("{shown:e}");
        match text.split_once('e') {
            Some((digits, exponent)) => match exponent.parse::<i32>() {
                Ok(exponent) if (-5..15).contains(&exponent) => {
                    out.write_str(&numeric::shifted(digits, exponent))
                }
                _ => write!(out, "{digits}e{exponent}"),
            },
            None => out.write_str(&text),
        }
    }
}

/// `.5` of microseconds, without zeros at the end.
pub(super) fn fraction(micros: i64, out: &mut BytesMut) -> std::fmt::Result {
    if micros == 0 {
        return Ok(());
    }
    let digits = format!("{micros:06}");
    write!(out, ".{}", digits.trim_end_matches('0'))
}

pub(super) fn clock(micros: i64, out: &mut BytesMut) -> std::fmt::Result {
    let seconds = micros / 1_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    write!(out, "{hours:02}:{minutes:02}:{:02}", seconds % 60)?;
    fraction(micros % 1_000_000, out)
}

pub(super) fn interval(
    months: i32,
    days: i32,
    micros: i64,
    out: &mut BytesMut,
) -> std::fmt::Result {
    let mut between = "";
    let parts = [(months / 12, "year"), (months % 12, "mon"), (days, "day")];
    for (value, name) in parts.into_iter().filter(|(value, _)| *value != 0) {
        let plural = if value == 1 { "" } else { "s" };
        write!(out, "{between}{value} {name}{plural}")?;
        between = " ";
    }
    if micros != 0 || between.is_empty() {
        out.write_str(between)?;
        if micros < 0 {
            out.write_str("-")?;
        }
        clock(micros.saturating_abs(), out)?;
    }
    Ok(())
}
