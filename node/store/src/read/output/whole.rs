//! Whole vectors, one behind the other, that nothing was read of yet: they are decoded into the output's own arrays,
//! rather than each into some of its own that are copied together then.

use std::sync::Arc;

use activestore_sst::WideColumn;
use activestore_types::{BatchColumn, ColumnId, Error, Result};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::FieldRef;
use arrow::record_batch::RecordBatch;

use super::{Pick, Picker, record_batch};
use crate::read::codes::{CodedColumn, is_coded};
use crate::read::scan::piece::{Pieces, Vector};

/// Fewer of them go the way of others: one alone is handed out as it was decoded.
const VECTORS_MIN: usize = 2;

impl Picker {
    /// The picked rows, where they are such vectors; the picker is empty then.
    ///
    /// # Errors
    /// What reading them says.
    pub(crate) fn finish_whole(&mut self, pieces: &mut Pieces) -> Result<Option<RecordBatch>> {
        if self.picks.len() < VECTORS_MIN || self.schema.fields().is_empty() {
            return Ok(None);
        }
        let Some(vectors) = self.unread(pieces) else {
            return Ok(None);
        };
        let arrays = self.decode_whole(&vectors, pieces)?;
        pieces.stats.vectors_read += vectors.len() as u64;
        let bytes = arrays.iter().map(Array::get_buffer_memory_size);
        pieces.stats.bytes_decoded += bytes.sum::<usize>() as u64;
        let rows = std::mem::take(&mut self.rows);
        self.picks.clear();
        record_batch(&self.schema, arrays, rows).map(Some)
    }

    /// What is looked at of the picked rows, where they are such vectors and it is cells of 64 bits; the vectors know it
    /// then.
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
        let Some(vectors) = self.unread(pieces).filter(|_| !wide.is_empty()) else {
            return Ok(None);
        };
        for (_, vector) in &vectors {
            vector.add_to(&mut wide, &mut [], &[], &[])?;
        }
        let arrays = wide.into_iter().map(WideColumn::finish);
        let arrays = arrays.collect::<Result<Vec<ArrayRef>>>()?;
        let mut start = 0;
        for (_, vector) in &vectors {
            start += vector.know(ids, &arrays, start);
        }
        pieces.stats.vectors_read += vectors.len() as u64;
        let bytes = arrays.iter().map(Array::get_buffer_memory_size);
        pieces.stats.bytes_decoded += bytes.sum::<usize>() as u64;
        Ok(Some(arrays))
    }

    /// The vectors, with their pieces, that the picked rows are; `None` where they are anything else.
    fn unread(&self, pieces: &Pieces) -> Option<Vec<(usize, Arc<Vector>)>> {
        let unread = |pick: &Pick| match pick {
            Pick::Rows(span) => Some((span.piece, pieces.unread(span)?)),
            Pick::Cells(_) => None,
        };
        self.picks.iter().map(unread).collect()
    }

    fn decode_whole(
        &self,
        vectors: &[(usize, Arc<Vector>)],
        pieces: &Pieces,
    ) -> Result<Vec<ArrayRef>> {
        let (mut wide, mut coded, mut apart) = (Vec::new(), Vec::new(), Vec::new());
        for (field, id) in self.schema.fields().iter().zip(pieces.wanted()) {
            if let Some(column) = WideColumn::new(*id, field.data_type(), self.rows) {
                wide.push(column);
            } else if is_coded(field.data_type()) {
                coded.push(CodedColumn::new(*id, self.rows));
            } else {
                apart.push(*id);
            }
        }
        let mut read: Vec<(usize, Vec<BatchColumn>)> = Vec::with_capacity(vectors.len());
        for (piece, vector) in vectors {
            let columns = vector.add_to(&mut wide, &mut coded, &apart, pieces.codes())?;
            read.push((*piece, columns));
        }
        let (mut wide, mut coded) = (wide.into_iter().peekable(), coded.into_iter().peekable());
        let mut arrays = Vec::with_capacity(self.schema.fields().len());
        for (place, field) in self.schema.fields().iter().enumerate() {
            let id = pieces.wanted().get(place).copied();
            let id = id.ok_or_else(|| Error::internal("a column of the output is not read"))?;
            if let Some(column) = wide.next_if(|column| column.id() == id) {
                arrays.push(column.finish()?);
                continue;
            }
            if let Some(column) = coded.next_if(|column| column.id() == id) {
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
