//! Columns of text in the making, of rows of vectors one behind the other.

use std::ops::Range;
use std::sync::Arc;

use activestore_sst::SequentialReader;
use activestore_types::{ColumnId, Result, RowBatch};
use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::datatypes::DataType as ArrowType;

use super::{Coded, by_codes, is_coded, not_text, runs, too_long};
use crate::read::copy::{Span, outside};

/// Up to so many stretches of up to so many rows of text that stands for itself are read apart.
const FEW_STRETCHES: usize = 2;
const FEW_ROWS: usize = 64;

/// Whether a column of the output is text, by codes or not.
pub(crate) fn is_text_type(kind: &ArrowType) -> bool {
    is_coded(kind) || *kind == ArrowType::Utf8
}

/// A column of text. Rows of one value are taken together, whether it is to leave by codes or not.
pub(crate) struct CodedColumn {
    id: ColumnId,
    /// Whether it leaves by codes.
    is_coded: bool,
    out: Coded,
}

impl CodedColumn {
    /// A column of so many rows; `None` where it is not text.
    pub(crate) fn new(id: ColumnId, kind: &ArrowType, rows: usize) -> Option<Self> {
        is_text_type(kind).then(|| CodedColumn {
            id,
            is_coded: is_coded(kind),
            out: Coded::new(rows),
        })
    }

    /// Which column.
    pub(crate) fn id(&self) -> ColumnId {
        self.id
    }

    /// Adds cells of a vector: those of these rows, which ascend.
    ///
    /// # Errors
    /// What reading it says; `Overloaded` where the text is more than a column can hold.
    pub(crate) fn add(
        &mut self,
        reader: &mut SequentialReader,
        vector: usize,
        wanted: &[Range<usize>],
    ) -> Result<()> {
        let rows = reader.sst().vector_rows(vector);
        if let Some(runs) = runs(reader, vector, self.id)? {
            let codes = reader.codes(self.id)?;
            let ends = runs.iter().skip(1).map(|(start, _)| *start);
            let mut runs = runs.iter().zip(ends.chain([rows])).peekable();
            for wanted in wanted {
                let mut at = wanted.start;
                while at < wanted.end
                    && let Some(((_, code), end)) = runs.peek()
                {
                    let to = wanted.end.min(*end);
                    if at < to {
                        self.out.push_run(codes.value(*code)?, to - at)?;
                        at = to;
                    }
                    if to == *end || *end <= at {
                        runs.next();
                    }
                }
            }
            return Ok(());
        }
        let count: usize = wanted.iter().map(Range::len).sum();
        if wanted.len() <= FEW_STRETCHES && count <= FEW_ROWS {
            for wanted in wanted {
                let read = reader.read_rows(vector, wanted.clone(), &[self.id])?;
                self.add_read(&read, std::slice::from_ref(&(0..wanted.len())))?;
            }
            return Ok(());
        }
        // Each read of some of its rows unpacks what the others need too.
        let read = reader.read(vector, &[self.id])?;
        self.add_read(&read, wanted)
    }

    /// Adds cells that were read; NULL where the file has none.
    fn add_read(&mut self, read: &RowBatch, wanted: &[Range<usize>]) -> Result<()> {
        let Some(column) = read.columns.first() else {
            self.out.push_nulls(wanted.iter().map(Range::len).sum());
            return Ok(());
        };
        let text: &StringArray = column.array.as_string_opt().ok_or_else(not_text)?;
        for wanted in wanted {
            if wanted.end > text.len() {
                return Err(outside());
            }
            let span = Span {
                start: wanted.start,
                ..Span::all(0, wanted.len())
            };
            self.out.push_text(text, span)?;
        }
        Ok(())
    }

    /// The rows that came.
    ///
    /// # Errors
    /// `Internal` for codes without their values; `Overloaded` where the text is more than a column can hold.
    pub(crate) fn finish(mut self) -> Result<ArrayRef> {
        let values = self.out.values.finish();
        if self.is_coded {
            return by_codes(self.out.keys, values, self.out.nulls);
        }
        let mut nulls = self.out.nulls;
        let nulls = nulls.finish();
        let keys = self.out.keys.iter().map(|key| usize::try_from(*key).ok());
        let present = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let mut bytes = 0_usize;
        let mut text = StringBuilder::with_capacity(keys.len(), self.out.bytes);
        for (row, key) in keys.enumerate() {
            let value = key.filter(|key| present(row) && *key < values.len());
            let value = value.map(|key| values.value(key));
            bytes += value.map_or(0, str::len);
            if i32::try_from(bytes).is_err() {
                return Err(too_long());
            }
            text.append_option(value);
        }
        Ok(Arc::new(text.finish()))
    }
}
