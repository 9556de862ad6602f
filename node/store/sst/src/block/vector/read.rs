//! Reading a vector, whole or for a few rows.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, PrimitiveArray, StringArray,
    new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type,
    Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type,
};

use super::wide::Cells;
use super::{HAS_NULLS, HAS_SET, TAG_MASK, ZIPPED};
use crate::block::cursor::Cursor;
use crate::block::dictionary::Values;
use crate::block::floats::Floats;
use crate::block::ints::{Ints, Probe};
use crate::block::numbers::Numbers;
use crate::block::pack::Lanes;
use crate::block::stamps::StampMap;
use crate::block::symbols::SymbolTable;
use crate::block::zip::expand;
use crate::block::{Encoding, Family, VECTOR_ROWS, bitmap, text};

/// Up to this many rows are decoded one by one; from more of them the whole vector is.
const FEW_ROWS: usize = 64;

/// A decoded vector, or some of its rows.
pub(crate) struct Vector {
    /// The cells; absent ones are NULL.
    pub(crate) array: ArrayRef,
    /// Which cells the rows set; `None` means all.
    pub(crate) set: Option<BooleanBuffer>,
}

/// What the vectors of a column share.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shared<'a> {
    /// The values that codes stand for.
    pub(crate) values: Option<&'a Values>,
    /// The symbols that other codes stand for.
    pub(crate) symbols: Option<&'a SymbolTable>,
    /// The numbers that codes stand for.
    pub(crate) numbers: Option<&'a Numbers>,
    /// The stamps that numbers stand for.
    pub(crate) stamps: Option<&'a StampMap>,
}

impl<'a> From<Option<&'a Values>> for Shared<'a> {
    fn from(values: Option<&'a Values>) -> Self {
        Shared {
            values,
            ..Shared::default()
        }
    }
}

/// Reads one vector of `rows` cells. `budget` is how many bytes of text may still be expanded from
/// a dictionary or by zstd; it is reduced by what was.
///
/// # Errors
/// `Corrupt` for bytes that [`super::VectorEncoder::encode`] does not write, `Invalid` for an Arrow
/// type that no column has.
pub(crate) fn decode_vector(
    bytes: &[u8],
    rows: usize,
    data_type: &ArrowType,
    shared: Shared<'_>,
    budget: &mut usize,
) -> Result<Vector> {
    decode_rows(bytes, rows, 0..rows, data_type, shared, budget)
}

/// The cells `wanted` of a vector of `rows` cells; a few of them cost a fraction of all.
///
/// # Errors
/// As [`decode_vector`]; damage in what other rows alone need may go unnoticed. `Internal` for rows
/// that the vector does not have.
pub(crate) fn decode_rows(
    bytes: &[u8],
    rows: usize,
    wanted: Range<usize>,
    data_type: &ArrowType,
    shared: Shared<'_>,
    budget: &mut usize,
) -> Result<Vector> {
    let family = Family::of(data_type)?;
    let Opened {
        set,
        present,
        encoding,
        zipped,
        payload,
    } = open(bytes, rows)?;
    if wanted.start > wanted.end || wanted.end > rows {
        return Err(Error::internal("rows beyond those of a vector are read"));
    }
    let of_wanted = |bits: BooleanBuffer| {
        if wanted.len() == rows {
            bits
        } else {
            bits.slice(wanted.start, wanted.len())
        }
    };
    let present = present.map(|present| NullBuffer::new(of_wanted(present)));
    let mut bytes = Cursor::new(&payload);
    let array = if encoding == Encoding::Null {
        new_null_array(data_type, wanted.len())
    } else {
        let payload = Payload {
            bytes: &mut bytes,
            encoding,
            rows,
            wanted: wanted.clone(),
            data_type,
            present,
            zipped,
        };
        payload.decode(family, shared, budget)?
    };
    bytes.finish()?;
    Ok(Vector {
        array,
        set: set.map(of_wanted),
    })
}

/// A vector whose payload is still to be decoded.
pub(super) struct Opened<'a> {
    /// Which cells the rows set; `None` means all.
    set: Option<BooleanBuffer>,
    /// Which cells have a value; `None` means all.
    pub(super) present: Option<BooleanBuffer>,
    pub(super) encoding: Encoding,
    zipped: bool,
    pub(super) payload: Cow<'a, [u8]>,
}

/// Reads what stands before the payload of a vector of `rows` cells, and unpacks that.
///
/// # Errors
/// As [`decode_vector`].
pub(super) fn open(bytes: &[u8], rows: usize) -> Result<Opened<'_>> {
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
    let encoding = Encoding::from_tag(tag & TAG_MASK)?;
    let zipped = tag & ZIPPED != 0;
    let payload = if zipped {
        Cow::Owned(expand(bytes)?)
    } else {
        Cow::Borrowed(bytes.take_rest())
    };
    Ok(Opened {
        set,
        present,
        encoding,
        zipped,
        payload,
    })
}

