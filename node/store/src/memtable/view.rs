//! What a reader sees of a memtable: the rows that were there when it came.

use std::sync::Arc;

use activestore_types::{Hlc, KeyRange, RangeTombstone};

use super::{Chunks, Memtable};

/// An immutable view of a memtable; cheap to take and to keep.
#[derive(Clone)]
pub struct MemtableView {
    memtable: Arc<Memtable>,
    chunks: Chunks,
    rows: u32,
    tombstones: Arc<Vec<RangeTombstone>>,
    max_hlc: Option<Hlc>,
}

impl MemtableView {
    pub(super) fn new(
        memtable: Arc<Memtable>,
        chunks: Chunks,
        rows: u32,
        tombstones: Arc<Vec<RangeTombstone>>,
        max_hlc: Option<Hlc>,
    ) -> Self {
        MemtableView {
            memtable,
            chunks,
            rows,
            tombstones,
            max_hlc,
        }
    }

    /// Fragments visible.
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Range tombstones visible.
    pub fn tombstones(&self) -> &[RangeTombstone] {
        &self.tombstones
    }

    /// The highest stamp visible.
    pub fn max_hlc(&self) -> Option<Hlc> {
        self.max_hlc
    }

    /// A time that no row comes before and one that none comes after; `None` where the table has no time.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let time = self.memtable.schema.time_column()?;
        let mut all: Option<(i64, i64)> = None;
        for chunk in self.chunks.iter() {
            let (first, last) = chunk.times(time)?;
            let (from, to) = all.unwrap_or((first, last));
            all = Some((from.min(first), to.max(last)));
        }
        all
    }

    pub(crate) fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    /// The visible rows of the range by key, fragments of one key by arrival.
    pub(crate) fn order(&self, range: &KeyRange) -> Vec<u32> {
        self.select(range).0
    }

    /// As [`MemtableView::order`], and whether two of the rows may have one key.
    pub(crate) fn select(&self, range: &KeyRange) -> (Vec<u32>, bool) {
        let mut rows = Vec::new();
        if self.rows == 0 {
            return (rows, false);
        }
        let inner = self.memtable.inner.read();
        let (start, end) = (range.start.as_slice(), range.end.as_slice());
        if let Some(prefix) = self.memtable.shape.single_partition(range) {
            if let Some(partition) = inner.partitions.get(super::prefix::hash(prefix), prefix) {
                let may_repeat = partition.select(start, end, self.rows, &inner.chunks, &mut rows);
                return (rows, may_repeat);
            }
            return (rows, false);
        }
        let mut partitions: Vec<_> = inner
            .partitions
            .iter()
            .filter(|(prefix, _)| {
                (*prefix >= start || start.starts_with(prefix)) && (end.is_empty() || *prefix < end)
            })
            .collect();
        partitions.sort_unstable_by_key(|(prefix, _)| *prefix);
        let mut may_repeat = false;
        for (_, partition) in partitions {
            may_repeat |= partition.select(start, end, self.rows, &inner.chunks, &mut rows);
        }
        (rows, may_repeat)
    }

    /// How many bytes of a key are its partition's prefix.
    pub(crate) fn prefix_len(&self, key: &[u8]) -> usize {
        self.memtable.shape.prefix_len(key).unwrap_or(key.len())
    }

    /// The visible row with the greatest key of a partition (or the least, without `last`), the
    /// newest of its fragments by arrival, and whether it is the key's only one.
    pub(crate) fn end(&self, prefix: &[u8], last: bool) -> Option<(u32, bool)> {
        let inner = self.memtable.inner.read();
        let hash = super::prefix::hash(prefix);
        let partition = inner.partitions.get(hash, prefix)?;
        partition.end(last, self.rows, &inner.chunks)
    }

    /// [`MemtableView::end`] of every partition whose prefix lies in the range, in key order.
    pub(crate) fn ends(&self, last: bool, range: &KeyRange) -> Vec<(u32, bool)> {
        let inner = self.memtable.inner.read();
        let (start, end) = (range.start.as_slice(), range.end.as_slice());
        let inside = |prefix: &[u8]| start <= prefix && (end.is_empty() || prefix < end);
        let partitions = inner.partitions.iter();
        let mut partitions: Vec<_> = partitions.filter(|(prefix, _)| inside(prefix)).collect();
        partitions.sort_unstable_by_key(|(prefix, _)| *prefix);
        partitions
            .into_iter()
            .filter_map(|(_, partition)| partition.end(last, self.rows, &inner.chunks))
            .collect()
    }

    /// Keys that cut the rows into pieces of about `step` rows, in no order.
    pub(crate) fn sample_keys(&self, step: usize) -> Vec<(Vec<u8>, u64)> {
        let inner = self.memtable.inner.read();
        let mut keys = Vec::new();
        for (_, partition) in inner.partitions.iter() {
            let rows = partition.rows();
            for (sample, row) in partition.sample(step).enumerate() {
                let weight = rows.saturating_sub(sample * step).min(step);
                keys.push((inner.chunks.key(row).to_vec(), weight as u64));
            }
        }
        keys
    }
}
