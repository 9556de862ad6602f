//! One vector: up to 1,024 cells of one column as a tag, its bitmaps and its payload.

use std::borrow::Cow;
use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, PrimitiveArray,
    StringArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type,
    Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type,
};

use super::cursor::Cursor;
use super::dictionary::{DictionaryBuilder, Values};
use super::floats::{self, FloatHistory, Real};
use super::pack::Lanes;
use super::text::{self, Strings};
use super::zip::{Zipper, expand};
use super::{Encoding, Family, VECTOR_ROWS, bitmap, ints};

const TAG_MASK: u8 = 0x0f;
const HAS_NULLS: u8 = 0x10;
const HAS_SET: u8 = 0x20;
const ZIPPED: u8 = 0x40;

/// Text in one vector (or one array) above this is stored plainly, so that reading it never
/// allocates much more than its bytes.
pub(crate) const EXPANSION_BYTES_MAX: usize = 64 << 20;

/// Encodes the vectors of one column, one after the other.
#[derive(Default)]
pub(crate) struct VectorEncoder {
    cold: bool,
    /// Never compress text.
    pub(crate) plain_text: bool,
    floats: FloatHistory,
    zipper: Zipper,
    payload: Vec<u8>,
}

/// A decoded vector.
pub(crate) struct Vector {
    /// The cells; absent ones are NULL.
    pub(crate) array: ArrayRef,
    /// Which cells the rows set; `None` means all.
    pub(crate) set: Option<BooleanBuffer>,
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
        let encoding = if empty {
            Encoding::Null
        } else {
            self.encode_payload(array, family, present.as_ref(), dictionary)
        };
        let nulls = present
            .filter(|_| !empty)
            .map(|present| present.into_inner());
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
            _ => self.cold,
        };
        let zipped = wants_zip
            .then(|| self.zipper.squeeze(&self.payload))
            .flatten();
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
            Family::Stamp => encode_ints::<UInt64Type>(array, present, |value| value, out),
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

/// Reads one vector of `rows` cells. `budget` is how many bytes of text may still be expanded from
/// a dictionary or by zstd; it is reduced by what was.
///
/// # Errors
/// `Corrupt` for bytes that [`VectorEncoder::encode`] does not write, `Invalid` for an Arrow type
/// that no column has.
pub(crate) fn decode_vector(
    bytes: &[u8],
    rows: usize,
    data_type: &ArrowType,
    dictionary: Option<&Values>,
    budget: &mut usize,
) -> Result<Vector> {
    let family = Family::of(data_type)?;
    if rows > VECTOR_ROWS {
        return Err(Error::corrupt(format!("a vector of {rows} rows")));
    }
    let mut bytes = Cursor::new(bytes);
    let tag = bytes.byte()?;
    let bitmap = |flag: u8, bytes: &mut Cursor<'_>| {
        (tag & flag != 0)
            .then(|| bitmap::decode(bytes, rows))
            .transpose()
    };
    let set = bitmap(HAS_SET, &mut bytes)?;
    let nulls = bitmap(HAS_NULLS, &mut bytes)?;
    let present = match (&set, nulls) {
        (Some(set), Some(nulls)) => Some(set & &nulls),
        (Some(set), None) => Some(set.clone()),
        (None, nulls) => nulls,
    };
    let present = present.map(NullBuffer::new);
    let encoding = Encoding::from_tag(tag & TAG_MASK)?;
    let unpacked;
    if tag & ZIPPED != 0 {
        unpacked = expand(bytes)?;
        bytes = Cursor::new(&unpacked);
    }
    let array = if encoding == Encoding::Null {
        new_null_array(data_type, rows)
    } else {
        let payload = Payload {
            bytes: &mut bytes,
            encoding,
            rows,
            data_type,
            present,
            zipped: tag & ZIPPED != 0,
        };
        payload.decode(family, dictionary, budget)?
    };
    bytes.finish()?;
    Ok(Vector { array, set })
}

/// A vector's payload on its way to an array.
struct Payload<'a, 'b> {
    bytes: &'a mut Cursor<'b>,
    encoding: Encoding,
    rows: usize,
    data_type: &'a ArrowType,
    present: Option<NullBuffer>,
    zipped: bool,
}

