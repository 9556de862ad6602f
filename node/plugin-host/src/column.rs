//! Arrow arrays to the contract's columns and back. On the way in nothing is copied but what has to
//! be re-aligned; on the way out every length, offset and byte of text is checked, and what does not
//! fit is described for the plugin's author.

use std::sync::Arc;

use activestore_types::{DataType, Error, Result};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, PrimitiveArray, StringArray,
    new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType as ArrowType, Date32Type, Float32Type, Float64Type, Int32Type,
    Int64Type, SchemaRef, TimestampNanosecondType,
};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::abi::{
    Column, OwnedBatch, OwnedColumn, OwnedValues, OwnedVarBytes, ScalarType, Values, VarBytes,
};

/// How a column of this Arrow type is shown to a plugin; `None` where it cannot be.
pub(crate) fn scalar_type(arrow: &ArrowType) -> Option<ScalarType> {
    DataType::from_arrow(arrow).map(ScalarType::of)
}

/// An array ready to be lent to a guest.
pub(crate) struct Lowered {
    held: Held,
    validity: Option<Buffer>,
    validity_bytes: usize,
}

enum Held {
    Bits(Buffer, usize),
    S32s(ScalarBuffer<i32>),
    S64s(ScalarBuffer<i64>),
    F32s(ScalarBuffer<f32>),
    F64s(ScalarBuffer<f64>),
    Utf8(ScalarBuffer<i32>, Buffer),
    Binary(ScalarBuffer<i32>, Buffer),
}

impl Lowered {
    /// Casts the array to the kind where its type differs; a value that does not fit is an error.
    pub(crate) fn new(array: &ArrayRef, kind: ScalarType) -> Result<Self> {
        let array = as_kind(array, kind)?;
        let bytes = array.len().div_ceil(8);
        let held = match kind {
            ScalarType::Boolean => Held::Bits(array.as_boolean().values().sliced(), bytes),
            ScalarType::Int32 => Held::S32s(array.as_primitive::<Int32Type>().values().clone()),
            ScalarType::Date => Held::S32s(array.as_primitive::<Date32Type>().values().clone()),
            ScalarType::Int64 => Held::S64s(array.as_primitive::<Int64Type>().values().clone()),
            ScalarType::Timestamp => Held::S64s(
                array
                    .as_primitive::<TimestampNanosecondType>()
                    .values()
                    .clone(),
            ),
            ScalarType::Float32 => Held::F32s(array.as_primitive::<Float32Type>().values().clone()),
            ScalarType::Float64 => Held::F64s(array.as_primitive::<Float64Type>().values().clone()),
            ScalarType::Text => {
                let array = array.as_string::<i32>();
                let (offsets, data) = rebased(array.offsets(), array.values());
                Held::Utf8(offsets, data)
            }
            ScalarType::Bytes => {
                let array = array.as_binary::<i32>();
                let (offsets, data) = rebased(array.offsets(), array.values());
                Held::Binary(offsets, data)
            }
        };
        // `sliced` re-aligns a bitmap whose first row does not stand at bit 0 of a byte.
        let validity = array
            .nulls()
            .filter(|nulls| nulls.null_count() > 0)
            .map(|nulls| nulls.inner().sliced());
        Ok(Lowered {
            held,
            validity,
            validity_bytes: bytes,
        })
    }

    /// The column as it is lent.
    pub(crate) fn column(&self) -> Column<'_> {
        let bytes = |offsets, data| VarBytes { offsets, data };
        Column {
            values: match &self.held {
                Held::Bits(bits, length) => Values::Bits(first(bits, *length)),
                Held::S32s(values) => Values::S32s(values),
                Held::S64s(values) => Values::S64s(values),
                Held::F32s(values) => Values::F32s(values),
                Held::F64s(values) => Values::F64s(values),
                Held::Utf8(offsets, data) => Values::Utf8(bytes(offsets, data)),
                Held::Binary(offsets, data) => Values::Binary(bytes(offsets, data)),
            },
            validity: self
                .validity
                .as_ref()
                .map(|bits| first(bits, self.validity_bytes)),
        }
    }
}

fn first(buffer: &Buffer, length: usize) -> &[u8] {
    buffer.as_slice().get(..length).unwrap_or(buffer.as_slice())
}

