//! Whole vectors of which nothing was read yet.

use std::sync::Arc;

use activestore_sst::WideColumn;
use activestore_types::{BatchColumn, ColumnId, Result};
use arrow::array::{Array, ArrayRef};

use super::{Held, Pieces, Vector};
use crate::read::codes::CodedColumn;
use crate::read::copy::Span;

impl Vector {
    /// Adds its cells to columns in the making, and reads those of `apart`, text by codes where it is among `codes`.
    ///
    /// # Errors
    /// What reading it says.
    pub(crate) fn add_to(
        &self,
        wide: &mut [WideColumn],
        coded: &mut [CodedColumn],
        apart: &[ColumnId],
        codes: &[ColumnId],
    ) -> Result<Vec<BatchColumn>> {
        let mut reader = self.reader.lock();
        if !(coded.is_empty() && apart.is_empty()) {
            // Fetched together, since the file is read in stretches.
            let beside = coded
                .iter()
                .map(CodedColumn::id)
                .chain(apart.iter().copied());
            reader.fetch(self.index, wide.iter().map(WideColumn::id).chain(beside))?;
        }
        if !wide.is_empty() {
            reader.read_wide(self.index, wide)?;
        }
        for column in coded {
            column.add(&mut reader, self.index)?;
        }
        drop(reader);
        if apart.is_empty() {
            return Ok(Vec::new());
        }
        self.read(apart, codes)
    }

    /// Notes cells that were read with those of others, its own from `start` on; how many rows it has.
    ///
    /// Whose rows are all handed out as they are is merged with nothing, so that it does not matter which are set.
    pub(crate) fn know(&self, ids: &[ColumnId], arrays: &[ArrayRef], start: usize) -> usize {
        let rows = self.sst.vector_rows(self.index);
        let column = |(id, array): (&ColumnId, &ArrayRef)| BatchColumn {
            id: *id,
            array: array.slice(start, rows.min(array.len().saturating_sub(start))),
            set: None,
        };
        self.ahead
            .get_or_init(|| ids.iter().zip(arrays).map(column).collect());
        rows
    }
}

impl Pieces {
    /// The vector that all rows of a span are, in their order, while nothing was read of it.
    pub(crate) fn unread(&self, span: &Span) -> Option<Arc<Vector>> {
        let piece = self.list.get(span.piece)?;
        let Held::Vector(vector) = &piece.held else {
            return None;
        };
        let whole = span.start == 0 && !span.reverse && vector.part.is_none();
        let unread = vector.cells.get().is_none() && vector.ahead.get().is_none();
        let all = || span.rows == vector.sst.vector_rows(vector.index);
        (whole && unread && all()).then(|| Arc::clone(vector))
    }

    /// Those of the wanted columns that are read by codes.
    pub(crate) fn codes(&self) -> &[ColumnId] {
        &self.codes
    }
}
