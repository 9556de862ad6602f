//! Keys that compare bytewise in key order (memcomparable), as MyRocks and TiDB encode them.
//!
//! Numbers are big-endian with the sign flipped; floats use the IEEE total order with -0.0 folded
//! into 0.0 and every NaN into one; text and bytes escape 0x00 as 0x00 0xFF and end with 0x00 0x00,
//! so that no key is a prefix of another by accident; a descending column inverts all its bytes.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type,
    Int64Type, TimeUnit, TimestampNanosecondType,
};

use crate::error::{Error, Result};

/// Encoded keys of many rows in one buffer.
#[derive(Clone, Debug, Default)]
pub struct KeyBuffer {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl KeyBuffer {
    /// How many keys.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The key of a row; empty when there is no such row.
    pub fn key(&self, row: usize) -> &[u8] {
        let Some(end) = self.ends.get(row) else {
            return &[];
        };
        let start = row
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |start| *start as usize);
        self.bytes.get(start..*end as usize).unwrap_or(&[])
    }

    /// All keys in row order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|row| self.key(row))
    }
}

/// Encodes the key columns of every row. `columns` holds each key column's array and whether it is
/// descending, in key order; pass only the first of them to encode a prefix.
///
/// # Errors
/// `Invalid` for a NULL in a key column, a type that cannot be a key, or more than 4 GiB of keys.
pub fn encode_keys(columns: &[(ArrayRef, bool)]) -> Result<KeyBuffer> {
    let rows = columns.first().map_or(0, |(array, _)| array.len());
    let mut parts = Vec::with_capacity(columns.len());
    for (array, descending) in columns {
        if array.null_count() > 0 {
            return Err(Error::invalid("a key column is NULL")
                .with_hint("every column of the primary key needs a value"));
        }
        if array.len() != rows {
            return Err(Error::invalid("key columns differ in length"));
        }
        parts.push((Part::new(array)?, *descending));
    }
    let mut keys = KeyBuffer {
        bytes: Vec::with_capacity(rows * columns.len() * 10),
        ends: Vec::with_capacity(rows),
    };
    for row in 0..rows {
        for (part, descending) in &parts {
            let start = keys.bytes.len();
            part.push(row, &mut keys.bytes);
            if *descending {
                for byte in keys.bytes.iter_mut().skip(start) {
                    *byte = !*byte;
                }
            }
        }
        let end = u32::try_from(keys.bytes.len())
            .map_err(|_| Error::invalid("a batch holds more than 4 GiB of keys"))?;
        keys.ends.push(end);
    }
    Ok(keys)
}

/// The first key after every key that starts with `prefix`; empty means the table's end.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// A half-open range of encoded keys: `[start, end)`; an empty `end` means the table's end.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KeyRange {
    /// First key inside.
    pub start: Vec<u8>,
    /// First key outside; empty means no bound.
    pub end: Vec<u8>,
}

impl KeyRange {
    /// Every key of the table.
    pub fn all() -> Self {
        KeyRange::default()
    }

    /// Every key that starts with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        KeyRange {
            start: prefix.to_vec(),
            end: prefix_end(prefix),
        }
    }

    /// Whether the key lies inside.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && (self.end.is_empty() || key < self.end.as_slice())
    }

    /// Whether any key in the closed range `[first, last]` lies inside.
    pub fn overlaps(&self, first: &[u8], last: &[u8]) -> bool {
        self.start.as_slice() <= last && (self.end.is_empty() || first < self.end.as_slice())
    }
}

enum Part<'a> {
    Boolean(&'a arrow::array::BooleanArray),
    Int(&'a [i32]),
    BigInt(&'a [i64]),
    Decimal(&'a [i128]),
    Real(&'a [f32]),
    Double(&'a [f64]),
    Text(&'a arrow::array::StringArray),
    Bytes(&'a arrow::array::BinaryArray),
}

impl<'a> Part<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            ArrowType::Boolean => Part::Boolean(array.as_boolean()),
            ArrowType::Int32 => Part::Int(array.as_primitive::<Int32Type>().values()),
            ArrowType::Date32 => Part::Int(array.as_primitive::<Date32Type>().values()),
            ArrowType::Int64 => Part::BigInt(array.as_primitive::<Int64Type>().values()),
            ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
                Part::BigInt(array.as_primitive::<TimestampNanosecondType>().values())
            }
            ArrowType::Decimal128(_, _) => {
                Part::Decimal(array.as_primitive::<Decimal128Type>().values())
            }
            ArrowType::Float32 => Part::Real(array.as_primitive::<Float32Type>().values()),
            ArrowType::Float64 => Part::Double(array.as_primitive::<Float64Type>().values()),
            ArrowType::Utf8 => Part::Text(array.as_string()),
            ArrowType::Binary => Part::Bytes(array.as_binary()),
            other => {
                return Err(Error::invalid(format!("{other} cannot be a key column")));
            }
        })
    }

    fn push(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Part::Boolean(values) => out.push(u8::from(values.value(row))),
            Part::Int(values) => push_value(values, row, out, |value, out| {
                out.extend((value.cast_unsigned() ^ (1 << 31)).to_be_bytes());
            }),
            Part::BigInt(values) => push_value(values, row, out, |value, out| {
                out.extend((value.cast_unsigned() ^ (1 << 63)).to_be_bytes());
            }),
            Part::Decimal(values) => push_value(values, row, out, |value, out| {
                out.extend((value.cast_unsigned() ^ (1 << 127)).to_be_bytes());
            }),
            Part::Real(values) => push_value(values, row, out, |value, out| {
                let bits = canonical(f64::from(value));
                // The total order of f32 is that of the f64 it widens to.
                out.extend(bits.to_be_bytes());
            }),
            Part::Double(values) => push_value(values, row, out, |value, out| {
                out.extend(canonical(value).to_be_bytes());
            }),
            Part::Text(values) => push_bytes(values.value(row).as_bytes(), out),
            Part::Bytes(values) => push_bytes(values.value(row), out),
        }
    }
}

fn push_value<T: Copy>(
    values: &[T],
    row: usize,
    out: &mut Vec<u8>,
    push: impl Fn(T, &mut Vec<u8>),
) {
    if let Some(value) = values.get(row) {
        push(*value, out);
    }
}

fn canonical(value: f64) -> u64 {
    let value = if value.is_nan() {
        f64::NAN
    } else {
        value + 0.0
    };
    let bits = value.to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | (1 << 63)
    }
}

fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend([0, 0]);
}

#[cfg(test)]
mod tests;
