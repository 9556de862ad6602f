//! Columns of 64-bit cells, several vectors of them read into one array.

use activestore_types::{ColumnId, Error, Result};
use arrow::array::{ArrayData, ArrayRef, NullBufferBuilder, make_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType as ArrowType, TimeUnit};

use super::ahead::SequentialReader;
use super::layout::At;
use super::{Reading, Sst};
use crate::block::vector::{decode_wide, is_wide};
use crate::footer::ColumnKind;

/// Whether cells of this type are 64 bits each.
fn is_wide_type(kind: &ArrowType) -> bool {
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
    values: Vec<u64>,
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
            values: vec![0; rows],
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
            .add_buffer(Buffer::from_vec(self.values))
            .nulls(self.nulls.finish());
        let data = data.build();
        let data =
            data.map_err(|error| Error::internal(format!("a column of its parts: {error}")))?;
        Ok(make_array(data))
    }

    /// Adds a vector.
    fn add(&mut self, sst: &Sst, at: &At, how: &Reading<'_>) -> Result<()> {
        let end = self.rows + at.rows;
        let out = self.values.get_mut(self.rows..end);
        let out = out.ok_or_else(|| Error::internal("a column of more rows than were to come"))?;
        self.rows = end;
        let column = sst.column(ColumnKind::Cells(self.id));
        let bytes = match column {
            Some(column) => sst.bytes(column, at, how)?.map(|bytes| (column, bytes)),
            None => None,
        };
        let Some((column, bytes)) = bytes else {
            self.nulls.append_n_nulls(at.rows);
            return Ok(());
        };
        if column.data_type != self.data_type || !is_wide(column.family) {
            let (stored, wanted) = (&column.data_type, &self.data_type);
            return Err(Error::corrupt(format!(
                "a column of {wanted} is stored as {stored}"
            )));
        }
        let dictionary = sst.dictionary(column)?;
        match decode_wide(bytes, column.family, dictionary.shared(), out)? {
            None => self.nulls.append_n_non_nulls(at.rows),
            Some(nulls) => self.nulls.append_buffer(&nulls),
        }
        Ok(())
    }
}

impl SequentialReader {
    /// Adds the cells of a vector to each of these columns, NULL where the file has none.
    ///
    /// # Errors
    /// As [`Sst::read`], and `Internal` where a column has no room for them.
    pub fn read_wide(&mut self, v: usize, columns: &mut [WideColumn]) -> Result<()> {
        let (sst, mut how) = self.enter(v);
        let mut read = || {
            let at = sst.at(v)?;
            let stored = columns
                .iter()
                .filter_map(|column| sst.column(ColumnKind::Cells(column.id)));
            let stored: Vec<_> = stored.collect();
            sst.prepare(&stored, &at, &mut how)?;
            columns
                .iter_mut()
                .try_for_each(|column| column.add(sst, &at, &how))
        };
        read().map_err(|error: Error| error.context(&sst.path))
    }
}
