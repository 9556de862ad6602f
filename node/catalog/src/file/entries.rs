//! The definitions as the entries that the file holds.

use std::collections::BTreeMap;
use std::fmt::Display;

use activestore_types::{Error, Result};
use serde::Serialize;

use super::Meta;
use crate::state::CatalogState;

/// All of them, by name.
pub(super) fn entries(state: &CatalogState) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut all = BTreeMap::new();
    let meta = Meta {
        version: state.version,
        next_table: state.next_table,
        disagreements: state.disagreements.clone(),
    };
    put(&mut all, "meta".to_owned(), &meta)?;
    for (name, table) in &state.tables {
        put(&mut all, format!("table/{name}"), table.as_ref())?;
    }
    put_all(&mut all, "keyspace", &state.keyspaces)?;
    put_all(&mut all, "function", &state.functions)?;
    put_all(&mut all, "processor", &state.processors)?;
    put_all(&mut all, "model", &state.models)?;
    put_all(&mut all, "plugin", &state.plugins)?;
    put_all(&mut all, "merge", &state.merges)?;
    put_all(&mut all, "filter", &state.filters)?;
    put_all(&mut all, "sharing", &state.sharing)?;
    put_all(&mut all, "class", &state.classes)?;
    put_all(&mut all, "keeping", &state.keeping)?;
    let kept = state.keep_conflicts.iter().map(|table| (table, true));
    put_all(&mut all, "conflicts", &kept.collect())?;
    put_all(&mut all, "at-limit", &state.at_limit)?;
    put_all(&mut all, "rollout", &state.rollouts)?;
    put_all(&mut all, "view", &state.views)?;
    put_all(&mut all, "joined", &state.joined)?;
    put_all(&mut all, "sink", &state.sinks)?;
    put_all(&mut all, "role", &state.roles)?;
    Ok(all)
}

fn put_all<N: Display, T: Serialize>(
    all: &mut BTreeMap<String, Vec<u8>>,
    kind: &str,
    named: &BTreeMap<N, T>,
) -> Result<()> {
    named
        .iter()
        .try_for_each(|(name, value)| put(all, format!("{kind}/{name}"), value))
}

fn put<T: Serialize>(all: &mut BTreeMap<String, Vec<u8>>, name: String, value: &T) -> Result<()> {
    let bytes = postcard::to_stdvec(value)
        .map_err(|error| Error::internal(format!("catalog entry {name}: {error}")))?;
    all.insert(name, bytes);
    Ok(())
}
