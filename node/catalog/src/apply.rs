//! What each change makes of a state: pure functions, no storage. A change either yields the whole
//! next state or an error, and then nothing has changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_types::{
    Column, ColumnId, DataType, Error, Result, TableId, TableName, TableSchema,
};

use crate::adopt::adopt;
use crate::change::Change;
use crate::definition::{FunctionKind, ProcessorDef, ProcessorSource, TableDefinition};
use crate::grant::Scope;
use crate::names::{MAX_COLUMNS, check_column_name, check_identifier, check_keyspace_name};
use crate::options::TableOptions;
use crate::state::{CatalogState, DEFAULT_KEYSPACE, missing};
use crate::{keeping, late, plugin, role, rollout, sharing, sink, view};

/// The state after `change`; equal to `before` (version included) where nothing changed.
pub(crate) fn apply(before: &CatalogState, change: Change, foreign: bool) -> Result<CatalogState> {
    let mut next = before.clone();
    step(&mut next, change)?;
    sink::check_after(before, &next, foreign)?;
    // How long a wave has been watched is nothing that an edge must hear of.
    let rollouts = std::mem::take(&mut next.rollouts);
    let same_offers = rollout::same_offers(&before.rollouts, &rollouts);
    next.rollouts.clone_from(&before.rollouts);
    if next != *before || !same_offers {
        next.version = before.version + 1;
    }
    next.rollouts = rollouts;
    Ok(next)
}

fn step(state: &mut CatalogState, change: Change) -> Result<()> {
    match change {
        Change::CreateKeyspace { def, if_not_exists } => {
            check_keyspace_name(&def.name)?;
            if fresh("keyspace", &state.keyspaces, &def.name, if_not_exists)? {
                state.keyspaces.insert(def.name.clone(), def);
            }
            Ok(())
        }
        Change::AlterKeyspace { name, options } => {
            check_keyspace_name(&name)?;
            let mut def = state.keyspace(&name)?.clone();
            if let Some(seconds) = options.ttl_s {
                def.ttl_s = (seconds > 0).then_some(seconds);
            }
            def.sync = options.sync.unwrap_or(def.sync);
            state.keyspaces.insert(name, def);
            Ok(())
        }
        Change::DropKeyspace { name, if_exists } => drop_keyspace(state, &name, if_exists),
        Change::CreateTable {
            definition,
            if_not_exists,
        } => create_table(state, &definition, if_not_exists),
        Change::AddColumns {
            table,
            columns,
            if_not_exists,
        } => {
            view::check_columns(state, &table)?;
            let grown = add_columns(state.table(&table)?, &columns, if_not_exists)?;
            state.tables.insert(table.clone(), grown);
            late::check_columns(state, &table)
        }
        Change::AlterOptions { table, options } => {
            view::check_options(state, &table, &options)?;
            let altered = alter_options(state.table(&table)?, &options)?;
            state.tables.insert(table.clone(), altered);
            keeping::say(state, &table, &options)
        }
        Change::DropTable { name, if_exists } => drop_table(state, &name, if_exists),
        Change::CreateView {
            definition,
            def,
            joined,
            if_not_exists,
            takes_over,
        } => view::create(state, &definition, (def, joined), if_not_exists, takes_over),
        Change::DropView { name, if_exists } => view::drop_view(state, &name, if_exists),
        Change::CreateFunction {
            def,
            kind,
            or_replace,
        } => {
            let word = match kind {
                FunctionKind::Scalar => "function",
                FunctionKind::Aggregate => "aggregate",
                FunctionKind::Table => "table function",
            };
            check_identifier(word, &def.name)?;
            absent(word, &state.functions, &def.name, or_replace)?;
            state.plugin_version(&def.plugin)?;
            state.functions.insert(def.name.clone(), def);
            Ok(())
        }
        Change::DropFunction { name, if_exists } => {
            remove("function", &mut state.functions, &name, if_exists)?;
            role::forget(state, &Scope::Function(name));
            Ok(())
        }
        Change::CreateProcessor { def, or_replace } => {
            check_identifier("processor", &def.name)?;
            absent("processor", &state.processors, &def.name, or_replace)?;
            view::check_processed(state, &def)?;
            state.processors.insert(def.name.clone(), def.clone());
            check_processor(state, &def)
        }
        Change::DropProcessor { name, if_exists } => {
            remove("processor", &mut state.processors, &name, if_exists)
        }
        Change::CreateModel {
            mut def,
            or_replace,
        } => {
            check_identifier("model", &def.name)?;
            absent("model", &state.models, &def.name, or_replace)?;
            state.plugin_version(&def.plugin)?;
            let before = state.models.get(&def.name);
            def.version = before.map_or(0, |before| before.version).saturating_add(1);
            state.models.insert(def.name.clone(), def);
            Ok(())
        }
        Change::DropModel { name, if_exists } => {
            let uses = |processor: &&ProcessorDef| matches!(&processor.source, ProcessorSource::Model(model) if *model == name);
            unused(
                "model",
                &name,
                state
                    .processors
                    .values()
                    .filter(uses)
                    .map(|p| ("processor", p.name.as_str())),
            )?;
            remove("model", &mut state.models, &name, if_exists)?;
            role::forget(state, &Scope::Model(name));
            Ok(())
        }
        Change::CreateMerge { def, or_replace } => sharing::create_merge(state, def, or_replace),
        Change::DropMerge { name, if_exists } => sharing::drop_merge(state, &name, if_exists),
        Change::CreateFilter { def, or_replace } => sharing::create_filter(state, def, or_replace),
        Change::DropFilter { name, if_exists } => sharing::drop_filter(state, &name, if_exists),
        Change::PutPlugin(plugin) => plugin::put(state, plugin),
        Change::DropPlugin { name, if_exists } => plugin::drop_plugin(state, &name, if_exists),
        Change::StartRollout(rollout) => rollout::start(state, rollout),
        Change::StepRollout {
            plugin,
            wave,
            step,
            at_ms,
        } => rollout::step(state, &plugin, wave, step, at_ms),
        Change::Role(change) => role::change(state, change),
        Change::Sink(change) => sink::change(state, change),
        Change::AdoptBundle(bundle) => adopt(state, bundle),
    }
}

