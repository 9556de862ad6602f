//! One cell on its way from text or JSON into a column: conversion to the column's type, exactly or
//! not at all.

use std::borrow::Cow;

use activestore_types::DataType;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use crate::decimal::parse_decimal;
use crate::precision::Precision;
use crate::timestamp::{parse_date, parse_timestamp};

/// A typed cell. An absent cell has no value at all and is never made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Boolean(bool),
    Int(i32),
    BigInt(i64),
    Real(f32),
    Double(f64),
    Decimal(i128),
    Text(Cow<'a, str>),
    Bytes(Vec<u8>),
    Timestamp(i64),
    Date(i32),
}

impl Value<'_> {
    /// The type of a column that first meets this value; `None` where the value alone does not say.
    pub(crate) fn natural_type(&self) -> Option<DataType> {
        Some(match self {
            Value::Null | Value::Decimal(_) => return None,
            Value::Boolean(_) => DataType::Boolean,
            Value::Int(_) => DataType::Int,
            Value::BigInt(_) => DataType::BigInt,
            Value::Real(_) => DataType::Real,
            Value::Double(_) => DataType::Double,
            Value::Text(_) => DataType::Text,
            Value::Bytes(_) => DataType::Bytes,
            Value::Timestamp(_) => DataType::Timestamp,
            Value::Date(_) => DataType::Date,
        })
    }

    /// Bytes of variable length that the value adds to a column.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Text of a CSV field, a topic level or a JSON string as a value of the given type.
pub(crate) fn from_text<'a>(
    text: Cow<'a, str>,
    data_type: DataType,
    precision: Option<Precision>,
) -> Result<Value<'a>, String> {
    let trimmed = text.trim();
    let not = |what: &str| format!("'{}' is not {what}", shown(&text));
    Ok(match data_type {
        DataType::Text => Value::Text(text),
        DataType::Boolean => Value::Boolean(match trimmed {
            "true" | "TRUE" | "True" | "t" | "T" | "1" | "yes" | "on" => true,
            "false" | "FALSE" | "False" | "f" | "F" | "0" | "no" | "off" => false,
            _ => return Err(not("a BOOLEAN: true or false expected")),
        }),
        DataType::Int => Value::Int(
            integer(trimmed)
                .and_then(|value| i32::try_from(value).ok())
                .ok_or_else(|| not("an INT (32 bits)"))?,
        ),
        DataType::BigInt => {
            Value::BigInt(integer(trimmed).ok_or_else(|| not("a BIGINT (64 bits)"))?)
        }
        DataType::Real => Value::Real(
            double(trimmed)
                .map(|value| value as f32)
                .filter(|value| value.is_finite() || non_finite(trimmed).is_some())
                .ok_or_else(|| not("a REAL"))?,
        ),
        DataType::Double => Value::Double(double(trimmed).ok_or_else(|| not("a DOUBLE"))?),
        DataType::Decimal { precision, scale } => {
            Value::Decimal(parse_decimal(trimmed, precision, scale)?)
        }
        DataType::Bytes => Value::Bytes(bytes(trimmed).ok_or_else(|| {
            not("BYTES: hexadecimal digits after \\x or 0x, or base64, expected")
        })?),
        DataType::Timestamp => Value::Timestamp(parse_timestamp(trimmed, precision)?),
        DataType::Date => Value::Date(parse_date(trimmed)?),
        DataType::Uuid => Value::Text(Cow::Owned(
            uuid::Uuid::try_parse(trimmed)
                .map_err(|_| not("a UUID"))?
                .hyphenated()
                .to_string(),
        )),
        DataType::Json => {
            serde_json::from_str::<serde::de::IgnoredAny>(trimmed).map_err(|_| not("JSON"))?;
            Value::Text(Cow::Owned(trimmed.to_owned()))
        }
    })
}

/// A JSON value, as its text, as a value of the column's type, or of the type it has by itself
/// where the column has none. The second part is that type.
pub(crate) fn from_json<'a>(
    raw: &'a str,
    known: Option<DataType>,
    precision: Option<Precision>,
) -> Result<(Value<'a>, Option<DataType>), String> {
    let first = raw.as_bytes().first().copied().unwrap_or(b'n');
    if first == b'n' {
        return Ok((Value::Null, known));
    }
    let Some(data_type) = known else {
        let value = match first {
            b'"' => Value::Text(string(raw)?),
            b't' => Value::Boolean(true),
            b'f' => Value::Boolean(false),
            b'{' | b'[' => {
                return Ok((Value::Text(Cow::Borrowed(raw)), Some(DataType::Json)));
            }
            _ if raw.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => {
                Value::Double(double(raw).ok_or_else(|| format!("{raw} is beyond a DOUBLE"))?)
            }
            _ => Value::BigInt(
                raw.parse()
                    .map_err(|_| format!("{raw} is beyond a BIGINT"))?,
            ),
        };
        let natural = value.natural_type();
        return Ok((value, natural));
    };
    let value = match (data_type, first) {
        (DataType::Json, _) => Value::Text(Cow::Borrowed(raw)),
        (DataType::Boolean, b't') => Value::Boolean(true),
        (DataType::Boolean, b'f') => Value::Boolean(false),
        // A quoted number is a number whose writer feared for its digits; quoted text is not.
        (_, b'"') => from_text(string(raw)?, data_type, precision)?,
        (
            DataType::Int
            | DataType::BigInt
            | DataType::Real
            | DataType::Double
            | DataType::Decimal { .. }
            | DataType::Timestamp,
            b'-' | b'0'..=b'9',
        ) => from_text(Cow::Borrowed(raw), data_type, precision)?,
        _ => return Err(format!("{data_type} expected, found {}", shown(raw))),
    };
    Ok((value, known))
}

#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

fn string(raw: &str) -> Result<Cow<'_, str>, String> {
    serde_json::from_str::<Borrowed<'_>>(raw)
        .map(|text| text.0)
        .map_err(|error| error.to_string())
}

/// An integer, written as one or as a number without a fraction (`3.0`, `1e3`).
fn integer(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().or_else(|| {
        text.contains(['.', 'e', 'E'])
            .then(|| parse_decimal(text, 19, 0).ok())
            .flatten()
            .and_then(|value| i64::try_from(value).ok())
    })
}

fn double(text: &str) -> Option<f64> {
    if let Some(value) = non_finite(text) {
        return Some(value);
    }
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'))
    {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// The spellings of PostgreSQL for doubles that are no numbers.
fn non_finite(text: &str) -> Option<f64> {
    match text {
        "NaN" | "nan" => Some(f64::NAN),
        "Infinity" | "inf" | "+inf" => Some(f64::INFINITY),
        "-Infinity" | "-inf" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix("\\x").or_else(|| text.strip_prefix("0x")) {
        Some(digits) => hexadecimal(digits.as_bytes()),
        None => BASE64.decode(text).ok(),
    }
}

fn hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok())
        .collect()
}

/// The value as an error message quotes it: cut after 60 characters.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(60) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests;
