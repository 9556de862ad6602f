//! What a build without Parquet says of it.

use std::io::Write;

use activestore_types::{Error, Result};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::{AtOnce, ParquetReader};

pub(super) fn reader<T>(_: &T, _: &[String], _: AtOnce, _: &mut u64) -> Result<ParquetReader> {
    Err(missing("read"))
}

fn missing(what: &str) -> Error {
    Error::invalid(format!("this build does not {what} Parquet"))
        .with_hint("build it with the feature 'parquet', or use CSV, NDJSON or Arrow")
}

/// A writer of Parquet, of which there is none.
pub struct ParquetWriter<W> {
    out: W,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Says that this build does not write Parquet.
    ///
    /// # Errors
    /// `Invalid`, always.
    pub fn new(_out: W, _schema: SchemaRef, _group_bytes: usize) -> Result<Self> {
        Err(missing("write"))
    }

    /// Writes rows.
    ///
    /// # Errors
    /// `Invalid`, always.
    pub fn write(&mut self, _batch: &RecordBatch) -> Result<()> {
        Err(missing("write"))
    }

    /// What is written to.
    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// What is written to, for a look.
    pub fn out_ref(&self) -> &W {
        &self.out
    }

    /// Bytes written so far.
    pub fn bytes_written(&self) -> u64 {
        0
    }

    /// What was written to.
    ///
    /// # Errors
    /// `Invalid`, always.
    pub fn into_inner(self) -> Result<W> {
        Err(missing("write"))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// `Invalid`, always.
    pub fn finish(&mut self) -> Result<()> {
        Err(missing("write"))
    }
}
