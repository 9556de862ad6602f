//! Columns that come in, as the store takes them: plain ones. What names a value many times, dictionaries and views,
//! is spread out within a bound, since a message of a few bytes can stand for more than there is memory.

use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, GenericByteArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{ArrowNativeType, ByteArrayType, DataType, Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

/// What the values of one column of one batch may come to when they are spread out.
const SPREAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The largest value of a fixed width: a decimal of 256 bits.
const FIXED_BYTES: usize = 32;
/// Where a value ends.
const OFFSET_BYTES: usize = 4;

/// The batch with plain columns; those that are plain already are the same ones.
///
/// # Errors
/// `Invalid` for a column of columns, and for one that would be too large.
pub fn plain(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        let array = spread(field, array)?;
        let field = Field::new(field.name(), array.data_type().clone(), true)
            .with_metadata(field.metadata().clone());
        fields.push(Arc::new(field));
        columns.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(
        schema, columns, &options,
    )?)
}

/// What the batch comes to with plain columns, before any of them is spread out.
///
/// # Errors
/// As [`plain`].
pub(super) fn plain_bytes(batch: &RecordBatch) -> Result<usize> {
    let mut bytes = 0_usize;
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let column = match wanted(field, array)? {
            Some((values, _)) => values.saturating_add(array.len().saturating_mul(OFFSET_BYTES)),
            None => array.to_data().get_slice_memory_size()?,
        };
        bytes = bytes.saturating_add(column);
    }
    Ok(bytes)
}

/// What a column is spread out to, and what its values come to then; `None` where it is plain.
fn wanted(field: &Field, array: &ArrayRef) -> Result<Option<(usize, DataType)>> {
    Ok(Some(match array.data_type() {
        DataType::Dictionary(_, values) if values.is_nested() || names_values(values) => {
            return Err(nested(field));
        }
        DataType::Dictionary(_, values) => {
            let dictionary = array.as_any_dictionary();
            let bytes = if dictionary.values().is_empty() {
                0
            } else {
                let lengths = lengths(dictionary.values());
                let keys = dictionary.normalized_keys();
                let each = keys
                    .iter()
                    .map(|key| lengths.get(*key).copied().unwrap_or(FIXED_BYTES));
                total(each)
            };
            (bytes, values.as_ref().clone())
        }
        DataType::Utf8View => (views(array.as_string_view().views()), DataType::Utf8),
        DataType::BinaryView => (views(array.as_binary_view().views()), DataType::Binary),
        DataType::RunEndEncoded(_, _) => return Err(nested(field)),
        data_type if data_type.is_nested() => return Err(nested(field)),
        _ => return Ok(None),
    }))
}

fn spread(field: &Field, array: &ArrayRef) -> Result<ArrayRef> {
    let Some((bytes, wanted)) = wanted(field, array)? else {
        return Ok(array.clone());
    };
    if bytes > SPREAD_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the values of column '{}' come to {bytes} bytes in one batch; at most {SPREAD_BYTES_MAX} are taken",
            field.name()
        ))
        .with_hint("send rows in smaller batches"));
    }
    let names_none = matches!(array.data_type(), DataType::Dictionary(_, _))
        && array.as_any_dictionary().values().is_empty();
    if names_none {
        return Ok(new_null_array(&wanted, array.len()));
    }
    Ok(cast(array, &wanted)?)
}

/// Whether what it holds is named, not written out.
fn names_values(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8View
            | DataType::BinaryView
            | DataType::Dictionary(_, _)
            | DataType::RunEndEncoded(_, _)
    )
}

fn nested(field: &Field) -> Error {
    Error::invalid(format!(
        "column '{}' is a {}, which no column holds",
        field.name(),
        field.data_type()
    ))
    .with_hint("send it as text, such as JSON")
}

fn total(each: impl Iterator<Item = usize>) -> usize {
    each.fold(0, usize::saturating_add)
}

/// The low half of a half of a view is its length.
fn views(views: &[u128]) -> usize {
    let lengths = views.iter().map(|view| view & u128::from(u32::MAX));
    total(lengths.map(|length| usize::try_from(length).unwrap_or(usize::MAX)))
}

fn lengths(values: &ArrayRef) -> Vec<usize> {
    match values.data_type() {
        DataType::Utf8 => of_bytes(values.as_string::<i32>()),
        DataType::LargeUtf8 => of_bytes(values.as_string::<i64>()),
        DataType::Binary => of_bytes(values.as_binary::<i32>()),
        DataType::LargeBinary => of_bytes(values.as_binary::<i64>()),
        DataType::FixedSizeBinary(width) => {
            vec![usize::try_from(*width).unwrap_or(usize::MAX); values.len()]
        }
        _ => vec![FIXED_BYTES; values.len()],
    }
}

fn of_bytes<T: ByteArrayType>(values: &GenericByteArray<T>) -> Vec<usize> {
    let offsets = values.value_offsets();
    let pairs = offsets.iter().zip(offsets.iter().skip(1));
    pairs
        .map(|(start, end)| end.as_usize().saturating_sub(start.as_usize()))
        .collect()
}

#[cfg(test)]
mod tests;
