//! Columns of 64-bit cells, several vectors of them read into one array.

use std::ops::Range;

use activestore_types::{ColumnId, Error, Result};
use arrow::array::{Array, ArrayData, ArrayRef, NullBufferBuilder, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType as ArrowType, TimeUnit};

use super::ahead::SequentialReader;
use super::layout::At;
use super::room::Room;
use super::{Dictionary, Reading, Sst};
use crate::block::vector::{decode_wide, decode_wide_rows, is_wide, pick};
use crate::footer::ColumnKind;

/// Whether cells of this type are 64 bits each.
pub fn is_wide_type(kind: &ArrowType) -> bool {
    matches!(
        kind,
        ArrowType::Int64 | ArrowType::Float64 | ArrowType::Timestamp(TimeUnit::Nanosecond, _)
    )
}

/// A column in the making.
pub struct WideColumn {
    id: ColumnId,
    data_type: ArrowType,
    /// Of all rows that are to come.
    values: Room,
    nulls: NullBufferBuilder,
    /// How many came.
    rows: usize,
}

impl WideColumn {
    /// A column of so many rows; `None` where it is not of a type that has 64 bits a cell.
    pub fn new(id: ColumnId, data_type: &ArrowType, rows: usize) -> Option<Self> {
        is_wide_type(data_type).then(|| WideColumn {
            id,
            data_type: data_type.clone(),
            values: Room::new(rows),
            nulls: NullBufferBuilder::new(rows),
            rows: 0,
        })
    }

    /// Which column.
    pub fn id(&self) -> ColumnId {
        self.id
    }

    /// The rows that came.
    ///
    /// # Errors
    /// `Internal` where fewer came than were to.
    pub fn finish(mut self) -> Result<ArrayRef> {
        if self.rows != self.values.len() {
            return Err(Error::internal("a column of fewer rows than were to come"));
        }
        let data = ArrayData::builder(self.data_type)
            .len(self.rows)
            .add_buffer(self.values.into_buffer())
            .nulls(self.nulls.finish());
        let data = data.build();
        let data =
            data.map_err(|error| Error::internal(format!("a column of its parts: {error}")))?;
        Ok(make_array(data))
    }

    /// Adds some cells of a column of 64-bit cells that was read already.
    ///
    /// # Errors
    /// `Internal` for another column, and rows that it does not have or there is no room for.
    pub fn add_read(&mut self, array: &ArrayRef, wanted: &[Range<usize>]) -> Result<()> {
        let data = array.to_data();
        let values = match data.buffers() {
            [values] if *array.data_type() == self.data_type => values.typed_data::<u64>(),
            _ => return Err(Error::internal("a column is made of cells of another")),
        };
        let values = values.get(data.offset()..).unwrap_or(&[]);
        let count = wanted.iter().map(Range::len).sum();
        pick(values, wanted, self.room(count)?)?;
        self.add_nulls(array.nulls(), wanted, count);
        Ok(())
    }

    /// Adds cells of a vector: those of these rows, or all.
    fn add(
        &mut self,
        sst: &Sst,
        at: &At,
        wanted: Option<&[Range<usize>]>,
        how: &Reading<'_>,
    ) -> Result<()> {
        let all = 0..at.rows;
        let rows = wanted.unwrap_or(std::slice::from_ref(&all));
        let count = rows.iter().map(Range::len).sum();
        let column = sst.column(ColumnKind::Cells(self.id));
        let bytes = match column {
            Some(column) => sst.bytes(column, at, how)?.map(|bytes| (column, bytes)),
            None => None,
        };
        let Some((column, bytes)) = bytes else {
            self.room(count)?.fill(0);
            self.nulls.append_n_nulls(count);
            return Ok(());
        };
        if column.data_type != self.data_type || !is_wide(column.family) {
            let (stored, wanted) = (&column.data_type, &self.data_type);
            return Err(Error::corrupt(format!(
                "a column of {wanted} is stored as {stored}"
            )));
        }
        // Most have none, which is found out without what all threads count together.
        let dictionary = column
            .dictionary
            .map(|_| sst.dictionary(column))
            .transpose()?;
        let shared = dictionary.as_deref().map(Dictionary::shared);
        let (family, shared) = (column.family, shared.unwrap_or_default());
        let out = self.room(count)?;
        let nulls = match wanted {
            None => decode_wide(bytes, family, shared, out)?,
            Some(wanted) => decode_wide_rows(bytes, at.rows, wanted, family, shared, out)?,
        };
        self.add_nulls(nulls.as_ref(), rows, count);
        Ok(())
    }

    /// Where the next cells go.
    fn room(&mut self, count: usize) -> Result<&mut [u64]> {
        let start = self.rows;
        self.rows += count;
        let room = self.values.cells().get_mut(start..start + count);
        room.ok_or_else(|| Error::internal("a column of more rows than were to come"))
    }

    fn add_nulls(&mut self, nulls: Option<&NullBuffer>, rows: &[Range<usize>], count: usize) {
        let Some(nulls) = nulls else {
            self.nulls.append_n_non_nulls(count);
            return;
        };
        for rows in rows {
            self.nulls
                .append_buffer(&nulls.slice(rows.start, rows.len()));
        }
    }
}

impl SequentialReader {
    /// Adds the cells of a vector to each of these columns, NULL where the file has none: those of the rows in these ranges,
    /// one behind the other, or all.
    ///
    /// # Errors
    /// As [`Sst::read`], and `Internal` where a column has no room for them.
    pub fn read_wide<'c>(
        &mut self,
        v: usize,
        wanted: Option<&[Range<usize>]>,
        columns: impl Iterator<Item = &'c mut WideColumn>,
    ) -> Result<()> {
        let mut columns: Vec<&mut WideColumn> = columns.collect();
        let mut read = || {
            let (sst, at, mut how) = self.enter(v)?;
            let stored = columns
                .iter()
                .filter_map(|column| sst.column(ColumnKind::Cells(column.id)));
            let stored: Vec<_> = stored.collect();
            sst.prepare(&stored, at, &mut how)?;
            columns
                .iter_mut()
                .try_for_each(|column| column.add(sst, at, wanted, &how))
        };
        read().map_err(|error: Error| error.context(self.sst().path()))
    }
}
