//! How a table's rows are shared with other nodes: which merge function joins the values of a column that
//! several nodes write, and what of the rows leaves this node.

use std::collections::BTreeMap;

use activestore_types::{DataType, Error, Result, SyncClass, SyncMode, TableName};
use serde::{Deserialize, Serialize};

use crate::apply::{absent, remove, unused};
use crate::at_limit::{self, AtLimitOptions};
use crate::definition::{FunctionDef, TableDefinition};
use crate::names::check_identifier;
use crate::plugin::PluginReference;
use crate::state::{CatalogState, missing};

/// Options of columns: `merge_peak = 'greatest'`.
const MERGE_PREFIX: &str = "merge_";
/// Bytes of a condition.
const CONDITION_BYTES_MAX: usize = 4096;

/// A sync filter that a plugin provides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterDef {
    /// Its name, as `sync_filter = '…'` says it.
    pub name: String,
    /// The plugin, and its version where the statement pins one.
    pub plugin: PluginReference,
    /// Its settings, as given.
    pub options: BTreeMap<String, String>,
}

/// What is said of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// Merge functions by the name of the column whose values they join.
    pub merges: BTreeMap<String, String>,
    /// What a row must fulfil to leave the node, as SQL text over the table's columns.
    pub condition: Option<String>,
    /// The columns that leave beside the primary key; `None` means all.
    pub columns: Option<Vec<String>>,
    /// The filter that sees the rows before they leave.
    pub filter: Option<String>,
}

impl Sharing {
    /// Whether something of the rows may stay on the node.
    pub fn holds_back(&self) -> bool {
        self.condition.is_some() || self.columns.is_some() || self.filter.is_some()
    }

    fn is_empty(&self) -> bool {
        self.merges.is_empty() && !self.holds_back()
    }
}

/// What a statement changes of it; what it does not name stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharingOptions {
    /// Merge functions by column; `None` takes one away.
    pub merges: BTreeMap<String, Option<String>>,
    /// A condition, or none any more.
    pub condition: Option<Option<String>>,
    /// Columns, or all again.
    pub columns: Option<Option<Vec<String>>>,
    /// A filter, or none any more.
    pub filter: Option<Option<String>>,
    /// How urgent the rows are. A bundle has it beside its tables.
    #[serde(skip)]
    pub class: Option<SyncClass>,
    /// What becomes of rows when the outbox is full. A bundle has it beside its tables.
    #[serde(skip)]
    pub at_limit: AtLimitOptions,
}

impl SharingOptions {
    /// The names of its options, those of columns with what stands before the column's name.
    pub(crate) const NAMES: [&'static str; 7] = [
        "sync_class",
        "sync_where",
        "sync_columns",
        "sync_filter",
        AtLimitOptions::NAMES[0],
        AtLimitOptions::NAMES[1],
        "merge_COLUMN",
    ];

    /// Takes an option in if it is one of these. An empty value, and for all but a condition `none`, takes
    /// back what was said before.
    ///
    /// # Errors
    /// `Invalid` for a class that there is not.
    pub(crate) fn take(&mut self, name: &str, value: &str) -> Result<bool> {
        let text = value.trim();
        let none = text.is_empty() || (name != "sync_where" && text.eq_ignore_ascii_case("none"));
        let given = (!none).then(|| text.to_owned());
        if self.at_limit.take(name, given.as_deref())? {
            return Ok(true);
        }
        match name {
            "sync_where" => self.condition = Some(given),
            "sync_filter" => self.filter = Some(given),
            "sync_class" => {
                let class = given.map_or(Ok(SyncClass::Live), |text| {
                    text.to_ascii_lowercase().parse()
                });
                self.class = Some(class?);
            }
            "sync_columns" => {
                let names =
                    |text: String| text.split(',').map(|name| name.trim().to_owned()).collect();
                self.columns = Some(given.map(names));
            }
            _ => match name.strip_prefix(MERGE_PREFIX) {
                Some(column) if !column.is_empty() => {
                    self.merges.insert(column.to_owned(), given);
                }
                _ => return Ok(false),
            },
        }
        Ok(true)
    }

    fn change(&self, sharing: &mut Sharing) {
        for (column, function) in &self.merges {
            match function {
                Some(function) => sharing.merges.insert(column.clone(), function.clone()),
                None => sharing.merges.remove(column),
            };
        }
        if let Some(condition) = &self.condition {
            sharing.condition.clone_from(condition);
        }
        if let Some(columns) = &self.columns {
            sharing.columns.clone_from(columns);
        }
        if let Some(filter) = &self.filter {
            sharing.filter.clone_from(filter);
        }
    }
}