impl Payload<'_, '_> {
    fn decode(
        self,
        family: Family,
        dictionary: Option<&Values>,
        budget: &mut usize,
    ) -> Result<ArrayRef> {
        match family {
            Family::Boolean => {
                self.expect(&[Encoding::Bits])?;
                let bits = bitmap::decode(self.bytes, self.rows)?;
                Ok(Arc::new(BooleanArray::new(bits, self.present)))
            }
            Family::Int => self.ints::<Int32Type>(|lane| lane as i32),
            Family::Date => self.ints::<Date32Type>(|lane| lane as i32),
            Family::Id => self.ints::<UInt32Type>(|lane| lane as u32),
            Family::BigInt => self.ints::<Int64Type>(u64::cast_signed),
            Family::Stamp => self.ints::<UInt64Type>(|lane| lane),
            Family::Timestamp => self.ints::<TimestampNanosecondType>(u64::cast_signed),
            Family::Decimal if self.encoding == Encoding::Wide => {
                let wide = self.bytes.take(self.rows * 16)?.as_chunks::<16>().0;
                let values = wide
                    .iter()
                    .map(|bytes| i128::from_le_bytes(*bytes))
                    .collect();
                Ok(self.primitive::<Decimal128Type>(values))
            }
            Family::Decimal => self.ints::<Decimal128Type>(|lane| i128::from(lane.cast_signed())),
            Family::Real => self.floats::<Float32Type>(),
            Family::Double => self.floats::<Float64Type>(),
            Family::Text | Family::Bytes => self.strings(family, dictionary, budget),
        }
    }

    fn expect(&self, encodings: &[Encoding]) -> Result<()> {
        if encodings.contains(&self.encoding) {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "{} is no encoding of {}",
            self.encoding.name(),
            self.data_type
        )))
    }

    fn primitive<T: ArrowPrimitiveType>(self, values: Vec<T::Native>) -> ArrayRef {
        let array = PrimitiveArray::<T>::new(values.into(), self.present);
        Arc::new(array.with_data_type(self.data_type.clone()))
    }

    fn ints<T: ArrowPrimitiveType>(self, narrow: impl Fn(u64) -> T::Native) -> Result<ArrayRef> {
        self.expect(&[Encoding::FrameOfReference])?;
        let mut lanes: Lanes = [0; VECTOR_ROWS];
        ints::decode(self.bytes, self.rows, &mut lanes)?;
        let values = lanes
            .iter()
            .take(self.rows)
            .map(|lane| narrow(*lane))
            .collect();
        Ok(self.primitive::<T>(values))
    }

    fn floats<T: ArrowPrimitiveType<Native: Real>>(self) -> Result<ArrayRef> {
        let values = floats::decode::<T::Native>(self.bytes, self.encoding, self.rows)?;
        Ok(self.primitive::<T>(values))
    }

    fn strings(
        self,
        family: Family,
        dictionary: Option<&Values>,
        budget: &mut usize,
    ) -> Result<ArrayRef> {
        self.expect(&[Encoding::Dictionary, Encoding::Text])?;
        let expands = self.zipped || self.encoding == Encoding::Dictionary;
        let decoded = if self.encoding == Encoding::Dictionary {
            let dictionary =
                dictionary.ok_or_else(|| Error::corrupt("a column's dictionary is missing"))?;
            text::decode_codes(self.bytes, self.rows, dictionary, *budget)?
        } else {
            text::decode_plain(self.bytes, self.rows)?
        };
        if expands {
            *budget = budget.checked_sub(decoded.data.len()).ok_or_else(|| {
                Error::corrupt("an encoded column expands to more text than it may")
            })?;
        }
        let offsets = OffsetBuffer::new(decoded.offsets.into());
        let data = decoded.data.into();
        if family == Family::Bytes {
            return Ok(Arc::new(BinaryArray::new(offsets, data, self.present)));
        }
        let array = StringArray::try_new(offsets, data, self.present)
            .map_err(|_| Error::corrupt("a text column holds bytes that are not UTF-8"))?;
        Ok(Arc::new(array))
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
