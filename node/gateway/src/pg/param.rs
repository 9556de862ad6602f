//! Values of parameters, as text or as bytes, as arrays of one value.

use std::sync::Arc;

use activestore_query::{Param, cast_assigned, unhex};
use activestore_types::{DataType, Error, Result};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, StringArray,
    Time64NanosecondArray, TimestampNanosecondArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{Field, IntervalMonthDayNano};
use bytes::Bytes;

use super::cell::EPOCH_MICROS;
use super::fault::{Fault, PROTOCOL_VIOLATION, WRONG_BINARY, WRONG_TEXT};
use super::kind::{Element, Kind};
use super::message::Fields;
use super::numeric;

/// Days from 1970 to 2000.
const EPOCH_DAYS: i32 = 10_957;
/// The most values of a list.
const LIST_MAX: usize = 65_535;
/// The most digits of a DECIMAL.
const DIGITS_MAX: usize = 38;

/// The values of a statement's parameters.
///
/// # Errors
/// Where their number is wrong, or a value is not of its type.
pub(super) fn params(
    kinds: &[Kind],
    formats: &[i16],
    values: &[Option<Bytes>],
) -> Result<Vec<Param>, Fault> {
    if kinds.len() != values.len() {
        return Err(Fault::new(
            PROTOCOL_VIOLATION,
            format!(
                "the statement takes {} parameters, {} values are given",
                kinds.len(),
                values.len()
            ),
        ));
    }
    let each = kinds.iter().zip(values).enumerate();
    each.map(|(place, (kind, value))| {
        let name = format!("${}", place + 1);
        let array = match (value, is_binary(formats, place)?) {
            (None, _) => new_null_array(kind.field().data_type(), 1),
            (Some(_), true) => self::value(*kind, value.as_ref())
                .map_err(|error| wrong(WRONG_BINARY, &name, &error))?,
            (Some(value), false) => {
                let text = std::str::from_utf8(value).map_err(|_| {
                    wrong(WRONG_TEXT, &name, &Error::invalid("the text is not UTF-8"))
                })?;
                from_text(&name, *kind, text).map_err(|error| wrong(WRONG_TEXT, &name, &error))?
            }
        };
        Ok(Param::Typed(array))
    })
    .collect()
}

/// Whether the value at a place comes, or goes, as bytes: no format is text, one is for all.
///
/// # Errors
/// For a format that there is not.
pub(super) fn is_binary(formats: &[i16], place: usize) -> Result<bool, Fault> {
    let format = match formats {
        [] => 0,
        [one] => *one,
        all => all.get(place).copied().unwrap_or(0),
    };
    match format {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::new(
            PROTOCOL_VIOLATION,
            format!("{format} is not a format: 0 is text, 1 is binary"),
        )),
    }
}

fn wrong(code: &'static str, name: &str, error: &Error) -> Fault {
    Fault::new(code, format!("parameter {name}: {}", error.message()))
}

/// A text as a value of a type.
///
/// # Errors
/// `Invalid` where it is none.
pub(super) fn from_text(name: &str, kind: Kind, text: &str) -> Result<ArrayRef> {
    let one = || -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    match kind {
        Kind::Bytes => Ok(Arc::new(BinaryArray::from(vec![unhex(text)?.as_slice()]))),
        Kind::Bool => match text.trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => Ok(Arc::new(BooleanArray::from(vec![true]))),
            "f" | "false" | "n" | "no" | "off" | "0" => {
                Ok(Arc::new(BooleanArray::from(vec![false])))
            }
            _ => Err(Error::invalid(format!("'{text}' is not a valid BOOLEAN"))),
        },
        Kind::Numeric { .. } => decimal(text),
        Kind::List(element) => list_of(element, text),
        Kind::Timestamp | Kind::TimestampTz => {
            // `+00` is how PostgreSQL writes the zone; whole minutes are what is read.
            let text = text.trim();
            let zone = text.get(text.len().saturating_sub(3)..).unwrap_or_default();
            let short = zone.starts_with(['+', '-']) && text.len() > 10 && text.contains(':');
            let full = if short {
                format!("{text}:00")
            } else {
                text.to_owned()
            };
            let array: ArrayRef = Arc::new(StringArray::from(vec![full]));
            cast_assigned(name, DataType::Timestamp, &array)
        }
        _ => match kind.column() {
            Some(column) => cast_assigned(name, column, &one()),
            None => {
                let options = CastOptions {
                    safe: false,
                    ..CastOptions::default()
                };
                let field = kind.field();
                cast_with_options(&one(), field.data_type(), &options).map_err(|_| {
                    Error::invalid(format!("'{text}' is not a valid {}", field.data_type()))
                })
            }
        },
    }
}

