//! How long an edge keeps the rows of a table that its cloud has: `keep_local` and `evict_after_receipt`.
//!
//! A cloud holds these options for its edges and evicts nothing itself.

use activestore_types::{CompactionMode, Error, Result, SyncMode, TableName};
use serde::{Deserialize, Serialize};

use crate::conflicts;
use crate::duration::parse_duration;
use crate::options::{TableOptions, boolean};
use crate::sharing;
use crate::state::CatalogState;

/// The shortest time that rows are kept, in seconds.
const KEEP_S_MIN: u64 = 60;

/// What is said of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeping {
    /// How long an edge keeps rows at least, by their first clustering column, in seconds; `None` means for
    /// ever.
    pub keep_local_s: Option<u64>,
    /// Whether only what a receipt of the cloud covers may go; `None` means that it is so.
    pub evict_after_receipt: Option<bool>,
}

impl Keeping {
    /// Whether only what a receipt covers may go.
    pub fn needs_receipt(self) -> bool {
        self.evict_after_receipt.unwrap_or(true)
    }

    fn is_empty(self) -> bool {
        self == Keeping::default()
    }
}

/// What a statement changes of it; what it does not name stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepingOptions {
    /// Seconds, or for ever again.
    pub keep_local_s: Option<Option<u64>>,
    /// Whether a receipt is needed.
    pub evict_after_receipt: Option<bool>,
}

impl KeepingOptions {
    /// The names of its options.
    pub(crate) const NAMES: [&'static str; 2] = ["keep_local", "evict_after_receipt"];

    /// Takes an option in; whether it is one of these.
    pub(crate) fn take(&mut self, name: &str, value: &str) -> Result<bool> {
        match name {
            "keep_local" => self.keep_local_s = Some(keep_local(value)?),
            "evict_after_receipt" => self.evict_after_receipt = Some(boolean(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn keep_local(value: &str) -> Result<Option<u64>> {
    if value.trim().is_empty() || value.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let duration = parse_duration(value).map_err(|error| error.context("option keep_local"))?;
    if duration.as_secs() < KEEP_S_MIN {
        return Err(Error::invalid(format!(
            "option keep_local: '{value}' is shorter than a minute"
        ))
        .with_hint("'7d' keeps a week of rows at the edge; 'none' keeps them all"));
    }
    Ok(Some(duration.as_secs()))
}

/// Takes over what options say of a table beside its schema: how it is shared, and how long it is kept.
pub(crate) fn say(
    state: &mut CatalogState,
    table: &TableName,
    options: &TableOptions,
) -> Result<()> {
    sharing::share(state, table, &options.sharing)?;
    conflicts::keep(state, table, options.keep_conflicts)?;
    keep(state, table, &options.keeping)
}

/// The table is gone.
pub(crate) fn say_nothing(state: &mut CatalogState, table: &TableName) {
    state.sharing.remove(table);
    state.keeping.remove(table);
    state.keep_conflicts.remove(table);
}

/// Changes what is said of a table, which has its other options already.
fn keep(state: &mut CatalogState, table: &TableName, options: &KeepingOptions) -> Result<()> {
    let mut keeping = state.keeping.get(table).copied().unwrap_or_default();
    if let Some(keep_local_s) = options.keep_local_s {
        keeping.keep_local_s = keep_local_s;
    }
    keeping.evict_after_receipt = options.evict_after_receipt.or(keeping.evict_after_receipt);
    check(state, table, keeping)?;
    if keeping.is_empty() {
        state.keeping.remove(table);
    } else {
        state.keeping.insert(table.clone(), keeping);
    }
    Ok(())
}

/// Checks that rows of the table can be dropped by their time, and that none of them is another node's.
pub(crate) fn check(state: &CatalogState, name: &TableName, keeping: Keeping) -> Result<()> {
    if keeping.keep_local_s.is_none() {
        return Ok(());
    }
    let table = state.table(name)?;
    if table.sync != SyncMode::Up {
        return Err(Error::invalid(format!(
            "table {name} has sync = '{}', and keep_local drops rows at an edge that its cloud holds: it needs \
             sync = 'up'",
            table.sync.name()
        ))
        .with_hint("use ttl to have rows end everywhere, or take keep_local back with 'none' first"));
    }
    if table.time_column().is_none() {
        return Err(Error::invalid(format!(
            "table {name} has no TIMESTAMP as its first clustering column, by which keep_local says what is old"
        ))
        .with_hint("make it with PRIMARY KEY ((device), time)"));
    }
    if table.compaction == CompactionMode::Levelled {
        return Err(Error::invalid(format!(
            "table {name} has compaction = 'levelled', and keep_local drops whole windows of time"
        ))
        .with_hint("leave the option out, or set compaction = 'automatic'"));
    }
    Ok(())
}
