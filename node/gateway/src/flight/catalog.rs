//! What there is: keyspaces as schemas, tables and their keys, as far as who asks may know of them. There is one
//! catalog, as for clients of PostgreSQL.

use std::sync::Arc;

use activestore_db::{Db, SqlOutcome};
use activestore_query::{ParamTypes, Rows, Statement, quote};
use activestore_types::{Error, Result, TableName};
use arrow::array::{Array, Int32Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::{
    Command, CommandGetCatalogs, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTableTypes,
    CommandGetTables,
};

use super::fault::Fault;
use super::info;
use super::statement::one_of;
use super::told::told;
use crate::encode::type_name;

/// The name of the catalog.
pub(super) const CATALOG: &str = "activestore";
/// The schema of tables that are named without one.
pub(super) const DEFAULT_KEYSPACE: &str = "public";

/// Schemas whose tables the node itself fills.
const SYSTEM_SCHEMAS: [&str; 3] = ["system", "information_schema", "pg_catalog"];
const TABLE: &str = "TABLE";
const SYSTEM_TABLE: &str = "SYSTEM TABLE";

/// The SQL type of a column, where clients of Flight SQL look for it.
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";

/// What a command about the catalog is answered with; `None` for one that is about something else.
pub(super) async fn answer(db: &Db, command: Command) -> Result<Option<Rows>, Fault> {
    let batch = match command {
        Command::CommandGetCatalogs(command) => catalogs(command)?,
        Command::CommandGetDbSchemas(command) => schemas(db, command).await?,
        Command::CommandGetTables(command) => tables(db, command).await?,
        Command::CommandGetTableTypes(command) => table_types(command)?,
        Command::CommandGetPrimaryKeys(command) => primary_keys(db, &command).await?,
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => RecordBatch::new_empty(foreign_key_columns()),
        Command::CommandGetSqlInfo(command) => info::sql_info(&command.info)?,
        Command::CommandGetXdbcTypeInfo(command) => info::types(command.data_type)?,
        _ => return Ok(None),
    };
    Ok(Some(Rows::from_batches(batch.schema(), vec![batch])))
}

/// The columns that such a command is answered with, without looking anything up.
pub(super) fn columns(command: &Command) -> Result<Option<SchemaRef>, Fault> {
    Ok(Some(match command {
        Command::CommandGetCatalogs(command) => (*command).into_builder().schema(),
        Command::CommandGetDbSchemas(command) => command.clone().into_builder().schema(),
        Command::CommandGetTables(command) => command.clone().into_builder().schema(),
        Command::CommandGetTableTypes(command) => (*command).into_builder().schema(),
        Command::CommandGetPrimaryKeys(_) => primary_key_columns(),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => foreign_key_columns(),
        Command::CommandGetSqlInfo(_) => info::sql_info(&[])?.schema(),
        Command::CommandGetXdbcTypeInfo(_) => info::types(None)?.schema(),
        _ => return Ok(None),
    }))
}

fn catalogs(command: CommandGetCatalogs) -> Result<RecordBatch, Fault> {
    let mut builder = command.into_builder();
    builder.append(CATALOG);
    Ok(builder.build()?)
}

fn table_types(command: CommandGetTableTypes) -> Result<RecordBatch, Fault> {
    let mut builder = command.into_builder();
    builder.append(SYSTEM_TABLE);
    builder.append(TABLE);
    Ok(builder.build()?)
}

async fn schemas(db: &Db, command: CommandGetDbSchemas) -> Result<RecordBatch, Fault> {
    let mut builder = command.into_builder();
    let sql = "SELECT schema_name FROM information_schema.schemata ORDER BY 1";
    for row in texts(db, sql).await? {
        if let [schema] = row.as_slice() {
            builder.append(CATALOG, schema);
        }
    }
    Ok(builder.build()?)
}

async fn tables(db: &Db, command: CommandGetTables) -> Result<RecordBatch, Fault> {
    let mut all = CommandGetTables {
        include_schema: false,
        ..command.clone()
    }
    .into_builder();
    let sql = "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2";
    let nothing = Schema::empty();
    for row in texts(db, sql).await? {
        if let [schema, table] = row.as_slice() {
            all.append(CATALOG, schema, table, kind(schema), &nothing)?;
        }
    }
    let all = all.build()?;
    if !command.include_schema {
        return Ok(all);
    }
    // Only of those that are asked for is it looked up what their columns are.
    let mut builder = command.into_builder();
    let (schemas, tables) = (strings(&all, 1)?, strings(&all, 2)?);
    for (schema, table) in schemas.iter().zip(&tables) {
        let name = TableName::new(schema.clone(), table.clone());
        let columns = columns_of(db, &name).await?;
        builder.append(CATALOG, schema, table, kind(schema), &columns)?;
    }
    Ok(builder.build()?)
}

fn kind(schema: &str) -> &'static str {
    if SYSTEM_SCHEMAS.contains(&schema) {
        SYSTEM_TABLE
    } else {
        TABLE
    }
}

