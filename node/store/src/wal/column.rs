//! Arrow arrays as the raw buffers of a log record: no compression, no copy on the way back. Text
//! whose values are all of one length stores that length in place of offsets.

use std::sync::Arc;

use activestore_types::{DataType, Error, Result};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, GenericByteArray, PrimitiveArray,
    StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, ByteArrayType, Date32Type, Decimal128Type, Float32Type,
    Float64Type, Int32Type, Int64Type, TimestampNanosecondType,
};
use serde::{Deserialize, Serialize};

use super::encoded::{BESIDE_BYTES_MIN, Beside};

/// How a column's values lie in the record.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Shape {
    /// Bits or fixed-width values.
    Plain,
    /// Text of one length a value.
    EqualText(u32),
    /// Offsets, then this many bytes of text.
    Text(u32),
}

/// Appends buffers to a record, each at a place that its type may be read from without a copy.
pub(crate) struct BufferWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Long buffers in place of copies of them, where they may stay where they are.
    beside: Option<&'a mut Beside>,
    /// Where the payload starts in `out`: alignment counts from there.
    base: usize,
}

impl<'a> BufferWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, beside: Option<&'a mut Beside>, base: usize) -> Self {
        BufferWriter { out, beside, base }
    }

    fn align(&mut self, align: usize) {
        let beside = self.beside.as_ref().map_or(0, |beside| beside.length());
        let at = self.out.len() - self.base + beside;
        let gap = at.next_multiple_of(align) - at;
        self.out.resize(self.out.len() + gap, 0);
    }

    fn bytes(&mut self, bytes: &[u8], align: usize) {
        self.align(align);
        self.out.extend_from_slice(bytes);
    }

    fn buffer(&mut self, buffer: &Buffer, align: usize) {
        self.align(align);
        match &mut self.beside {
            Some(beside) if buffer.len() >= BESIDE_BYTES_MIN => {
                beside.push(self.out.len(), buffer.clone());
            }
            _ => self.out.extend_from_slice(buffer.as_slice()),
        }
    }

    pub(crate) fn bits(&mut self, bits: &BooleanBuffer) {
        let packed = bits.sliced();
        let length = bits.len().div_ceil(8);
        self.bytes(packed.as_slice().get(..length).unwrap_or_default(), 1);
    }

    pub(crate) fn numbers<T: ArrowNativeType>(&mut self, values: &ScalarBuffer<T>) {
        self.buffer(values.inner(), align_of::<T>());
    }

    fn primitive<T: ArrowPrimitiveType>(&mut self, array: &dyn Array) {
        self.numbers(array.as_primitive::<T>().values());
    }

    fn text<T: ByteArrayType<Offset = i32>>(&mut self, array: &GenericByteArray<T>, shape: Shape) {
        let offsets = array.value_offsets();
        let first = offsets.first().copied().unwrap_or(0);
        let last = offsets.last().copied().unwrap_or(0);
        if let Shape::Text(_) = shape {
            if first == 0 {
                self.numbers(array.offsets().inner());
            } else {
                let moved: ScalarBuffer<i32> =
                    offsets.iter().map(|offset| offset - first).collect();
                self.numbers(&moved);
            }
        }
        let (start, end) = (first.as_usize(), last.as_usize());
        if start <= end && end <= array.values().len() {
            self.buffer(&array.values().slice_with_length(start, end - start), 1);
        }
    }

    /// Appends an array's values; its nulls are the caller's.
    pub(crate) fn values(&mut self, array: &ArrayRef, data_type: DataType, shape: Shape) {
        match data_type {
            DataType::Boolean => self.bits(array.as_boolean().values()),
            DataType::Int => self.primitive::<Int32Type>(array),
            DataType::BigInt => self.primitive::<Int64Type>(array),
            DataType::Real => self.primitive::<Float32Type>(array),
            DataType::Double => self.primitive::<Float64Type>(array),
            DataType::Decimal { .. } => self.primitive::<Decimal128Type>(array),
            DataType::Timestamp => self.primitive::<TimestampNanosecondType>(array),
            DataType::Date => self.primitive::<Date32Type>(array),
            DataType::Text | DataType::Uuid | DataType::Json => {
                self.text(array.as_string::<i32>(), shape);
            }
            DataType::Bytes => self.text(array.as_binary::<i32>(), shape),
        }
    }
}

