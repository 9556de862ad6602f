//! One cell as JSON or as text. Timestamps are RFC 3339 in UTC, BYTES are `\x` and hex digits as
//! PostgreSQL writes them, decimals keep their digits as a JSON string, and a float that JSON has
//! no number for is one of the strings `"NaN"`, `"Infinity"`, `"-Infinity"`.

use std::fmt::Write as _;
use std::io::Write as _;

use activestore_types::schema::TYPE_METADATA_KEY;
use activestore_types::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Field, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, NaiveDate, SecondsFormat};
use serde::de::IgnoredAny;

enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Real(f32),
    Double(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Seconds and nanoseconds since 1970.
    Timestamp(i64, u32),
    /// Days since 1970.
    Date(i32),
    /// A type without a case of its own; [`ArrayFormatter`] writes it.
    Other,
}

/// Appends the cell as a JSON value.
///
/// # Errors
/// `Invalid` when the column's type has no JSON form.
pub fn json_cell(field: &FieldRef, array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
    match cell(array, row) {
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Cell::Int(value) => drop(write!(out, "{value}")),
        Cell::UInt(value) => drop(write!(out, "{value}")),
        Cell::Real(value) => json_float(f64::from(value), &value, out),
        Cell::Double(value) => json_float(value, &value, out),
        Cell::Text(text) if is_json(field) && is_one_value(text) => {
            out.extend_from_slice(text.as_bytes());
        }
        Cell::Text(text) => json_text(text, out),
        Cell::Other if array.data_type().is_nested() => return nested(field, array, row, out),
        _ => {
            let mut text = String::new();
            text_cell(array, row, &mut text)?;
            json_text(&text, out);
        }
    }
    Ok(())
}

/// Appends the cell as text and returns true; returns false for NULL and appends nothing.
///
/// # Errors
/// `Internal` when the column's type has no text form.
pub fn text_cell(array: &ArrayRef, row: usize, out: &mut String) -> Result<bool> {
    // Writing to a string cannot fail.
    let _ = match cell(array, row) {
        Cell::Null => return Ok(false),
        Cell::Bool(value) => write!(out, "{value}"),
        Cell::Int(value) => write!(out, "{value}"),
        Cell::UInt(value) => write!(out, "{value}"),
        Cell::Real(value) => write_float(f64::from(value), &value, out),
        Cell::Double(value) => write_float(value, &value, out),
        Cell::Text(text) => {
            out.push_str(text);
            Ok(())
        }
        Cell::Bytes(bytes) => {
            out.push_str("\\x");
            bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
        Cell::Timestamp(seconds, nanos) => match DateTime::from_timestamp(seconds, nanos) {
            Some(time) => {
                out.push_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
                Ok(())
            }
            None => write!(out, "{seconds}.{nanos:09}"),
        },
        Cell::Date(days) => match NaiveDate::from_epoch_days(days) {
            Some(date) => write!(out, "{date}"),
            None => write!(out, "{days}"),
        },
        Cell::Other => {
            let formatter =
                ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default().with_null(""))
                    .map_err(|error| {
                        Error::internal(format!("a value has no text form: {error}"))
                    })?;
            write!(out, "{}", formatter.value(row))
        }
    };
    Ok(true)
}

/// Appends a JSON string.
pub(super) fn json_text(text: &str, out: &mut Vec<u8>) {
    // Writing a string into a vector cannot fail.
    let _ = serde_json::to_writer(out, text);
}

fn cell(array: &ArrayRef, row: usize) -> Cell<'_> {
    if array.is_null(row) {
        return Cell::Null;
    }
    macro_rules! number {
        ($type:ty) => {
            array.as_primitive::<$type>().value(row)
        };
    }
    match array.data_type() {
        DataType::Null => Cell::Null,
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int8 => Cell::Int(number!(Int8Type).into()),
        DataType::Int16 => Cell::Int(number!(Int16Type).into()),
        DataType::Int32 => Cell::Int(number!(Int32Type).into()),
        DataType::Int64 => Cell::Int(number!(Int64Type)),
        DataType::UInt8 => Cell::UInt(number!(UInt8Type).into()),
        DataType::UInt16 => Cell::UInt(number!(UInt16Type).into()),
        DataType::UInt32 => Cell::UInt(number!(UInt32Type).into()),
        DataType::UInt64 => Cell::UInt(number!(UInt64Type)),
        DataType::Float32 => Cell::Real(number!(Float32Type)),
        DataType::Float64 => Cell::Double(number!(Float64Type)),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Cell::Text(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Cell::Text(array.as_string_view().value(row)),
        DataType::Binary => Cell::Bytes(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Cell::Bytes(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Cell::Bytes(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Cell::Bytes(array.as_fixed_size_binary().value(row)),
        DataType::Date32 => Cell::Date(number!(Date32Type)),
        DataType::Timestamp(unit, _) => {
            let (value, per_second) = match unit {
                TimeUnit::Second => (number!(TimestampSecondType), 1),
                TimeUnit::Millisecond => (number!(TimestampMillisecondType), 1_000),
                TimeUnit::Microsecond => (number!(TimestampMicrosecondType), 1_000_000),
                TimeUnit::Nanosecond => (number!(TimestampNanosecondType), 1_000_000_000),
            };
            let part = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
            Cell::Timestamp(
                value.div_euclid(per_second),
                u32::try_from(part).unwrap_or(0),
            )
        }
        _ => Cell::Other,
    }
}

fn json_float(value: f64, shown: &impl serde::Serialize, out: &mut Vec<u8>) {
    if value.is_finite() {
        // serde_json writes the shortest text that reads back as the same number.
        let _ = serde_json::to_writer(out, shown);
    } else {
        let mut text = String::new();
        let _ = write_float(value, &value, &mut text);
        json_text(&text, out);
    }
}

fn write_float(value: f64, shown: &impl std::fmt::Debug, out: &mut String) -> std::fmt::Result {
    if value.is_nan() {
        out.write_str("NaN")
    } else if value.is_infinite() {
        out.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        // Debug keeps `.0` on whole numbers, so that a float stays a float to the next reader.
        write!(out, "{shown:?}")
    }
}

fn is_json(field: &Field) -> bool {
    field
        .metadata()
        .get(TYPE_METADATA_KEY)
        .is_some_and(|name| name == "JSON")
}

fn is_one_value(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok() && !text.contains(['\n', '\r'])
}

fn nested(field: &FieldRef, array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
    let one = array.slice(row, 1);
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(field, one.as_ref(), &options).map_err(|error| {
        Error::invalid(format!("a value has no JSON form: {error}"))
            .with_hint("ask for the rows as csv, which writes any value as text")
    })?;
    encoder.encode(0, out);
    Ok(())
}
