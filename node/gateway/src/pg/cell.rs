//! Cells as text and as bytes, as PostgreSQL writes them. A column's array is looked at once a batch, not once a cell.
//!
//! PostgreSQL's timestamps have microseconds; what ours have beyond is cut off.

use std::fmt::Write as _;

use activestore_types::{Error, Result};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, GenericBinaryArray,
    GenericStringArray, PrimitiveArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::{BufMut, BytesMut};
use chrono::{DateTime, NaiveDate};

use super::answer::Shown;
use super::kind::{Element, Kind};
use super::numeric;
use super::written::{clock, float, fraction, interval};

/// Days and microseconds from 1970 to 2000, where PostgreSQL's dates begin.
const EPOCH_DAYS: i32 = 10_957;
pub(super) const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A column of one batch, ready to be written.
pub(super) struct Cells {
    array: ArrayRef,
    values: Values,
    pub(super) binary: bool,
    kind: Kind,
}

enum Values {
    Null,
    Bool(BooleanArray),
    Int2(PrimitiveArray<Int16Type>),
    Int4(PrimitiveArray<Int32Type>),
    Int8(PrimitiveArray<Int64Type>),
    Float4(PrimitiveArray<Float32Type>),
    Float8(PrimitiveArray<Float64Type>),
    Decimal(Decimal128Array, i8),
    Text(GenericStringArray<i32>),
    LongText(GenericStringArray<i64>),
    Uuid(GenericStringArray<i32>),
    Bytes(GenericBinaryArray<i32>),
    /// Nanoseconds or microseconds since 1970.
    Nanos(PrimitiveArray<TimestampNanosecondType>),
    Micros(PrimitiveArray<TimestampMicrosecondType>),
    Date(PrimitiveArray<Date32Type>),
    Time(PrimitiveArray<Time64NanosecondType>),
    Interval(PrimitiveArray<IntervalMonthDayNanoType>),
    List(Element),
    Other,
}

