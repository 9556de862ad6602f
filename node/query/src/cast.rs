//! Values into a column's type, with errors that name the column and the value. NULL stays NULL;
//! nothing becomes NULL because it does not fit.

use std::sync::Arc;

use activestore_types::{DataType, Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType as ArrowType;
use arrow::util::display::array_value_to_string;

/// For SQL assignments: text is read as the column's type, numbers are converted, and only what
/// cannot be kept is an error (too large, not whole, not that type at all).
///
/// # Errors
/// `Invalid`, naming the column and the first value that does not fit.
pub fn cast_assigned(column: &str, to: DataType, array: &ArrayRef) -> Result<ArrayRef> {
    cast(column, to, array, true)
}

/// For wires and files: as [`cast_assigned`], but values of another type are an error, never a
/// silent cast: a number is no text, a text is no number or boolean, a DOUBLE is no whole number.
///
/// # Errors
/// `Invalid`, naming the column and what was given.
pub fn cast_lossless(column: &str, to: DataType, array: &ArrayRef) -> Result<ArrayRef> {
    cast(column, to, array, false)
}

/// Bytes as PostgreSQL writes them: `\x`, and two hex digits a byte.
///
/// # Errors
/// `Invalid` for what is written otherwise.
pub fn unhex(text: &str) -> Result<Vec<u8>> {
    let odd = || Error::invalid("BYTES are written as \\x and two hex digits a byte");
    let digits = text.strip_prefix("\\x").ok_or_else(odd)?;
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return Err(odd());
    }
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).map_err(|_| odd())?;
            u8::from_str_radix(pair, 16).map_err(|_| odd())
        })
        .collect()
}

fn cast(column: &str, to: DataType, array: &ArrayRef, assigned: bool) -> Result<ArrayRef> {
    let wanted = to.arrow();
    if *array.data_type() == ArrowType::Null {
        return Ok(new_null_array(&wanted, array.len()));
    }
    if !allowed(array.data_type(), to, assigned) {
        return Err(Error::invalid(format!(
            "column '{column}' is {to}, the value given is {}",
            describe(array.data_type())
        )));
    }
    let result = if *array.data_type() == wanted {
        array.clone()
    } else {
        let options = CastOptions {
            safe: true,
            ..CastOptions::default()
        };
        let result = cast_with_options(array, &wanted, &options)
            .map_err(|error| Error::invalid(format!("column '{column}': {error}")))?;
        if result.logical_null_count() > array.logical_null_count() {
            let (before, after) = (array.logical_nulls(), result.logical_nulls());
            let valid = |nulls: &Option<arrow::buffer::NullBuffer>, row| {
                nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
            };
            let bad = (0..array.len()).find(|row| valid(&before, *row) && !valid(&after, *row));
            return Err(misfit(column, to, array, bad.unwrap_or(0)));
        }
        if is_whole(to) && is_fractional(array.data_type()) {
            check_whole(column, to, array, &result)?;
        }
        result
    };
    match to {
        DataType::Uuid => rewrite(column, to, &result, canonical_uuid),
        DataType::Json => rewrite(column, to, &result, canonical_json),
        _ => Ok(result),
    }
}

/// Which kinds of values go into which columns at all.
fn allowed(from: &ArrowType, to: DataType, assigned: bool) -> bool {
    if let ArrowType::Dictionary(_, values) = from {
        return allowed(values, to, assigned);
    }
    let text = matches!(
        from,
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View
    );
    let number = from.is_numeric();
    match to {
        DataType::Boolean => *from == ArrowType::Boolean || (assigned && text),
        DataType::Int | DataType::BigInt => from.is_integer() || (assigned && (number || text)),
        DataType::Real | DataType::Double | DataType::Decimal { .. } => {
            number || (assigned && text) || (text && matches!(to, DataType::Decimal { .. }))
        }
        DataType::Text => {
            text || (assigned && (number || from.is_temporal() || *from == ArrowType::Boolean))
        }
        DataType::Bytes => {
            matches!(
                from,
                ArrowType::Binary
                    | ArrowType::LargeBinary
                    | ArrowType::BinaryView
                    | ArrowType::FixedSizeBinary(_)
            ) || (assigned && text)
        }
        DataType::Timestamp => {
            text || matches!(
                from,
                ArrowType::Timestamp(_, _) | ArrowType::Date32 | ArrowType::Date64
            )
        }
        DataType::Date => {
            text || matches!(from, ArrowType::Date32 | ArrowType::Date64)
                || (assigned && matches!(from, ArrowType::Timestamp(_, _)))
        }
        DataType::Uuid | DataType::Json => text,
    }
}

fn is_whole(to: DataType) -> bool {
    matches!(to, DataType::Int | DataType::BigInt)
}

fn is_fractional(from: &ArrowType) -> bool {
    from.is_floating()
        || matches!(
            from,
            ArrowType::Decimal128(_, _) | ArrowType::Decimal256(_, _)
        )
}

/// Refuses 1.5 for a whole-number column, where a plain cast would cut it.
fn check_whole(column: &str, to: DataType, array: &ArrayRef, result: &ArrayRef) -> Result<()> {
    let back = cast_with_options(result, array.data_type(), &CastOptions::default())?;
    let same = arrow::compute::kernels::cmp::not_distinct(array, &back)?;
    match (0..same.len()).find(|row| !same.value(*row)) {
        Some(row) => Err(misfit(column, to, array, row)),
        None => Ok(()),
    }
}

fn rewrite(
    column: &str,
    to: DataType,
    array: &ArrayRef,
    canonical: impl Fn(&str) -> Option<String>,
) -> Result<ArrayRef> {
    let texts = array.as_string::<i32>();
    let mut rewritten: Vec<Option<String>> = Vec::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        rewritten.push(match text {
            None => None,
            Some(text) => Some(canonical(text).ok_or_else(|| misfit(column, to, array, row))?),
        });
    }
    Ok(Arc::new(StringArray::from(rewritten)))
}

/// 36 characters, lower case; braces and missing hyphens are accepted, as PostgreSQL does.
fn canonical_uuid(text: &str) -> Option<String> {
    let inner = text.trim();
    let inner = inner
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or(inner);
    let digits: String = inner
        .chars()
        .filter(|c| *c != '-')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if digits.len() != 32 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part));
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    Some(parts.join("-"))
}

/// The same text without spaces between its parts: numbers keep every digit, members their order.
fn canonical_json(text: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut kept = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        kept.push(c);
    }
    Some(kept)
}

fn misfit(column: &str, to: DataType, array: &ArrayRef, row: usize) -> Error {
    let value: String = array_value_to_string(array, row)
        .unwrap_or_default()
        .chars()
        .take(80)
        .collect();
    Error::invalid(format!("column '{column}': '{value}' is not a valid {to}"))
}

fn describe(from: &ArrowType) -> String {
    match DataType::from_arrow(from) {
        Some(known) => known.to_string(),
        None => from.to_string(),
    }
}