/// Reads the dictionary codes of a vector of `rows` cells, as the first row of each run of one code;
/// `None` where it is not encoded by a dictionary or not every cell has a value.
///
/// # Errors
/// `Corrupt` for bytes that [`super::VectorEncoder::encode`] does not write.
pub(crate) fn decode_codes(bytes: &[u8], rows: usize) -> Result<Option<Vec<(usize, u32)>>> {
    let Some((tag, mut bytes)) = full_vector(bytes, rows, Encoding::Dictionary)? else {
        return Ok(None);
    };
    let unpacked;
    if tag & ZIPPED != 0 {
        unpacked = expand(bytes)?;
        bytes = Cursor::new(&unpacked);
    }
    let ints = Ints::parse(&mut bytes, rows)?;
    bytes.finish()?;
    let runs = match ints.runs()? {
        Some(runs) => runs,
        None => {
            let mut lanes: Lanes = [0; VECTOR_ROWS];
            ints.decode(&mut lanes)?;
            runs_of(lanes.get(..rows).unwrap_or(&[]))
        }
    };
    let narrow = |(start, code): (usize, u64)| Some((start, u32::try_from(code).ok()?));
    let runs: Option<Vec<(usize, u32)>> = runs.into_iter().map(narrow).collect();
    runs.map(Some)
        .ok_or_else(|| Error::corrupt("a dictionary code beyond 32 bits"))
}

/// Where each run of one code begins. Mostly there are few, so rows are passed by the dozen.
fn runs_of(codes: &[u64]) -> Vec<(usize, u64)> {
    const GROUP: usize = 16;
    let mut runs: Vec<(usize, u64)> = codes.first().map(|code| (0, *code)).into_iter().collect();
    let next = codes.get(1..).unwrap_or(&[]);
    let groups = codes.chunks(GROUP).zip(next.chunks(GROUP));
    for (number, (before, after)) in groups.enumerate() {
        let pairs = before.iter().zip(after);
        if pairs
            .clone()
            .fold(0, |any, (before, after)| any | (before ^ after))
            == 0
        {
            continue;
        }
        let changed = pairs
            .enumerate()
            .filter(|(_, (before, after))| before != after);
        runs.extend(changed.map(|(place, (_, code))| (number * GROUP + place + 1, *code)));
    }
    runs
}

/// The integers of a vector in this encoding, looked up one by one; `None` where it is encoded
/// otherwise, compressed, or not every cell has a value.
///
/// # Errors
/// As [`decode_codes`].
pub(crate) fn probe(bytes: &[u8], rows: usize, encoding: Encoding) -> Result<Option<Probe<'_>>> {
    let Some((tag, mut bytes)) = full_vector(bytes, rows, encoding)? else {
        return Ok(None);
    };
    if tag & ZIPPED != 0 {
        return Ok(None);
    }
    let ints = Ints::parse(&mut bytes, rows)?;
    bytes.finish()?;
    Ok(Some(Probe::new(ints)))
}

/// The tag and payload of a vector of this encoding in which every cell has a value.
fn full_vector(bytes: &[u8], rows: usize, encoding: Encoding) -> Result<Option<(u8, Cursor<'_>)>> {
    if rows > VECTOR_ROWS {
        return Err(Error::corrupt(format!("a vector of {rows} rows")));
    }
    let mut bytes = Cursor::new(bytes);
    let tag = bytes.byte()?;
    let full = tag & (HAS_NULLS | HAS_SET) == 0;
    let wanted = full && Encoding::from_tag(tag & TAG_MASK)? == encoding;
    Ok(wanted.then_some((tag, bytes)))
}

/// A vector's payload on its way to an array.
struct Payload<'a, 'b> {
    bytes: &'a mut Cursor<'b>,
    encoding: Encoding,
    rows: usize,
    wanted: Range<usize>,
    data_type: &'a ArrowType,
    present: Option<NullBuffer>,
    zipped: bool,
}

