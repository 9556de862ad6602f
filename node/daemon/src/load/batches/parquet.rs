//! Rows of a Parquet file, row group by row group.

use std::fs::File;

use activestore_types::{Error, Result};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Decoded, PIECE_BYTES, PIECE_ROWS};

/// The fewest rows that are decoded at once.
const BATCH_ROWS_MIN: usize = 1024;

/// The rows behind the first `left` of them. Row groups that are done are not read; what remains of `left` is to be
/// passed in the first that is.
pub fn rows(file: File, left: &mut u64, total: &mut Option<u64>) -> Result<Decoded> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|error| Error::invalid(format!("the file is not whole Parquet: {error}")))?;
    let groups = builder.metadata().row_groups();
    let size = |number: i64| u64::try_from(number).unwrap_or(0);
    // What a row takes on average, where it takes most.
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
    if first == groups.len() && *left > 0 {
        return Err(Error::invalid(
            "the file is shorter than it was when the load stopped",
        ));
    }
    let chosen: Vec<usize> = (first..groups.len()).collect();
    let fitting = PIECE_BYTES / usize::try_from(row_bytes).unwrap_or(usize::MAX).max(1);
    let reader = builder
        .with_row_groups(chosen)
        .with_batch_size(fitting.clamp(BATCH_ROWS_MIN, PIECE_ROWS))
        .build()
        .map_err(|error| Error::invalid(format!("the file is not whole Parquet: {error}")))?;
    Ok(Box::new(reader))
}
