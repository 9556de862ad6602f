//! Output: rows picked from pieces become record batches of at most [`BATCH_ROWS`] rows.

use std::collections::VecDeque;
use std::sync::Arc;

use activestore_types::{ColumnId, Error, Result, TableSchema};
use arrow::array::{Array, ArrayRef};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::codes::{copy_codes, copy_texts, is_coded, is_text};
use super::copy::{Singles, Span, Stretch, copy_column, copy_singly};
use super::piece::Fragment;
use super::resolve::Cells;
use super::scan::piece::Pieces;

mod by_vector;
mod filter;
mod narrow;
mod whole;

pub(crate) use filter::Filtered;
pub use filter::RowFilter;

/// Rows of an output batch, at most.
pub(crate) const BATCH_ROWS: usize = 8192;

/// Rows of a batch that is large enough to be handed out by itself.
const LARGE_ROWS: usize = 1024;

/// Stretches shorter than this many rows on average count as single rows.
const SINGLY: usize = 4;

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

/// What is picked, in order.
#[derive(Clone, Copy)]
enum Pick {
    /// Rows of a piece as they are.
    Rows(Span),
    /// One row put together from cells, the n-th of those.
    Cells(usize),
}

/// Adds rows as they are; those that lie right behind the last ones are one pick with them.
fn push_span(picks: &mut Vec<Pick>, span: Span) {
    match picks.last_mut() {
        Some(Pick::Rows(before)) if before.adjoins(&span) => before.rows += span.rows,
        _ => picks.push(Pick::Rows(span)),
    }
}

/// Rows that were picked and not yet copied.
pub(crate) struct Picker {
    schema: SchemaRef,
    picks: Vec<Pick>,
    /// The cells of the rows that were put together, one for each column; `None` is NULL.
    cells: Vec<Option<(usize, usize)>>,
    rows: usize,
}

impl Picker {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Picker {
            schema,
            picks: Vec::new(),
            cells: Vec::new(),
            rows: 0,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a resolved row.
    pub(crate) fn push(&mut self, fragments: &[Fragment], winners: &[Option<usize>]) {
        if let [only] = fragments
            && winners.iter().all(|winner| *winner == Some(0))
        {
            self.push_rows(Span {
                piece: only.piece,
                start: only.row,
                rows: 1,
                reverse: false,
            });
            return;
        }
        self.rows += 1;
        let columns = self.schema.fields().len();
        self.picks
            .push(Pick::Cells(self.cells.len() / columns.max(1)));
        for winner in winners {
            let fragment = winner.and_then(|place| fragments.get(place));
            self.cells
                .push(fragment.map(|fragment| (fragment.piece, fragment.row)));
        }
    }

    /// Adds rows of a piece that need no resolving.
    pub(crate) fn push_rows(&mut self, span: Span) {
        self.rows += span.rows;
        push_span(&mut self.picks, span);
    }

    /// Copies the picked rows together; the picker is empty afterwards.
    pub(crate) fn finish<P: Cells>(&mut self, pieces: &mut P) -> Result<RecordBatch> {
        for piece in self.used(pieces.pieces()) {
            pieces.load(piece)?;
        }
        let pieces = &*pieces;
        let singles = self.singles();
        let columns = self.schema.fields().len();
        let mut arrays = Vec::with_capacity(columns);
        for (place, field) in self.schema.fields().iter().enumerate() {
            let held: Vec<Option<&ArrayRef>> = (0..pieces.pieces())
                .map(|piece| pieces.array(piece, place))
                .collect();
            arrays.push(self.column(place, field, &held, singles.as_ref())?);
        }
        let rows = std::mem::take(&mut self.rows);
        self.picks.clear();
        self.cells.clear();
        record_batch(&self.schema, arrays, rows)
    }