/// A value as bytes, or NULL.
///
/// # Errors
/// `Invalid` where the bytes are not of the type.
pub(super) fn value(kind: Kind, value: Option<&Bytes>) -> Result<ArrayRef> {
    match value {
        Some(value) => from_bytes(kind, value),
        None => Ok(new_null_array(kind.field().data_type(), 1)),
    }
}

fn from_bytes(kind: Kind, value: &Bytes) -> Result<ArrayRef> {
    let mut fields = Fields::new(value);
    let array: ArrayRef = match kind {
        Kind::Bool => {
            let byte = fields.rest()?;
            match byte.as_ref() {
                [0] => Arc::new(BooleanArray::from(vec![false])),
                [1] => Arc::new(BooleanArray::from(vec![true])),
                _ => return Err(Error::invalid("the bytes are not a boolean")),
            }
        }
        Kind::Int2 => Arc::new(Int32Array::from(vec![i32::from(fields.i16()?)])),
        Kind::Int4 => Arc::new(Int32Array::from(vec![fields.i32()?])),
        Kind::Int8 => Arc::new(Int64Array::from(vec![whole(&mut fields, value.len())?])),
        Kind::Float4 => Arc::new(Float32Array::from(vec![f32::from_bits(fields.u32()?)])),
        Kind::Float8 => {
            let bits = fields.i64()?.cast_unsigned();
            Arc::new(Float64Array::from(vec![f64::from_bits(bits)]))
        }
        Kind::Numeric { .. } => {
            let text = numeric::read(&fields.rest()?)?;
            decimal(&text)?
        }
        Kind::Bytes => Arc::new(BinaryArray::from(vec![fields.rest()?.as_ref()])),
        Kind::Timestamp | Kind::TimestampTz => {
            let micros = fields.i64()?.checked_add(EPOCH_MICROS);
            let nanos = micros.and_then(|micros| micros.checked_mul(1000));
            let nanos = nanos.ok_or_else(|| {
                Error::invalid(
                    "the time is outside of the years 1678 to 2261, which TIMESTAMP holds",
                )
            })?;
            Arc::new(TimestampNanosecondArray::from(vec![nanos]))
        }
        Kind::Date => {
            let days = fields.i32()?.checked_add(EPOCH_DAYS);
            let days = days.ok_or_else(|| Error::invalid("the day is beyond what DATE holds"))?;
            Arc::new(Date32Array::from(vec![days]))
        }
        Kind::Time => {
            let nanos = fields.i64()?.checked_mul(1000);
            let nanos = nanos.ok_or_else(|| Error::invalid("the bytes are not a time"))?;
            Arc::new(Time64NanosecondArray::from(vec![nanos]))
        }
        Kind::Interval => {
            let nanos = fields.i64()?.checked_mul(1000);
            let nanos = nanos.ok_or_else(|| Error::invalid("the interval is too long"))?;
            let (days, months) = (fields.i32()?, fields.i32()?);
            let interval = IntervalMonthDayNano::new(months, days, nanos);
            Arc::new(IntervalMonthDayNanoArray::from(vec![interval]))
        }
        Kind::Uuid => {
            let bytes: [u8; 16] =
                fields.rest()?.as_ref().try_into().map_err(|_| {
                    Error::invalid(format!("a UUID is 16 bytes, not {}", value.len()))
                })?;
            let text = format!("{:032x}", u128::from_be_bytes(bytes));
            let array: ArrayRef = Arc::new(StringArray::from(vec![text]));
            cast_assigned("UUID", DataType::Uuid, &array)?
        }
        Kind::Text | Kind::Json => {
            let bytes = fields.rest()?;
            // jsonb says the version of its format before the text.
            let text = match (kind, bytes.split_first()) {
                (Kind::Json, Some((1, rest))) => rest,
                _ => bytes.as_ref(),
            };
            let text = std::str::from_utf8(text);
            let text = text.map_err(|_| Error::invalid("the text is not UTF-8"))?;
            return match kind {
                Kind::Json => from_text("JSON", kind, text),
                _ => Ok(Arc::new(StringArray::from(vec![text]))),
            };
        }
        Kind::List(element) => return list(element, &mut fields),
    };
    if fields.is_empty() {
        Ok(array)
    } else {
        Err(Error::invalid(format!(
            "{} bytes are too many for its type",
            value.len()
        )))
    }
}

