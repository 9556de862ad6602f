//! Stored fragments as they lie, piece by piece in the order of keys: what another store needs to hold the
//! same. Nothing is resolved, so stamps, origins, row tombstones and rows that expired are all there.
//!
//! A piece holds every fragment of the keys in it, so that a reader goes on at a key and needs no state.

use std::ops::Range;

use activestore_types::{ColumnId, KeyBuffer, KeyRange, RangeTombstone, Result, RowBatch};

use super::{Snapshot, bad_keys, lower_bound};
use crate::memtable::gather::gather;
use crate::memtable::{MemtableView, row_keys};
use crate::version::TableFile;

/// Some fragments of one table.
#[derive(Clone, Debug, Default)]
pub struct FragmentPiece {
    /// The fragments, in no order.
    pub batches: Vec<RowBatch>,
    /// The key to go on at; `None` when none is left.
    pub next: Option<Vec<u8>>,
}

/// Fragments of one source with their keys, in key order.
struct Part {
    batch: RowBatch,
    keys: KeyBuffer,
    rows: Range<usize>,
}

impl Part {
    /// Leaves out what does not lie in the range.
    fn cut(&mut self, range: &KeyRange) {
        let rows = self.keys.len();
        let start = lower_bound(rows, |row| self.keys.key(row) < range.start.as_slice());
        let end = match range.end.is_empty() {
            true => rows,
            false => lower_bound(rows, |row| self.keys.key(row) < range.end.as_slice()),
        };
        self.rows = start..end.max(start);
    }
}

impl Snapshot {
    /// Every fragment of the keys from `start` on (empty for the first), of as many keys as about
    /// `rows` fragments have, and of one key at least.
    ///
    /// # Errors
    /// `Corrupt` where bytes changed on disk.
    pub fn fragments(&self, start: &[u8], rows: usize) -> Result<FragmentPiece> {
        let mut range = KeyRange {
            start: start.to_vec(),
            end: Vec::new(),
        };
        for file in &self.0.files {
            bound_by_file(file, &mut range)?;
        }
        for view in &self.0.views {
            bound_by_view(view, &mut range, rows);
        }
        let mut parts = Vec::new();
        for view in &self.0.views {
            parts.extend(self.of_view(view, &range)?);
        }
        let columns: Vec<ColumnId> = self.schema().columns.iter().map(|c| c.id).collect();
        for file in &self.0.files {
            for vector in file.sst.vectors_in(&range)? {
                let batch = file.sst.read_stamped(vector, &columns)?;
                let keys =
                    row_keys(self.schema(), &batch).map_err(|error| bad_keys(&file.sst, &error))?;
                let rows = 0..keys.len();
                parts.push(Part { batch, keys, rows });
            }
        }
        parts.iter_mut().for_each(|part| part.cut(&range));
        if parts.iter().map(|part| part.rows.len()).sum::<usize>() > rows {
            let mut keys: Vec<&[u8]> = parts
                .iter()
                .flat_map(|part| part.rows.clone().map(|row| part.keys.key(row)))
                .collect();
            keys.sort_unstable();
            // The first key beyond that is not the first of all.
            let first = keys.first().copied().unwrap_or_default();
            let beyond = keys.iter().skip(rows.max(1)).find(|key| **key > first);
            if let Some(beyond) = beyond.map(|key| key.to_vec()) {
                range.end = beyond;
                parts.iter_mut().for_each(|part| part.cut(&range));
            }
        }
        let batches = parts.into_iter().filter(|part| !part.rows.is_empty());
        Ok(FragmentPiece {
            batches: batches
                .map(|part| part.batch.slice(part.rows.start, part.rows.len()))
                .collect(),
            next: (!range.end.is_empty()).then_some(range.end),
        })
    }

    /// Every range tombstone that is kept, by stamp.
    pub fn range_tombstones(&self) -> Vec<RangeTombstone> {
        let in_memory = self.0.views.iter().flat_map(MemtableView::tombstones);
        let mut all: Vec<_> = self.0.version.tombstones.iter().chain(in_memory).collect();
        all.sort_by(|a, b| (a.hlc, &a.start).cmp(&(b.hlc, &b.start)));
        all.into_iter().cloned().collect()
    }

    fn of_view(&self, view: &MemtableView, range: &KeyRange) -> Result<Option<Part>> {
        let order = view.order(range);
        if order.is_empty() {
            return Ok(None);
        }
        let chunks = view.chunks();
        let batches: Vec<&RowBatch> = chunks.iter().map(|chunk| &chunk.batch).collect();
        let picks: Vec<(usize, usize)> = order.iter().map(|row| chunks.locate(*row)).collect();
        let batch = gather(self.schema(), &batches, &picks, None)?;
        let keys = row_keys(self.schema(), &batch)?;
        let rows = 0..keys.len();
        Ok(Some(Part { batch, keys, rows }))
    }
}

/// Ends the range after about so many rows of the view, so that no more are copied.
fn bound_by_view(view: &MemtableView, range: &mut KeyRange, rows: usize) {
    let order = view.order(range);
    let key = |row: &u32| view.chunks().key(*row);
    let first = order.first().map(key).unwrap_or_default();
    let mut beyond = order.iter().skip(rows.max(1)).map(key);
    if let Some(beyond) = beyond.find(|key| *key > first) {
        range.end = beyond.to_vec();
    }
}

/// Ends the range after one or two vectors of the file.
fn bound_by_file(file: &TableFile, range: &mut KeyRange) -> Result<()> {
    let vectors = file.sst.vectors_in(range)?;
    for vector in vectors.skip(1) {
        let fence = file.sst.fence(vector)?;
        let fence: &[u8] = &fence;
        if fence > range.start.as_slice() {
            if range.end.is_empty() || fence < range.end.as_slice() {
                range.end = fence.to_vec();
            }
            return Ok(());
        }
    }
    Ok(())
}
