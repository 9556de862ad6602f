//! Which way sealed rows travel.

use activestore_store::LogRecord;
use activestore_types::{NodeId, RangeTombstone, Result, RowBatch, SyncMode};

use crate::down::came_down;
use crate::incoming::joins_of;
use crate::relay::way_of;

/// Which way sealed rows travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// This node's own rows and those that came from edges below it, to its cloud.
    Up,
    /// The rows of all nodes, to the edges.
    Down,
}

impl Direction {
    pub(crate) fn is_up(self) -> bool {
        self == Direction::Up
    }

    pub(super) fn takes(self, sync: SyncMode) -> bool {
        if self.is_up() {
            matches!(sync, SyncMode::Up | SyncMode::Both)
        } else {
            matches!(sync, SyncMode::Down | SyncMode::Both)
        }
    }

    /// The rows of a record that go this way: of one that came from above, the cloud has all but the joins that
    /// this node made because of it.
    pub(super) fn rows_of(self, record: &LogRecord) -> impl Iterator<Item = &RowBatch> {
        let batches = if self.skips(record) {
            joins_of(&record.set)
        } else {
            &record.set.batches
        };
        batches.iter()
    }

    /// The erased ranges of a record that go this way.
    pub(super) fn ranges_of(self, record: &LogRecord) -> impl Iterator<Item = &RangeTombstone> {
        let skipped = self.skips(record);
        let ranges = record.set.tombstones.iter();
        ranges.filter(move |_| !skipped)
    }

    /// The gateways that the rows of a record have passed through on their way up to here.
    pub(super) fn way_of(self, record: &LogRecord) -> Result<Vec<NodeId>> {
        match self {
            Direction::Up => way_of(&record.set),
            Direction::Down => Ok(Vec::new()),
        }
    }

    /// Whether rows pass the filter of their table: those of other nodes have passed it where they were written.
    pub(super) fn filters(self, batch: &RowBatch) -> bool {
        self.is_up() && batch.origin.iter().all(|origin| *origin == 0)
    }

    fn skips(self, record: &LogRecord) -> bool {
        self.is_up() && came_down(&record.set)
    }
}
