//! Materialized views: a table that holds what a query over another one says, and that nobody but the node writes.
//!
//! A view is made and kept where it was defined. Its definition does not travel; its table does where its rows do.

use std::collections::BTreeMap;
use std::time::Duration;

use activestore_types::{Column, Error, Result, SyncMode, TableName};
use serde::{Deserialize, Serialize};

use crate::adopt::keys_differ;
use crate::apply::{add_columns, alter_options, create_table, drop_table, exists, unused};
use crate::bundle::Bundle;
use crate::definition::{ProcessorDef, TableDefinition};
use crate::duration::parse_duration;
use crate::late::{self, Late};
use crate::names::nearest;
use crate::options::TableOptions;
use crate::state::{CatalogState, missing};
use crate::{keeping, sharing, sink};

/// The shortest time between two looks of a view at its table …
const REFRESH_MS_MIN: u64 = 10;
/// … and the longest, a day.
const REFRESH_MS_MAX: u64 = 86_400_000;
/// How often a view is brought up to date where nothing is said.
const REFRESH_MS: u64 = 1_000;
/// Views that one node keeps.
pub const MAX_VIEWS: usize = 256;

/// What a view is made of, beside its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewDef {
    /// The query, with what aliases in its clauses stand for in their places.
    pub query: String,
    /// The table that it reads.
    pub base: TableName,
    /// How often it is brought up to date, in milliseconds.
    pub refresh_ms: u64,
    /// What becomes of late rows.
    pub late: Late,
    /// By how much the watermark stays behind the newest moment that was seen, in milliseconds.
    pub lateness_ms: u64,
    /// How long its table has to keep rows, so that a whole window can be computed: as long as a window lasts, and
    /// as long as late rows are waited for; in milliseconds.
    pub needs_ms: u64,
}

/// What `CREATE MATERIALIZED VIEW … WITH` may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewOptions {
    /// How often it is brought up to date, in milliseconds.
    pub refresh_ms: u64,
    /// What becomes of late rows.
    pub late: Late,
    /// By how much the watermark stays behind, in milliseconds.
    pub lateness_ms: u64,
    /// Of its table: `ttl`, `sync`, `compaction`.
    pub table: TableOptions,
}

impl Default for ViewOptions {
    fn default() -> Self {
        ViewOptions {
            refresh_ms: REFRESH_MS,
            late: Late::default(),
            lateness_ms: 0,
            table: TableOptions::default(),
        }
    }
}

impl ViewOptions {
    const NAMES: [&'static str; 8] = [
        "late",
        "late_table",
        "allowed_lateness",
        "watermark",
        "refresh",
        "ttl",
        "sync",
        "compaction",
    ];

    /// Reads the options by name.
    ///
    /// # Errors
    /// `Invalid` for an unknown name or a value that does not fit.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self> {
        let mut parsed = ViewOptions::default();
        let mut table = BTreeMap::new();
        for (name, value) in options {
            match name.as_str() {
                // Read together.
                "late" | "late_table" => {}
                "allowed_lateness" | "watermark" => {
                    parsed.lateness_ms = millis(&parse_duration(value)?);
                }
                "refresh" => {
                    let refresh_ms = millis(&parse_duration(value)?);
                    if !(REFRESH_MS_MIN..=REFRESH_MS_MAX).contains(&refresh_ms) {
                        return Err(Error::invalid(format!(
                            "refresh = '{value}' is not between {REFRESH_MS_MIN} milliseconds and a day"
                        )));
                    }
                    parsed.refresh_ms = refresh_ms;
                }
                "ttl" | "sync" | "compaction" => {
                    table.insert(name.clone(), value.clone());
                }
                _ => {
                    let error =
                        Error::invalid(format!("a materialized view has no option '{name}'"));
                    return Err(match nearest(name, Self::NAMES) {
                        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                        None => {
                            error.with_hint(format!("its options are {}", Self::NAMES.join(", ")))
                        }
                    });
                }
            }
        }
        let said = |name: &str| options.get(name).map(String::as_str);
        parsed.late = Late::parse(said("late"), said("late_table"))?;
        parsed.table = TableOptions::parse(&table)?;
        if parsed.table.sync == Some(SyncMode::Both) {
            return Err(two_writers());
        }
        Ok(parsed)
    }
}