/// Whether a thing is to be made; an error where it is there and that was not allowed for.
fn fresh<T>(
    what: &str,
    known: &BTreeMap<String, T>,
    name: &str,
    if_not_exists: bool,
) -> Result<bool> {
    match (known.contains_key(name), if_not_exists) {
        (false, _) => Ok(true),
        (true, true) => Ok(false),
        (true, false) => Err(exists(what, name)),
    }
}

pub(crate) fn absent<T>(
    what: &str,
    known: &BTreeMap<String, T>,
    name: &str,
    or_replace: bool,
) -> Result<()> {
    if known.contains_key(name) && !or_replace {
        return Err(exists(what, name).with_hint(format!(
            "use CREATE OR REPLACE {} to replace it",
            what.to_ascii_uppercase()
        )));
    }
    Ok(())
}

pub(crate) fn exists(what: &str, name: &str) -> Error {
    Error::conflict(format!("{what} '{name}' exists already"))
}

pub(crate) fn remove<T>(
    what: &str,
    known: &mut BTreeMap<String, T>,
    name: &str,
    if_exists: bool,
) -> Result<()> {
    if known.remove(name).is_none() && !if_exists {
        return Err(missing(what, name, known.keys().map(String::as_str)));
    }
    Ok(())
}

pub(crate) fn unused<'a>(
    what: &str,
    name: &str,
    users: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<()> {
    let users: Vec<String> = users
        .map(|(kind, user)| format!("{kind} '{user}'"))
        .collect();
    if users.is_empty() {
        return Ok(());
    }
    Err(
        Error::conflict(format!("{what} '{name}' is used by {}", users.join(", ")))
            .with_hint("drop what uses it first"),
    )
}

fn drop_keyspace(state: &mut CatalogState, name: &str, if_exists: bool) -> Result<()> {
    check_keyspace_name(name)?;
    if name == DEFAULT_KEYSPACE {
        return Err(Error::denied(format!(
            "keyspace '{name}' is the default one and stays"
        )));
    }
    let tables = state
        .tables
        .keys()
        .filter(|table| table.keyspace == name)
        .map(|table| ("table", table.table.as_str()));
    unused("keyspace", name, tables)?;
    remove("keyspace", &mut state.keyspaces, name, if_exists)?;
    role::forget(state, &Scope::Keyspace(name.to_owned()));
    Ok(())
}

/// Makes a table in a keyspace that exists.
pub(crate) fn create_table(
    state: &mut CatalogState,
    definition: &TableDefinition,
    if_not_exists: bool,
) -> Result<()> {
    check_keyspace_name(&definition.name.keyspace)?;
    let keyspace = state.keyspace(&definition.name.keyspace)?;
    if state.tables.contains_key(&definition.name) {
        if if_not_exists {
            return Ok(());
        }
        return Err(exists("table", &definition.name.to_string()));
    }
    let schema = definition.to_schema(state.next_table, keyspace)?;
    state.next_table = TableId(
        state
            .next_table
            .0
            .checked_add(1)
            .ok_or_else(|| Error::conflict("this node has given out every table id"))?,
    );
    state.tables.insert(schema.name.clone(), Arc::new(schema));
    keeping::say(state, &definition.name, &definition.options)
}

