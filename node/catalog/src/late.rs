//! What becomes of rows that come to a materialized view when the watermark has passed their window, and the table that
//! takes them.

use std::collections::BTreeSet;

use activestore_types::{Error, Result, SyncMode, TableName, TableSchema};
use serde::{Deserialize, Serialize};

use crate::definition::TableDefinition;
use crate::keeping::KeepingOptions;
use crate::names::MAX_COLUMNS;
use crate::sharing::SharingOptions;
use crate::state::CatalogState;
use crate::view::ViewDef;

/// What becomes of rows whose window the watermark has passed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Late {
    /// Their window is computed again.
    #[default]
    Update,
    /// They change nothing any more, and are counted.
    Drop,
    /// They go into this table instead, as they were written.
    Table(TableName),
}

impl Late {
    /// As an option says it.
    pub fn name(&self) -> &'static str {
        match self {
            Late::Update => "update",
            Late::Drop => "drop",
            Late::Table(_) => "table",
        }
    }

    /// The table that takes them.
    pub fn table(&self) -> Option<&TableName> {
        match self {
            Late::Table(name) => Some(name),
            Late::Update | Late::Drop => None,
        }
    }

    /// Reads the options `late` and `late_table`.
    pub(crate) fn parse(late: Option<&str>, table: Option<&str>) -> Result<Late> {
        let wanted = late.map(str::to_ascii_lowercase);
        match (wanted.as_deref(), table) {
            (Some("table"), Some(table)) => {
                Ok(Late::Table(table.parse::<TableName>().map_err(
                    |error: Error| error.with_hint("late_table = 'plant.readings_late'"),
                )?))
            }
            (Some("table"), None) => Err(Error::invalid(
                "late = 'table' does not say which table takes the late rows",
            )
            .with_hint("name it as well: late = 'table', late_table = 'plant.readings_late'")),
            (_, Some(table)) => Err(Error::invalid(format!(
                "late_table = '{table}' takes late rows only where late = 'table'"
            ))
            .with_hint(format!("write late = 'table', late_table = '{table}'"))),
            (None | Some("update"), None) => Ok(Late::Update),
            (Some("drop"), None) => Ok(Late::Drop),
            (Some(other), None) => Err(Error::invalid(format!(
                "late = '{other}' is unknown: 'update', 'drop' or 'table' expected"
            ))),
        }
    }
}

/// A table for the late rows of another one: its columns, its key, as long kept. `sync` says how its rows travel.
pub fn late_table(name: &TableName, base: &TableSchema, sync: SyncMode) -> TableDefinition {
    let mut definition = TableDefinition::from_schema(base);
    definition.name = name.clone();
    definition.options.sync = Some(sync);
    definition.options.sharing = SharingOptions::default();
    definition.options.keeping = KeepingOptions::default();
    definition
}

/// Refuses a table for late rows that they do not fit into, or that holds other rows than those of one view.
///
/// # Errors
/// `Invalid` or `Conflict`, saying what does not fit.
pub(crate) fn check(state: &CatalogState, view: &TableName, def: &ViewDef) -> Result<()> {
    let Some(name) = def.late.table() else {
        return Ok(());
    };
    if name == view || *name == def.base || state.views.contains_key(name) {
        let what = if *name == def.base {
            "is the table that the view stands on"
        } else {
            "is a materialized view"
        };
        return Err(
            Error::invalid(format!("{name} {what}, so late rows cannot go there"))
                .with_hint("name another table; where there is none of that name it is made"),
        );
    }
    if let Some(other) = view_of(state, name) {
        return Err(Error::conflict(format!(
            "{name} takes the late rows of {other} already, and each view leaves out what its own table of late rows holds"
        ))
        .with_hint("name a table for this view alone"));
    }
    let mut processors = state.processors_on(name);
    if let Some(processor) = processors.next() {
        return Err(Error::invalid(format!(
            "the processor '{}' is on {name} and could change late rows, which are kept as they were written",
            processor.name
        ))
        .with_hint("name another table; where there is none of that name it is made"));
    }
    let (base, late) = (state.table(&def.base)?, state.table(name)?);
    let given = TableDefinition::from_schema(base);
    let there = TableDefinition::from_schema(late);
    let hint = format!(
        "give it the columns and the key of {}, or name a table that is not there: it is made",
        def.base
    );
    if given.partition_key != there.partition_key || given.clustering_key != there.clustering_key {
        return Err(Error::invalid(format!(
            "the late rows of {} do not fit into {name}, which has another primary key",
            def.base
        ))
        .with_hint(hint));
    }
    let mut columns = base.columns.iter();
    match columns.find(|column| late.column(&column.name).is_none()) {
        None => fits(base, late),
        Some(column) => Err(Error::invalid(format!(
            "the late rows of {} do not fit into {name}: column '{}' is missing there",
            def.base, column.name
        ))
        .with_hint(hint)),
    }
}