fn two_writers() -> Error {
    Error::invalid("a materialized view has one writer, so its rows travel one way")
        .with_hint("say sync = 'up' where they go to the cloud, 'down' at a cloud, or 'none'")
}

fn millis(duration: &Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl CatalogState {
    /// The tables that a view is made of: its base, and those that it looks something up in.
    pub fn tables_of_view<'a>(
        &'a self,
        name: &TableName,
        view: &'a ViewDef,
    ) -> impl Iterator<Item = &'a TableName> {
        std::iter::once(&view.base).chain(self.joined.get(name).into_iter().flatten())
    }

    /// The view with this name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name as a hint; `Conflict` where it is a table.
    pub fn view(&self, name: &TableName) -> Result<&ViewDef> {
        self.views.get(name).ok_or_else(|| {
            if self.tables.contains_key(name) {
                return Error::conflict(format!("{name} is a table and no materialized view"));
            }
            let names: Vec<String> = self.views.keys().map(ToString::to_string).collect();
            missing(
                "materialized view",
                &name.to_string(),
                names.iter().map(String::as_str),
            )
        })
    }
}

/// Whether a table is offered to other nodes: a view's is where its rows flow down to them.
pub(crate) fn is_offered(state: &CatalogState, name: &TableName, sync: SyncMode) -> bool {
    !state.views.contains_key(name) || matches!(sync, SyncMode::Down | SyncMode::Both)
}

pub(crate) fn create(
    state: &mut CatalogState,
    definition: &TableDefinition,
    (def, joined): (ViewDef, Vec<TableName>),
    if_not_exists: bool,
    takes_over: bool,
) -> Result<()> {
    if if_not_exists && state.views.contains_key(&definition.name) {
        return Ok(());
    }
    state.table(&def.base)?;
    joined
        .iter()
        .try_for_each(|table| state.table(table).map(|_| ()))?;
    late::check(state, &definition.name, &def)?;
    if state.views.len() >= MAX_VIEWS {
        return Err(Error::invalid(format!(
            "a node keeps at most {MAX_VIEWS} materialized views"
        ))
        .with_hint("drop one that nobody reads"));
    }
    // No view stands on itself.
    let name = &definition.name;
    let is_table = state.tables.contains_key(name) && !state.views.contains_key(name);
    if takes_over && is_table && def.base != *name && !joined.contains(name) {
        check_users(state, &definition.name)?;
        late::check_users(state, &definition.name)?;
        take_over(state, definition)?;
    } else {
        create_table(state, definition, false)?;
    }
    if !joined.is_empty() {
        state.joined.insert(definition.name.clone(), joined);
    }
    let base = def.base.clone();
    state.views.insert(definition.name.clone(), def);
    late::check_circle(state, &base)?;
    late::check_circle(state, &definition.name)
}

/// A table becomes the view. Rows of a view that go up make a table at the cloud, and its definitions bring that to
/// all nodes: to those that make the same view, and to the one that made it, once it made it anew.
fn take_over(state: &mut CatalogState, definition: &TableDefinition) -> Result<()> {
    let name = &definition.name;
    let table = state.table(name)?.clone();
    let is_given = |column: &Column| {
        let given = definition.columns.iter();
        given
            .filter(|given| given.name == column.name)
            .any(|given| given.data_type == column.data_type)
    };
    if keys_differ(&table, definition) || !table.columns.iter().all(is_given) {
        return Err(exists("table", &name.to_string()).with_hint(
            "a view takes the place of a table without rows where that has its key and no other columns than it: give the view another name",
        ));
    }
    let uses =
        |processor: &&ProcessorDef| processor.table == *name || processor.into.contains(name);
    let users = state.processors.values().filter(uses);
    unused(
        "table",
        &name.to_string(),
        users.map(|processor| ("processor", processor.name.as_str())),
    )?;
    let columns = definition.columns.iter();
    let columns: Vec<_> = columns
        .map(|column| (column.name.clone(), column.data_type))
        .collect();
    let options = TableOptions {
        flexible: Some(false),
        ..definition.options.clone()
    };
    let altered = alter_options(&add_columns(&table, &columns, true)?, &options)?;
    sharing::forget(state, name);
    keeping::say_nothing(state, name);
    state.tables.insert(name.clone(), altered);
    Ok(())
}

