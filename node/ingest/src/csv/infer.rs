//! The type of a column from its first fields.

use activestore_types::DataType;

use super::record::Field;
use crate::timestamp::{parse_date, parse_timestamp};
use crate::value::from_text;

/// The narrowest of BIGINT, DOUBLE, BOOLEAN, DATE, TIMESTAMP that takes every field that is not
/// NULL; TEXT where none does, or where there is nothing to see.
pub(super) fn infer<'f, 'a: 'f>(fields: impl Iterator<Item = &'f Field<'a>>) -> DataType {
    let mut candidates = vec![
        DataType::BigInt,
        DataType::Double,
        DataType::Boolean,
        DataType::Date,
        DataType::Timestamp,
    ];
    let mut seen = false;
    for field in fields.filter(|field| !field.is_null()) {
        let Some(text) = field.text() else {
            return DataType::Text;
        };
        seen = true;
        candidates.retain(|candidate| takes(*candidate, text.trim()));
        if candidates.is_empty() {
            break;
        }
    }
    match candidates.first() {
        Some(candidate) if seen => *candidate,
        _ => DataType::Text,
    }
}

/// The whole numbers up to which a double holds each.
const EXACT_MAX: u64 = 1 << 53;

/// Whether the field is a whole number with leading zeros: an identifier, not a quantity.
pub fn has_leading_zeros(field: &[u8]) -> bool {
    matches!(digits(field), [b'0', rest @ ..] if !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
}

/// Whether the field is a whole number of which a double may lose digits.
fn exceeds_double(field: &[u8]) -> bool {
    const SHORTEST: usize = "9007199254740993".len();
    let digits = digits(field);
    digits.len() >= SHORTEST
        && digits.iter().all(u8::is_ascii_digit)
        && std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse::<u64>().ok())
            .is_none_or(|number| number > EXACT_MAX)
}

fn digits(field: &[u8]) -> &[u8] {
    match field.trim_ascii() {
        [b'-' | b'+', digits @ ..] | digits => digits,
    }
}

/// Says what a field would lose as a number of a type that was inferred from others.
///
/// # Errors
/// Why it is refused.
pub(super) fn check_digits(field: &[u8], data_type: DataType) -> Result<(), String> {
    let number = match data_type {
        DataType::BigInt => has_leading_zeros(field),
        DataType::Double => has_leading_zeros(field) || exceeds_double(field),
        _ => false,
    };
    if number {
        return Err(format!(
            "'{}' would lose digits as {data_type}, which the first rows are: make the column TEXT",
            crate::value::shown(&String::from_utf8_lossy(field))
        ));
    }
    Ok(())
}

fn takes(candidate: DataType, text: &str) -> bool {
    let identifier = has_leading_zeros(text.as_bytes());
    match candidate {
        DataType::BigInt => !identifier && text.parse::<i64>().is_ok(),
        DataType::Double => {
            !identifier
                && !exceeds_double(text.as_bytes())
                && (text.parse::<i64>().is_ok() || text.contains(['.', 'e', 'E', 'N', 'n', 'I']))
                && from_text(text.into(), DataType::Double, None).is_ok()
        }
        DataType::Boolean => matches!(text, "true" | "false" | "TRUE" | "FALSE" | "True" | "False"),
        DataType::Date => parse_date(text).is_ok(),
        DataType::Timestamp => {
            text.contains('-')
                && text.len() >= 10
                && from_text(text.into(), DataType::Double, None).is_err()
                && parse_timestamp(text, None).is_ok()
        }
        _ => false,
    }
}
