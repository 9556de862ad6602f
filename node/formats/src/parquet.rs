//! Parquet: rows of a file or of a body, and the way back. Of what comes in nothing is believed before it was looked at:
//! how many columns and row groups there are, how large a page becomes, and what a value that a dictionary names once
//! takes in all rows that name it. What a reader does not expect in hostile bytes may panic in it; that is an error of
//! the bytes.

#[cfg(feature = "parquet")]
mod compact;
#[cfg(feature = "parquet")]
mod footer;
#[cfg(feature = "parquet")]
mod pages;
#[cfg(feature = "parquet")]
mod reader;
#[cfg(feature = "parquet")]
mod source;
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
use bytes::Bytes;

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
    /// The rows of a file behind the first `left` of them, of which none remains.
    ///
    /// # Errors
    /// `Invalid` where it is not whole Parquet, or more than is taken, and where this build does not read Parquet.
    pub fn of_file(file: File, at_once: AtOnce, left: &mut u64) -> Result<ParquetReader> {
        #[cfg(feature = "parquet")]
        {
            Self::of(source::Source::File(file.into()), at_once, left)
        }
        #[cfg(not(feature = "parquet"))]
        {
            absent::reader(&file, at_once, left)
        }
    }

    /// The rows of a body.
    ///
    /// # Errors
    /// As [`ParquetReader::of_file`].
    pub fn of_bytes(bytes: Bytes, at_once: AtOnce) -> Result<ParquetReader> {
        #[cfg(feature = "parquet")]
        {
            Self::of(source::Source::Bytes(bytes), at_once, &mut 0)
        }
        #[cfg(not(feature = "parquet"))]
        {
            absent::reader(&bytes, at_once, &mut 0)
        }
    }

    #[cfg(feature = "parquet")]
    fn of(source: source::Source, at_once: AtOnce, left: &mut u64) -> Result<ParquetReader> {
        let (rows, total) = reader::Rows::open(source, at_once, left)?;
        Ok(ParquetReader {
            batches: Box::new(rows),
            total,
        })
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
    Error::invalid(format!("the bytes are not whole Parquet: {error}"))
}

#[cfg(feature = "parquet")]
fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(compact::broken("they are damaged")))
}

#[cfg(all(test, feature = "parquet"))]
mod tests;
