//! Rows that a reader has no use for, found out by the columns that it looks at, before the others are read.

use std::fmt;
use std::sync::Arc;

use activestore_types::{ColumnId, Error, Result};
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::{FieldRef, Schema};
use arrow::record_batch::RecordBatch;

use super::{Pick, Picker, record_batch};
use crate::read::copy::Span;
use crate::read::scan::piece::Pieces;

/// Rows that are looked at before it shows whether looking is worth it.
const TRIED_ROWS: u64 = 65_536;

/// What a reader wants of a row, apart from its key.
pub trait RowFilter: fmt::Debug + Send + Sync {
    /// The columns that it looks at, all of them among those that the scan reads.
    fn columns(&self) -> &[ColumnId];

    /// Of which rows it holds; NULL does not. The batch has its columns, in their order, and `bounds` says of those of whole
    /// numbers and moments between which values, both inclusive, all of theirs lie, where that is known and none is NULL.
    ///
    /// # Errors
    /// What keeps it from saying.
    fn holds(&self, rows: &RecordBatch, bounds: &[Option<(i64, i64)>]) -> Result<BooleanArray>;
}

/// How a filter did so far.
#[derive(Debug, Default)]
pub(crate) struct Filtered {
    pub(crate) seen: u64,
    pub(crate) dropped: u64,
}

impl Filtered {
    /// Whether it drops too little to be asked again: whoever reads the rows asks anyway.
    pub(crate) fn is_idle(&self) -> bool {
        self.seen >= TRIED_ROWS && self.dropped < self.seen / 4
    }
}

impl Picker {
    /// Lets go of picked rows that the filter does not hold of.
    ///
    /// # Errors
    /// What keeps the columns from being read, or the filter from saying.
    pub(crate) fn keep(
        &mut self,
        filter: &dyn RowFilter,
        pieces: &mut Pieces,
        filtered: &mut Filtered,
    ) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut fields = Vec::new();
        let mut places = Vec::new();
        for id in filter.columns() {
            let place = pieces.wanted().iter().position(|wanted| wanted == id);
            let field = place.and_then(|place| Some((place, self.schema.fields().get(place)?)));
            let Some((place, field)) = field else {
                return Err(Error::internal("a filter of columns that are not read"));
            };
            places.push(place);
            fields.push(field.clone());
        }
        let arrays = match self.ahead_whole(filter.columns(), &fields, pieces)? {
            Some(arrays) => arrays,
            None => self.ahead(&places, &fields, pieces)?,
        };
        let ids = filter.columns().iter();
        let bounds: Vec<_> = ids.map(|id| self.bounds(*id, pieces)).collect();
        let schema = Arc::new(Schema::new(fields));
        let holds = filter.holds(&record_batch(&schema, arrays, self.rows)?, &bounds)?;
        if holds.len() != self.rows {
            return Err(Error::internal(
                "a filter that leaves rows out of its answer",
            ));
        }
        let before = self.rows;
        self.keep_where(&holds);
        filtered.seen += before as u64;
        filtered.dropped += (before - self.rows) as u64;
        Ok(())
    }

    /// What is looked at of the picked rows: these fields, at these places among the wanted columns.
    fn ahead(
        &self,
        places: &[usize],
        fields: &[FieldRef],
        pieces: &mut Pieces,
    ) -> Result<Vec<ArrayRef>> {
        for piece in self.used(pieces.count()) {
            pieces.load_ahead(piece)?;
        }
        let singles = self.singles();
        let column = |(place, field): (&usize, &FieldRef)| {
            let held: Vec<Option<&ArrayRef>> = (0..pieces.count())
                .map(|piece| pieces.ahead(piece, *place))
                .collect();
            self.column(*place, field, &held, singles.as_ref())
        };
        places.iter().zip(fields).map(column).collect()
    }

    /// Between which numbers or moments the cells of a column lie, by the indexes of the files; `None` where that is not
    /// known of all picked rows.
    fn bounds(&self, id: ColumnId, pieces: &Pieces) -> Option<(i64, i64)> {
        if self.cells.is_empty() {
            let used = self.used(pieces.count());
            let mut bounds = used.into_iter().map(|piece| pieces.bounds(piece, id));
            let first = bounds.next()??;
            return bounds.try_fold(first, |(low, high), bounds| {
                let (least, greatest) = bounds?;
                Some((low.min(least), high.max(greatest)))
            });
        }
        None
    }

    /// Keeps the rows that it holds of.
    fn keep_where(&mut self, holds: &BooleanArray) {
        // NULL does not hold.
        let held = match holds.nulls() {
            Some(valid) => holds.values() & valid.inner(),
            None => holds.values().clone(),
        };
        let mut stretches = held.set_slices();
        let mut stretch = stretches.next();
        let mut kept = Vec::with_capacity(self.picks.len());
        let (mut rows, mut at) = (0, 0);
        for pick in &self.picks {
            let end = match pick {
                Pick::Rows(span) => at + span.rows,
                Pick::Cells(_) => at + 1,
            };
            while let Some((from, to)) = stretch
                && from < end
            {
                let (first, last) = (from.max(at), to.min(end));
                rows += last - first;
                kept.push(match pick {
                    Pick::Rows(span) => Pick::Rows(Span {
                        start: if span.reverse {
                            span.start + (end - last)
                        } else {
                            span.start + (first - at)
                        },
                        rows: last - first,
                        ..*span
                    }),
                    Pick::Cells(_) => *pick,
                });
                if to > end {
                    // It goes on in the next pick.
                    break;
                }
                stretch = stretches.next();
            }
            at = end;
        }
        self.picks = kept;
        self.rows = rows;
        if rows == 0 {
            self.cells.clear();
        }
    }
}