impl Payload<'_, '_> {
    fn decode(
        mut self,
        family: Family,
        shared: Shared<'_>,
        budget: &mut usize,
    ) -> Result<ArrayRef> {
        match family {
            Family::BigInt | Family::Double | Family::Timestamp => {
                let cells = Cells::parse(self.bytes, self.encoding, self.rows, family, shared)?;
                let values = self.lanes(
                    |out| cells.decode(self.rows, out),
                    |first, out| cells.read(first, out),
                )?;
                let values = Buffer::from_vec(values);
                Ok(match family {
                    Family::BigInt => self.primitive::<Int64Type>(values),
                    Family::Timestamp => self.primitive::<TimestampNanosecondType>(values),
                    _ => self.primitive::<Float64Type>(values),
                })
            }
            Family::Boolean => {
                self.expect(&[Encoding::Bits])?;
                let bits = bitmap::decode(self.bytes, self.rows)?;
                let bits = bits.slice(self.wanted.start, self.wanted.len());
                Ok(Arc::new(BooleanArray::new(bits, self.present)))
            }
            Family::Int => self.short::<Int32Type>(),
            Family::Date => self.short::<Date32Type>(),
            Family::Id => self.short::<UInt32Type>(),
            Family::Stamp if self.encoding == Encoding::Stamps => {
                let map = shared.stamps;
                let map = map.ok_or_else(|| Error::corrupt("a file's map of stamps is missing"))?;
                self.encoding = Encoding::FrameOfReference;
                let mut values = self.integers()?;
                map.to_stamps(&mut values)?;
                Ok(self.primitive::<UInt64Type>(Buffer::from_vec(values)))
            }
            Family::Stamp => {
                let values = self.integers()?;
                Ok(self.primitive::<UInt64Type>(Buffer::from_vec(values)))
            }
            Family::Decimal if self.encoding == Encoding::Wide => {
                let wide = self.bytes.take(self.rows * 16)?.as_chunks::<16>().0;
                let wide = wide.get(self.wanted.clone()).unwrap_or(&[]);
                let values: Vec<i128> = wide.iter().map(|b| i128::from_le_bytes(*b)).collect();
                Ok(self.primitive::<Decimal128Type>(Buffer::from_vec(values)))
            }
            Family::Decimal => {
                let values = self.integers()?;
                let values = values.iter().map(|value| i128::from(value.cast_signed()));
                let values: Vec<i128> = values.collect();
                Ok(self.primitive::<Decimal128Type>(Buffer::from_vec(values)))
            }
            Family::Real => {
                let floats = Floats::parse::<f32>(self.bytes, self.encoding, self.rows)?;
                let patterns = self.lanes(
                    |out| floats.decode(out),
                    |first, out| floats.read(first, out),
                )?;
                Ok(self.primitive::<Float32Type>(narrow(&patterns)))
            }
            Family::Text | Family::Bytes => self.strings(family, shared, budget),
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

    /// The wanted ones of 64-bit values, by whichever of the two ways is shorter.
    fn lanes(
        &self,
        all: impl FnOnce(&mut Lanes) -> Result<()>,
        some: impl FnOnce(usize, &mut [u64]) -> Result<()>,
    ) -> Result<Vec<u64>> {
        let count = self.wanted.len();
        if count <= FEW_ROWS && count < self.rows {
            let mut values = vec![0; count];
            some(self.wanted.start, &mut values)?;
            return Ok(values);
        }
        if count < VECTOR_ROWS {
            let mut values: Lanes = [0; VECTOR_ROWS];
            all(&mut values)?;
            return Ok(values.get(self.wanted.clone()).unwrap_or(&[]).to_vec());
        }
        // The array's own buffer is decoded into.
        let mut values = vec![0; VECTOR_ROWS];
        if let Ok(values) = values.as_mut_slice().try_into() {
            all(values)?;
        }
        Ok(values)
    }

    fn integers(&mut self) -> Result<Vec<u64>> {
        self.expect(&[Encoding::FrameOfReference])?;
        let integers = Ints::parse(self.bytes, self.rows)?;
        self.lanes(
            |out| integers.decode(out),
            |first, out| integers.read(first, out),
        )
    }

    fn short<T: ArrowPrimitiveType>(mut self) -> Result<ArrayRef> {
        let values = self.integers()?;
        Ok(self.primitive::<T>(narrow(&values)))
    }

    /// An array of the wanted values, whose bits are in the buffer.
    fn primitive<T: ArrowPrimitiveType>(self, values: Buffer) -> ArrayRef {
        let values = ScalarBuffer::<T::Native>::new(values, 0, self.wanted.len());
        let array = PrimitiveArray::<T>::new(values, self.present);
        if array.data_type() == self.data_type {
            return Arc::new(array);
        }
        Arc::new(array.with_data_type(self.data_type.clone()))
    }

    fn strings(
        mut self,
        family: Family,
        shared: Shared<'_>,
        budget: &mut usize,
    ) -> Result<ArrayRef> {
        let expands = self.zipped || self.encoding != Encoding::Text;
        let decoded = match self.encoding {
            Encoding::Dictionary => {
                let dictionary = shared
                    .values
                    .ok_or_else(|| Error::corrupt("a column's dictionary is missing"))?;
                self.encoding = Encoding::FrameOfReference;
                let codes = self.integers()?;
                text::look_up(&codes, dictionary, *budget)?
            }
            Encoding::Text => text::decode_plain(self.bytes, self.rows, self.wanted.clone())?,
            Encoding::Symbols => {
                let table = shared
                    .symbols
                    .ok_or_else(|| Error::corrupt("a column's symbol table is missing"))?;
                text::decode_symbols(self.bytes, self.rows, self.wanted.clone(), table, *budget)?
            }
            _ => return self.expect(&[]).map(|()| new_null_array(self.data_type, 0)),
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

/// The lower halves of 64-bit values.
fn narrow(values: &[u64]) -> Buffer {
    let values: Vec<u32> = values.iter().map(|value| *value as u32).collect();
    Buffer::from_vec(values)
}
