//! What the caller promises of writes still to come, and so what of old tombstones may go.

use std::collections::BTreeMap;

use activestore_types::{Hlc, TableId};

use super::Store;

/// Below which stamps nothing is still to come.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    all: Option<Hlc>,
    tables: BTreeMap<TableId, Hlc>,
}

impl Settled {
    /// The same of one table.
    pub(crate) fn of(&self, table: TableId) -> Option<Hlc> {
        self.all.max(self.tables.get(&table).copied())
    }
}

impl Store {
    /// Promises that every write stamped below `hlc` that this store will ever see has been
    /// committed, by every peer; what only shadows older writes may then be dropped by compaction.
    /// `None`, the state at start-up, keeps all tombstones.
    pub fn settle(&self, hlc: Option<Hlc>) {
        self.shared.settled.lock().all = hlc;
    }

    /// The same of single tables, beside what is promised of all; others than these are promised nothing more.
    pub fn settle_tables(&self, tables: BTreeMap<TableId, Hlc>) {
        self.shared.settled.lock().tables = tables;
    }
}