/// Whether late rows of a table fit into another one, which gets the columns that it lacks when they come.
fn fits(base: &TableSchema, late: &TableSchema) -> Result<()> {
    for column in &base.columns {
        let known = late.column(&column.name).map(|known| known.data_type);
        if let Some(known) = known.filter(|known| *known != column.data_type) {
            return Err(Error::invalid(format!(
                "the late rows of {} do not fit into {}: column '{}' is {known} there and {} here",
                base.name, late.name, column.name, column.data_type
            ))
            .with_hint("use another column name, or another table for the late rows"));
        }
    }
    let columns = base.columns.iter().chain(&late.columns);
    let columns: BTreeSet<&str> = columns.map(|column| column.name.as_str()).collect();
    if columns.len() > MAX_COLUMNS {
        return Err(Error::invalid(format!(
            "the late rows of {} do not fit into {}, which would get more than {MAX_COLUMNS} columns",
            base.name, late.name
        ))
        .with_hint("leave the column out, or name another table for the late rows"));
    }
    Ok(())
}

/// Refuses columns of a table after which late rows would not fit into theirs any more.
///
/// # Errors
/// `Invalid`, naming the column.
pub(crate) fn check_columns(state: &CatalogState, name: &TableName) -> Result<()> {
    for (view, def) in &state.views {
        let late = def.late.table();
        if let Some(late) = late.filter(|late| *late == name || def.base == *name) {
            fits(state.table(&def.base)?, state.table(late)?)
                .map_err(|error| error.context(format!("materialized view {view}")))?;
        }
    }
    Ok(())
}

/// Refuses views and tables of late rows that would lead the rows of a table back to it. Processors cannot: there is none
/// on a view or a table of late rows.
///
/// # Errors
/// `Invalid`, naming the table that leads back.
pub(crate) fn check_circle(state: &CatalogState, from: &TableName) -> Result<()> {
    // Each table is visited once, so this ends.
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(table) = reached.get(next).copied() {
        let over = state.views.iter().filter(|(view, def)| {
            let mut tables = state.tables_of_view(view, def);
            tables.any(|of| of == table)
        });
        let onward = over.flat_map(|(view, def)| {
            let late = def.late.table().filter(|_| def.base == *table);
            std::iter::once(view).chain(late)
        });
        for onward in onward {
            if onward == from {
                return Err(Error::invalid(format!(
                    "rows of {from} would come back to it by way of {table}, and go round for ever"
                ))
                .with_hint(
                    "name a table for the late rows that leads back to none that they come from",
                ));
            }
            if !reached.contains(&onward) {
                reached.push(onward);
            }
        }
        next += 1;
    }
    Ok(())
}

/// The view whose late rows a table takes.
pub(crate) fn view_of<'a>(state: &'a CatalogState, name: &TableName) -> Option<&'a TableName> {
    let mut views = state.views.iter();
    let found = views.find(|(_, view)| view.late.table() == Some(name));
    found.map(|(view, _)| view)
}

/// Refuses to drop a table that takes late rows.
pub(crate) fn check_users(state: &CatalogState, name: &TableName) -> Result<()> {
    match view_of(state, name) {
        None => Ok(()),
        Some(view) => Err(Error::conflict(format!(
            "{name} takes the late rows of the materialized view {view}"
        ))
        .with_hint(format!("drop that first: DROP MATERIALIZED VIEW {view}"))),
    }
}
