//! Parquet: rows of a file, and the way back. Files are their operator's own: what one says of its pages is believed, and
//! only damage that its reader panics over is an error of the file here.

#[cfg(feature = "parquet")]
mod reader;
#[cfg(feature = "parquet")]
mod writer;

#[cfg(not(feature = "parquet"))]
mod absent;

use std::fs::File;
#[cfg(feature = "parquet")]
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(feature = "parquet")]
use activestore_types::Error;
use activestore_types::Result;
use arrow::record_batch::RecordBatch;

#[cfg(not(feature = "parquet"))]
pub use absent::ParquetWriter;
#[cfg(feature = "parquet")]
pub use writer::ParquetWriter;

/// The media type of Parquet.
pub const PARQUET_MEDIA: &str = "application/vnd.apache.parquet";

/// How many rows are decoded at once: what their values may come to, and the most whatever they come to.
#[derive(Clone, Copy, Debug)]
pub struct AtOnce {
    /// Bytes of their values.
    pub bytes: usize,
    /// The most rows.
    pub rows: usize,
}

impl AtOnce {
    /// How many rows of a size are decoded at once.
    #[cfg(feature = "parquet")]
    fn fitting(self, row_bytes: usize) -> usize {
        (self.bytes / row_bytes.max(1)).clamp(1, self.rows.max(1))
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Rows of Parquet, batch by batch.
pub struct ParquetReader {
    batches: Batches,
    total: u64,
}

impl ParquetReader {
    /// The rows of a file behind the first `left` of them, of which none remains; of the columns only those that are
    /// named, in the file's order, or all where none is.
    ///
    /// # Errors
    /// `Invalid` where it is not whole Parquet or lacks a column, and where this build does not read Parquet.
    pub fn of_file(
        file: File,
        columns: &[String],
        at_once: AtOnce,
        left: &mut u64,
    ) -> Result<ParquetReader> {
        #[cfg(feature = "parquet")]
        {
            let (rows, total) = reader::Rows::open(file, columns, at_once, left)?;
            Ok(ParquetReader {
                batches: Box::new(rows),
                total,
            })
        }
        #[cfg(not(feature = "parquet"))]
        {
            absent::reader(&file, columns, at_once, left)
        }
    }

    /// How many rows there are in all.
    pub fn rows_total(&self) -> u64 {
        self.total
    }
}

impl Iterator for ParquetReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        self.batches.next()
    }
}

#[cfg(feature = "parquet")]
fn broken_file(error: parquet::errors::ParquetError) -> Error {
    Error::invalid(format!("the file is not whole Parquet: {error}"))
}

#[cfg(feature = "parquet")]
fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(Error::invalid(
            "the file is not whole Parquet: it is damaged",
        ))
    })
}

#[cfg(all(test, feature = "parquet"))]
mod tests;
