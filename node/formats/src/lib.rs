//! Arrow and Parquet as bytes: bodies and files of record batches. Arrow that comes in is looked at before a reader
//! believes it, since what a few bytes say of themselves may be more than there is memory; Parquet comes in as files of
//! the operator's own alone. This crate knows no table.

pub mod arrow_ipc;
pub mod parquet;

pub use self::arrow_ipc::{ArrowFile, ArrowReader};
pub use self::parquet::{AtOnce, ParquetReader, ParquetWriter};

use arrow::record_batch::RecordBatch;

/// Bytes of a batch's values; of what it shares with others only its own part.
pub fn values_bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
        .sum()
}
