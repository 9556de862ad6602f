//! The memtable: one table's newest rows, append-only, in the batches they were logged in.
//!
//! Rows keep their place; an index by partition (a hash map from the encoded partition prefix to a
//! list of row numbers, almost always in key order already) serves point reads, one-partition scans
//! and the flush without sorting everything. Readers take a [`MemtableView`], bounded to the rows
//! that were there; the writer is never copied from under them. This module logs nothing and
//! resolves nothing: fragments of one key stay side by side.

use std::sync::{Arc, OnceLock};

use activestore_types::{
    ColumnId, Error, Hlc, KeyBuffer, RangeTombstone, Result, RowBatch, TableSchema,
};
use arrow::array::AsArray;
use arrow::datatypes::TimestampNanosecondType;
use parking_lot::RwLock;

pub mod flush;
pub(crate) mod gather;
mod join;
mod keys;
mod partition;
pub(crate) mod prefix;
mod view;

pub use flush::flush;
pub use keys::RowKeys;
pub(crate) use keys::row_keys;
pub use view::MemtableView;

use partition::Partitions;
use prefix::PrefixShape;

/// Bytes that the index takes a row, about: a row number and its share of a partition's entry.
const INDEX_BYTES_ROW: usize = 8;

/// A run of rows as they were appended.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The number of its first row in the memtable.
    pub(crate) first: u32,
    pub(crate) batch: RowBatch,
    pub(crate) keys: KeyBuffer,
    /// The first and the last time of the rows; known once somebody asked.
    times: OnceLock<Option<(i64, i64)>>,
}

impl Chunk {
    pub(crate) fn new(first: u32, batch: RowBatch, keys: KeyBuffer) -> Self {
        Chunk {
            first,
            batch,
            keys,
            times: OnceLock::new(),
        }
    }

    /// The least and the greatest value of the table's time column.
    fn times(&self, time: ColumnId) -> Option<(i64, i64)> {
        *self.times.get_or_init(|| {
            let column = self.batch.column(time)?;
            let times = column
                .array
                .as_primitive_opt::<TimestampNanosecondType>()?
                .values();
            times.iter().min().copied().zip(times.iter().max().copied())
        })
    }
}

/// The rows of a memtable, as one list of chunks that readers share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunks(Arc<Vec<Arc<Chunk>>>);

impl Chunks {
    /// Which chunk holds the row, and where in it.
    pub(crate) fn locate(&self, row: u32) -> (usize, usize) {
        let chunk = self
            .0
            .partition_point(|chunk| chunk.first <= row)
            .saturating_sub(1);
        let first = self.0.get(chunk).map_or(0, |chunk| chunk.first);
        (chunk, (row - first) as usize)
    }

