//! Encoding the key columns of a batch, one column after the other: every key's length is known
//! before a byte is written, so that each value is copied once, to its place.
//!
//! Refuses NULLs and types that cannot be a key; knows no schema.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type,
    Int64Type, TimeUnit, TimestampNanosecondType,
};

use super::{KeyBuffer, too_long};
use crate::error::{Error, Result};

/// Encodes the key columns of every row. `columns` holds each key column's array and whether it is
/// descending, in key order; pass only the first of them to encode a prefix.
///
/// # Errors
/// `Invalid` for a NULL in a key column, a type that cannot be a key, or more than 4 GiB of keys.
pub fn encode_keys(columns: &[(ArrayRef, bool)]) -> Result<KeyBuffer> {
    Ok(encode_split_keys(columns, 0)?.0)
}

/// As [`encode_keys`], and for each row how many bytes of its key the first `leading` columns take.
///
/// # Errors
/// As [`encode_keys`].
pub fn encode_split_keys(
    columns: &[(ArrayRef, bool)],
    leading: usize,
) -> Result<(KeyBuffer, Vec<u32>)> {
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
    let (starts, ends) = bounds(&parts, rows)?;
    let mut bytes = vec![0; ends.last().map_or(0, |end| *end as usize)];
    let mut prefixes = vec![0; rows];
    let mut cursors = starts.clone();
    for (at, (part, descending)) in parts.iter().enumerate() {
        if at == leading {
            prefixes = lengths(&starts, &cursors);
        }
        let before = descending.then(|| cursors.clone());
        part.write(&mut bytes, &mut cursors);
        for (from, to) in before.iter().flatten().zip(&cursors) {
            for byte in bytes
                .get_mut(*from as usize..*to as usize)
                .into_iter()
                .flatten()
            {
                *byte = !*byte;
            }
        }
    }
    if leading >= parts.len() {
        prefixes = lengths(&starts, &cursors);
    }
    Ok((KeyBuffer { bytes, ends }, prefixes))
}

fn lengths(starts: &[u32], cursors: &[u32]) -> Vec<u32> {
    starts
        .iter()
        .zip(cursors)
        .map(|(start, at)| at - start)
        .collect()
}

