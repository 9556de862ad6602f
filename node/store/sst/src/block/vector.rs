//! One vector: up to 1,024 cells of one column as a tag, its bitmaps and its payload.

use std::borrow::Cow;

use activestore_types::Result;
use arrow::array::{Array, ArrowPrimitiveType, AsArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    TimestampNanosecondType, UInt32Type, UInt64Type,
};

use super::dictionary::DictionaryBuilder;
use super::floats::{self, FloatHistory, Real};
use super::numbers::NumbersBuilder;
use super::stamps::StampMapBuilder;
use super::symbols::SymbolsBuilder;
use super::text::Strings;
use super::zip::Zipper;
use super::{Encoding, Family, VECTOR_ROWS, bitmap, ints};

mod read;
mod wide;

pub(crate) use read::{Shared, Vector, decode_codes, decode_rows, decode_vector, probe};
pub(crate) use wide::{decode_wide, decode_wide_rows, is_wide, pick};

const TAG_MASK: u8 = 0x0f;
const HAS_NULLS: u8 = 0x10;
const HAS_SET: u8 = 0x20;
const ZIPPED: u8 = 0x40;

/// Text in one vector (or one array) above this is stored plainly, so that reading it never
/// allocates much more than its bytes.
pub(crate) const EXPANSION_BYTES_MAX: usize = 64 << 20;

/// A dictionary of numbers is tried where values take more than this.
const NUMBER_BYTES_MIN: usize = 2;

/// Encodes the vectors of one column, one after the other.
#[derive(Default)]
pub(crate) struct VectorEncoder {
    cold: bool,
    /// Never compress text.
    pub(crate) plain_text: bool,
    /// The map of row stamps, where this is their column.
    pub(crate) stamps: Option<StampMapBuilder>,
    /// The table of symbols, where text may take one.
    pub(crate) symbols: Option<SymbolsBuilder>,
    /// The dictionary of numbers, where 64-bit values may take one.
    pub(crate) numbers: Option<NumbersBuilder>,
    floats: FloatHistory,
    zipper: Zipper,
    payload: Vec<u8>,
}

impl VectorEncoder {
    /// A new column; with `cold` zstd is tried on every payload, not only where it usually gains.
    pub(crate) fn new(cold: bool) -> Self {
        VectorEncoder {
            cold,
            ..VectorEncoder::default()
        }
    }

    /// Appends 1 to 1,024 cells. Text goes by the dictionary where there is one that takes it.
    ///
    /// # Errors
    /// `Invalid` for an Arrow type that no column has.
    pub(crate) fn encode(
        &mut self,
        array: &dyn Array,
        set: Option<&BooleanBuffer>,
        dictionary: Option<&mut DictionaryBuilder>,
        out: &mut Vec<u8>,
    ) -> Result<Encoding> {
        let family = Family::of(array.data_type())?;
        let rows = array.len();
        let set = set.filter(|set| set.count_set_bits() < rows);
        let set_nulls = set.map(|set| NullBuffer::new(set.clone()));
        let present = NullBuffer::union(array.nulls(), set_nulls.as_ref())
            .filter(|present| present.null_count() > 0);
        self.payload.clear();
        let empty = present
            .as_ref()
            .is_some_and(|present| present.null_count() == rows);
        let mut encoding = if empty {
            Encoding::Null
        } else {
            self.encode_payload(array, family, present.as_ref(), dictionary)
        };
        let valid = present.clone().filter(|_| !empty);
        let nulls = valid.map(|present| present.into_inner());
        let nulls = match (nulls, set) {
            // Absent cells are known from `set`; only NULLs that were written need a bit.
            (Some(valid), Some(set)) => Some(&valid | &!set),
            (nulls, _) => nulls,
        }
        .filter(|valid| valid.count_set_bits() < rows);
        let wants_zip = match encoding {
            Encoding::Text => !self.plain_text,
            Encoding::Wide => true,
            Encoding::FloatBits => self.cold || self.payload.len() > rows * 6,
            Encoding::Split => false,
            _ => self.cold,
        };
        let mut zipped = wants_zip
            .then(|| self.zipper.squeeze(&self.payload))
            .flatten();
        let rival = zipped.as_ref().unwrap_or(&self.payload).len();
        if encoding == Encoding::Text
            && let Some(payload) = self.encode_symbols(array, present.as_ref(), rival)
        {
            (self.payload, zipped, encoding) = (payload, None, Encoding::Symbols);
        }
        if rival > rows * NUMBER_BYTES_MIN
            && let Some(payload) = self.encode_numbers(array, family, present.as_ref(), rival)
        {
            zipped = self.cold.then(|| self.zipper.squeeze(&payload)).flatten();
            (self.payload, encoding) = (payload, Encoding::Numbers);
        }
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out.push(
            encoding.tag()
                | flag(nulls.is_some(), HAS_NULLS)
                | flag(set.is_some(), HAS_SET)
                | flag(zipped.is_some(), ZIPPED),
        );
        for bits in set.iter().copied().chain(nulls.as_ref()) {
            bitmap::encode(bits, out);
        }
        out.extend_from_slice(zipped.as_ref().unwrap_or(&self.payload));
        Ok(encoding)
    }

