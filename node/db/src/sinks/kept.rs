//! Whether this node may write the tables that its sinks name for refused events. What else they have to be is the
//! catalog's to say, which does not know what the node is.

use activestore_catalog::{Change, SinkChange, SinkDef};
use activestore_types::{Error, Result, SyncMode, TableName};

use crate::db::Inner;

impl Inner {
    /// Refuses a change after which the rows of a table for refused events come from the cloud alone.
    ///
    /// # Errors
    /// `Invalid`, naming the table.
    pub(crate) fn check_sinks_after(&self, change: &Change) -> Result<()> {
        if !self.options.role.has_cloud() {
            return Ok(());
        }
        let state = self.catalog.state();
        let into = match change {
            Change::Sink(SinkChange::Create { def, .. }) => kept_in(def),
            // What stands, nobody is kept from changing anything else by.
            Change::Sink(SinkChange::Alter { name, set, .. })
                if set.contains_key("refused_into") =>
            {
                let changed = state.sinks.get(name).cloned().map(|mut def| {
                    def.options.extend(set.clone());
                    def
                });
                changed.as_ref().and_then(kept_in)
            }
            Change::AlterOptions { table, options } if options.sync == Some(SyncMode::Down) => {
                let mut keeps = state.sinks.values().filter_map(kept_in);
                return match keeps.any(|into| into == *table) {
                    true => Err(comes_down(table)),
                    false => Ok(()),
                };
            }
            _ => None,
        };
        let Some(into) = into else {
            return Ok(());
        };
        let table = state.tables.get(&into).map(|table| table.sync);
        let keyspace = || Some(state.keyspaces.get(&into.keyspace)?.sync);
        match table.or_else(keyspace) {
            Some(SyncMode::Down) => Err(comes_down(&into)),
            _ => Ok(()),
        }
    }
}

fn kept_in(def: &SinkDef) -> Option<TableName> {
    def.parsed().ok()?.1.refused_into
}

fn comes_down(table: &TableName) -> Error {
    Error::invalid(format!(
        "rows of {table} come from the cloud, so no sink of this node can keep refused events there"
    ))
    .with_hint(
        "name a table in refused_into with sync = 'none', or 'up' where the cloud is to have them",
    )
}