/// The array in the Arrow type that carries this kind.
pub(crate) fn as_kind(array: &ArrayRef, kind: ScalarType) -> Result<ArrayRef> {
    let wanted = kind.data_type().arrow();
    if *array.data_type() == wanted {
        return Ok(array.clone());
    }
    if *array.data_type() == ArrowType::Null {
        return Ok(new_null_array(&wanted, array.len()));
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, &wanted, &options).map_err(|error| {
        Error::invalid(format!(
            "{} cannot be given to a plugin as {}: {error}",
            array.data_type(),
            kind.data_type()
        ))
    })
}

/// Offsets that start at 0 and exactly the bytes that they cover.
fn rebased(offsets: &OffsetBuffer<i32>, data: &Buffer) -> (ScalarBuffer<i32>, Buffer) {
    let (start, end) = (
        offsets.first().copied().unwrap_or(0),
        offsets.last().copied().unwrap_or(0),
    );
    let (from, length) = (
        start.cast_unsigned() as usize,
        (end - start).cast_unsigned(),
    );
    let data = data.slice_with_length(from, length as usize);
    if start == 0 {
        return (offsets.inner().clone(), data);
    }
    let moved: Vec<i32> = offsets.iter().map(|offset| offset - start).collect();
    (ScalarBuffer::from(moved), data)
}

/// The array as a column of its own, in the kind that carries its type.
pub(crate) fn owned(array: &ArrayRef) -> Result<OwnedColumn> {
    let kind = scalar_type(array.data_type()).ok_or_else(|| {
        Error::invalid(format!("{} cannot be given to a plugin", array.data_type()))
    })?;
    let lowered = Lowered::new(array, kind)?;
    let column = lowered.column();
    let bytes = |values: VarBytes<'_>| OwnedVarBytes {
        offsets: values.offsets.to_vec(),
        data: values.data.to_vec(),
    };
    Ok(OwnedColumn {
        values: match column.values {
            Values::Bits(bits) => OwnedValues::Bits(bits.to_vec()),
            Values::S32s(values) => OwnedValues::S32s(values.to_vec()),
            Values::S64s(values) => OwnedValues::S64s(values.to_vec()),
            Values::F32s(values) => OwnedValues::F32s(values.to_vec()),
            Values::F64s(values) => OwnedValues::F64s(values.to_vec()),
            Values::Utf8(values) => OwnedValues::Utf8(bytes(values)),
            Values::Binary(values) => OwnedValues::Binary(bytes(values)),
        },
        validity: column.validity.map(<[u8]>::to_vec),
    })
}

/// The Arrow batch of a returned one, whose columns must be of these kinds.
pub(crate) fn lift_batch(
    batch: OwnedBatch,
    kinds: &[ScalarType],
    schema: &SchemaRef,
) -> std::result::Result<RecordBatch, Malformed> {
    let rows = batch.rows as usize;
    if batch.columns.len() != kinds.len() {
        return Err(format!(
            "it sent {} columns where it declared {}",
            batch.columns.len(),
            kinds.len()
        ));
    }
    let arrays = batch
        .columns
        .into_iter()
        .zip(kinds.iter().zip(schema.fields()))
        .map(|(column, (kind, field))| {
            lift(column, *kind, rows).map_err(|error| format!("output '{}': {error}", field.name()))
        })
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
        .map_err(|error| error.to_string())
}

/// Why a returned column is not what was promised.
pub(crate) type Malformed = String;

