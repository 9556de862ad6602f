//! BYTES in files of text: `\x` and hex digits, as PostgreSQL writes them.

use std::sync::Arc;

use activestore_query::unhex;
use activestore_types::{DataType, Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, Field, Schema};

use crate::blobs::hex;

/// The rows with BYTES as text.
pub(super) fn shown(batch: &RecordBatch) -> Result<RecordBatch> {
    let given = batch.schema();
    let columns = given.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, array)| match array.data_type() {
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView => {
            let array = cast(array, &ArrowType::Binary)?;
            let cells = array.as_binary::<i32>().iter();
            let cells = cells.map(|cell| cell.map(|bytes| format!("\\x{}", hex(bytes))));
            let array: StringArray = cells.collect();
            let field = Field::new(field.name(), ArrowType::Utf8, true);
            Ok((Arc::new(field), Arc::new(array) as ArrayRef))
        }
        _ => Ok((field.clone(), array.clone())),
    });
    let (fields, arrays): (Vec<Arc<Field>>, Vec<ArrayRef>) =
        columns.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// The bytes of a column of text.
pub(super) fn read(column: &str, texts: &ArrayRef) -> Result<ArrayRef> {
    let texts = cast(texts, &DataType::Text.arrow())?;
    let Some(texts) = texts.as_string_opt::<i32>() else {
        return Err(Error::internal("cells of a file of text are no text"));
    };
    let cells = texts.iter().map(|cell| cell.map(unhex).transpose());
    let cells = cells.collect::<Result<Vec<Option<Vec<u8>>>>>();
    let cells = cells.map_err(|error| error.context(format!("column '{column}'")))?;
    Ok(Arc::new(cells.into_iter().collect::<BinaryArray>()))
}
