//! Rows as Parquet, row group by row group as they come.

use std::io::Write;

use activestore_types::{Error, Result};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// Rows that are given to the writer at once, so that a row group is not much larger than it may be.
const WRITE_ROWS: usize = 8192;

/// Up to how many columns have dictionaries: each has tables of its own, 74 KiB while they are empty.
const DICTIONARIES_MAX: usize = 64;

/// How many times its bytes a row group may hold in memory before it is written.
const MEMORY: usize = 4;

/// Writes rows as Parquet.
pub struct ParquetWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    group_bytes: usize,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Rows of this schema; a row group is held until it comes to so many bytes, and then written.
    ///
    /// # Errors
    /// `Invalid` for a type that Parquet does not have.
    pub fn new(out: W, schema: SchemaRef, group_bytes: usize) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(schema.fields().len() <= DICTIONARIES_MAX)
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let writer = ArrowWriter::try_new(out, schema, Some(properties)).map_err(unwritable)?;
        Ok(ParquetWriter {
            writer,
            group_bytes,
        })
    }

    /// Writes rows.
    ///
    /// # Errors
    /// `Invalid` for values that Parquet does not have, and where what is written to fails.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        for start in (0..rows).step_by(WRITE_ROWS) {
            let part = batch.slice(start, WRITE_ROWS.min(rows - start));
            self.writer.write(&part).map_err(unwritable)?;
            // What a column takes before it has a row says nothing of the row group.
            let large = self.writer.in_progress_size() > self.group_bytes
                || self.writer.memory_size() > self.group_bytes.saturating_mul(MEMORY);
            if large {
                self.writer.flush().map_err(unwritable)?;
            }
        }
        Ok(())
    }

    /// What is written to.
    pub fn out(&mut self) -> &mut W {
        self.writer.inner_mut()
    }

    /// What is written to, for a look.
    pub fn out_ref(&self) -> &W {
        self.writer.inner()
    }

    /// Bytes written so far.
    pub fn bytes_written(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// What was written to, behind the file's end.
    ///
    /// # Errors
    /// Where what is written to fails.
    pub fn into_inner(self) -> Result<W> {
        self.writer.into_inner().map_err(unwritable)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Where what is written to fails.
    pub fn finish(&mut self) -> Result<()> {
        self.writer.finish().map(drop).map_err(unwritable)
    }
}

fn unwritable(error: ParquetError) -> Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(error) => Error::from(*error),
            Err(cause) => Error::internal(format!("the rows cannot be written: {cause}")),
        },
        error => Error::invalid(format!("the rows cannot be written as Parquet: {error}")),
    }
}
