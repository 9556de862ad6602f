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

fn takes(candidate: DataType, text: &str) -> bool {
    // A number with leading zeros is an identifier, not a quantity.
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let identifier = digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    match candidate {
        DataType::BigInt => !identifier && text.parse::<i64>().is_ok(),
        DataType::Double => {
            // An integer beyond BIGINT loses digits as DOUBLE.
            !identifier
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