impl Cells {
    /// Prepares a column.
    ///
    /// # Errors
    /// `Internal` where an array is not of its type.
    pub(super) fn new(array: &ArrayRef, shown: &Shown) -> Result<Cells> {
        let (array, values) = values(array, shown.kind)?;
        Ok(Cells {
            array,
            values,
            binary: shown.binary,
            kind: shown.kind,
        })
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null) || self.array.is_null(row)
    }

    /// Appends a cell behind its length.
    ///
    /// # Errors
    /// `Invalid` for a value that PostgreSQL's type cannot hold.
    pub(super) fn write(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        if self.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        let start = out.len();
        out.put_i32(0);
        if self.binary {
            self.bytes(row, out)?;
        } else {
            self.text(row, out)?;
        }
        // Of a message the length counts itself; of a value it does not.
        let bytes = out.len().saturating_sub(start + 4);
        let bytes = i32::try_from(bytes).map_err(|_| beyond("value"))?;
        if let Some(place) = out.get_mut(start..start + 4) {
            place.copy_from_slice(&bytes.to_be_bytes());
        }
        Ok(())
    }

    /// Appends a cell as text; NULL is nothing.
    ///
    /// # Errors
    /// `Internal` where a value has no text form.
    pub(super) fn text(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        // Writing to a buffer in memory cannot fail.
        let _ = match &self.values {
            Values::Null => Ok(()),
            Values::Bool(array) => out.write_str(if array.value(row) { "t" } else { "f" }),
            Values::Int2(array) => write!(out, "{}", array.value(row)),
            Values::Int4(array) => write!(out, "{}", array.value(row)),
            Values::Int8(array) => write!(out, "{}", array.value(row)),
            Values::Float4(array) => float(array.value(row).into(), &array.value(row), out),
            Values::Float8(array) => float(array.value(row), &array.value(row), out),
            Values::Decimal(array, scale) => {
                write!(out, "{}", numeric::text(array.value(row), *scale))
            }
            Values::Text(array) | Values::Uuid(array) => out.write_str(array.value(row)),
            Values::LongText(array) => out.write_str(array.value(row)),
            Values::Bytes(array) => {
                let bytes = array.value(row);
                let _ = out.write_str("\\x");
                bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
            Values::Nanos(array) => self.moment(array.value(row).div_euclid(1000), out),
            Values::Micros(array) => self.moment(array.value(row), out),
            Values::Date(array) => match NaiveDate::from_epoch_days(array.value(row)) {
                Some(date) => write!(out, "{date}"),
                None => return Err(beyond("date")),
            },
            Values::Time(array) => clock(array.value(row) / 1000, out),
            Values::Interval(array) => {
                let value = array.value(row);
                interval(value.months, value.days, value.nanoseconds / 1000, out)
            }
            Values::List(element) => return self.list_text(*element, row, out),
            Values::Other => {
                let options = FormatOptions::default().with_null("");
                let formatter = ArrayFormatter::try_new(self.array.as_ref(), &options)?;
                write!(out, "{}", formatter.value(row))
            }
        };
        Ok(())
    }

    fn bytes(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        match &self.values {
            Values::Bool(array) => out.put_u8(u8::from(array.value(row))),
            Values::Int2(array) => out.put_i16(array.value(row)),
            Values::Int4(array) => out.put_i32(array.value(row)),
            Values::Int8(array) => out.put_i64(array.value(row)),
            Values::Float4(array) => out.put_f32(array.value(row)),
            Values::Float8(array) => out.put_f64(array.value(row)),
            Values::Decimal(array, scale) => {
                numeric::bytes(&numeric::text(array.value(row), *scale), out)?;
            }
            Values::Uuid(array) => {
                let digits = array.value(row).replace('-', "");
                let value = u128::from_str_radix(&digits, 16).map_err(|_| beyond("UUID"))?;
                out.put_u128(value);
            }
            Values::Bytes(array) => out.extend_from_slice(array.value(row)),
            Values::Nanos(array) => {
                out.put_i64(array.value(row).div_euclid(1000) - EPOCH_MICROS);
            }
            Values::Micros(array) => {
                let micros = array.value(row).checked_sub(EPOCH_MICROS);
                out.put_i64(micros.ok_or_else(|| beyond("timestamp"))?);
            }
            Values::Date(array) => {
                let days = array.value(row).checked_sub(EPOCH_DAYS);
                out.put_i32(days.ok_or_else(|| beyond("date"))?);
            }
            Values::Time(array) => out.put_i64(array.value(row) / 1000),
            Values::Interval(array) => {
                let value = array.value(row);
                out.put_i64(value.nanoseconds / 1000);
                out.put_i32(value.days);
                out.put_i32(value.months);
            }
            Values::List(element) => return self.list_bytes(*element, row, out),
            Values::Other if matches!(self.kind, Kind::Numeric { .. }) => {
                let mut text = BytesMut::new();
                self.text(row, &mut text)?;
                let text = std::str::from_utf8(&text).map_err(|_| beyond("number"))?;
                numeric::bytes(text, out)?;
            }
            // Text is the same either way.
            Values::Null | Values::Text(_) | Values::LongText(_) | Values::Other => {
                self.text(row, out)?;
            }
        }
        Ok(())
    }

    fn moment(&self, micros: i64, out: &mut BytesMut) -> std::fmt::Result {
        let (seconds, part) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        let nanos = u32::try_from(part * 1000).unwrap_or(0);
        match DateTime::from_timestamp(seconds, nanos) {
            Some(time) => write!(out, "{}", time.format("%Y-%m-%d %H:%M:%S"))?,
            None => write!(out, "{seconds}")?,
        }
        fraction(part, out)?;
        if self.kind == Kind::TimestampTz {
            out.write_str("+00")?;
        }
        Ok(())
    }

    fn elements(&self, element: Element, row: usize, binary: bool) -> Result<Cells> {
        let list = match self.array.data_type() {
            DataType::List(_) => self.array.as_list::<i32>().value(row),
            DataType::LargeList(_) => self.array.as_list::<i64>().value(row),
            _ => self.array.as_fixed_size_list().value(row),
        };
        let shown = Shown {
            name: String::new(),
            kind: element.kind(),
            binary,
        };
        Cells::new(&list, &shown)
    }

    fn list_text(&self, element: Element, row: usize, out: &mut BytesMut) -> Result<()> {
        let cells = self.elements(element, row, false)?;
        out.put_u8(b'{');
        let mut text = BytesMut::new();
        for place in 0..cells.array.len() {
            if place > 0 {
                out.put_u8(b',');
            }
            if cells.array.is_null(place) {
                out.extend_from_slice(b"NULL");
                continue;
            }
            text.clear();
            cells.text(place, &mut text)?;
            let odd = |byte: &u8| b"{},\"\\ \t\n\r".contains(byte);
            if text.is_empty() || text.iter().any(odd) || text.eq_ignore_ascii_case(b"null") {
                out.put_u8(b'"');
                for byte in &text {
                    if matches!(byte, b'"' | b'\\') {
                        out.put_u8(b'\\');
                    }
                    out.put_u8(*byte);
                }
                out.put_u8(b'"');
            } else {
                out.extend_from_slice(&text);
            }
        }
        out.put_u8(b'}');
        Ok(())
    }

    fn list_bytes(&self, element: Element, row: usize, out: &mut BytesMut) -> Result<()> {
        let cells = self.elements(element, row, true)?;
        let count = cells.array.len();
        out.put_i32(i32::from(count > 0));
        out.put_i32(i32::from(cells.array.null_count() > 0));
        out.put_u32(element.kind().oid());
        if count > 0 {
            out.put_i32(i32::try_from(count).map_err(|_| beyond("list"))?);
            out.put_i32(1);
        }
        for place in 0..count {
            cells.write(place, out)?;
        }
        Ok(())
    }
}