pub(crate) fn drop_view(state: &mut CatalogState, name: &TableName, if_exists: bool) -> Result<()> {
    if if_exists && !state.tables.contains_key(name) {
        return Ok(());
    }
    state.view(name).map_err(|error| {
        if state.tables.contains_key(name) {
            error.with_hint(format!("DROP TABLE {name} drops a table"))
        } else {
            error
        }
    })?;
    check_users(state, name)?;
    state.views.remove(name);
    state.joined.remove(name);
    drop_table(state, name, false)
}

/// Refuses to drop a view as a table, and what views stand on or sinks read.
pub(crate) fn check_drop(state: &CatalogState, name: &TableName) -> Result<()> {
    if state.views.contains_key(name) {
        return Err(
            Error::conflict(format!("{name} is a materialized view and no table"))
                .with_hint(format!("DROP MATERIALIZED VIEW {name}")),
        );
    }
    sink::check_drop(state, name)?;
    late::check_users(state, name)?;
    check_users(state, name)
}

fn check_users(state: &CatalogState, name: &TableName) -> Result<()> {
    let users = state
        .views
        .iter()
        .filter(|(view, def)| state.tables_of_view(view, def).any(|table| table == name));
    let users: Vec<String> = users.map(|(view, _)| view.to_string()).collect();
    match users.first() {
        None => Ok(()),
        Some(first) => Err(Error::conflict(format!(
            "materialized views stand on {name}: {}",
            users.join(", ")
        ))
        .with_hint(format!("drop them first: DROP MATERIALIZED VIEW {first}"))),
    }
}

/// Refuses to change the columns of a view.
pub(crate) fn check_columns(state: &CatalogState, name: &TableName) -> Result<()> {
    if state.views.contains_key(name) {
        return Err(Error::conflict(format!(
            "{name} is a materialized view: its columns are those of its query"
        ))
        .with_hint("drop it and make it anew with another query"));
    }
    Ok(())
}

/// Refuses options of a view's table that it does not have.
pub(crate) fn check_options(
    state: &CatalogState,
    name: &TableName,
    options: &TableOptions,
) -> Result<()> {
    if !state.views.contains_key(name) {
        return Ok(());
    }
    let had = TableOptions {
        ttl_s: options.ttl_s,
        sync: options.sync,
        compaction: options.compaction,
        ..TableOptions::default()
    };
    if had != *options {
        return Err(Error::invalid(format!(
            "{name} is a materialized view, and only its ttl, sync and compaction can be set"
        )));
    }
    match options.sync {
        Some(SyncMode::Both) => Err(two_writers()),
        _ => Ok(()),
    }
}

/// Refuses a processor that would write into a view, or see what is written to it or to its table of late rows: a
/// processor may change rows and turn them away.
pub(crate) fn check_processed(state: &CatalogState, processor: &ProcessorDef) -> Result<()> {
    if let Some(view) = late::view_of(state, &processor.table) {
        return Err(Error::invalid(format!(
            "{} takes the late rows of the materialized view {view} as they were written, and a processor could change them",
            processor.table
        ))
        .with_hint("put the processor on the table that the view stands on"));
    }
    if let Some(view) = state.views.get(&processor.table) {
        return Err(Error::invalid(format!(
            "{} is a materialized view: a processor could change its rows, and nobody but its query says what it holds",
            processor.table
        ))
        .with_hint(format!("put the processor on {}, or SUBSCRIBE to the view", view.base)));
    }
    match processor
        .into
        .iter()
        .find(|name| state.views.contains_key(name))
    {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!(
            "{name} is a materialized view, and nobody but its query writes it"
        ))
        .with_hint("send the processor's rows INTO a table")),
    }
}

/// Takes out of another node's definitions what it says of tables that are views here. Processors of theirs are told
/// of: they do not run here.
pub(crate) fn spare(state: &CatalogState, bundle: &mut Bundle, disagreements: &mut Vec<String>) {
    if state.views.is_empty() {
        return;
    }
    bundle.processors.retain(|name, processor| {
        let refused = check_processed(state, processor);
        if let Err(error) = &refused {
            disagreements.push(format!("processor '{name}' does not run here: {error}"));
        }
        refused.is_ok()
    });
    let is_table = |name: &TableName| !state.views.contains_key(name);
    bundle.sharing.retain(|name, _| is_table(name));
    bundle.classes.retain(|name, _| is_table(name));
    bundle.keeping.retain(|name, _| is_table(name));
    bundle.keep_conflicts.retain(is_table);
    bundle.at_limit.retain(|name, _| is_table(name));
}