/// How to lay out an array.
///
/// # Errors
/// `Invalid` for an Arrow type that no column has.
pub(crate) fn shape(array: &ArrayRef) -> Result<(DataType, Shape)> {
    let unknown = || Error::invalid(format!("no column is {}", array.data_type()));
    let data_type = DataType::from_arrow(array.data_type()).ok_or_else(unknown)?;
    if data_type.arrow() != *array.data_type() {
        return Err(unknown());
    }
    let shape = match data_type {
        DataType::Text => text_shape(array.as_string::<i32>().value_offsets()),
        DataType::Bytes => text_shape(array.as_binary::<i32>().value_offsets()),
        _ => Shape::Plain,
    };
    Ok((data_type, shape))
}

fn text_shape(offsets: &[i32]) -> Shape {
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
        return Shape::EqualText(0);
    };
    let length = offsets.get(1).map_or(0, |second| second - first);
    let equal = offsets
        .windows(2)
        .all(|pair| matches!(pair, [start, end] if end - start == length));
    if equal {
        Shape::EqualText(length.cast_unsigned())
    } else {
        Shape::Text((last - first).cast_unsigned())
    }
}

/// Buffers that many records have alike, made once: the offsets of texts of one length, and origins
/// that are all the same.
#[derive(Default)]
pub(crate) struct Reuse {
    offsets: Option<(u32, OffsetBuffer<i32>)>,
    origins: Option<(u32, ScalarBuffer<u32>)>,
}

impl Reuse {
    /// The offsets of `rows` texts of `each` bytes, together at most 2 GiB.
    fn offsets(&mut self, each: u32, rows: usize) -> Result<OffsetBuffer<i32>> {
        let kept = self.offsets.take();
        let kept = kept.filter(|(known, offsets)| *known == each && offsets.len() > rows);
        let offsets = match kept {
            Some((_, offsets)) => offsets,
            None => {
                let step = i32::try_from(each).map_err(|_| short())?;
                let last = i32::try_from(rows).map_err(|_| short())?;
                OffsetBuffer::new((0..=last).map(|row| row * step).collect())
            }
        };
        let wanted = offsets.slice(0, rows);
        self.offsets = Some((each, offsets));
        Ok(wanted)
    }

    /// `rows` times this origin.
    pub(crate) fn origins(&mut self, origin: u32, rows: usize) -> ScalarBuffer<u32> {
        let kept = self.origins.take();
        let kept = kept.filter(|(known, origins)| *known == origin && origins.len() >= rows);
        let (_, origins) =
            kept.unwrap_or_else(|| (origin, std::iter::repeat_n(origin, rows).collect()));
        let wanted = origins.slice(0, rows);
        self.origins = Some((origin, origins));
        wanted
    }
}

/// Cuts buffers off a record, in the order in which they were appended.
pub(crate) struct BufferReader<'a> {
    payload: &'a Buffer,
    at: usize,
    pub(crate) reuse: &'a mut Reuse,
}

impl<'a> BufferReader<'a> {
    /// Values are cut from `payload` uncopied where it starts at a place aligned for their type.
    pub(crate) fn new(payload: &'a Buffer, at: usize, reuse: &'a mut Reuse) -> Self {
        BufferReader { payload, at, reuse }
    }

    pub(crate) fn bytes(&mut self, length: usize, align: usize) -> Result<Buffer> {
        let start = self.at.next_multiple_of(align);
        let end = start
            .checked_add(length)
            .filter(|end| *end <= self.payload.len())
            .ok_or_else(short)?;
        self.at = end;
        Ok(self.payload.slice_with_length(start, length))
    }

