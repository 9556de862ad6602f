//! Values as JSON.

use activestore_plugin::{Column, ScalarType, Values, bitmap};

const DAY_S: i64 = 86_400;
const NS: i64 = 1_000_000_000;

/// A value: numbers and booleans as they are, what is no number (NaN, infinite) and nulls as null, moments in ISO
/// 8601 and UTC.
pub fn value(column: &Column, row: usize, kind: ScalarType) -> String {
    if !column.is_valid(row) {
        return "null".to_owned();
    }
    let number = |number: f64, text: String| {
        if number.is_finite() {
            text
        } else {
            "null".to_owned()
        }
    };
    match (&column.values, kind) {
        (Values::S64s(values), ScalarType::Timestamp) => format!("\"{}\"", moment(values[row])),
        (Values::S32s(values), ScalarType::Date) => format!("\"{}\"", date(values[row].into())),
        (Values::S64s(values), _) => values[row].to_string(),
        (Values::S32s(values), _) => values[row].to_string(),
        (Values::F64s(values), _) => number(values[row], values[row].to_string()),
        (Values::F32s(values), _) => number(values[row].into(), values[row].to_string()),
        (Values::Bits(bits), _) => bitmap::get(bits, row).to_string(),
        (Values::Utf8(values) | Values::Binary(values), _) => {
            let mut quoted = "\"".to_owned();
            escape(values.text(row), &mut quoted);
            quoted.push('"');
            quoted
        }
    }
}

/// A text as it stands between the quotes of JSON.
pub fn escape(text: &str, into: &mut String) {
    for letter in text.chars() {
        match letter {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            control if control < ' ' => into.push_str(&format!("\\u{:04x}", control as u32)),
            other => into.push(other),
        }
    }
}

/// `2026-01-31T06:00:00.5Z` of nanoseconds since 1970.
fn moment(ns: i64) -> String {
    let (seconds, part) = (ns.div_euclid(NS), ns.rem_euclid(NS));
    let (day, second) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
    let part = match part {
        0 => String::new(),
        part => format!(".{part:09}").trim_end_matches('0').to_owned(),
    };
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{}T{hour:02}:{minute:02}:{:02}{part}Z",
        date(day),
        second % 60
    )
}

/// `2026-01-31` of days since 1970: years begin in March, so that the day of a leap year comes last.
fn date(day: i64) -> String {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{of_month:02}")
}

#[cfg(test)]
mod tests;
