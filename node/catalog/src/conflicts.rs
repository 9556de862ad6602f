//! Whether the values that lose a conflict are kept: `keep_conflicts`, of tables that several nodes write to.

use std::collections::BTreeSet;

use activestore_types::{Error, Result, SyncMode, TableName};

use crate::definition::TableDefinition;
use crate::state::CatalogState;

/// The option's name.
pub(crate) const NAME: &str = "keep_conflicts";

/// Changes it for a table, which has its other options already.
pub(crate) fn keep(state: &mut CatalogState, name: &TableName, wanted: Option<bool>) -> Result<()> {
    match wanted {
        Some(true) => {
            state.keep_conflicts.insert(name.clone());
        }
        Some(false) => {
            state.keep_conflicts.remove(name);
        }
        None => {}
    }
    let sync = state.table(name)?.sync;
    if !state.keep_conflicts.contains(name) || sync == SyncMode::Both {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "table {name} has sync = '{}': no two nodes write its cells, so keep_conflicts keeps nothing",
        sync.name()
    ))
    .with_hint("give it sync = 'both', or take the option back with keep_conflicts = false"))
}

/// Takes over what another node says of its tables; what is said of tables that only this node has stands.
pub(crate) fn adopt(
    state: &mut CatalogState,
    tables: &[TableDefinition],
    kept: BTreeSet<TableName>,
) {
    let known = |table: &TableName| tables.iter().any(|other| other.name == *table);
    let here = std::mem::replace(&mut state.keep_conflicts, kept);
    let own = here.into_iter().filter(|table| !known(table));
    state.keep_conflicts.extend(own);
    let both = |table: &TableName| {
        let table = state.tables.get(table);
        table.is_some_and(|table| table.sync == SyncMode::Both)
    };
    state.keep_conflicts.retain(both);
}
