//! The tables as they are while some records are looked at, read once for all subscriptions.

use std::collections::BTreeMap;

use activestore_store::Snapshot;
use activestore_types::{Error, Lsn, Result, TableId, TableSchema};

use crate::db::Inner;

/// The rows of the tables at one moment of a step, and the last record that may be in them.
pub(in crate::subscribe) struct Glance<'a> {
    pub(super) inner: &'a Inner,
    pub(super) now_ms: u64,
    snapshots: BTreeMap<TableId, (Snapshot, Lsn)>,
}

impl<'a> Glance<'a> {
    pub(in crate::subscribe) fn new(inner: &'a Inner) -> Self {
        Glance {
            now_ms: inner.wall_ms(),
            inner,
            snapshots: BTreeMap::new(),
        }
    }

    /// The table now, and the last record that may be in it.
    pub(super) fn table(&mut self, schema: &TableSchema) -> Result<(Snapshot, Lsn)> {
        if let Some(known) = self.snapshots.get(&schema.id) {
            return Ok(known.clone());
        }
        let snapshot = self.inner.snapshot_of(schema)?;
        let snapshot = snapshot.ok_or_else(|| dropped(schema))?;
        let found = (snapshot, self.inner.store.last_lsn());
        self.snapshots.insert(schema.id, found.clone());
        Ok(found)
    }
}

/// Says that a table that was subscribed to is no more.
pub(in crate::subscribe) fn dropped(schema: &TableSchema) -> Error {
    Error::not_found(format!("table {} was dropped", schema.name))
}
