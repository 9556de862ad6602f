//! Versions: what the store holds at one moment, immutable once published.
//!
//! A writer makes the next version from the last one and publishes it; a reader keeps the one it
//! started with for as long as it needs it. This module opens no file and decides nothing about
//! when a version changes.
//!
//! Invariants: a fragment is in the active memtable, in one frozen memtable or in at least one
//! file of every version published after its commit; a frozen memtable leaves a version only in the
//! step that adds its file; a range tombstone leaves only when no fragment below it is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_sst::{Sst, SstMeta};
use activestore_types::{Lsn, NodeId, OriginId, RangeTombstone, TableId, TableSchema};

use crate::memtable::Memtable;

mod apart;
pub mod own;
pub mod tombstones;

pub use own::{OwnKey, OwnKeys, OwnState};
pub use tombstones::{Stamp, TombstoneMap};

/// Finds the node that an origin id stands for; ties between equal stamps go to the higher node.
pub type Origins = Arc<dyn Fn(OriginId) -> NodeId + Send + Sync>;

/// One SSTable of a table.
#[derive(Clone)]
pub struct TableFile {
    /// The number that the manifest gave it; never reused.
    pub id: u64,
    /// Where it lies on the disk.
    pub path: String,
    /// The open file.
    pub sst: Arc<Sst>,
    /// Every row of it is in a log record up to this one. Of files that were there at the start it is the last
    /// record that was flushed then.
    pub reach: Lsn,
    /// The files that it has no key in common with, as far as is known.
    pub(crate) apart: Arc<apart::Apart>,
}

/// A file that a flush or a merge wrote; durable, not yet part of any version.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Where it lies on the disk.
    pub path: String,
    /// What its footer says.
    pub meta: SstMeta,
}

/// One table at one moment.
#[derive(Clone)]
pub struct TableVersion {
    /// The table's definition.
    pub schema: Arc<TableSchema>,
    /// The memtable that takes writes. It grows; a snapshot bounds what it sees of it.
    pub active: Arc<Memtable>,
    /// Memtables that wait to be written to files, oldest first.
    pub frozen: Vec<Arc<Memtable>>,
    /// The SSTables, in any order: stamps, not places, decide which fragment wins.
    pub files: Vec<Arc<TableFile>>,
    /// The range tombstones that the manifest keeps; memtables hold the later ones themselves.
    pub tombstones: Arc<Vec<RangeTombstone>>,
    /// The partitions that have data keys of their own.
    pub own: Arc<OwnKeys>,
    /// How long rows are kept on this node at least, in nanoseconds; `None` means for ever.
    pub keep_ns: Option<i64>,
}

impl TableVersion {
    /// An empty table.
    pub fn new(schema: Arc<TableSchema>) -> Self {
        TableVersion {
            active: Arc::new(Memtable::new(Arc::clone(&schema))),
            schema,
            frozen: Vec::new(),
            files: Vec::new(),
            tombstones: Arc::default(),
            own: Arc::default(),
            keep_ns: None,
        }
    }

    /// The active and the frozen memtables, newest first.
    pub fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.active).chain(self.frozen.iter().rev())
    }

    /// Every range tombstone: the manifest's and the memtables'.
    pub fn all_tombstones(&self) -> Vec<RangeTombstone> {
        let mut all = self.tombstones.as_ref().clone();
        for memtable in self.memtables() {
            all.extend(memtable.tombstones());
        }
        all
    }
}

/// All tables at one moment.
#[derive(Clone, Default)]
pub struct Version {
    tables: BTreeMap<TableId, Arc<TableVersion>>,
}

impl Version {
    /// The table, if the version has it.
    pub fn table(&self, id: TableId) -> Option<&Arc<TableVersion>> {
        self.tables.get(&id)
    }

    /// All tables, by id.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableVersion>> {
        self.tables.values()
    }

    /// The next version, with this table added or replaced.
    #[must_use]
    pub fn with_table(&self, table: TableVersion) -> Self {
        let mut next = self.clone();
        next.tables.insert(table.schema.id, Arc::new(table));
        next
    }

    /// The next version, without this table.
    #[must_use]
    pub fn without_table(&self, id: TableId) -> Self {
        let mut next = self.clone();
        next.tables.remove(&id);
        next
    }
}
