//! Merge functions, filters, and what tables say of them: tried before they are taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_catalog::{CatalogState, Change, FilterDef, FunctionDef, SharingOptions};
use activestore_plugin_host::Plugin;
use activestore_query::RowPredicate;
use activestore_types::{DataType, Error, Result, SyncMode, TableId, TableSchema};
use arrow::datatypes::{Field, Schema};

use super::SqlOutcome;
use crate::db::Inner;

/// Tables whose columns a filter that no table uses yet is tried on, at most.
const TRIED_TABLES_MAX: usize = 16;

impl Inner {
    /// Tries a change where it says how rows are shared; any other is let through.
    pub(super) fn try_sharing(&self, change: &Change) -> Result<()> {
        let state = self.catalog.state();
        match change {
            Change::CreateMerge { def, .. } => self.try_merge(&state, def),
            Change::CreateFilter { def, .. } => self.try_filter(&state, def),
            Change::CreateTable { definition, .. }
                if definition.options.sharing != SharingOptions::default()
                    && !state.tables.contains_key(&definition.name) =>
            {
                let keyspace = state.keyspace(&definition.name.keyspace)?;
                let schema = definition.to_schema(TableId(0), keyspace)?;
                self.try_options(&state, &schema, &definition.options.sharing)
            }
            Change::AlterOptions { table, options } => {
                self.try_options(&state, state.table(table)?, &options.sharing)
            }
            _ => Ok(()),
        }
    }

    /// Changes a merge function; `options` are what is set beside its plugin.
    pub(super) fn redefine_merge(
        &self,
        mut def: FunctionDef,
        mut options: BTreeMap<String, String>,
    ) -> Result<SqlOutcome> {
        def.function = options.remove("function").unwrap_or(def.function);
        def.options = options;
        self.try_merge(&self.catalog.state(), &def)?;
        self.change(Change::CreateMerge {
            def,
            or_replace: true,
        })?;
        Ok(SqlOutcome::definition("ALTER MERGE FUNCTION"))
    }

    /// Changes a filter.
    pub(super) fn redefine_filter(&self, def: FilterDef) -> Result<SqlOutcome> {
        self.try_filter(&self.catalog.state(), &def)?;
        self.change(Change::CreateFilter {
            def,
            or_replace: true,
        })?;
        Ok(SqlOutcome::definition("ALTER FILTER"))
    }

    fn try_merge(&self, state: &CatalogState, def: &FunctionDef) -> Result<()> {
        no_settings("merge function", def)?;
        let functions = self.plugins.merge_of(state, def)?;
        for function in &functions {
            function.check_laws()?;
        }
        let takes = |kind: DataType| functions.iter().any(|function| function.takes(kind));
        for (table, sharing) in &state.sharing {
            let schema = state.table(table)?;
            for (column, function) in &sharing.merges {
                if let Some(column) = schema.column(column)
                    && *function == def.name
                    && !takes(column.data_type)
                {
                    return Err(does_not_take(
                        &def.name,
                        schema,
                        &column.name,
                        column.data_type,
                    ));
                }
            }
        }
        Ok(())
    }

    fn try_filter(&self, state: &CatalogState, def: &FilterDef) -> Result<()> {
        let filter = self.plugins.filter_of(state, def)?;
        let mut used = false;
        for (table, sharing) in &state.sharing {
            if sharing.filter.as_ref() == Some(&def.name) {
                used = true;
                let schema = state.table(table)?;
                filter
                    .plugin
                    .filter(&def.options, &schema.arrow())
                    .map_err(|error| error.context(format!("table {table}")))?;
            }
        }
        if used {
            return Ok(());
        }
        try_settings(state, &filter.plugin, &def.options)
    }

    fn try_options(
        &self,
        state: &CatalogState,
        schema: &TableSchema,
        options: &SharingOptions,
    ) -> Result<()> {
        let plugins = self.plugins.current();
        for (column, function) in &options.merges {
            if let (Some(column), Some(function)) = (schema.column(column), function) {
                let functions = plugins.merge(function)?;
                if !functions.iter().any(|one| one.takes(column.data_type)) {
                    return Err(does_not_take(
                        function,
                        schema,
                        &column.name,
                        column.data_type,
                    ));
                }
            }
        }
        if let Some(Some(condition)) = &options.condition {
            RowPredicate::new(schema, condition)
                .map_err(|error| error.context("option sync_where"))?;
        }
        let named = options.filter.iter().flatten().map(String::as_str);
        for filter in named.chain(options.at_limit.filter()) {
            let def = state.filter(filter)?;
            let filter = self.plugins.filter_of(state, def)?;
            filter.plugin.filter(&def.options, &schema.arrow())?;
        }
        Ok(())
    }
}

/// A function takes no settings: what it does hangs on its arguments alone.
///
/// # Errors
/// `Invalid` for a definition with one.
pub(super) fn no_settings(what: &str, def: &FunctionDef) -> Result<()> {
    match def.options.keys().next() {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!("a {what} has no option '{name}'"))
            .with_hint("it has one: function = '…', its name in the plugin")),
    }
}

/// Tries the settings of a filter that no table uses yet. A filter reads settings and columns together, so it
/// may be right to refuse columns that are not those it is meant for. What it says of columns changes with the
/// columns; a refusal that is the same whatever the columns, and is not there without the settings, is one of
/// the settings.
fn try_settings(
    state: &CatalogState,
    plugin: &Arc<Plugin>,
    options: &BTreeMap<String, String>,
) -> Result<()> {
    let refused =
        |options: &BTreeMap<String, String>, schema: &Schema| plugin.filter(options, schema).err();
    let leaves = |table: &&Arc<TableSchema>| matches!(table.sync, SyncMode::Up | SyncMode::Both);
    let tables = state.tables.values().filter(leaves);
    let tables = tables.map(|table| Schema::clone(&table.arrow()));
    let mut refusal: Option<Error> = None;
    for schema in tables.take(TRIED_TABLES_MAX).chain(imagined(options)) {
        match (refused(options, &schema), &refusal) {
            (Some(error), None) => refusal = Some(error),
            (Some(error), Some(first)) if error.message() == first.message() => {}
            // Some columns are taken, or it is the columns that are refused.
            _ => return Ok(()),
        }
    }
    let Some(refusal) = refusal else {
        return Ok(());
    };
    let without = refused(&BTreeMap::new(), &Schema::empty());
    if without.is_some_and(|error| error.message() == refusal.message()) {
        return Ok(());
    }
    Err(refusal)
}

/// Columns that nobody has: none, and all that the settings may be naming, of each type in turn.
fn imagined(options: &BTreeMap<String, String>) -> impl Iterator<Item = Schema> {
    let mut names: Vec<&str> = options
        .values()
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    let kinds = [
        DataType::Text,
        DataType::Double,
        DataType::BigInt,
        DataType::Timestamp,
        DataType::Boolean,
    ];
    let of_kind = |kind: DataType| {
        let fields = names
            .iter()
            .map(|name| Field::new(*name, kind.arrow(), true));
        Schema::new(fields.collect::<Vec<_>>())
    };
    let all: Vec<Schema> = kinds.into_iter().map(of_kind).collect();
    std::iter::once(Schema::empty()).chain(all)
}

fn does_not_take(function: &str, schema: &TableSchema, column: &str, kind: DataType) -> Error {
    Error::invalid(format!(
        "merge function '{function}' does not take {kind}, the type of column '{column}' of {}",
        schema.name
    ))
    .with_hint("SHOW MERGE FUNCTIONS says which types each takes")
}
