//! Vectors of which nothing but what is looked at first was read: their rows go into columns in the making.

use std::ops::Range;
use std::sync::Arc;

use activestore_sst::{WideColumn, ZoneValue};
use activestore_types::{BatchColumn, ColumnId, Result};
use arrow::array::{Array, ArrayRef};

use super::{Held, Pieces, Vector};
use crate::read::codes::CodedColumn;
use crate::read::copy::Span;
use crate::read::covering::{Covering, Known};

/// Rows of a vector: some, ascending, or all.
pub(crate) struct Picked {
    pub(crate) piece: usize,
    pub(crate) vector: Arc<Vector>,
    pub(crate) rows: Vec<Range<usize>>,
}

impl Picked {
    /// Whether it is all of them.
    pub(crate) fn is_whole(&self) -> bool {
        let all = 0..self.vector.rows();
        matches!(self.rows.as_slice(), [rows] if *rows == all)
    }

    /// Adds the cells to columns in the making, and reads those of `apart` of all rows, text by codes where it is among
    /// `codes`.
    ///
    /// # Errors
    /// What reading them says.
    pub(crate) fn add_to(
        &self,
        wide: &mut [WideColumn],
        text: &mut [CodedColumn],
        apart: &[ColumnId],
        codes: &[ColumnId],
    ) -> Result<Vec<BatchColumn>> {
        let vector = &self.vector;
        let ahead = vector.ahead.get().map_or(&[][..], Vec::as_slice);
        let mut reader = vector.reader.lock();
        let unread = |id: &ColumnId| ahead.iter().all(|column| column.id != *id);
        if !(text.is_empty() && apart.is_empty()) {
            // Fetched together, since the file is read in stretches.
            let wide = wide.iter().map(WideColumn::id).filter(unread);
            let text = text.iter().map(CodedColumn::id);
            reader.fetch(vector.index, wide.chain(text).chain(apart.iter().copied()))?;
        }
        let some = (!self.is_whole()).then_some(self.rows.as_slice());
        let left = wide.iter_mut().filter(|column| unread(&column.id()));
        reader.read_wide(vector.index, some, left)?;
        for column in wide {
            let id = column.id();
            if let Some(read) = ahead.iter().find(|column| column.id == id) {
                column.add_read(&read.array, &self.rows)?;
            }
        }
        for column in text {
            column.add(&mut reader, vector.index, &self.rows)?;
        }
        drop(reader);
        if apart.is_empty() {
            return Ok(Vec::new());
        }
        vector.read(apart, codes)
    }
}

impl Vector {
    fn rows(&self) -> usize {
        self.sst.vector_rows(self.index)
    }

    /// Notes cells that were read with those of others, its own from `start` on; how many rows it has.
    ///
    /// Whose rows are all handed out as they are is merged with nothing, so that it does not matter which are set.
    pub(crate) fn know(&self, ids: &[ColumnId], arrays: &[ArrayRef], start: usize) -> usize {
        let rows = self.rows();
        let column = |(id, array): (&ColumnId, &ArrayRef)| BatchColumn {
            id: *id,
            array: array.slice(start, rows.min(array.len().saturating_sub(start))),
            set: None,
        };
        self.ahead
            .get_or_init(|| ids.iter().zip(arrays).map(column).collect());
        rows
    }

    /// Whether something of it was looked at first.
    pub(crate) fn is_known(&self) -> bool {
        self.ahead.get().is_some()
    }
}

impl Pieces {
    /// The vectors that rows in these spans are of, one behind the other; `None` where some are of anything else, come in
    /// reverse, or are of a vector that was read.
    pub(crate) fn picked(&self, spans: impl Iterator<Item = Option<Span>>) -> Option<Vec<Picked>> {
        let mut picked: Vec<Picked> = Vec::new();
        for span in spans {
            let span = span.filter(|span| !span.reverse)?;
            let rows = span.start..span.start + span.rows;
            match picked.last_mut() {
                Some(last)
                    if last.piece == span.piece
                        && last.rows.last().is_some_and(|last| last.end <= rows.start) =>
                {
                    match last.rows.last_mut() {
                        Some(last) if last.end == rows.start => last.end = rows.end,
                        _ => last.rows.push(rows),
                    }
                }
                _ => {
                    let Held::Vector(vector) = &self.list.get(span.piece)?.held else {
                        return None;
                    };
                    if vector.part.is_some() || vector.cells.get().is_some() {
                        return None;
                    }
                    picked.push(Picked {
                        piece: span.piece,
                        vector: Arc::clone(vector),
                        rows: vec![rows],
                    });
                }
            }
        }
        Some(picked)
    }

    /// Between which numbers or moments the cells of a vector lie, where all have a value.
    pub(crate) fn bounds(&self, piece: usize, column: ColumnId) -> Option<(i64, i64)> {
        let Held::Vector(vector) = &self.list.get(piece)?.held else {
            return None;
        };
        let summary = vector.sst.summary(vector.index, column).ok()?;
        match summary.bounds {
            Some((ZoneValue::Int(low), ZoneValue::Int(high))) if summary.missing == 0 => {
                Some((low, high))
            }
            _ => None,
        }
    }

    /// Whether somebody takes all rows of a vector, of which so many show and nothing was read, by what is known of it.
    ///
    /// # Errors
    /// What looking at it says.
    pub(crate) fn is_covered(
        &self,
        piece: usize,
        rows: usize,
        covering: &dyn Covering,
    ) -> Result<bool> {
        match self.list.get(piece).map(|piece| &piece.held) {
            Some(Held::Vector(vector)) if rows == vector.rows() => {
                covering.cover(&Known::of(&vector.sst, vector.index))
            }
            _ => Ok(false),
        }
    }

    /// Those of the wanted columns that are read by codes.
    pub(crate) fn codes(&self) -> &[ColumnId] {
        &self.codes
    }
}
