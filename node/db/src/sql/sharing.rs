//! Merge functions, filters, and what tables say of them: tried before they are taken.

use activestore_catalog::{CatalogState, Change, FilterDef, FunctionDef, SharingOptions};
use activestore_query::RowPredicate;
use activestore_types::{DataType, Error, Result, TableId, TableSchema};

use crate::db::Inner;

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

    fn try_merge(&self, state: &CatalogState, def: &FunctionDef) -> Result<()> {
        if let Some(name) = def.options.keys().next() {
            return Err(
                Error::invalid(format!("a merge function has no option '{name}'"))
                    .with_hint("it has one: function = '…', its name in the plugin"),
            );
        }
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
        for (table, sharing) in &state.sharing {
            if sharing.filter.as_ref() == Some(&def.name) {
                let schema = state.table(table)?;
                filter
                    .plugin
                    .filter(&def.options, &schema.arrow())
                    .map_err(|error| error.context(format!("table {table}")))?;
            }
        }
        Ok(())
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
        if let Some(Some(filter)) = &options.filter {
            let def = state.filter(filter)?;
            let filter = self.plugins.filter_of(state, def)?;
            filter.plugin.filter(&def.options, &schema.arrow())?;
        }
        Ok(())
    }
}

fn does_not_take(function: &str, schema: &TableSchema, column: &str, kind: DataType) -> Error {
    Error::invalid(format!(
        "merge function '{function}' does not take {kind}, the type of column '{column}' of {}",
        schema.name
    ))
    .with_hint("SHOW MERGE FUNCTIONS says which types each takes")
}