/// A table's columns, as rows of it give them; none where its rows are not for who asks.
async fn columns_of(db: &Db, table: &TableName) -> Result<Schema> {
    let columns = match db.table_schema(table) {
        Some(schema) => schema.arrow(),
        None => {
            let sql = format!(
                "SELECT * FROM {}.{}",
                quote(&table.keyspace),
                quote(&table.table)
            );
            let query = Statement::Query { sql };
            let described = db.describe_statement(&query, &ParamTypes::new()).await;
            let columns = described.ok().and_then(|described| described.columns);
            columns.unwrap_or_else(|| Arc::new(Schema::empty()))
        }
    };
    let columns = told(&columns);
    let fields = columns.fields().iter().map(|field| {
        let mut metadata = field.metadata().clone();
        metadata.insert(TYPE_NAME.to_owned(), type_name(field));
        field.as_ref().clone().with_metadata(metadata)
    });
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

async fn primary_keys(db: &Db, command: &CommandGetPrimaryKeys) -> Result<RecordBatch, Fault> {
    let catalog = command.catalog.as_deref().unwrap_or(CATALOG);
    let schema = command.db_schema.as_deref().unwrap_or(DEFAULT_KEYSPACE);
    let table = TableName::new(schema, command.table.as_str());
    let sql = "SELECT table_schema, table_name FROM information_schema.tables";
    let seen = texts(db, sql).await?;
    let is_seen = seen.iter().any(
        |row| matches!(row.as_slice(), [of, name] if *of == table.keyspace && *name == table.table),
    );
    let known = db
        .table_schema(&table)
        .filter(|_| is_seen && matches!(catalog, "" | CATALOG));
    let mut names = Vec::new();
    if let Some(known) = known {
        let columns = known.key_columns();
        let columns = columns.filter_map(|key| known.column_by_id(key.id));
        names.extend(columns.map(|column| column.name.clone()));
    }
    let same = |text: &str| Arc::new(StringArray::from(vec![text; names.len()]));
    let numbers: Int32Array = (1..).take(names.len()).collect::<Vec<i32>>().into();
    let columns: Vec<Arc<dyn Array>> = vec![
        same(CATALOG),
        same(&table.keyspace),
        same(&table.table),
        Arc::new(StringArray::from(names.clone())),
        Arc::new(numbers),
        same("primary"),
    ];
    Ok(RecordBatch::try_new(primary_key_columns(), columns)?)
}

fn primary_key_columns() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("key_name", true),
    ]))
}

/// There are no foreign keys; a client is told so by columns without rows.
fn foreign_key_columns() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let number = |name: &str, data_type| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        number("key_sequence", DataType::Int32),
        text("fk_key_name", true),
        text("pk_key_name", true),
        number("update_rule", DataType::UInt8),
        number("delete_rule", DataType::UInt8),
    ]))
}

/// Runs a query about definitions, under the rights of who asks.
async fn texts(db: &Db, sql: &str) -> Result<Vec<Vec<String>>> {
    let SqlOutcome::Rows(rows) = db.execute(one_of(sql)?, &[]).await? else {
        return Err(Error::internal("a query about definitions gave no rows"));
    };
    let mut found = Vec::new();
    for batch in rows.collect().await? {
        let columns = (0..batch.num_columns()).map(|place| strings(&batch, place));
        let columns: Vec<Vec<String>> = columns.collect::<Result<_>>()?;
        for row in 0..batch.num_rows() {
            let row = columns.iter().map(|column| column.get(row).cloned());
            found.push(row.map(Option::unwrap_or_default).collect());
        }
    }
    Ok(found)
}

fn strings(batch: &RecordBatch, place: usize) -> Result<Vec<String>> {
    let column = batch.columns().get(place);
    let column =
        column.ok_or_else(|| Error::internal("a query about definitions lacks a column"))?;
    let column = cast(column, &DataType::Utf8)?;
    let texts = column.as_any().downcast_ref::<StringArray>();
    let texts = texts.ok_or_else(|| Error::internal("a name is no text"))?;
    Ok(texts
        .iter()
        .map(|text| text.unwrap_or_default().to_owned())
        .collect())
}
