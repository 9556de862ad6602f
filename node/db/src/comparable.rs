//! What two ends can compare: whole tables by their digests, where an edge holds all that it shipped, and which
//! tables they cannot, and why.

use activestore_catalog::Sharing;
use activestore_sync_proto::TableDigest;
use activestore_types::{NodeId, Result, SyncMode, TableName};

use crate::db::{Db, Inner};

impl Db {
    /// Tables that cannot be compared whole, and why: not everything leaves an edge, or not everything stays.
    pub fn filtered_tables(&self) -> Vec<(TableName, String)> {
        self.inner.filtered_tables()
    }

    /// Tables that cannot be compared row by row either, since not everything leaves an edge, and what they are
    /// filtered by.
    pub fn held_back_tables(&self) -> Vec<(TableName, String)> {
        self.inner.held_back_tables()
    }

    /// A row's key for people: the values of its key where the row is here, else the key's letters.
    pub fn key_text(&self, table: &TableName, key: &[u8]) -> String {
        self.inner.key_text(table, key)
    }

    /// A digest per table that travels up, over the cells that `origin` wrote, or over all of them; those of
    /// [`Db::filtered_tables`] left out.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn digests(&self, origin: Option<NodeId>) -> Result<Vec<TableDigest>> {
        let inner = self.inner.clone();
        self.blocking(move || inner.digests(origin)).await
    }
}

impl Inner {
    pub(crate) fn held_back_tables(&self) -> Vec<(TableName, String)> {
        let state = self.catalog.state();
        let by = |sharing: &Sharing| match &sharing.filter {
            Some(name) => format!("filter '{name}'"),
            None if sharing.condition.is_some() => "sync_where".to_owned(),
            None => "sync_columns".to_owned(),
        };
        let sharing = state.sharing.iter();
        let held_back = sharing.filter(|(_, sharing)| sharing.holds_back());
        held_back
            .map(|(table, sharing)| (table.clone(), by(sharing)))
            .collect()
    }

    pub(crate) fn filtered_tables(&self) -> Vec<(TableName, String)> {
        let state = self.catalog.state();
        let mut filtered = self.held_back_tables();
        // An edge holds less of these on purpose, and by how much only it knows.
        for (name, schema) in &state.tables {
            let keeping = state.keeping.get(name);
            let kept = keeping.is_some_and(|keeping| keeping.keep_local_s.is_some());
            let named = state.sharing.get(name).is_some_and(Sharing::holds_back);
            // A full outbox ships other rows than those that are here.
            let said = state.at_limit.get(name);
            if !named && said.is_some_and(|said| said.filter().is_some()) {
                filtered.push((name.clone(), "sync_at_limit".to_owned()));
                continue;
            }
            if !named && (kept || self.evicted_rows(schema).is_some()) {
                filtered.push((name.clone(), "keep_local".to_owned()));
            }
        }
        filtered
    }

    pub(crate) fn digests(&self, origin: Option<NodeId>) -> Result<Vec<TableDigest>> {
        let filtered = self.filtered_tables();
        let origin = origin.map(|node| self.store.origin_id(node)).transpose()?;
        let now_ms = self.wall_ms();
        self.catalog
            .state()
            .tables
            .values()
            .filter(|schema| matches!(schema.sync, SyncMode::Up | SyncMode::Both))
            // What the two ends hold of these differs on purpose.
            .filter(|schema| !filtered.iter().any(|(table, _)| *table == schema.name))
            .filter_map(|schema| {
                let snapshot = self.snapshot_of(schema).transpose()?;
                let digest = snapshot.and_then(|snapshot| snapshot.digest(origin, now_ms));
                Some(digest.map(|digest| TableDigest {
                    table: schema.name.clone(),
                    rows: digest.rows,
                    hash: digest.hash,
                }))
            })
            .collect()
    }
}
