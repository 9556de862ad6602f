//! Rows of Parquet, row group by row group. How many are decoded at once follows what the last ones took: what the
//! file says of its size is packed, and a value that many rows share counts once there.

use std::fs::File;
use std::ops::Range;

use activestore_types::{Error, Result};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};

use super::{AtOnce, broken_file, guarded};
use crate::values_bytes;

/// How many rows are decoded first, where the file does not say that they are large.
const FIRST_ROWS: usize = 16;

/// How much more rows may be decoded at once than the time before. The reader is opened anew for that and passes the rows
/// before, which are few while it grows.
const GROWTH: usize = 16;

/// The rows of a file.
pub(super) struct Rows {
    file: File,
    metadata: ArrowReaderMetadata,
    columns: ProjectionMask,
    wanted: AtOnce,
    /// Row groups that are not begun.
    groups: Range<usize>,
    reader: Option<ParquetRecordBatchReader>,
    /// The row group at hand, and how many of its rows are passed.
    group: usize,
    passed: usize,
    at_once: usize,
    /// Not after large rows in the same row group, so that rows of both kinds by turns do not open it again and again.
    grows: bool,
    failed: bool,
}

impl Rows {
    /// The rows behind the first `left` of them, of which none remains. Row groups that are done are not read. Gives
    /// how many there are in all, too.
    pub(super) fn open(
        file: File,
        columns: &[String],
        wanted: AtOnce,
        left: &mut u64,
    ) -> Result<(Rows, u64)> {
        let metadata = guarded(|| {
            ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(broken_file)
        })?;
        let columns = mask(&metadata, columns)?;
        let size = |number: i64| u64::try_from(number).unwrap_or(0);
        let groups = metadata.metadata().row_groups();
        // What a row takes at least on average, where it takes most.
        let row_bytes = groups
            .iter()
            .map(|group| size(group.total_byte_size()) / size(group.num_rows()).max(1))
            .max()
            .unwrap_or(0);
        let total = groups.iter().fold(0_u64, |total, group| {
            total.saturating_add(size(group.num_rows()))
        });
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
        if first == count && *left > 0 {
            return Err(Error::invalid(
                "the file is shorter than it was when the load stopped",
            ));
        }
        let row_bytes = usize::try_from(row_bytes).unwrap_or(usize::MAX);
        let rows = Rows {
            file,
            metadata,
            columns,
            groups: first..count,
            reader: None,
            group: first,
            passed: usize::try_from(std::mem::take(left)).unwrap_or(usize::MAX),
            at_once: wanted.fitting(row_bytes).min(FIRST_ROWS),
            grows: true,
            failed: false,
            wanted,
        };
        Ok((rows, total))
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None if self.group < self.groups.start => self.open_group()?,
                None => {
                    let Some(group) = self.groups.next() else {
                        return Ok(None);
                    };
                    self.group = group;
                    self.grows = true;
                    self.open_group()?
                }
            };
            if let Some(batch) = reader.next().transpose()? {
                self.passed += batch.num_rows();
                self.reader = Some(reader);
                self.adapt(&batch);
                return Ok(Some(batch));
            }
            self.group = self.groups.start;
            self.passed = 0;
        }
    }

    /// The row group at hand from the rows on that are passed.
    fn open_group(&self) -> Result<ParquetRecordBatchReader> {
        let file = self.file.try_clone()?;
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_projection(self.columns.clone())
                .with_row_groups(vec![self.group])
                .with_offset(self.passed)
                .with_batch_size(self.at_once);
        builder.build().map_err(broken_file)
    }

    /// Decodes more or fewer at once from here on.
    fn adapt(&mut self, batch: &RecordBatch) {
        let fitting = self
            .wanted
            .fitting(values_bytes(batch) / batch.num_rows().max(1));
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

/// The columns of these names, or all where none is named. What others hold is not even read.
fn mask(metadata: &ArrowReaderMetadata, columns: &[String]) -> Result<ProjectionMask> {
    if columns.is_empty() {
        return Ok(ProjectionMask::all());
    }
    let places = columns.iter().map(|name| {
        let place = metadata.schema().index_of(name);
        place.map_err(|error| Error::invalid(format!("the file: {error}")))
    });
    let places = places.collect::<Result<Vec<usize>>>()?;
    Ok(ProjectionMask::roots(metadata.parquet_schema(), places))
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        if self.failed {
            return None;
        }
        let batch = guarded(|| self.next_batch());
        self.failed = batch.is_err();
        batch.transpose()
    }
}
