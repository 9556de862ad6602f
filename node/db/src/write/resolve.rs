//! Names to ids: finds the table of each named batch, makes or grows it where the write may do so,
//! and brings every column to its type. Nothing is stamped and nothing is stored here.

use std::sync::Arc;

use activestore_catalog::{
    Catalog, CatalogState, Change, ClusteringDefinition, ColumnDefinition, KeyspaceDef,
    TableDefinition,
};
use activestore_query::cast_lossless;
use activestore_types::{
    BatchColumn, DataType, Error, KeyHint, NamedBatch, NamedColumn, Result, SyncMode, TableName,
    TableSchema,
};
use arrow::array::Array;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType as ArrowType;

/// A batch that knows its table; not stamped yet.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) rows: usize,
    pub(crate) columns: Vec<BatchColumn>,
    pub(crate) ttl_s: Option<u64>,
    /// When each row expires, in milliseconds since 1970 and 0 for never, where `ttl_s` does not say it.
    pub(crate) expiry_ms: Option<ScalarBuffer<u64>>,
    /// Which statement of a batch it comes from: later ones are stamped later.
    pub(crate) place: usize,
}

/// Resolves one batch. `publish` is called with every schema that this makes or changes, before
/// rows of it exist; a keyspace that a wire makes gets `new_keyspaces`.
pub(crate) fn resolve(
    catalog: &Catalog,
    batch: &NamedBatch,
    new_keyspaces: SyncMode,
    publish: &dyn Fn(&Arc<TableSchema>) -> Result<()>,
) -> Result<Staged> {
    batch.validate()?;
    let schema = table(catalog, batch, new_keyspaces, publish)?;
    let schema = grow(catalog, schema, batch, publish)?;
    let mut columns = Vec::with_capacity(batch.columns.len());
    for column in &batch.columns {
        let Some(defined) = schema.column(&column.name) else {
            continue; // a column of nothing but NULLs that the table never had says nothing
        };
        let array = cast_lossless(&column.name, defined.data_type, &column.array)?;
        if schema.is_key(defined.id) && (array.null_count() > 0 || column.set.is_some()) {
            return Err(Error::invalid(format!(
                "column '{}' belongs to the primary key of {} and a row has no value for it",
                column.name, schema.name
            )));
        }
        columns.push(BatchColumn {
            id: defined.id,
            array,
            set: column.set.clone(),
        });
    }
    for key in schema.key_columns() {
        if !columns.iter().any(|column| column.id == key.id) {
            let name = schema
                .column_by_id(key.id)
                .map_or("?", |column| column.name.as_str());
            return Err(Error::invalid(format!(
                "column '{name}' belongs to the primary key of {} and is missing",
                schema.name
            )));
        }
    }
    Ok(Staged {
        ttl_s: batch.ttl_s.or(schema.ttl_s),
        expiry_ms: None,
        rows: batch.rows,
        columns,
        schema,
        place: 0,
    })
}

fn table(
    catalog: &Catalog,
    batch: &NamedBatch,
    new_keyspaces: SyncMode,
    publish: &dyn Fn(&Arc<TableSchema>) -> Result<()>,
) -> Result<Arc<TableSchema>> {
    if let Some(schema) = catalog.state().tables.get(&batch.table) {
        return Ok(schema.clone());
    }
    let Some(hint) = &batch.create else {
        return Err(
            Error::not_found(format!("table {} does not exist", batch.table))
                .with_hint("CREATE TABLE first, or write line protocol, which creates its tables"),
        );
    };
    let definition = definition(batch, hint)?;
    let state = catalog.state();
    if !state.keyspaces.contains_key(&batch.table.keyspace) {
        catalog.apply(Change::CreateKeyspace {
            def: KeyspaceDef {
                sync: new_keyspaces,
                ..KeyspaceDef::named(&batch.table.keyspace)
            },
            if_not_exists: true,
        })?;
    }
    let state = catalog.apply(Change::CreateTable {
        definition,
        if_not_exists: true,
    })?;
    let schema = found(&state, &batch.table)?;
    publish(&schema)?;
    Ok(schema)
}

fn definition(batch: &NamedBatch, hint: &KeyHint) -> Result<TableDefinition> {
    let mut columns = Vec::new();
    let keys = hint.partition.iter().chain(&hint.clustering);
    let others = batch
        .columns
        .iter()
        .map(|column| &column.name)
        .filter(|name| !hint.partition.contains(name) && !hint.clustering.contains(name));
    for name in keys.chain(others) {
        let column = batch.column(name).ok_or_else(|| {
            Error::invalid(format!("the key column '{name}' is missing from the rows"))
        })?;
        if let Some(data_type) = type_of(column)? {
            columns.push(ColumnDefinition::new(name, data_type));
        }
    }
    let mut definition = TableDefinition::named(batch.table.clone());
    definition.columns = columns;
    definition.partition_key.clone_from(&hint.partition);
    definition.clustering_key = hint
        .clustering
        .iter()
        .map(|name| ClusteringDefinition {
            name: name.clone(),
            descending: false,
        })
        .collect();
    definition.options.flexible = Some(true);
    Ok(definition)
}

/// Adds the columns that the batch names and a flexible table lacks.
fn grow(
    catalog: &Catalog,
    schema: Arc<TableSchema>,
    batch: &NamedBatch,
    publish: &dyn Fn(&Arc<TableSchema>) -> Result<()>,
) -> Result<Arc<TableSchema>> {
    let mut added = Vec::new();
    for column in &batch.columns {
        if schema.column(&column.name).is_some() {
            continue;
        }
        if !schema.flexible {
            return Err(Error::invalid(format!(
                "table {} has no column '{}'",
                schema.name, column.name
            ))
            .with_hint("ALTER TABLE … ADD COLUMN, or make the table WITH (flexible = true)"));
        }
        if let Some(data_type) = type_of(column)? {
            added.push((column.name.clone(), data_type));
        }
    }
    if added.is_empty() {
        return Ok(schema);
    }
    let state = catalog.apply(Change::AddColumns {
        table: batch.table.clone(),
        columns: added,
        if_not_exists: true,
    })?;
    let schema = found(&state, &batch.table)?;
    publish(&schema)?;
    Ok(schema)
}

fn type_of(column: &NamedColumn) -> Result<Option<DataType>> {
    if let Some(declared) = column.declared {
        return Ok(Some(declared));
    }
    if column.array.data_type() == &ArrowType::Null
        || column.array.null_count() == column.array.len()
    {
        return Ok(None);
    }
    DataType::from_arrow(column.array.data_type())
        .map(Some)
        .ok_or_else(|| {
            Error::invalid(format!(
                "column '{}' holds {}, which no column type carries",
                column.name,
                column.array.data_type()
            ))
        })
}

fn found(state: &CatalogState, name: &TableName) -> Result<Arc<TableSchema>> {
    state
        .tables
        .get(name)
        .cloned()
        .ok_or_else(|| Error::conflict(format!("table {name} was dropped by somebody else")))
}
