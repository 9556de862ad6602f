//! What becomes of a table's rows that wait for the cloud when the outbox is full: `sync_at_limit`. Most tables
//! hold: writes to them are refused until there is room. Others let the oldest of their rows go, or ship less
//! of them.

use std::collections::BTreeMap;

use activestore_types::{Error, Result, SyncMode, TableName};
use serde::{Deserialize, Serialize};

use crate::definition::TableDefinition;
use crate::state::CatalogState;

/// What is said of one table that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AtLimit {
    /// The oldest rows that wait are not shipped.
    DropOldest,
    /// Of the oldest rows that wait, only what the filter lets through is shipped.
    Downsample {
        /// The filter's name.
        filter: String,
    },
}

impl AtLimit {
    /// As an option says it.
    pub fn name(&self) -> &'static str {
        match self {
            AtLimit::DropOldest => "drop_oldest",
            AtLimit::Downsample { .. } => "downsample",
        }
    }

    /// The filter that rows pass.
    pub fn filter(&self) -> Option<&str> {
        match self {
            AtLimit::DropOldest => None,
            AtLimit::Downsample { filter } => Some(filter),
        }
    }
}

/// What `sync_at_limit` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Hold,
    DropOldest,
    Downsample,
}

/// What a statement changes of it; what it does not name stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AtLimitOptions {
    policy: Option<Policy>,
    /// The filter, or none any more.
    filter: Option<Option<String>>,
}

impl AtLimitOptions {
    /// The names of its options.
    pub(crate) const NAMES: [&'static str; 2] = ["sync_at_limit", "sync_at_limit_filter"];

    /// The filter that it names.
    pub fn filter(&self) -> Option<&str> {
        self.filter.as_ref()?.as_deref()
    }

    /// Takes an option in if it is one of these; `given` is its value where it has one.
    ///
    /// # Errors
    /// `Invalid` for a policy that there is not.
    pub(crate) fn take(&mut self, name: &str, given: Option<&str>) -> Result<bool> {
        match name {
            "sync_at_limit" => {
                let text = given.unwrap_or("hold").to_ascii_lowercase();
                self.policy = Some(match text.as_str() {
                    "hold" => Policy::Hold,
                    "drop_oldest" => Policy::DropOldest,
                    "downsample" => Policy::Downsample,
                    _ => {
                        return Err(Error::invalid(format!(
                            "sync_at_limit = '{text}' is unknown: 'hold', 'drop_oldest' or 'downsample' expected"
                        )));
                    }
                });
            }
            "sync_at_limit_filter" => self.filter = Some(given.map(str::to_owned)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Changes what is said of a table, which has its other options already.
pub(crate) fn set(
    state: &mut CatalogState,
    table: &TableName,
    options: &AtLimitOptions,
) -> Result<()> {
    let known = state.at_limit.get(table);
    let policy = options.policy.unwrap_or(match known {
        None => Policy::Hold,
        Some(AtLimit::DropOldest) => Policy::DropOldest,
        Some(AtLimit::Downsample { .. }) => Policy::Downsample,
    });
    let filter = match &options.filter {
        Some(filter) => filter.clone(),
        None => known.and_then(AtLimit::filter).map(str::to_owned),
    };
    let at_limit = match (policy, filter) {
        (Policy::Downsample, Some(filter)) => AtLimit::Downsample { filter },
        (Policy::Downsample, None) => {
            return Err(Error::invalid(format!(
                "sync_at_limit = 'downsample' of table {table} names no filter"
            ))
            .with_hint(
                "say which one with sync_at_limit_filter = 'name'; CREATE FILTER makes one",
            ));
        }
        (_, Some(filter)) if options.filter.is_some() => {
            return Err(Error::invalid(format!(
                "sync_at_limit_filter = '{filter}' of table {table} filters nothing without sync_at_limit = 'downsample'"
            )));
        }
        (Policy::DropOldest, _) => AtLimit::DropOldest,
        (Policy::Hold, _) => {
            state.at_limit.remove(table);
            return Ok(());
        }
    };
    state.at_limit.insert(table.clone(), at_limit);
    check(state, table)
}

/// Checks that rows of the table wait in the outbox, and are none that a full one is kept for.
pub(crate) fn check(state: &CatalogState, name: &TableName) -> Result<()> {
    let Some(at_limit) = state.at_limit.get(name) else {
        return Ok(());
    };
    let sync = state.table(name)?.sync;
    let said = at_limit.name();
    if !matches!(sync, SyncMode::Up | SyncMode::Both) {
        return Err(Error::invalid(format!(
            "table {name} has sync = '{}': nothing of it waits for the cloud, so sync_at_limit = '{said}' lets nothing go",
            sync.name()
        ))
        .with_hint("give it sync = 'both' or 'up', or take the option back with sync_at_limit = 'hold'"));
    }
    let class = state.class(name);
    if class.is_urgent() {
        return Err(Error::invalid(format!(
            "table {name} has sync_class = '{}', and a full outbox makes room for such rows: sync_at_limit = '{said}' \
             would let them go",
            class.name()
        ))
        .with_hint("leave sync_at_limit at 'hold', or make the rows sync_class = 'live'"));
    }
    match at_limit.filter() {
        Some(filter) => state.filter(filter).map(drop),
        None => Ok(()),
    }
}

/// Takes over what another node says of its tables; what this node says of tables that only it has stands, as far as
/// it means something.
pub(crate) fn adopt(
    state: &mut CatalogState,
    tables: &[TableDefinition],
    at_limit: BTreeMap<TableName, AtLimit>,
) {
    let known = |table: &TableName| tables.iter().any(|other| other.name == *table);
    for (table, said) in std::mem::replace(&mut state.at_limit, at_limit) {
        if !known(&table) {
            state.at_limit.insert(table, said);
        }
    }
    let names: Vec<TableName> = state.at_limit.keys().cloned().collect();
    for table in names {
        if check(state, &table).is_err() {
            state.at_limit.remove(&table);
        }
    }
}
