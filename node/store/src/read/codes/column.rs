//! A column by codes of whole vectors.

use activestore_sst::SequentialReader;
use activestore_types::{ColumnId, Result};
use arrow::array::{Array, ArrayRef, AsArray};

use super::{Coded, by_codes, not_text, runs};
use crate::read::copy::Span;

/// A column by codes in the making, of whole vectors one behind the other.
pub(crate) struct CodedColumn {
    id: ColumnId,
    out: Coded,
}

impl CodedColumn {
    /// A column of so many rows.
    pub(crate) fn new(id: ColumnId, rows: usize) -> Self {
        CodedColumn {
            id,
            out: Coded::new(rows),
        }
    }

    /// Which column.
    pub(crate) fn id(&self) -> ColumnId {
        self.id
    }

    /// Adds a vector.
    ///
    /// # Errors
    /// What reading it says; `Overloaded` where the text is more than a column can hold.
    pub(crate) fn add(&mut self, reader: &mut SequentialReader, vector: usize) -> Result<()> {
        let rows = reader.sst().vector_rows(vector);
        if let Some(runs) = runs(reader, vector, self.id)? {
            let codes = reader.sst().codes(self.id)?;
            let ends = runs.iter().skip(1).map(|(start, _)| *start);
            for ((start, code), end) in runs.iter().zip(ends.chain([rows])) {
                let value = codes.value(*code)?;
                self.out.push_run(value, end.saturating_sub(*start))?;
            }
            return Ok(());
        }
        let read = reader.read(vector, &[self.id])?;
        let Some(column) = read.columns.first() else {
            self.out.push_nulls(rows);
            return Ok(());
        };
        let text = column.array.as_string_opt::<i32>().ok_or_else(not_text)?;
        self.out.push_text(text, Span::all(0, text.len()))
    }

    /// The rows that came.
    ///
    /// # Errors
    /// `Internal` for codes without their values.
    pub(crate) fn finish(mut self) -> Result<ArrayRef> {
        by_codes(self.out.keys, self.out.values.finish(), self.out.nulls)
    }
}
