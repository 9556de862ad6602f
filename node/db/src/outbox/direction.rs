//! Which way sealed rows travel.

use activestore_store::LogRecord;
use activestore_types::{OriginId, RangeTombstone, RowBatch, SyncMode};

use crate::down::came_down;
use crate::incoming::joins_of;

/// Which way sealed rows travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// This node's own rows, to its cloud.
    Up,
    /// The rows of all nodes, to the edges.
    Down,
}

impl Direction {
    pub(super) fn takes(self, sync: SyncMode) -> bool {
        match self {
            Direction::Up => matches!(sync, SyncMode::Up | SyncMode::Both),
            Direction::Down => matches!(sync, SyncMode::Down | SyncMode::Both),
        }
    }

    /// Whether what a node of that origin wrote goes this way.
    fn takes_from(self, origin: OriginId) -> bool {
        self == Direction::Down || origin == OriginId(0)
    }

    /// The rows of a record that go this way: of one that came from above, the cloud has all but the joins that
    /// this node made because of it.
    pub(super) fn rows_of(self, record: &LogRecord) -> impl Iterator<Item = &RowBatch> {
        let batches = if self.skips(record) {
            joins_of(&record.set)
        } else {
            &record.set.batches
        };
        batches.iter().filter(move |batch| {
            let origin = batch.origin.first();
            origin.is_none_or(|origin| self.takes_from(OriginId(*origin)))
        })
    }

    /// The erased ranges of a record that go this way.
    pub(super) fn ranges_of(self, record: &LogRecord) -> impl Iterator<Item = &RangeTombstone> {
        let skipped = self.skips(record);
        let ranges = record.set.tombstones.iter();
        ranges.filter(move |range| !skipped && self.takes_from(range.origin))
    }

    fn skips(self, record: &LogRecord) -> bool {
        self == Direction::Up && came_down(&record.set)
    }
}