/// The Arrow array of a returned column, which must be of this kind and hold `rows` rows.
pub(crate) fn lift(
    column: OwnedColumn,
    kind: ScalarType,
    rows: usize,
) -> std::result::Result<ArrayRef, Malformed> {
    let nulls = column
        .validity
        .map(|bits| {
            check_bits("the validity bitmap", &bits, rows)?;
            Ok::<_, Malformed>(NullBuffer::new(BooleanBuffer::new(
                Buffer::from_vec(bits),
                0,
                rows,
            )))
        })
        .transpose()?;
    Ok(match (column.values, kind) {
        (OwnedValues::Bits(bits), ScalarType::Boolean) => {
            check_bits("the column", &bits, rows)?;
            let values = BooleanBuffer::new(Buffer::from_vec(bits), 0, rows);
            Arc::new(BooleanArray::new(values, nulls))
        }
        (OwnedValues::S32s(values), ScalarType::Int32) => {
            primitive::<Int32Type>(values, nulls, rows)?
        }
        (OwnedValues::S32s(values), ScalarType::Date) => {
            primitive::<Date32Type>(values, nulls, rows)?
        }
        (OwnedValues::S64s(values), ScalarType::Int64) => {
            primitive::<Int64Type>(values, nulls, rows)?
        }
        (OwnedValues::S64s(values), ScalarType::Timestamp) => {
            primitive::<TimestampNanosecondType>(values, nulls, rows)?
        }
        (OwnedValues::F32s(mut values), ScalarType::Float32) => {
            // Which NaN a machine makes differs between machines; stored rows must not.
            for value in values.iter_mut().filter(|value| value.is_nan()) {
                *value = f32::NAN;
            }
            primitive::<Float32Type>(values, nulls, rows)?
        }
        (OwnedValues::F64s(mut values), ScalarType::Float64) => {
            for value in values.iter_mut().filter(|value| value.is_nan()) {
                *value = f64::NAN;
            }
            primitive::<Float64Type>(values, nulls, rows)?
        }
        (OwnedValues::Utf8(values), ScalarType::Text) => {
            let (offsets, data) = var_bytes(values, rows)?;
            Arc::new(
                StringArray::try_new(offsets, data, nulls)
                    .map_err(|error| format!("the column is not valid text: {error}"))?,
            )
        }
        (OwnedValues::Binary(values), ScalarType::Bytes) => {
            let (offsets, data) = var_bytes(values, rows)?;
            Arc::new(
                BinaryArray::try_new(offsets, data, nulls)
                    .map_err(|error| format!("the column is not valid: {error}"))?,
            )
        }
        (values, kind) => {
            return Err(format!(
                "the column holds {} where {} was declared",
                case(&values),
                kind.data_type()
            ));
        }
    })
}

fn case(values: &OwnedValues) -> &'static str {
    match values {
        OwnedValues::Bits(_) => "bits",
        OwnedValues::S32s(_) => "s32s",
        OwnedValues::S64s(_) => "s64s",
        OwnedValues::F32s(_) => "f32s",
        OwnedValues::F64s(_) => "f64s",
        OwnedValues::Utf8(_) => "utf8",
        OwnedValues::Binary(_) => "binary",
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    rows: usize,
) -> std::result::Result<ArrayRef, Malformed> {
    if values.len() != rows {
        return Err(format!(
            "the column holds {} rows where {rows} were expected",
            values.len()
        ));
    }
    PrimitiveArray::<T>::try_new(ScalarBuffer::from(values), nulls)
        .map(|array| Arc::new(array) as ArrayRef)
        .map_err(|error| format!("the column is not valid: {error}"))
}

fn check_bits(what: &str, bits: &[u8], rows: usize) -> std::result::Result<(), Malformed> {
    let expected = rows.div_ceil(8);
    if bits.len() == expected {
        Ok(())
    } else {
        Err(format!(
            "{what} holds {} bytes where {rows} rows need {expected}",
            bits.len()
        ))
    }
}

/// Offsets and data that fit each other and hold `rows` values.
pub(crate) fn var_bytes(
    values: OwnedVarBytes,
    rows: usize,
) -> std::result::Result<(OffsetBuffer<i32>, Buffer), Malformed> {
    let OwnedVarBytes { offsets, data } = values;
    if offsets.len() != rows + 1 {
        return Err(format!(
            "the column holds {} offsets where {rows} rows need {}",
            offsets.len(),
            rows + 1
        ));
    }
    if offsets.first() != Some(&0) {
        return Err("the first offset is not 0".to_owned());
    }
    if offsets
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a > b))
    {
        return Err("the offsets fall".to_owned());
    }
    let end = offsets.last().copied().unwrap_or(0);
    if usize::try_from(end) != Ok(data.len()) {
        return Err(format!(
            "the last offset is {end} where the data holds {} bytes",
            data.len()
        ));
    }
    // Checked above, so this cannot panic.
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok((offsets, Buffer::from_vec(data)))
}

#[cfg(test)]
mod tests;
