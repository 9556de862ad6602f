//! CREATE, ALTER and DROP: a definition that names a plugin is tried before it is taken, and what it
//! needs (a table for a processor's rows, a column for a model's score) is made with it.

use activestore_catalog::{
    Change, ClusteringDefinition, ColumnDefinition, FunctionDef, FunctionKind, ModelDef,
    ProcessorDef, ProcessorSource, TableDefinition,
};
use activestore_plugin_host::PluginKind;
use activestore_query::ModelStatement;
use activestore_types::{DataType, Error, ErrorKind, Result, SyncMode, TableName, TableSchema};
use arrow::datatypes::Schema;

use super::SqlOutcome;
use crate::db::{Db, Inner};
use crate::plugins::{model_inputs, score_column};
use crate::write::processor::{Runtime, Source};

impl Db {
    pub(super) async fn define(&self, change: Change, tag: &'static str) -> Result<SqlOutcome> {
        let inner = self.inner.clone();
        self.blocking(move || {
            match &change {
                Change::CreateFunction { def, kind, .. } => inner.try_function(def, *kind)?,
                Change::CreateProcessor { def, .. } => inner.prepare_processor(def)?,
                _ => {}
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
                .model(&artifact)
                .map_err(|error| error.context(format!("model file '{}'", statement.file)))?;
            let artifact_sha256 = inner.blobs.put(&artifact)?;
            inner.change(Change::CreateModel {
                def: ModelDef {
                    name: statement.name,
                    plugin: statement.plugin,
                    artifact_sha256,
                    artifact_name: statement.file,
                    options: statement.options,
                },
                or_replace: statement.or_replace,
            })?;
            Ok(SqlOutcome::definition("CREATE MODEL"))
        })
        .await
    }
}

impl Inner {
    fn try_function(&self, def: &FunctionDef, kind: FunctionKind) -> Result<()> {
        self.engine.check_name(&def.name)?;
        let state = self.catalog.state();
        let plugin = self.plugins.referenced(&state, &def.plugin)?;
        match kind {
            FunctionKind::Scalar => plugin.scalar(&def.function).map(|_| ()),
            FunctionKind::Aggregate => plugin.aggregate(&def.function).map(|_| ()),
        }
        .map_err(|error| match (kind, plugin.kind()) {
            (FunctionKind::Scalar, PluginKind::Aggregate) => {
                error.with_hint("say CREATE AGGREGATE in the place of CREATE FUNCTION")
            }
            (FunctionKind::Aggregate, PluginKind::Scalar) => {
                error.with_hint("say CREATE FUNCTION in the place of CREATE AGGREGATE")
            }
            _ => error,
        })
    }

    fn prepare_processor(&self, def: &ProcessorDef) -> Result<()> {
        let state = self.catalog.state();
        let schema = state.table(&def.table)?.clone();
        match &def.source {
            ProcessorSource::Plugin(reference) => {
                let plugin = self.plugins.referenced(&state, reference)?;
                let runtime = Runtime::new(def.clone(), Source::Plugin(plugin))?;
                let Some(outputs) = runtime.outputs(&schema)? else {
                    return Ok(());
                };
                if let Some(into) = &def.into
                    && !state.tables.contains_key(into)
                {
                    self.change(Change::CreateTable {
                        definition: output_table(def, &schema, &outputs)?,
                        if_not_exists: true,
                    })?;
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
    source: &TableSchema,
    outputs: &Schema,
) -> Result<TableDefinition> {
    let into = def
        .into
        .clone()
        .ok_or_else(|| Error::internal("a processor without an output table"))?;
    let mut definition = TableDefinition::named(into);
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
