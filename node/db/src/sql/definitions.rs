//! CREATE, ALTER and DROP: a definition that names a plugin is tried before it is taken, and what it
//! needs (a table for a processor's rows, a column for a model's score) is made with it.

use std::collections::BTreeMap;

use activestore_catalog::{
    Change, ClusteringDefinition, ColumnDefinition, FunctionDef, FunctionKind, ModelDef,
    ProcessorDef, ProcessorSource, TableDefinition,
};
use activestore_plugin_host::PluginKind;
use activestore_query::{ModelStatement, Redefined, Redefinition};
use activestore_types::{DataType, Error, ErrorKind, Result, SyncMode, TableName, TableSchema};
use arrow::datatypes::Schema;

use super::SqlOutcome;
use super::sharing::no_settings;
use crate::db::{Db, Inner};
use crate::plugins::{model_inputs, plugin_options, score_column};
use crate::write::processor::{Runtime, Source};

impl Db {
    pub(super) async fn define(&self, change: Change, tag: &'static str) -> Result<SqlOutcome> {
        let inner = self.inner.clone();
        self.blocking(move || {
            match &change {
                Change::CreateFunction { def, kind, .. } => inner.try_function(def, *kind)?,
                Change::CreateProcessor { def, .. } => inner.prepare_processor(def)?,
                _ => inner.try_sharing(&change)?,
            }
            inner.change(change)?;
            Ok(SqlOutcome::definition(tag))
        })
        .await
    }

    /// Merges a table's files into one, and leaves no byte of what was deleted before, in no file.
    pub(super) async fn compact(&self, table: &TableName) -> Result<SqlOutcome> {
        let schema = self.inner.catalog.state().table(table)?.clone();
        let inner = self.inner.clone();
        self.blocking(move || {
            inner.settle();
            inner.advance_horizons();
            inner.store.erase(schema.id).map_err(|error| {
                if error.kind() == ErrorKind::Conflict {
                    // Everything else was done.
                    Error::conflict(format!(
                        "the table is compacted, but what was deleted is not gone yet: {}",
                        error.message()
                    ))
                    .with_hint(
                        "wait until `activestore sync status` shows no backlog, and run it again",
                    )
                } else {
                    error
                }
            })?;
            if crate::down::travels_down(schema.sync) {
                inner.erase_stream()?;
            }
            if matches!(schema.sync, SyncMode::Up | SyncMode::Both) {
                inner.wipe_outbox("the table is compacted")?;
            }
            Ok(SqlOutcome::definition("ALTER TABLE"))
        })
        .await
    }

    pub(super) async fn create_model(&self, statement: ModelStatement) -> Result<SqlOutcome> {
        let inner = self.inner.clone();
        self.blocking(move || {
            let artifact = inner.files.get(&statement.file)?;
            let state = inner.catalog.state();
            let plugin = inner.plugins.referenced(&state, &statement.plugin)?;
            plugin
                .model(&plugin_options(&statement.options), &artifact)
                .map_err(|error| error.context(format!("model file '{}'", statement.file)))?;
            let artifact_sha256 = inner.blobs.put(&artifact)?;
            let def = ModelDef {
                name: statement.name,
                plugin: statement.plugin,
                artifact_sha256,
                artifact_name: statement.file,
                options: statement.options,
                version: 0,
            };
            inner.plugins.try_model(&state, &def)?;
            inner.change(Change::CreateModel {
                def,
                or_replace: statement.or_replace,
            })?;
            Ok(SqlOutcome::definition("CREATE MODEL"))
        })
        .await
    }
}

impl Db {
    /// Changes what a plugin makes; what is not named stays as it is.
    pub(super) async fn redefine(&self, statement: Redefinition) -> Result<SqlOutcome> {
        let inner = self.inner.clone();
        self.blocking(move || inner.redefine(statement)).await
    }
}

impl Inner {
    fn redefine(&self, statement: Redefinition) -> Result<SqlOutcome> {
        let state = self.catalog.state();
        let Redefinition {
            what,
            name,
            plugin,
            set,
            reset,
        } = statement;
        let changed = |mut options: BTreeMap<String, String>| {
            for name in &reset {
                if options.remove(name).is_none() {
                    return Err(Error::not_found(format!("the option '{name}' is not set")));
                }
            }
            options.extend(set.clone());
            Ok(options)
        };
        match what {
            Redefined::Function => {
                let mut def = state.function(&name)?.clone();
                if !set.is_empty() || !reset.is_empty() {
                    return Err(Error::invalid("a function has no options to change")
                        .with_hint("say USING PLUGIN 'name@version', or CREATE OR REPLACE"));
                }
                def.plugin = plugin.unwrap_or(def.plugin);
                let kind = match self.plugins.referenced(&state, &def.plugin)?.kind() {
                    PluginKind::Aggregate => FunctionKind::Aggregate,
                    PluginKind::Table => FunctionKind::Table,
                    _ => FunctionKind::Scalar,
                };
                self.try_function(&def, kind)?;
                self.change(Change::CreateFunction {
                    def,
                    kind,
                    or_replace: true,
                })?;
                Ok(SqlOutcome::definition("ALTER FUNCTION"))
            }
            Redefined::Processor => {
                let mut def = state.processor(&name)?.clone();
                if let Some(plugin) = plugin {
                    def.source = ProcessorSource::Plugin(plugin);
                }
                def.options = changed(def.options)?;
                self.prepare_processor(&def)?;
                self.change(Change::CreateProcessor {
                    def,
                    or_replace: true,
                })?;
                Ok(SqlOutcome::definition("ALTER PROCESSOR"))
            }
            Redefined::Model => {
                let mut def = state.model(&name)?.clone();
                def.plugin = plugin.unwrap_or(def.plugin);
                def.options = changed(def.options)?;
                self.plugins.try_model(&state, &def)?;
                self.change(Change::CreateModel {
                    def,
                    or_replace: true,
                })?;
                Ok(SqlOutcome::definition("ALTER MODEL"))
            }
            Redefined::Merge => {
                let mut def = state.merge(&name)?.clone();
                def.plugin = plugin.unwrap_or(def.plugin);
                let options = changed(std::mem::take(&mut def.options))?;
                self.redefine_merge(def, options)
            }
            Redefined::Filter => {
                let mut def = state.filter(&name)?.clone();
                def.plugin = plugin.unwrap_or(def.plugin);
                def.options = changed(def.options)?;
                self.redefine_filter(def)
            }
        }
    }

