//! Row batches: what moves from the wires through plugins and the log into files and over the link.
//!
//! A batch holds *row fragments* of one table: a full primary key each, any subset of the other
//! columns, and the stamp of the write. A cell is in one of three states: a value, an explicit NULL
//! (the array is null and the row is set), or absent (the `set` bitmap says so: this write leaves
//! the cell as it was). A fragment may instead be a row tombstone.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::DataType as ArrowType;

use crate::error::{Error, Result};
use crate::hlc::Hlc;
use crate::id::{ColumnId, OriginId, TableId};

/// One column of a batch. `array` has the batch's length and the column's Arrow type.
#[derive(Clone, Debug)]
pub struct BatchColumn {
    /// Which column of the table.
    pub id: ColumnId,
    /// The values.
    pub array: ArrayRef,
    /// Which rows this write sets; `None` means all. A row that is not set keeps what it had.
    pub set: Option<BooleanBuffer>,
}

/// Stamped row fragments of one table. Columns that are not listed are absent in every row.
#[derive(Clone, Debug)]
pub struct RowBatch {
    /// The table.
    pub table: TableId,
    /// How many rows.
    pub rows: usize,
    /// The columns that this write names; every key column is among them.
    pub columns: Vec<BatchColumn>,
    /// One [`Hlc`] a row, as plain numbers.
    pub hlc: ScalarBuffer<u64>,
    /// One [`OriginId`] a row: the node that accepted the write.
    pub origin: ScalarBuffer<u32>,
    /// When a row expires, in milliseconds since 1970; 0 means never; `None` means never for all.
    pub expiry_ms: Option<ScalarBuffer<u64>>,
    /// Which rows are row tombstones (their non-key cells do not count); `None` means none.
    pub tombstone: Option<BooleanBuffer>,
}

impl RowBatch {
    /// An upsert of `columns` by one node; the rows are stamped `first`, `first`+1, ….
    pub fn upsert(
        table: TableId,
        rows: usize,
        columns: Vec<BatchColumn>,
        first: Hlc,
        origin: OriginId,
    ) -> Self {
        RowBatch {
            table,
            rows,
            columns,
            hlc: (0..rows as u64).map(|row| first.plus(row).0).collect(),
            origin: std::iter::repeat_n(origin.0, rows).collect(),
            expiry_ms: None,
            tombstone: None,
        }
    }

    /// The column with this id.
    pub fn column(&self, id: ColumnId) -> Option<&BatchColumn> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// The rows from `start`, `rows` of them, without a copy. The range must lie inside the batch.
    #[must_use]
    pub fn slice(&self, start: usize, rows: usize) -> Self {
        RowBatch {
            table: self.table,
            rows,
            columns: self
                .columns
                .iter()
                .map(|column| BatchColumn {
                    id: column.id,
                    array: column.array.slice(start, rows),
                    set: column.set.as_ref().map(|set| set.slice(start, rows)),
                })
                .collect(),
            hlc: self.hlc.slice(start, rows),
            origin: self.origin.slice(start, rows),
            expiry_ms: self
                .expiry_ms
                .as_ref()
                .map(|expiry| expiry.slice(start, rows)),
            tombstone: self.tombstone.as_ref().map(|bits| bits.slice(start, rows)),
        }
    }

    /// The highest stamp in the batch.
    pub fn max_hlc(&self) -> Hlc {
        Hlc(self.hlc.iter().copied().max().unwrap_or(0))
    }

    /// Checks that every array and bitmap has the batch's length.
    ///
    /// # Errors
    /// `Invalid`, naming the part that does not fit.
    pub fn validate(&self) -> Result<()> {
        let fits = |what: &str, length: usize| {
            if length == self.rows {
                Ok(())
            } else {
                Err(Error::invalid(format!(
                    "{what} holds {length} rows where the batch holds {}",
                    self.rows
                )))
            }
        };
        fits("hlc", self.hlc.len())?;
        fits("origin", self.origin.len())?;
        if let Some(expiry) = &self.expiry_ms {
            fits("expiry", expiry.len())?;
        }
        if let Some(tombstone) = &self.tombstone {
            fits("tombstone", tombstone.len())?;
        }
        for column in &self.columns {
            fits("a column", column.array.len())?;
            if let Some(set) = &column.set {
                fits("a column's set bitmap", set.len())?;
            }
        }
        Ok(())
    }

    /// Bytes of the rows themselves: cells, stamps, origins, expiries.
    pub fn data_bytes(&self) -> usize {
        let columns: usize = self
            .columns
            .iter()
            .map(|column| array_bytes(&column.array))
            .sum();
        let expiry = self.expiry_ms.as_ref().map_or(0, |_| self.rows * 8);
        columns + self.rows * 12 + expiry
    }

    /// Bytes that the batch takes in memory, about, with what its arrays take beside their rows.
    pub fn memory_bytes(&self) -> usize {
        self.data_bytes() + self.columns.len() * 64
    }
}

/// Bytes of an array's values and nulls: a slice counts for its own rows, not for the buffers that
/// it shares. Allocates nothing.
fn array_bytes(array: &ArrayRef) -> usize {
    let rows = array.len();
    let values = match array.data_type() {
        ArrowType::Utf8 => text_bytes(array.as_string::<i32>().value_offsets()),
        ArrowType::Binary => text_bytes(array.as_binary::<i32>().value_offsets()),
        ArrowType::Boolean => rows.div_ceil(8),
        other => match other.primitive_width() {
            Some(width) => rows * width,
            None => array.get_array_memory_size(),
        },
    };
    values + array.nulls().map_or(0, |_| rows.div_ceil(8))
}

fn text_bytes(offsets: &[i32]) -> usize {
    let (first, last) = (offsets.first(), offsets.last());
    let bytes = first
        .zip(last)
        .map_or(0, |(first, last)| first.abs_diff(*last));
    bytes as usize + size_of_val(offsets)
}

/// A stamped delete of every row whose encoded key lies in `[start, end)` and whose stamp is lower.
/// A partition tombstone is the range of the partition's prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeTombstone {
    /// The table.
    pub table: TableId,
    /// First key covered, as [`crate::key`] encodes it.
    pub start: Vec<u8>,
    /// First key not covered; empty means the table's end.
    pub end: Vec<u8>,
    /// When it was written.
    pub hlc: Hlc,
    /// Who wrote it.
    pub origin: OriginId,
}

impl RangeTombstone {
    /// Whether the key lies in the range.
    pub fn covers(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && (self.end.is_empty() || key < self.end.as_slice())
    }
}