    pub(crate) fn get(&self, chunk: usize) -> Option<&Arc<Chunk>> {
        self.0.get(chunk)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Rows of all chunks.
    pub(crate) fn rows(&self) -> u32 {
        self.0.last().map_or(0, |chunk| {
            let rows = u32::try_from(chunk.batch.rows).unwrap_or(u32::MAX);
            chunk.first.saturating_add(rows)
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.0.iter().map(Arc::as_ref)
    }

    /// The row's encoded key.
    pub(crate) fn key(&self, row: u32) -> &[u8] {
        let (chunk, at) = self.locate(row);
        self.0.get(chunk).map_or(&[], |chunk| chunk.keys.key(at))
    }
}

#[derive(Default)]
struct Inner {
    chunks: Chunks,
    rows: u32,
    partitions: Partitions,
    tombstones: Arc<Vec<RangeTombstone>>,
    bytes: usize,
    min_hlc: Option<Hlc>,
    max_hlc: Option<Hlc>,
}

/// One table's rows in memory. Shared between threads; writers take turns, readers hardly wait.
pub struct Memtable {
    schema: Arc<TableSchema>,
    shape: PrefixShape,
    inner: RwLock<Inner>,
}

impl Memtable {
    /// An empty one. Later versions of the schema may add columns; the key never changes.
    pub fn new(schema: Arc<TableSchema>) -> Self {
        Memtable {
            shape: PrefixShape::of(&schema),
            schema,
            inner: RwLock::default(),
        }
    }

    /// Checks a batch against the schema and encodes its keys: what has to pass before a write is
    /// logged.
    ///
    /// # Errors
    /// `Invalid` for parts of unequal length, a column that the table does not have or has with
    /// another type, and a key column that is missing, NULL or not set in every row.
    pub fn check(schema: &TableSchema, batch: &RowBatch) -> Result<RowKeys> {
        keys::check_columns(schema, batch)?;
        RowKeys::encode(schema, batch)
    }

    /// Appends the rows; readers that come later see all of them.
    ///
    /// # Errors
    /// As [`Memtable::check`], for the key columns alone; nothing is appended then.
    pub fn append(&self, batch: RowBatch) -> Result<()> {
        batch.validate()?;
        let keys = RowKeys::encode(&self.schema, &batch)?;
        self.append_keyed(batch, keys)
    }

    /// Appends batches that came together, small neighbours joined first.
    ///
    /// # Errors
    /// As [`Memtable::append_keyed`]; the batches before the one that failed are appended then.
    pub fn append_all(&self, batches: Vec<(RowBatch, RowKeys)>) -> Result<()> {
        join::join_small(batches)
            .into_iter()
            .try_for_each(|(batch, keys)| self.append_keyed(batch, keys))
    }

    /// Appends rows whose keys are encoded already, by [`Memtable::check`].
    ///
    /// # Errors
    /// `Invalid` if there is not one key a row; `Overloaded` at 2³² rows or 4 GiB of partition keys;
    /// nothing is appended then.
    pub fn append_keyed(&self, batch: RowBatch, keys: RowKeys) -> Result<()> {
        if batch.rows == 0 {
            return Ok(());
        }
        if keys.len() != batch.rows {
            return Err(Error::invalid(format!(
                "{} keys for a batch of {} rows",
                keys.len(),
                batch.rows
            )));
        }
        let added = u32::try_from(batch.rows)
            .map_err(|_| Error::invalid("a batch holds 2^32 rows or more"))?;
        let lowest = batch.hlc.iter().copied().min().map(Hlc);
        let highest = batch.hlc.iter().copied().max().map(Hlc);
        let RowKeys { keys, partitions } = keys;
        let bytes = batch.data_bytes() + keys.memory_bytes();
        let mut inner = self.inner.write();
        let inner = &mut *inner;
        let first = inner.rows;
        let Some(rows) = first.checked_add(added) else {
            return Err(Error::overloaded("a memtable holds 2^32 rows"));
        };
        inner.partitions.admit(&keys)?;
        for ((row, key), of) in (first..rows).zip(keys.iter()).zip(&partitions) {
            let (prefix, suffix) = key
                .split_at_checked(of.prefix_len as usize)
                .unwrap_or((key, &[]));
            inner.partitions.append(of.hash, prefix, suffix, row)?;
        }
        join::push_chunk(&mut inner.chunks, Chunk::new(first, batch, keys));
        inner.rows = rows;
        inner.partitions.tidy(&inner.chunks);
        inner.bytes += bytes + added as usize * INDEX_BYTES_ROW;
        inner.min_hlc = inner.min_hlc.into_iter().chain(lowest).min();
        inner.max_hlc = inner.max_hlc.into_iter().chain(highest).max();
        Ok(())
    }

    /// Appends a range tombstone.
    pub fn append_tombstone(&self, tombstone: RangeTombstone) {
        let mut inner = self.inner.write();
        inner.bytes += tombstone.start.len() + tombstone.end.len() + size_of::<RangeTombstone>();
        inner.max_hlc = inner.max_hlc.max(Some(tombstone.hlc));
        Arc::make_mut(&mut inner.tombstones).push(tombstone);
    }

    /// What is there now; later appends do not show in it.
    pub fn view(self: &Arc<Self>) -> MemtableView {
        let inner = self.inner.read();
        MemtableView::new(
            Arc::clone(self),
            inner.chunks.clone(),
            inner.rows,
            Arc::clone(&inner.tombstones),
            inner.max_hlc,
        )
    }

    /// Fragments held.
    pub fn rows(&self) -> usize {
        self.inner.read().rows as usize
    }

    /// Memory taken, about.
    pub fn bytes(&self) -> usize {
        let inner = self.inner.read();
        inner.bytes + inner.partitions.bytes()
    }

    /// Whether it holds neither a fragment nor a range tombstone.
    pub fn is_empty(&self) -> bool {
        let inner = self.inner.read();
        inner.rows == 0 && inner.tombstones.is_empty()
    }

    /// The lowest stamp of a fragment.
    pub fn min_hlc(&self) -> Option<Hlc> {
        self.inner.read().min_hlc
    }

    /// The highest stamp of a fragment or range tombstone.
    pub fn max_hlc(&self) -> Option<Hlc> {
        self.inner.read().max_hlc
    }

    /// The range tombstones held.
    pub fn tombstones(&self) -> Vec<RangeTombstone> {
        self.inner.read().tombstones.as_ref().clone()
    }
}

#[cfg(test)]
mod tests;