    fn try_function(&self, def: &FunctionDef, kind: FunctionKind) -> Result<()> {
        self.engine.check_name(&def.name)?;
        no_settings("function", def)?;
        let state = self.catalog.state();
        let plugin = self.plugins.referenced(&state, &def.plugin)?;
        match kind {
            FunctionKind::Scalar => plugin.scalar(&def.function).map(|_| ()),
            FunctionKind::Aggregate => plugin.aggregate(&def.function).map(|_| ()),
            FunctionKind::Table => plugin.table_function(&def.function).map(|_| ()),
        }
        .map_err(|error| {
            let said = match kind {
                FunctionKind::Scalar => "FUNCTION",
                FunctionKind::Aggregate => "AGGREGATE",
                FunctionKind::Table => "TABLE FUNCTION",
            };
            let right = match plugin.kind() {
                PluginKind::Scalar => "FUNCTION",
                PluginKind::Aggregate => "AGGREGATE",
                PluginKind::Table => "TABLE FUNCTION",
                _ => return error,
            };
            if said == right {
                return error;
            }
            error.with_hint(format!("say CREATE {right} in the place of CREATE {said}"))
        })
    }

    fn prepare_processor(&self, def: &ProcessorDef) -> Result<()> {
        let state = self.catalog.state();
        let schema = state.table(&def.table)?.clone();
        match &def.source {
            ProcessorSource::Plugin(reference) => {
                let plugin = self.plugins.referenced(&state, reference)?;
                let runtime = Runtime::new(def.clone(), Source::Plugin(plugin), true)?;
                let Some(outputs) = runtime.outputs(&schema)? else {
                    return Ok(());
                };
                if def.into.len() > outputs.len() {
                    return Err(Error::invalid(format!(
                        "processor '{}' sends rows to {} tables and INTO names {}",
                        def.name,
                        outputs.len(),
                        def.into.len()
                    ))
                    .with_hint(match outputs.as_slice() {
                        [] => "leave INTO out".to_owned(),
                        outputs => {
                            let names: Vec<&str> =
                                outputs.iter().map(|output| output.name.as_str()).collect();
                            format!("its outputs are, in this order: {}", names.join(", "))
                        }
                    }));
                }
                for (into, output) in def.into.iter().zip(&outputs) {
                    if !state.tables.contains_key(into) {
                        self.change(Change::CreateTable {
                            definition: output_table(def, into, &schema, &output.schema)?,
                            if_not_exists: true,
                        })?;
                    }
                }
                Ok(())
            }
            ProcessorSource::Model(name) => {
                let model = self.plugins.current().model(name)?;
                let inputs = model_inputs(def, &model);
                if inputs.len() != model.inputs().len() {
                    return Err(Error::invalid(format!(
                        "model '{name}' takes {} inputs and columns = '…' names {}",
                        model.inputs().len(),
                        inputs.len()
                    )));
                }
                for input in &inputs {
                    if schema.column(input).is_none() && !schema.flexible {
                        return Err(Error::invalid(format!(
                            "table {} has no column '{input}' for model '{name}'",
                            schema.name
                        ))
                        .with_hint("WITH (columns = 'a, b') says which columns it reads"));
                    }
                }
                self.change(Change::AddColumns {
                    table: def.table.clone(),
                    columns: vec![(score_column(def), DataType::Double)],
                    if_not_exists: true,
                })
                .map(|_| ())
            }
        }
    }
}

/// The table for a processor's rows: its key is the plugin's columns that are never NULL; those that
/// belong to the source table's partition key come first and are the partition key.
fn output_table(
    def: &ProcessorDef,
    into: &TableName,
    source: &TableSchema,
    outputs: &Schema,
) -> Result<TableDefinition> {
    let mut definition = TableDefinition::named(into.clone());
    let partition: Vec<&str> = source
        .partition_key
        .iter()
        .filter_map(|id| source.column_by_id(*id))
        .map(|column| column.name.as_str())
        .collect();
    for field in outputs.fields() {
        let data_type = DataType::from_arrow(field.data_type()).ok_or_else(|| {
            Error::invalid(format!(
                "processor '{}' sends column '{}' as {}, which no column type carries",
                def.name,
                field.name(),
                field.data_type()
            ))
        })?;
        definition
            .columns
            .push(ColumnDefinition::new(field.name(), data_type));
        if partition.contains(&field.name().as_str()) {
            definition.partition_key.push(field.name().clone());
        } else if !field.is_nullable() {
            definition.clustering_key.push(ClusteringDefinition {
                name: field.name().clone(),
                descending: false,
            });
        }
    }
    if definition.partition_key.is_empty() {
        return Err(Error::invalid(format!(
            "processor '{}' sends rows without the partition key of {}",
            def.name, source.name
        ))
        .with_hint("CREATE TABLE for its rows first, with a key of your own"));
    }
    definition.options.flexible = Some(true);
    definition.options.sync = Some(source.sync);
    Ok(definition)
}