/// Changes what is said of a table, which has its other options already.
pub(crate) fn share(
    state: &mut CatalogState,
    table: &TableName,
    options: &SharingOptions,
) -> Result<()> {
    let mut sharing = state.sharing.get(table).cloned().unwrap_or_default();
    options.change(&mut sharing);
    check(state, table, &sharing)?;
    if sharing.is_empty() {
        state.sharing.remove(table);
    } else {
        state.sharing.insert(table.clone(), sharing);
    }
    match options.class {
        Some(SyncClass::Live) => drop(state.classes.remove(table)),
        Some(class) => drop(state.classes.insert(table.clone(), class)),
        None => {}
    }
    check_class(state, table)?;
    at_limit::set(state, table, &options.at_limit)
}

/// A class orders what goes up, so the table's rows must go there.
fn check_class(state: &CatalogState, name: &TableName) -> Result<()> {
    let Some(class) = state.classes.get(name) else {
        return Ok(());
    };
    let sync = state.table(name)?.sync;
    if matches!(sync, SyncMode::Up | SyncMode::Both) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "table {name} has sync = '{}': nothing of it goes up, so sync_class = '{}' orders nothing",
        sync.name(),
        class.name()
    ))
    .with_hint("give it sync = 'both' or 'up', or take the class back with sync_class = 'live'"))
}

/// Forgets what was said of a table that is dropped.
pub(crate) fn forget(state: &mut CatalogState, table: &TableName) {
    state.sharing.remove(table);
    state.classes.remove(table);
    state.at_limit.remove(table);
}

/// Takes over what another node says of its tables; what this node says of tables that only it has stands, as
/// far as it names what there is.
pub(crate) fn adopt(
    state: &mut CatalogState,
    tables: &[TableDefinition],
    sharing: BTreeMap<TableName, Sharing>,
    classes: BTreeMap<TableName, SyncClass>,
) {
    let known = |table: &TableName| tables.iter().any(|other| other.name == *table);
    for (table, sharing) in std::mem::replace(&mut state.sharing, sharing) {
        if !known(&table) && check(state, &table, &sharing).is_ok() {
            state.sharing.insert(table, sharing);
        }
    }
    for (table, class) in std::mem::replace(&mut state.classes, classes) {
        if !known(&table) {
            state.classes.insert(table, class);
        }
    }
    let here = &state.tables;
    state.classes.retain(|table, _| here.contains_key(table));
}

/// Checks that what is said of a table names what there is, and means something there.
pub(crate) fn check(state: &CatalogState, name: &TableName, sharing: &Sharing) -> Result<()> {
    if sharing.is_empty() {
        return Ok(());
    }
    let table = state.table(name)?;
    if !matches!(table.sync, SyncMode::Up | SyncMode::Both) {
        let what = if sharing.merges.is_empty() {
            "nothing of it leaves the node"
        } else {
            "no other node's values come together with its own"
        };
        return Err(Error::invalid(format!(
            "table {name} has sync = '{}': {what}, so merge functions and sync filters do nothing there",
            table.sync.name()
        ))
        .with_hint("give it sync = 'both' or 'up', or take its merge_ and sync_ options back with 'none' first"));
    }
    let column = |column: &str| {
        table.column(column).ok_or_else(|| {
            let names = table.columns.iter().map(|column| column.name.as_str());
            missing("column", column, names).context(format!("table {name}"))
        })
    };
    for (of, function) in &sharing.merges {
        let of = column(of)?;
        if table.is_key(of.id) {
            return Err(Error::invalid(format!(
                "column '{}' belongs to the primary key of {name}: its values are not merged",
                of.name
            )));
        }
        if matches!(of.data_type, DataType::Decimal { .. }) {
            return Err(Error::invalid(format!(
                "column '{}' of {name} is {}, which a merge function would see as a float",
                of.name, of.data_type
            ))
            .with_hint("use BIGINT or DOUBLE"));
        }
        state.merge(function)?;
    }
    for of in sharing.columns.iter().flatten() {
        column(of)?;
    }
    if let Some(condition) = &sharing.condition
        && condition.len() > CONDITION_BYTES_MAX
    {
        return Err(Error::invalid(format!(
            "sync_where is longer than {CONDITION_BYTES_MAX} bytes"
        )));
    }
    if let Some(filter) = &sharing.filter {
        state.filter(filter)?;
    }
    Ok(())
}

