//! Rows of a Parquet file, row group by row group. How many are decoded at once follows what the last ones took: what the
//! file says of its size is packed, and a value that many rows share counts once there.

use std::fs::File;

use activestore_types::{Error, Result};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};

use super::{Decoded, PIECE_BYTES, PIECE_ROWS, values_bytes};

/// How many rows are decoded first, where the file does not say that they are large.
const FIRST_ROWS: usize = 16;

/// How much more rows may be decoded at once than the time before. The reader is opened anew for that and passes the rows
/// before, which are few while it grows.
const GROWTH: usize = 16;

/// The rows behind the first `left` of them, of which none remains. Row groups that are done are not read.
pub fn rows(file: File, left: &mut u64, total: &mut Option<u64>) -> Result<Decoded> {
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(broken)?;
    let size = |number: i64| u64::try_from(number).unwrap_or(0);
    let groups = metadata.metadata().row_groups();
    // What a row takes at least on average, where it takes most.
    let row_bytes = groups
        .iter()
        .map(|group| size(group.total_byte_size()) / size(group.num_rows()).max(1))
        .max()
        .unwrap_or(0);
    *total = Some(groups.iter().map(|group| size(group.num_rows())).sum());
    let mut first = 0;
    for group in groups {
        let rows = size(group.num_rows());
        if *left < rows {
            break;
        }
        *left -= rows;
        first += 1;
    }
    let count = groups.len();
    if first == count {
        if *left > 0 {
            return Err(Error::invalid(
                "the file is shorter than it was when the load stopped",
            ));
        }
        return Ok(Box::new(std::iter::empty()));
    }
    let row_bytes = usize::try_from(row_bytes).unwrap_or(usize::MAX);
    let passed = usize::try_from(std::mem::take(left)).unwrap_or(usize::MAX);
    Ok(Box::new(Rows {
        file,
        groups: first.saturating_add(1)..count,
        metadata,
        reader: None,
        group: first,
        passed,
        at_once: fitting(row_bytes).min(FIRST_ROWS),
        grows: true,
    }))
}

fn broken(error: parquet::errors::ParquetError) -> Error {
    Error::invalid(format!("the file is not whole Parquet: {error}"))
}

/// How many rows of a size are decoded at once.
fn fitting(row_bytes: usize) -> usize {
    (PIECE_BYTES / row_bytes.max(1)).clamp(1, PIECE_ROWS)
}

struct Rows {
    file: File,
    metadata: ArrowReaderMetadata,
    /// Row groups that are not begun.
    groups: std::ops::Range<usize>,
    reader: Option<ParquetRecordBatchReader>,
    /// The row group at hand, and how many of its rows are passed.
    group: usize,
    passed: usize,
    at_once: usize,
    /// Not after large rows in the same row group, so that rows of both kinds by turns do not open it again and again.
    grows: bool,
}

impl Rows {
    fn open(&self) -> std::result::Result<ParquetRecordBatchReader, ArrowError> {
        let file = self.file.try_clone()?;
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_row_groups(vec![self.group])
                .with_offset(self.passed)
                .with_batch_size(self.at_once);
        Ok(builder.build()?)
    }

    fn next_batch(&mut self) -> std::result::Result<Option<RecordBatch>, ArrowError> {
        loop {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => self.open()?,
            };
            if let Some(batch) = reader.next().transpose()? {
                self.passed += batch.num_rows();
                self.reader = Some(reader);
                self.adapt(&batch);
                return Ok(Some(batch));
            }
            let Some(group) = self.groups.next() else {
                return Ok(None);
            };
            self.group = group;
            self.passed = 0;
            self.grows = true;
        }
    }

    /// Decodes more or fewer at once from here on.
    fn adapt(&mut self, batch: &RecordBatch) {
        let fitting = fitting(values_bytes(batch) / batch.num_rows().max(1));
        let wanted = if fitting < self.at_once / 2 {
            self.grows = false;
            fitting
        } else if self.grows && fitting / 2 > self.at_once {
            fitting.min(self.at_once.saturating_mul(GROWTH))
        } else {
            return;
        };
        self.at_once = wanted;
        self.reader = None;
    }
}

impl Iterator for Rows {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

#[cfg(test)]
mod tests;