/// The array under the type that its kind is written from.
fn values(array: &ArrayRef, kind: Kind) -> Result<(ArrayRef, Values)> {
    let as_type = |data_type: DataType| -> Result<ArrayRef> {
        if *array.data_type() == data_type {
            return Ok(array.clone());
        }
        Ok(cast(array, &data_type)?)
    };
    macro_rules! primitive {
        ($type:expr, $case:ident) => {{
            let array = as_type($type)?;
            let values = Values::$case(array.as_primitive().clone());
            (array, values)
        }};
    }
    if *array.data_type() == DataType::Null {
        return Ok((array.clone(), Values::Null));
    }
    Ok(match kind {
        Kind::Bool => {
            let array = as_type(DataType::Boolean)?;
            let values = Values::Bool(array.as_boolean().clone());
            (array, values)
        }
        Kind::Int2 => primitive!(DataType::Int16, Int2),
        Kind::Int4 => primitive!(DataType::Int32, Int4),
        Kind::Int8 => primitive!(DataType::Int64, Int8),
        Kind::Float4 => primitive!(DataType::Float32, Float4),
        Kind::Float8 => primitive!(DataType::Float64, Float8),
        Kind::Numeric { scale, .. } => match array.data_type() {
            DataType::Decimal128(_, _) => (
                array.clone(),
                Values::Decimal(array.as_primitive().clone(), scale),
            ),
            DataType::Dictionary(_, values) if matches!(**values, DataType::Decimal128(_, _)) => {
                let array = as_type(values.as_ref().clone())?;
                let values = Values::Decimal(array.as_primitive().clone(), scale);
                (array, values)
            }
            _ => (array.clone(), Values::Other),
        },
        Kind::Text | Kind::Json => match array.data_type() {
            DataType::LargeUtf8 => (
                array.clone(),
                Values::LongText(array.as_string::<i64>().clone()),
            ),
            DataType::Utf8 | DataType::Utf8View | DataType::Dictionary(_, _) => {
                let array = as_type(DataType::Utf8)?;
                let values = Values::Text(array.as_string::<i32>().clone());
                (array, values)
            }
            _ => (array.clone(), Values::Other),
        },
        Kind::Uuid => {
            let array = as_type(DataType::Utf8)?;
            let values = Values::Uuid(array.as_string::<i32>().clone());
            (array, values)
        }
        Kind::Bytes => {
            let array = as_type(DataType::Binary)?;
            let values = Values::Bytes(array.as_binary::<i32>().clone());
            (array, values)
        }
        Kind::Timestamp | Kind::TimestampTz => match array.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                (array.clone(), Values::Nanos(array.as_primitive().clone()))
            }
            DataType::Timestamp(_, zone) => {
                primitive!(
                    DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
                    Micros
                )
            }
            _ => primitive!(DataType::Timestamp(TimeUnit::Microsecond, None), Micros),
        },
        Kind::Date => primitive!(DataType::Date32, Date),
        Kind::Time => primitive!(DataType::Time64(TimeUnit::Nanosecond), Time),
        Kind::Interval => {
            primitive!(DataType::Interval(IntervalUnit::MonthDayNano), Interval)
        }
        Kind::List(element) => (array.clone(), Values::List(element)),
    })
}

fn beyond(what: &str) -> Error {
    Error::invalid(format!("a {what} is beyond what PostgreSQL's type holds"))
}
