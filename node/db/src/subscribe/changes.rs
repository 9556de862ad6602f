//! What a subscriber is told: rows as they are now, keys whose rows are gone, ranges of keys.

use activestore_types::NodeId;
use arrow::record_batch::RecordBatch;

use super::bounds::Bounds;
use super::token::Place;

/// What a subscription gives next.
#[derive(Clone, Debug)]
pub enum Told {
    /// Rows that the table held when the subscription began.
    Snapshot(RecordBatch),
    /// From here on rows are told as they are written.
    Live {
        /// Where that is.
        token: String,
    },
    /// Rows were written or deleted.
    Changes(Changes),
    /// Events were left out, since the subscriber did not keep up.
    Dropped {
        /// How many; `None` where nobody knows, for the log does not reach back.
        events: Option<u64>,
        /// The place behind them.
        token: String,
    },
}

/// Changes of one table, in the order of the log.
#[derive(Clone, Debug)]
pub struct Changes {
    /// What is asked for of the rows that are told.
    pub rows: RecordBatch,
    /// The keys of rows that are gone.
    pub keys: RecordBatch,
    /// The ranges of keys of which all rows are gone.
    pub ranges: Vec<Bounds>,
    /// What happened, in order.
    pub list: Vec<Change>,
    pub(super) node: NodeId,
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// What happened.
    pub what: What,
    pub(super) place: Place,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A row was written: it is this row of [`Changes::rows`] now.
    Upsert(usize),
    /// A row is gone, or is none of those asked for any more: this row of [`Changes::keys`].
    Delete(usize),
    /// All rows of a range of keys are gone: this one of [`Changes::ranges`].
    Erase(usize),
}

impl Changes {
    /// The place behind an event, to go on from.
    pub fn token(&self, change: &Change) -> String {
        change.place.token(self.node)
    }

    /// Bytes that they take in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let ranges = self.ranges.iter().map(Bounds::bytes).sum::<usize>();
        self.rows.get_array_memory_size()
            + self.keys.get_array_memory_size()
            + self.list.len() * size_of::<Change>()
            + ranges
    }
}
