//! Rows of vectors, one behind the other, that nothing was read of yet but what is looked at first: they are decoded into
//! the output's own arrays, rather than each vector into some of its own that rows are copied from then.

use std::ops::Range;

use activestore_sst::{WideColumn, is_wide_type};
use activestore_types::{BatchColumn, ColumnId, Error, Result};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::FieldRef;
use arrow::record_batch::RecordBatch;

use super::{Pick, Picker, record_batch};
use crate::read::codes::{CodedColumn, is_text_type};
use crate::read::scan::piece::{Picked, Pieces};

/// Rows of a vector that are worth to be read without the others.
const FEW_ROWS: usize = 64;

impl Picker {
    /// The picked rows, where they are of such vectors; the picker is empty then.
    ///
    /// # Errors
    /// What reading them says.
    pub(crate) fn finish_unread(&mut self, pieces: &mut Pieces) -> Result<Option<RecordBatch>> {
        if self.schema.fields().is_empty() {
            return Ok(None);
        }
        let Some(picked) = self.picked(pieces) else {
            return Ok(None);
        };
        let known = |picked: &Picked| picked.vector.is_known();
        match picked.as_slice() {
            // One alone is handed out as it was decoded.
            [one] if one.is_whole() && !known(one) => return Ok(None),
            // Vectors that rows come from in turn are decoded once for all of them.
            many if !are_distinct(many) => return Ok(None),
            _ => {}
        }
        let count = |picked: &Picked| picked.rows.iter().map(Range::len).sum::<usize>();
        let few = |picked: &Picked| !picked.is_whole() && count(picked) <= FEW_ROWS;
        if self.has_apart() && picked.iter().any(few) {
            // Cells of other lengths are read one by one there.
            return Ok(None);
        }
        let arrays = self.decode(&picked, pieces)?;
        let unknown = picked.iter().filter(|picked| !known(picked)).count();
        pieces.stats.vectors_read += unknown as u64;
        let bytes = arrays.iter().map(Array::get_buffer_memory_size);
        pieces.stats.bytes_decoded += bytes.sum::<usize>() as u64;
        let rows = std::mem::take(&mut self.rows);
        self.picks.clear();
        self.cells.clear();
        record_batch(&self.schema, arrays, rows).map(Some)
    }

    /// What is looked at of the picked rows, where they are whole vectors of which nothing was read, and it is cells of 64
    /// bits; the vectors know it then.
    ///
    /// # Errors
    /// What reading it says.
    pub(super) fn ahead_whole(
        &self,
        ids: &[ColumnId],
        fields: &[FieldRef],
        pieces: &mut Pieces,
    ) -> Result<Option<Vec<ArrayRef>>> {
        let column = |(id, field): (&ColumnId, &FieldRef)| {
            WideColumn::new(*id, field.data_type(), self.rows)
        };
        let columns = ids.iter().zip(fields).map(column);
        let Some(mut wide) = columns.collect::<Option<Vec<WideColumn>>>() else {
            return Ok(None);
        };
        let whole = |picked: &Picked| picked.is_whole() && !picked.vector.is_known();
        let picked = self
            .picked(pieces)
            .filter(|picked| picked.iter().all(whole));
        let Some(picked) = picked.filter(|_| !wide.is_empty()) else {
            return Ok(None);
        };
        for picked in &picked {
            picked.add_to(&mut wide, &mut [], &[], &[])?;
        }
        let arrays = wide.into_iter().map(WideColumn::finish);
        let arrays = arrays.collect::<Result<Vec<ArrayRef>>>()?;
        let mut start = 0;
        for picked in &picked {
            start += picked.vector.know(ids, &arrays, start);
        }
        pieces.stats.vectors_read += picked.len() as u64;
        let bytes = arrays.iter().map(Array::get_buffer_memory_size);
        pieces.stats.bytes_decoded += bytes.sum::<usize>() as u64;
        Ok(Some(arrays))
    }

    /// Whether it has columns that are read vector by vector.
    fn has_apart(&self) -> bool {
        let mut fields = self.schema.fields().iter();
        fields.any(|field| !is_wide_type(field.data_type()) && !is_text_type(field.data_type()))
    }

    fn picked(&self, pieces: &Pieces) -> Option<Vec<Picked>> {
        pieces.picked(self.picks.iter().map(|pick| match pick {
            Pick::Rows(span) => Some(*span),
            Pick::Cells(_) => None,
        }))
    }

    fn decode(&self, picked: &[Picked], pieces: &Pieces) -> Result<Vec<ArrayRef>> {
        let (mut wide, mut text, mut apart) = (Vec::new(), Vec::new(), Vec::new());
        for (field, id) in self.schema.fields().iter().zip(pieces.wanted()) {
            let kind = field.data_type();
            if let Some(column) = WideColumn::new(*id, kind, self.rows) {
                wide.push(column);
            } else if let Some(column) = CodedColumn::new(*id, kind, self.rows) {
                text.push(column);
            } else {
                apart.push(*id);
            }
        }
        let mut read: Vec<(usize, Vec<BatchColumn>)> = Vec::with_capacity(picked.len());
        for picked in picked {
            let columns = picked.add_to(&mut wide, &mut text, &apart, pieces.codes())?;
            read.push((picked.piece, columns));
        }
        let (mut wide, mut text) = (wide.into_iter().peekable(), text.into_iter().peekable());
        let mut arrays = Vec::with_capacity(self.schema.fields().len());
        for (place, field) in self.schema.fields().iter().enumerate() {
            let id = pieces.wanted().get(place).copied();
            let id = id.ok_or_else(|| Error::internal("a column of the output is not read"))?;
            if let Some(column) = wide.next_if(|column| column.id() == id) {
                arrays.push(column.finish()?);
                continue;
            }
            if let Some(column) = text.next_if(|column| column.id() == id) {
                arrays.push(column.finish()?);
                continue;
            }
            let mut held: Vec<Option<&ArrayRef>> = vec![None; pieces.count()];
            for (piece, columns) in &read {
                let column = columns.iter().find(|column| column.id == id);
                if let (Some(slot), Some(column)) = (held.get_mut(*piece), column) {
                    *slot = Some(&column.array);
                }
            }
            arrays.push(self.column(place, field, &held, None)?);
        }
        Ok(arrays)
    }
}

fn are_distinct(picked: &[Picked]) -> bool {
    let mut pieces: Vec<usize> = picked.iter().map(|picked| picked.piece).collect();
    pieces.sort_unstable();
    pieces.windows(2).all(|pair| pair.first() != pair.last())
}