    /// Text by its symbols, where that takes no more than `rival` bytes, or half as much again in
    /// files that are read often: single values are read without the rest.
    fn encode_symbols(
        &mut self,
        array: &dyn Array,
        present: Option<&NullBuffer>,
        rival: usize,
    ) -> Option<Vec<u8>> {
        let (offsets, data) = string_parts(array)?;
        let strings = Strings {
            offsets,
            data,
            present,
        };
        let symbols = self.symbols.as_mut()?;
        if self.plain_text || strings.bytes() > EXPANSION_BYTES_MAX {
            return None;
        }
        let payload = symbols.encode(strings)?;
        let limit = if self.cold { rival } else { rival / 2 * 3 };
        let taken = payload.len() <= limit.min(self.payload.len() / 8 * 7);
        symbols.taken(taken);
        taken.then_some(payload)
    }

    /// Numbers of which only so many different ones come, by their dictionary.
    fn encode_numbers(
        &mut self,
        array: &dyn Array,
        family: Family,
        present: Option<&NullBuffer>,
        rival: usize,
    ) -> Option<Vec<u8>> {
        let numbers = self.numbers.as_mut()?;
        let patterns: Vec<u64> = match family {
            Family::Double => {
                let values = dense(array.as_primitive::<Float64Type>().values(), present);
                values.iter().map(|value| value.pattern()).collect()
            }
            Family::BigInt => {
                let values = dense(array.as_primitive::<Int64Type>().values(), present);
                values.iter().map(|value| value.cast_unsigned()).collect()
            }
            _ => return None,
        };
        numbers.encode(&patterns, rival)
    }

    fn encode_payload(
        &mut self,
        array: &dyn Array,
        family: Family,
        present: Option<&NullBuffer>,
        dictionary: Option<&mut DictionaryBuilder>,
    ) -> Encoding {
        let out = &mut self.payload;
        let widen = |value: i32| i64::from(value).cast_unsigned();
        match family {
            Family::Boolean => {
                if bitmap::encode(array.as_boolean().values(), out) {
                    Encoding::BitRuns
                } else {
                    Encoding::Bits
                }
            }
            Family::Int => encode_ints::<Int32Type>(array, present, widen, out),
            Family::Date => encode_ints::<Date32Type>(array, present, widen, out),
            Family::Id => encode_ints::<UInt32Type>(array, present, u64::from, out),
            Family::BigInt => encode_ints::<Int64Type>(array, present, i64::cast_unsigned, out),
            Family::Stamp => {
                let plain = encode_ints::<UInt64Type>(array, present, |value| value, out);
                match &mut self.stamps {
                    Some(map) if present.is_none() => {
                        let stamps = array.as_primitive::<UInt64Type>().values();
                        encode_stamps(stamps, map, out).unwrap_or(plain)
                    }
                    _ => plain,
                }
            }
            Family::Timestamp => {
                encode_ints::<TimestampNanosecondType>(array, present, i64::cast_unsigned, out)
            }
            Family::Decimal => encode_decimals(array, present, out),
            Family::Real => {
                let values = dense(array.as_primitive::<Float32Type>().values(), present);
                floats::encode(&values, &mut self.floats, out)
            }
            Family::Double => {
                let values = dense(array.as_primitive::<Float64Type>().values(), present);
                floats::encode(&values, &mut self.floats, out)
            }
            Family::Text | Family::Bytes => {
                let Some((offsets, data)) = string_parts(array) else {
                    return Encoding::Null;
                };
                let strings = Strings {
                    offsets,
                    data,
                    present,
                };
                let dictionary = dictionary.filter(|_| strings.bytes() <= EXPANSION_BYTES_MAX);
                if let Some(dictionary) = dictionary
                    && strings.encode_codes(dictionary, out)
                {
                    dictionary.used = true;
                    return Encoding::Dictionary;
                }
                strings.encode_plain(out);
                Encoding::Text
            }
        }
    }
}

