//! Output: rows picked from pieces become record batches of at most [`BATCH_ROWS`] rows.

use std::collections::VecDeque;
use std::sync::Arc;

use activestore_types::{ColumnId, Error, Result, RowBatch, TableSchema};
use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::piece::{Fragment, Pieces};
use super::source::Run;

/// Rows of an output batch, at most.
pub(crate) const BATCH_ROWS: usize = 8192;

/// The Arrow schema of the asked columns.
///
/// # Errors
/// `Invalid` for a column that the table does not have.
pub(crate) fn output_schema(schema: &TableSchema, columns: &[ColumnId]) -> Result<SchemaRef> {
    let fields = columns
        .iter()
        .map(|id| {
            let column = schema.column_by_id(*id).ok_or_else(|| {
                Error::invalid(format!(
                    "table {} has no column with the id {}",
                    schema.name, id.0
                ))
            })?;
            Ok(schema.arrow_field(column))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// A record batch of arrays that come from storage: a misfit is corruption.
pub(crate) fn record_batch(
    schema: &SchemaRef,
    arrays: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)
        .map_err(|error| Error::corrupt(format!("stored columns do not fit the table: {error}")))
}

/// The asked columns of a batch without overlap; those that it lacks are NULL.
pub(crate) fn project(
    schema: &SchemaRef,
    columns: &[ColumnId],
    batch: &RowBatch,
) -> Result<RecordBatch> {
    let arrays = columns
        .iter()
        .zip(schema.fields())
        .map(|(id, field)| {
            batch.column(*id).map_or_else(
                || new_null_array(field.data_type(), batch.rows),
                |column| Arc::clone(&column.array),
            )
        })
        .collect();
    record_batch(schema, arrays, batch.rows)
}

/// Rows that were picked and not yet copied.
pub(crate) struct Picker {
    schema: SchemaRef,
    /// For each column the array and row of each cell; array 0 is NULL, piece n is array n + 1.
    cells: Vec<Vec<(usize, usize)>>,
    /// Whether a column has a NULL that no array holds.
    absent: Vec<bool>,
    rows: usize,
}

impl Picker {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        let columns = schema.fields().len();
        Picker {
            schema,
            cells: vec![Vec::new(); columns],
            absent: vec![false; columns],
            rows: 0,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a resolved row.
    pub(crate) fn push(&mut self, fragments: &[Fragment], winners: &[Option<usize>]) {
        self.rows += 1;
        let columns = self.cells.iter_mut().zip(&mut self.absent);
        for ((cells, absent), winner) in columns.zip(winners) {
            match winner.and_then(|place| fragments.get(place)) {
                Some(fragment) => cells.push((fragment.piece + 1, fragment.row)),
                None => {
                    *absent = true;
                    cells.push((0, 0));
                }
            }
        }
    }

    /// Adds rows of a piece that need no resolving.
    pub(crate) fn push_run(&mut self, run: &Run, pieces: &Pieces) {
        self.rows += run.rows.len();
        let piece = run.piece + 1;
        for (column, (cells, absent)) in self.cells.iter_mut().zip(&mut self.absent).enumerate() {
            if pieces.array(run.piece, column).is_none() {
                *absent = true;
                cells.extend(run.rows.clone().map(|_| (0, 0)));
            } else if run.reverse {
                cells.extend(run.rows.clone().rev().map(|row| (piece, row)));
            } else {
                cells.extend(run.rows.clone().map(|row| (piece, row)));
            }
        }
    }

    /// Copies the picked rows together; the picker is empty afterwards.
    pub(crate) fn finish(&mut self, pieces: &Pieces) -> Result<RecordBatch> {
        let mut arrays = Vec::with_capacity(self.cells.len());
        let columns = self.cells.iter_mut().zip(&mut self.absent);
        for (place, ((cells, absent), field)) in columns.zip(self.schema.fields()).enumerate() {
            let null = new_null_array(field.data_type(), 1);
            let held: Vec<Option<&ArrayRef>> = (0..pieces.len())
                .map(|piece| pieces.array(piece, place))
                .collect();
            if held
                .iter()
                .flatten()
                .any(|array| array.data_type() != field.data_type())
            {
                return Err(Error::corrupt(format!(
                    "column '{}' is stored with another type than {}",
                    field.name(),
                    field.data_type()
                )));
            }
            // Where no NULL is picked, any other array may stand in its place, so that the output
            // needs no validity bitmap.
            let filler = held
                .iter()
                .flatten()
                .copied()
                .find(|array| array.null_count() == 0);
            let filler = filler.filter(|_| !*absent).unwrap_or(&null);
            let sources: Vec<&dyn Array> = std::iter::once(filler)
                .chain(held.iter().map(|array| array.unwrap_or(filler)))
                .map(AsRef::as_ref)
                .collect();
            arrays.push(interleave(&sources, cells)?);
            cells.clear();
            *absent = false;
        }
        let rows = std::mem::take(&mut self.rows);
        record_batch(&self.schema, arrays, rows)
    }
}

/// Joins small batches into large ones, in order.
pub(crate) struct Coalescer {
    schema: SchemaRef,
    pending: Vec<RecordBatch>,
    rows: usize,
    ready: VecDeque<RecordBatch>,
}

impl Coalescer {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Coalescer {
            schema,
            pending: Vec::new(),
            rows: 0,
            ready: VecDeque::new(),
        }
    }

    /// Adds a batch of at most [`BATCH_ROWS`] rows.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.rows + batch.num_rows() > BATCH_ROWS {
            self.flush()?;
        }
        self.rows += batch.num_rows();
        self.pending.push(batch);
        if self.rows == BATCH_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// Makes a batch of what is pending.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let batch = match self.pending.len() {
            0 => return Ok(()),
            1 => self.pending.pop(),
            _ => Some(concat_batches(&self.schema, &self.pending)?),
        };
        self.ready.extend(batch);
        self.pending.clear();
        self.rows = 0;
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<RecordBatch> {
        self.ready.pop_front()
    }
}
