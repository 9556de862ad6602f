//! The parts of a section that are no columns: stamps, expiries, bitmaps, encoded as the store encodes columns.

use std::sync::Arc;

use activestore_store::{decode_array, encode_array};
use activestore_types::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::{DataType as ArrowType, Int64Type};

/// Stamps and expiries fit 63 bits, so they travel as signed integers, which pack by delta.
pub(super) fn numbers(values: impl Iterator<Item = u64>) -> Vec<u8> {
    let array: arrow::array::Int64Array = values.map(|value| Some(value.cast_signed())).collect();
    encode_array(&(Arc::new(array) as ArrayRef))
}

pub(super) fn read_numbers(bytes: &[u8], rows: usize) -> Result<ScalarBuffer<u64>> {
    let array = exactly(decode_array(bytes, &ArrowType::Int64)?, rows)?;
    let values = array.as_primitive::<Int64Type>();
    let unsigned: UInt64Array = values.unary(i64::cast_unsigned);
    Ok(unsigned.values().clone())
}

pub(super) fn bits(bytes: &[u8], rows: usize) -> Result<BooleanBuffer> {
    let array = exactly(decode_array(bytes, &ArrowType::Boolean)?, rows)?;
    Ok(array.as_boolean().values().clone())
}

pub(super) fn exactly(array: ArrayRef, rows: usize) -> Result<ArrayRef> {
    if array.len() == rows {
        Ok(array)
    } else {
        Err(Error::invalid(format!(
            "a segment's column holds {} rows where its section says {rows}",
            array.len()
        )))
    }
}