    /// The pieces that something is picked from, of so many.
    fn used(&self, pieces: usize) -> Vec<usize> {
        let mut used = vec![false; pieces];
        let from_picks = self.picks.iter().filter_map(|pick| match pick {
            Pick::Rows(span) => Some(span.piece),
            Pick::Cells(_) => None,
        });
        let from_cells = self.cells.iter().flatten().map(|(piece, _)| *piece);
        for piece in from_picks.chain(from_cells) {
            if let Some(used) = used.get_mut(piece) {
                *used = true;
            }
        }
        (0..pieces)
            .filter(|piece| used.get(*piece) == Some(&true))
            .collect()
    }

    /// Rows that come singly from many places are copied by a loop of their own.
    fn singles(&self) -> Option<Singles> {
        if self.picks.len() * SINGLY <= self.rows {
            return None;
        }
        let spans = self.picks.iter().map(|pick| match pick {
            Pick::Rows(span) => Some(*span),
            Pick::Cells(_) => None,
        });
        Singles::of(spans, self.rows)
    }

    /// The picked rows of the column at a place, of which the pieces hold these arrays.
    fn column(
        &self,
        place: usize,
        field: &Field,
        held: &[Option<&ArrayRef>],
        singles: Option<&Singles>,
    ) -> Result<ArrayRef> {
        let kind = field.data_type();
        let misfit =
            |array: &&ArrayRef| array.data_type() != kind && !is_text(array.data_type(), kind);
        if held.iter().flatten().any(misfit) {
            return Err(Error::corrupt(format!(
                "column '{}' is stored with another type than {kind}",
                field.name()
            )));
        }
        if let [Pick::Rows(span)] = self.picks.as_slice()
            && !span.reverse
            && let Some(Some(array)) = held.get(span.piece)
            && array.data_type() == kind
            && array.len() == span.rows
        {
            // A vector as it was decoded.
            return Ok(Arc::clone(array));
        }
        let columns = self.schema.fields().len();
        let stretches = self.picks.iter().map(|pick| match pick {
            Pick::Rows(span) => Stretch::Cells(*span),
            Pick::Cells(row) => match self.cells.get(row * columns + place) {
                Some(Some((piece, row))) => Stretch::Cells(Span {
                    piece: *piece,
                    start: *row,
                    rows: 1,
                    reverse: false,
                }),
                _ => Stretch::Nulls(1),
            },
        });
        if is_coded(kind) {
            return copy_codes(self.rows, held, stretches);
        }
        if held
            .iter()
            .flatten()
            .any(|array| is_coded(array.data_type()))
        {
            return copy_texts(self.rows, held, stretches);
        }
        let singly = match singles {
            Some(singles) => copy_singly(kind, held, singles)?,
            None => None,
        };
        match singly {
            Some(array) => Ok(array),
            None => copy_column(kind, self.rows, held, stretches),
        }
    }
}

/// Joins small batches into large ones, in order where that matters.
pub(crate) struct Coalescer {
    schema: SchemaRef,
    is_in_order: bool,
    pending: Vec<RecordBatch>,
    rows: usize,
    ready: VecDeque<RecordBatch>,
}

impl Coalescer {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Coalescer {
            schema,
            is_in_order: true,
            pending: Vec::new(),
            rows: 0,
            ready: VecDeque::new(),
        }
    }

    /// The same for batches whose order does not matter: large ones need not wait for small ones, nor be copied.
    pub(crate) fn in_any_order(mut self) -> Self {
        self.is_in_order = false;
        self
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

    /// Adds what was picked, as one batch; `is_filtered` says that a vector may have few rows of it.
    pub(crate) fn push_picked(
        &mut self,
        picker: &mut Picker,
        pieces: &mut Pieces,
        is_filtered: bool,
    ) -> Result<()> {
        if picker.rows() == 0 {
            return Ok(());
        }
        let batch = match picker.finish_unread(pieces)? {
            Some(batch) => batch,
            None => {
                if is_filtered {
                    picker.narrow(pieces);
                }
                picker.finish(pieces)?
            }
        };
        if !self.is_in_order && batch.num_rows() >= LARGE_ROWS {
            self.ready.push_back(batch);
            return Ok(());
        }
        self.push(batch)
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