/// The table with more columns; the same one where all are there already.
pub(crate) fn add_columns(
    table: &Arc<TableSchema>,
    columns: &[(String, DataType)],
    if_not_exists: bool,
) -> Result<Arc<TableSchema>> {
    let mut grown = TableSchema::clone(table);
    for (name, data_type) in columns {
        check_column_name(name)?;
        if let Some(column) = grown.column(name) {
            if column.data_type != *data_type {
                return Err(Error::conflict(format!(
                    "column '{name}' of {} is {} and cannot become {data_type}",
                    grown.name, column.data_type
                ))
                .with_hint("write values of its type, or use another column name"));
            }
            if !if_not_exists {
                return Err(exists("column", name));
            }
            continue;
        }
        if grown.columns.len() >= MAX_COLUMNS {
            return Err(Error::invalid(format!(
                "table {} has {MAX_COLUMNS} columns, the most a table may have; '{name}' cannot be added",
                grown.name
            )));
        }
        let next = grown.columns.iter().map(|column| column.id.0 + 1).max();
        grown.columns.push(Column {
            id: ColumnId(next.unwrap_or(0)),
            name: name.clone(),
            data_type: *data_type,
        });
    }
    Ok(bumped(table, grown))
}

/// The table with other options; the same one where nothing differs. `Invalid` for those that do not fit it.
pub(crate) fn alter_options(
    table: &Arc<TableSchema>,
    options: &TableOptions,
) -> Result<Arc<TableSchema>> {
    let mut altered = TableSchema::clone(table);
    altered.flexible = options.flexible.unwrap_or(altered.flexible);
    altered.sync = options.sync.unwrap_or(altered.sync);
    altered.compaction = options.compaction.unwrap_or(altered.compaction);
    if let Some(seconds) = options.ttl_s {
        altered.ttl_s = (seconds > 0).then_some(seconds);
    }
    altered.validate()?;
    Ok(bumped(table, altered))
}

fn bumped(before: &Arc<TableSchema>, mut after: TableSchema) -> Arc<TableSchema> {
    if after == **before {
        return before.clone();
    }
    after.version = before.version + 1;
    Arc::new(after)
}

pub(crate) fn drop_table(
    state: &mut CatalogState,
    name: &TableName,
    if_exists: bool,
) -> Result<()> {
    check_keyspace_name(&name.keyspace)?;
    if if_exists && !state.tables.contains_key(name) {
        return Ok(());
    }
    state.table(name)?;
    view::check_drop(state, name)?;
    let all = state.processors.values();
    let users = all
        .filter(|processor| processor.table == *name || processor.into.contains(name))
        .map(|processor| ("processor", processor.name.as_str()));
    unused("table", &name.to_string(), users)?;
    state.tables.remove(name);
    sharing::forget(state, name);
    keeping::say_nothing(state, name);
    role::forget(state, &Scope::Table(name.clone()));
    Ok(())
}

/// Checks that what a processor names exists and that its rows cannot come back to its own table.
pub(crate) fn check_processor(state: &CatalogState, processor: &ProcessorDef) -> Result<()> {
    let named = |error: Error| error.context(format!("processor '{}'", processor.name));
    state.table(&processor.table).map_err(named)?;
    match &processor.source {
        ProcessorSource::Plugin(plugin) => {
            state.plugin_version(plugin).map_err(named)?;
        }
        ProcessorSource::Model(model) => {
            state.model(model).map_err(named)?;
        }
    }
    for (number, into) in processor.into.iter().enumerate() {
        state.table(into).map_err(named)?;
        if processor
            .into
            .iter()
            .take(number)
            .any(|other| other == into)
        {
            return Err(Error::invalid(format!(
                "processor '{}' would send two outputs into table {into}",
                processor.name
            )));
        }
    }
    // Follow the rows from table to table; each table is visited once, so this ends.
    let mut reached: Vec<&TableName> = processor.into.iter().collect();
    let mut next = 0;
    while let Some(table) = reached.get(next).copied() {
        if *table == processor.table {
            return Err(Error::invalid(format!(
                "processor '{}' would feed its own table {}",
                processor.name, processor.table
            ))
            .with_hint("send its rows INTO a table that leads back to no table they come from"));
        }
        for onward in state.processors_on(table).flat_map(|p| &p.into) {
            if !reached.contains(&onward) {
                reached.push(onward);
            }
        }
        next += 1;
    }
    Ok(())
}
