//! What becomes of rows that come to a materialized view when the watermark has passed their window, and the table that
//! takes them.

use activestore_types::{Error, Result, SyncMode, TableName, TableSchema};
use serde::{Deserialize, Serialize};

use crate::definition::TableDefinition;
use crate::keeping::KeepingOptions;
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

/// A table for the late rows of another one: its columns, its key, as long kept. How its rows travel its keyspace says,
/// or `sync`.
pub fn late_table(name: &TableName, base: &TableSchema, sync: Option<SyncMode>) -> TableDefinition {
    let mut definition = TableDefinition::from_schema(base);
    definition.name = name.clone();
    definition.options.sync = sync;
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
    let mut others = state.views.iter();
    if let Some((other, _)) = others.find(|(_, other)| other.late.table() == Some(name)) {
        return Err(Error::conflict(format!(
            "{name} takes the late rows of {other} already, and each view leaves out what its own table of late rows holds"
        ))
        .with_hint("name a table for this view alone"));
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
    for column in &base.columns {
        let known = late.column(&column.name).map(|known| known.data_type);
        let wrong = match known {
            Some(known) if known == column.data_type => continue,
            Some(known) => format!("{known} there and {} here", column.data_type),
            None => "missing there".to_owned(),
        };
        return Err(Error::invalid(format!(
            "the late rows of {} do not fit into {name}: column '{}' is {wrong}",
            def.base, column.name
        ))
        .with_hint(hint));
    }
    Ok(())
}

/// Refuses to drop a table that takes late rows.
pub(crate) fn check_users(state: &CatalogState, name: &TableName) -> Result<()> {
    let mut views = state.views.iter();
    match views.find(|(_, view)| view.late.table() == Some(name)) {
        None => Ok(()),
        Some((view, _)) => Err(Error::conflict(format!(
            "{name} takes the late rows of the materialized view {view}"
        ))
        .with_hint(format!("drop that first: DROP MATERIALIZED VIEW {view}"))),
    }
}