/// Offsets and bytes of a text or byte array.
pub(crate) fn string_parts(array: &dyn Array) -> Option<(&[i32], &[u8])> {
    if let Some(text) = array.as_string_opt::<i32>() {
        return Some((text.value_offsets(), text.value_data()));
    }
    let bytes = array.as_binary_opt::<i32>()?;
    Some((bytes.value_offsets(), bytes.value_data()))
}

/// The values with each missing one replaced by a neighbour, so that it costs no width.
fn dense<'a, T: Copy>(values: &'a [T], present: Option<&NullBuffer>) -> Cow<'a, [T]> {
    let Some(present) = present else {
        return Cow::Borrowed(values);
    };
    let first = present.valid_indices().next();
    let Some(mut fill) = first.and_then(|row| values.get(row)).copied() else {
        return Cow::Borrowed(values);
    };
    let rows = values.iter().zip(present.inner().iter());
    let filled = rows.map(|(value, valid)| {
        if valid {
            fill = *value;
        }
        fill
    });
    Cow::Owned(filled.collect())
}

fn encode_ints<T: ArrowPrimitiveType>(
    array: &dyn Array,
    present: Option<&NullBuffer>,
    widen: impl Fn(T::Native) -> u64,
    out: &mut Vec<u8>,
) -> Encoding {
    let values = dense(array.as_primitive::<T>().values(), present);
    let mut lanes = [0; VECTOR_ROWS];
    for (lane, value) in lanes.iter_mut().zip(values.iter()) {
        *lane = widen(*value);
    }
    ints::encode(lanes.get(..values.len()).unwrap_or(&[]), out)
}

/// Puts numbers of the map in place of the payload, where they take fewer bytes.
fn encode_stamps(stamps: &[u64], map: &mut StampMapBuilder, out: &mut Vec<u8>) -> Option<Encoding> {
    let mut numbers = [0; VECTOR_ROWS];
    let numbers = numbers.get_mut(..stamps.len())?;
    if !map.number(stamps, numbers) {
        return None;
    }
    let mut shorter = Vec::new();
    ints::encode(numbers, &mut shorter);
    if shorter.len() >= out.len() {
        return None;
    }
    *out = shorter;
    map.used = true;
    Some(Encoding::Stamps)
}

fn encode_decimals(array: &dyn Array, present: Option<&NullBuffer>, out: &mut Vec<u8>) -> Encoding {
    let values = dense(array.as_primitive::<Decimal128Type>().values(), present);
    let mut lanes = [0; VECTOR_ROWS];
    for (lane, value) in lanes.iter_mut().zip(values.iter()) {
        let Ok(narrow) = i64::try_from(*value) else {
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            return Encoding::Wide;
        };
        *lane = narrow.cast_unsigned();
    }
    ints::encode(lanes.get(..values.len()).unwrap_or(&[]), out)
}

#[cfg(test)]
mod tests;