    pub(crate) fn bits(&mut self, rows: usize) -> Result<BooleanBuffer> {
        let bytes = self.bytes(rows.div_ceil(8), 1)?;
        Ok(BooleanBuffer::new(bytes, 0, rows))
    }

    pub(crate) fn numbers<T: ArrowNativeType>(&mut self, rows: usize) -> Result<ScalarBuffer<T>> {
        let length = rows.checked_mul(size_of::<T>()).ok_or_else(short)?;
        let mut bytes = self.bytes(length, align_of::<T>())?;
        if bytes.as_ptr().align_offset(align_of::<T>()) != 0 {
            // Only for 128-bit values, where the payload does not start at a multiple of 16.
            bytes = Buffer::from_slice_ref(bytes.as_slice());
        }
        Ok(ScalarBuffer::new(bytes, 0, rows))
    }

    fn primitive<T: ArrowPrimitiveType>(
        &mut self,
        rows: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<PrimitiveArray<T>> {
        Ok(PrimitiveArray::try_new(self.numbers(rows)?, nulls)?)
    }

    fn text<T: ByteArrayType<Offset = i32>>(
        &mut self,
        rows: usize,
        shape: Shape,
        nulls: Option<NullBuffer>,
    ) -> Result<GenericByteArray<T>> {
        let (offsets, length) = match shape {
            Shape::Plain => return Err(Error::corrupt("a log record has text without lengths")),
            Shape::EqualText(each) => {
                let length = rows
                    .checked_mul(each as usize)
                    .filter(|length| i32::try_from(*length).is_ok())
                    .ok_or_else(short)?;
                (self.reuse.offsets(each, rows)?, length)
            }
            Shape::Text(length) => {
                let offsets = self.numbers::<i32>(rows + 1)?;
                let rising = offsets
                    .windows(2)
                    .all(|pair| matches!(pair, [start, end] if start <= end));
                if !rising || offsets.first() != Some(&0) {
                    return Err(Error::corrupt("a log record has text that overlaps"));
                }
                (OffsetBuffer::new(offsets), length as usize)
            }
        };
        let values = self.bytes(length, 1)?;
        Ok(GenericByteArray::try_new(offsets, values, nulls)?)
    }

    /// Reads an array's values.
    pub(crate) fn values(
        &mut self,
        data_type: DataType,
        shape: Shape,
        rows: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        Ok(match data_type {
            DataType::Boolean => Arc::new(BooleanArray::new(self.bits(rows)?, nulls)),
            DataType::Int => Arc::new(self.primitive::<Int32Type>(rows, nulls)?),
            DataType::BigInt => Arc::new(self.primitive::<Int64Type>(rows, nulls)?),
            DataType::Real => Arc::new(self.primitive::<Float32Type>(rows, nulls)?),
            DataType::Double => Arc::new(self.primitive::<Float64Type>(rows, nulls)?),
            DataType::Decimal { precision, scale } => Arc::new(
                self.primitive::<Decimal128Type>(rows, nulls)?
                    .with_precision_and_scale(precision, scale.cast_signed())?,
            ),
            DataType::Timestamp => {
                Arc::new(self.primitive::<TimestampNanosecondType>(rows, nulls)?)
            }
            DataType::Date => Arc::new(self.primitive::<Date32Type>(rows, nulls)?),
            DataType::Text | DataType::Uuid | DataType::Json => {
                let text: StringArray = self.text(rows, shape, nulls)?;
                Arc::new(text)
            }
            DataType::Bytes => {
                let bytes: BinaryArray = self.text(rows, shape, nulls)?;
                Arc::new(bytes)
            }
        })
    }
}

pub(crate) fn short() -> Error {
    Error::corrupt("a log record is shorter than it says")
}