/// Where each row's key starts and ends.
fn bounds(parts: &[(Part<'_>, bool)], rows: usize) -> Result<(Vec<u32>, Vec<u32>)> {
    let fixed: u64 = parts.iter().map(|(part, _)| part.width()).sum();
    let mut all = fixed.saturating_mul(rows as u64);
    for (part, _) in parts {
        if let Part::Text(text) = part {
            all = all.saturating_add(text.encoded_bytes());
        }
    }
    // The sum fits 32 bits, so every partial sum does.
    let fixed = u32::try_from(all)
        .map(|_| fixed as u32)
        .map_err(|_| too_long())?;
    let mut widths = vec![fixed; rows];
    for (part, _) in parts {
        if let Part::Text(text) = part {
            text.add_widths(&mut widths);
        }
    }
    let mut at = 0;
    let starts = widths
        .iter_mut()
        .map(|width| {
            let start = at;
            at += *width;
            *width = at;
            start
        })
        .collect();
    Ok((starts, widths))
}

enum Part<'a> {
    Boolean(&'a BooleanArray),
    Int(&'a [i32]),
    BigInt(&'a [i64]),
    Decimal(&'a [i128]),
    Real(&'a [f32]),
    Double(&'a [f64]),
    Text(Text<'a>),
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
            ArrowType::Utf8 => {
                let text = array.as_string::<i32>();
                Part::Text(Text::new(text.value_offsets(), text.value_data()))
            }
            ArrowType::Binary => {
                let text = array.as_binary::<i32>();
                Part::Text(Text::new(text.value_offsets(), text.value_data()))
            }
            other => {
                return Err(Error::invalid(format!("{other} cannot be a key column")));
            }
        })
    }

    /// Bytes of every value; 0 for text, whose values differ.
    fn width(&self) -> u64 {
        match self {
            Part::Boolean(_) => 1,
            Part::Int(_) => 4,
            Part::BigInt(_) | Part::Real(_) | Part::Double(_) => 8,
            Part::Decimal(_) => 16,
            Part::Text(_) => 0,
        }
    }

    /// Writes each row's value where its cursor stands, and moves the cursor behind it.
    fn write(&self, out: &mut [u8], cursors: &mut [u32]) {
        match self {
            Part::Boolean(values) => {
                let bytes = values.values().iter().map(|value| [u8::from(value)]);
                write_fixed(out, cursors, bytes);
            }
            Part::Int(values) => write_fixed(
                out,
                cursors,
                values
                    .iter()
                    .map(|value| (value.cast_unsigned() ^ (1 << 31)).to_be_bytes()),
            ),
            Part::BigInt(values) => write_fixed(
                out,
                cursors,
                values
                    .iter()
                    .map(|value| (value.cast_unsigned() ^ (1 << 63)).to_be_bytes()),
            ),
            Part::Decimal(values) => write_fixed(
                out,
                cursors,
                values
                    .iter()
                    .map(|value| (value.cast_unsigned() ^ (1 << 127)).to_be_bytes()),
            ),
            // The total order of f32 is that of the f64 it widens to.
            Part::Real(values) => write_fixed(
                out,
                cursors,
                values
                    .iter()
                    .map(|value| canonical(f64::from(*value)).to_be_bytes()),
            ),
            Part::Double(values) => write_fixed(
                out,
                cursors,
                values.iter().map(|value| canonical(*value).to_be_bytes()),
            ),
            Part::Text(text) => text.write(out, cursors),
        }
    }
}

fn write_fixed<const N: usize>(
    out: &mut [u8],
    cursors: &mut [u32],
    values: impl Iterator<Item = [u8; N]>,
) {
    for (cursor, value) in cursors.iter_mut().zip(values) {
        let place = out.get_mut(*cursor as usize..);
        if let Some(place) = place.and_then(|rest| rest.first_chunk_mut::<N>()) {
            *place = value;
        }
        *cursor += N as u32;
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

/// Bytes of the mark that ends a text, 0x00 0x00.
const END_BYTES: u32 = 2;

/// Text or bytes.
struct Text<'a> {
    offsets: &'a [i32],
    values: &'a [u8],
    /// Zero bytes in all values: each is written as two. Nearly always none.
    zeros: usize,
}

impl<'a> Text<'a> {
    fn new(offsets: &'a [i32], values: &'a [u8]) -> Self {
        let mut text = Text {
            offsets,
            values,
            zeros: 0,
        };
        if let (Some(first), Some(last)) = (offsets.first(), offsets.last()) {
            let all = text.between(*first, *last);
            if all.contains(&0) {
                text.zeros = zeros(all);
            }
        }
        text
    }

    fn between(&self, start: i32, end: i32) -> &'a [u8] {
        let range = start.cast_unsigned() as usize..end.cast_unsigned() as usize;
        self.values.get(range).unwrap_or(&[])
    }

    fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        self.offsets.windows(2).map(|pair| match pair {
            [start, end] => self.between(*start, *end),
            _ => &[],
        })
    }

    fn encoded_bytes(&self) -> u64 {
        let (first, last) = (self.offsets.first(), self.offsets.last());
        let plain = first
            .zip(last)
            .map_or(0, |(first, last)| last.abs_diff(*first));
        let marks = u64::from(END_BYTES) * self.offsets.len().saturating_sub(1) as u64;
        u64::from(plain) + self.zeros as u64 + marks
    }

    fn add_widths(&self, widths: &mut [u32]) {
        for (width, pair) in widths.iter_mut().zip(self.offsets.windows(2)) {
            if let [start, end] = pair {
                *width += start.abs_diff(*end) + END_BYTES;
            }
        }
        if self.zeros > 0 {
            for (width, text) in widths.iter_mut().zip(self.iter()) {
                *width += zeros(text) as u32;
            }
        }
    }

    /// The bytes of `out` are zeros, so the end marks are there already.
    fn write(&self, out: &mut [u8], cursors: &mut [u32]) {
        for (cursor, text) in cursors.iter_mut().zip(self.iter()) {
            let start = *cursor as usize;
            if self.zeros == 0 {
                if let Some(place) = out.get_mut(start..start + text.len()) {
                    place.copy_from_slice(text);
                }
                *cursor += text.len() as u32 + END_BYTES;
                continue;
            }
            let mut place = out.get_mut(start..).into_iter().flatten();
            for byte in text {
                // What is not written here is a zero: the byte itself where it is one.
                if let Some(to) = place.next() {
                    *to = *byte;
                }
                if *byte == 0
                    && let Some(to) = place.next()
                {
                    *to = 0xff;
                }
            }
            *cursor += (text.len() + zeros(text)) as u32 + END_BYTES;
        }
    }
}

fn zeros(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == 0).count()
}