pub(crate) fn create_merge(
    state: &mut CatalogState,
    def: FunctionDef,
    or_replace: bool,
) -> Result<()> {
    check_identifier("merge function", &def.name)?;
    absent("merge function", &state.merges, &def.name, or_replace)?;
    state.plugin_version(&def.plugin)?;
    state.merges.insert(def.name.clone(), def);
    Ok(())
}

pub(crate) fn drop_merge(state: &mut CatalogState, name: &str, if_exists: bool) -> Result<()> {
    let uses = |sharing: &Sharing| sharing.merges.values().any(|function| function == name);
    unused_by_tables(state, "merge function", name, uses)?;
    remove("merge function", &mut state.merges, name, if_exists)
}

pub(crate) fn create_filter(
    state: &mut CatalogState,
    def: FilterDef,
    or_replace: bool,
) -> Result<()> {
    check_identifier("filter", &def.name)?;
    absent("filter", &state.filters, &def.name, or_replace)?;
    state.plugin_version(&def.plugin)?;
    state.filters.insert(def.name.clone(), def);
    Ok(())
}

pub(crate) fn drop_filter(state: &mut CatalogState, name: &str, if_exists: bool) -> Result<()> {
    let uses = |sharing: &Sharing| sharing.filter.as_deref() == Some(name);
    unused_by_tables(state, "filter", name, uses)?;
    let mut at_limit = state.at_limit.iter();
    if let Some((table, _)) = at_limit.find(|(_, said)| said.filter() == Some(name)) {
        let table = table.to_string();
        unused("filter", name, std::iter::once(("table", table.as_str()))).map_err(|error| {
            error.with_hint(
                "take it from the table first: ALTER TABLE … SET (sync_at_limit = 'hold')",
            )
        })?;
    }
    remove("filter", &mut state.filters, name, if_exists)
}

fn unused_by_tables(
    state: &CatalogState,
    what: &str,
    name: &str,
    uses: impl Fn(&Sharing) -> bool,
) -> Result<()> {
    let users = state.sharing.iter().filter(|(_, sharing)| uses(sharing));
    let users: Vec<String> = users.map(|(table, _)| table.to_string()).collect();
    unused(
        what,
        name,
        users.iter().map(|table| ("table", table.as_str())),
    )
    .map_err(|error| {
        error.with_hint("take it from those tables first: ALTER TABLE … SET (… = 'none')")
    })
}

/// What of this uses a plugin, by kind and name.
pub(crate) fn users_of_plugin<'a>(
    state: &'a CatalogState,
    plugin: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let merges = state.merges.values();
    let merges = merges
        .filter(move |merge| merge.plugin.name == plugin)
        .map(|merge| ("merge function", merge.name.as_str()));
    let filters = state.filters.values();
    let filters = filters
        .filter(move |filter| filter.plugin.name == plugin)
        .map(|filter| ("filter", filter.name.as_str()));
    merges.chain(filters)
}

/// Checks that all that another node says of this names what it says as well.
pub(crate) fn check_all(state: &CatalogState) -> Result<()> {
    for (name, merge) in &state.merges {
        check_identifier("merge function", name)?;
        state
            .plugin_version(&merge.plugin)
            .map_err(|error| error.context(format!("merge function '{name}'")))?;
    }
    for (name, filter) in &state.filters {
        check_identifier("filter", name)?;
        state
            .plugin_version(&filter.plugin)
            .map_err(|error| error.context(format!("filter '{name}'")))?;
    }
    Ok(())
}

impl CatalogState {
    /// The merge function with this name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name as a hint.
    pub fn merge(&self, name: &str) -> Result<&FunctionDef> {
        let known = self.merges.keys().map(String::as_str);
        self.merges
            .get(name)
            .ok_or_else(|| missing("merge function", name, known))
    }

    /// The sync filter with this name.
    ///
    /// # Errors
    /// `NotFound`, with the nearest name as a hint.
    pub fn filter(&self, name: &str) -> Result<&FilterDef> {
        let known = self.filters.keys().map(String::as_str);
        self.filters
            .get(name)
            .ok_or_else(|| missing("filter", name, known))
    }
}
