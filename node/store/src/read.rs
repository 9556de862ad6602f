//! Reading one table at one moment: scans, point reads, splits and digests over a [`Snapshot`].
//!
//! Vocabulary. A *source* is a memtable view or a file. A *fragment* is one stored row write; the
//! fragments of a key are *resolved* to at most one visible row. A *piece* is a batch of decoded
//! fragments that rows are picked from. This module never writes and keeps no state between calls.
//!
//! A vector of a file goes straight to Arrow, untouched by key work, where its keys stand once and
//! nothing else overlaps it. Where keys interleave, runs of rows are taken from each source in turn;
//! only a key that several fragments have is resolved by itself.

use std::sync::{Arc, OnceLock};

use activestore_types::{ColumnId, Hlc, KeyRange, Result, TableSchema};
use arrow::datatypes::SchemaRef;

use crate::memtable::MemtableView;
use crate::version::{Origins, Stamp, TableFile, TableVersion, TombstoneMap};

mod codes;
mod copy;
mod covering;
mod digest;
mod ends;
mod fragments;
mod keys;
mod last;
mod lead;
mod narrowing;
mod output;
mod piece;
mod point;
mod resolve;
mod scan;
mod split;
mod walk;

pub use activestore_sst::{ZonePredicate, ZoneValue};
pub use covering::{Covering, Known};
pub use digest::Digest;
pub use fragments::FragmentPiece;
pub use last::{LastRequest, LastRows};
pub use narrowing::{Narrowing, Wanted, WantedValues};
pub use output::RowFilter;
pub use point::{StampedCell, StampedCells, Trace};
pub use scan::{Scan, ScanRequest, ScanStats};
pub use walk::{Share, WalkedRow};

pub(crate) use keys::{bad_keys, lower_bound};
pub(crate) use lead::{Head, Lead};
pub(crate) use piece::{Fragment, Held, Pieces, Slot, VECTORS_HELD_MAX, Vector};
pub(crate) use resolve::order_fragments;

/// One table at one moment. Immutable, cheap to make and to clone; what is committed later does
/// not show in it.
#[derive(Clone)]
pub struct Snapshot(Arc<Inner>);

struct Inner {
    schema: Arc<TableSchema>,
    views: Vec<MemtableView>,
    files: Vec<Arc<TableFile>>,
    origins: Origins,
    version: Arc<TableVersion>,
    tombstones: OnceLock<TombstoneMap>,
    /// The columns of a point read, and the Arrow schema of them.
    row_schema: OnceLock<(Vec<ColumnId>, SchemaRef)>,
}

impl Snapshot {
    /// Of a version, as it is now.
    pub fn new(version: Arc<TableVersion>, origins: Origins) -> Self {
        Snapshot(Arc::new(Inner {
            schema: Arc::clone(&version.schema),
            views: version
                .memtables()
                .map(crate::memtable::Memtable::view)
                .filter(|view| view.rows() > 0 || !view.tombstones().is_empty())
                .collect(),
            files: version.files.clone(),
            origins,
            version,
            tombstones: OnceLock::new(),
            row_schema: OnceLock::new(),
        }))
    }

    /// The table's definition at that moment.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.0.schema
    }

    /// Fragments stored, an upper bound of the visible rows.
    pub fn row_count_estimate(&self) -> u64 {
        let files: u64 = self.0.files.iter().map(|file| file.sst.meta().rows).sum();
        let views: u64 = self.0.views.iter().map(|view| view.rows() as u64).sum();
        files + views
    }

    /// A stamp that nothing in the table is newer than.
    pub fn newest(&self) -> Hlc {
        let views = self.0.views.iter().filter_map(MemtableView::max_hlc);
        let files = self.0.files.iter().map(|file| file.sst.meta().max_hlc);
        let ranges = self.0.version.tombstones.iter().map(|range| range.hlc);
        views.chain(files).chain(ranges).max().unwrap_or(Hlc::ZERO)
    }

    /// The visible merged rows in key order.
    ///
    /// # Errors
    /// `Invalid` for a column that the table does not have or for ranges that are not sorted and
    /// disjoint.
    pub fn scan(&self, request: ScanRequest) -> Result<Scan> {
        Scan::new(self.clone(), request)
    }

    /// Disjoint ranges that cover the table, `parts` or fewer, of about equal rows, in key order.
    pub fn split(&self, parts: usize) -> Vec<KeyRange> {
        split::split(self, parts)
    }

    /// The same for reads of whole partitions: no partition lies in two.
    pub fn split_partitions(&self, parts: usize) -> Vec<KeyRange> {
        split::split_partitions(self, parts)
    }

    /// The highest stamp of a range tombstone over the key. One key does not pay for the map.
    fn covering(&self, key: &[u8]) -> Option<Stamp> {
        let inner = &self.0;
        if let Some(map) = inner.tombstones.get() {
            return map.covering(key);
        }
        let in_memory = inner.views.iter().flat_map(MemtableView::tombstones);
        let all = inner.version.tombstones.iter().chain(in_memory);
        all.filter(|tombstone| tombstone.covers(key))
            .map(|tombstone| Stamp {
                hlc: tombstone.hlc.0,
                node: (inner.origins)(tombstone.origin),
            })
            .max()
    }

    fn tombstones(&self) -> &TombstoneMap {
        self.0.tombstones.get_or_init(|| {
            let mut all = self.0.version.tombstones.as_ref().clone();
            for view in &self.0.views {
                all.extend_from_slice(view.tombstones());
            }
            TombstoneMap::build(&all, self.0.origins.as_ref())
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
