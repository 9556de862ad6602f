//! Columns as clients are told of them, and as they get them: without dictionaries and views, which not every client
//! reads, and each with room for NULL, so that what was told before a statement ran is what it gives.

use std::sync::Arc;

use activestore_types::Result;
use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow_flight::{IpcMessage, SchemaAsIpc};
use bytes::Bytes;

/// The columns as they are told.
pub(super) fn told(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        Field::new(field.name(), plain(field.data_type()), true)
            .with_metadata(field.metadata().clone())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A batch with these columns.
pub(super) fn fitted(batch: &RecordBatch, told: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(told.fields());
    let columns = columns.map(|(array, field)| {
        if array.data_type() == field.data_type() {
            Ok(array.clone())
        } else {
            Ok(cast(array, field.data_type())?)
        }
    });
    let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        told.clone(),
        columns,
        &options,
    )?)
}

/// A schema as bytes of a message.
pub(super) fn encoded(schema: &Schema) -> Result<Bytes> {
    let options = IpcWriteOptions::default();
    let IpcMessage(bytes) = IpcMessage::try_from(SchemaAsIpc::new(schema, &options))?;
    Ok(bytes)
}

fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    }
}
