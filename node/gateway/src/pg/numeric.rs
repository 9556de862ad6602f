//! PostgreSQL's `numeric` as text and as bytes: digits in groups of four, with the place of the first group.

use activestore_types::{Error, Result};
use bytes::{BufMut, Bytes, BytesMut};

use super::message::Fields;

/// Digits of a group.
const GROUP: usize = 4;
/// Groups of a number that is read: more than a DECIMAL of ours holds.
const GROUPS_MAX: u16 = 24;
/// The most zeros that are written out of a number that is read.
const SHIFT_MAX: i32 = 512;

const NEGATIVE: u16 = 0x4000;

/// A decimal's digits with its point.
pub(super) fn text(value: i128, scale: i8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    let scale = i32::from(scale);
    if scale <= 0 {
        return format!("{sign}{digits}{}", zeros(-scale));
    }
    let scale = usize::try_from(scale).unwrap_or(0);
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, part) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{part}")
}

/// Digits such as `-1.25` with their point moved.
pub(super) fn shifted(digits: &str, places: i32) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{part}");
    let point = i32::try_from(whole.len()).unwrap_or(0) + places.clamp(-SHIFT_MAX, SHIFT_MAX);
    let Ok(point) = usize::try_from(point) else {
        return format!("{sign}0.{}{all}", zeros(-point));
    };
    if point == 0 {
        return format!("{sign}0.{all}");
    }
    if point >= all.len() {
        return format!("{sign}{all}{}", "0".repeat(point - all.len()));
    }
    let (whole, part) = all.split_at(point);
    format!("{sign}{whole}.{part}")
}

fn zeros(count: i32) -> String {
    "0".repeat(usize::try_from(count).unwrap_or(0))
}

/// Appends a number that is written as digits with a point.
///
/// # Errors
/// `Invalid` where it is not.
pub(super) fn bytes(text: &str, out: &mut BytesMut) -> Result<()> {
    let odd = || Error::invalid(format!("'{text}' is not a number"));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = u16::try_from(part.len()).map_err(|_| odd())?;
    // Whole groups on both sides of the point.
    let front = whole.len().next_multiple_of(GROUP);
    let back = part.len().next_multiple_of(GROUP);
    let padded = format!("{whole:0>front$}{part:0<back$}");
    let mut groups = Vec::with_capacity(padded.len() / GROUP);
    for group in padded.as_bytes().chunks(GROUP) {
        let group = std::str::from_utf8(group).map_err(|_| odd())?;
        groups.push(group.parse::<u16>().map_err(|_| odd())?);
    }
    let mut weight = i16::try_from(front / GROUP).map_err(|_| odd())? - 1;
    let leading = groups.iter().take_while(|group| **group == 0).count();
    weight -= i16::try_from(leading).map_err(|_| odd())?;
    let mut groups = groups.split_off(leading);
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    out.put_u16(u16::try_from(groups.len()).map_err(|_| odd())?);
    out.put_i16(weight);
    out.put_u16(if negative && !groups.is_empty() {
        NEGATIVE
    } else {
        0
    });
    out.put_u16(scale);
    groups.iter().for_each(|group| out.put_u16(*group));
    Ok(())
}

/// Reads a number as digits with a point.
///
/// # Errors
/// `Invalid` for bytes that are none, NaN and infinity among them, which a DECIMAL does not hold.
pub(super) fn read(value: &Bytes) -> Result<String> {
    let odd = || Error::invalid("the bytes are not a number that a DECIMAL holds");
    let mut fields = Fields::new(value);
    let count = fields.i16()?.cast_unsigned();
    let weight = i32::from(fields.i16()?);
    let sign = fields.i16()?.cast_unsigned();
    let scale = i32::from(fields.i16()?);
    if count > GROUPS_MAX || !matches!(sign, 0 | NEGATIVE) || !(0..=SHIFT_MAX).contains(&scale) {
        return Err(odd());
    }
    let mut digits = String::new();
    for _ in 0..count {
        let group = fields.i16()?;
        if !(0..10_000).contains(&group) {
            return Err(odd());
        }
        digits.push_str(&format!("{group:04}"));
    }
    if !fields.is_empty() || weight.abs() > SHIFT_MAX / 4 {
        return Err(odd());
    }
    if digits.is_empty() {
        digits.push('0');
    }
    let first = digits.len();
    // `0.digits` moved to where the first group stands.
    let places = (weight + 1) * 4 - i32::try_from(first).map_err(|_| odd())?;
    let text = shifted(&digits, places);
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let kept = usize::try_from(scale).map_err(|_| odd())?;
    let part: String = part
        .chars()
        .chain("0".repeat(kept).chars())
        .take(kept)
        .collect();
    let sign = if sign == NEGATIVE { "-" } else { "" };
    Ok(if part.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{part}")
    })
}