/// Clients send whole numbers in as few bytes as their own type has.
fn whole(fields: &mut Fields<'_>, length: usize) -> Result<i64> {
    match length {
        2 => fields.i16().map(i64::from),
        4 => fields.i32().map(i64::from),
        _ => fields.i64(),
    }
}

/// A decimal with as many digits behind the point as it is written with.
fn decimal(text: &str) -> Result<ArrayRef> {
    let odd = || Error::invalid(format!("'{text}' is not a number that a DECIMAL holds"));
    let text = text.trim();
    let plain = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => numeric::shifted(digits, exponent.parse().map_err(|_| odd())?),
        None => text.to_owned(),
    };
    let (whole, part) = plain.split_once('.').unwrap_or((&plain, ""));
    let digits = format!("{whole}{part}");
    let value: i128 = digits.parse().map_err(|_| odd())?;
    if part.len() > DIGITS_MAX || value.unsigned_abs().to_string().len() > DIGITS_MAX {
        return Err(odd());
    }
    let scale = i8::try_from(part.len()).map_err(|_| odd())?;
    let array = Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale)?;
    Ok(Arc::new(array))
}

fn list(element: Element, fields: &mut Fields<'_>) -> Result<ArrayRef> {
    let dimensions = fields.i32()?;
    let (_nulls, _of) = (fields.i32()?, fields.u32()?);
    let mut values = Vec::new();
    match dimensions {
        0 => {}
        1 => {
            let (count, _from) = (fields.i32()?, fields.i32()?);
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            if count > LIST_MAX {
                return Err(Error::invalid(format!(
                    "a list holds at most {LIST_MAX} values"
                )));
            }
            for _ in 0..count {
                let one = fields.value()?;
                values.push(value(element.kind(), one.as_ref())?);
            }
        }
        _ => return Err(Error::invalid("lists of lists are not available")),
    }
    gathered(element, &values)
}

/// `{a,"b c",NULL}`.
fn list_of(element: Element, text: &str) -> Result<ArrayRef> {
    let odd = || Error::invalid(format!("'{text}' is not a list: {{a,b,c}}"));
    let inner = text
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let mut rest = inner.ok_or_else(odd)?.chars().peekable();
    let mut values = Vec::new();
    while rest.peek().is_some() {
        let (mut value, mut quoted, mut inside) = (String::new(), false, false);
        let mut escaped = false;
        for c in rest.by_ref() {
            match c {
                c if escaped => {
                    value.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    inside = !inside;
                    quoted = true;
                }
                ',' if !inside => break,
                '{' | '}' if !inside => return Err(odd()),
                c => value.push(c),
            }
        }
        if inside || values.len() >= LIST_MAX {
            return Err(odd());
        }
        let value = if quoted {
            value
        } else {
            value.trim().to_owned()
        };
        values.push(if !quoted && value.eq_ignore_ascii_case("null") {
            new_null_array(element.kind().field().data_type(), 1)
        } else {
            from_text("list", element.kind(), &value)?
        });
    }
    gathered(element, &values)
}

fn gathered(element: Element, values: &[ArrayRef]) -> Result<ArrayRef> {
    let data_type = element.kind().field().data_type().clone();
    let all: Vec<&dyn arrow::array::Array> = values.iter().map(AsRef::as_ref).collect();
    let all = if all.is_empty() {
        new_null_array(&data_type, 0)
    } else {
        concat(&all)?
    };
    let field = Arc::new(Field::new("item", data_type, true));
    let offsets = OffsetBuffer::from_lengths([all.len()]);
    Ok(Arc::new(ListArray::try_new(field, offsets, all, None)?))
}
