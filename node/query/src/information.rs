//! `information_schema`: what there is, by the standard's names and PostgreSQL's types, so that tools that ask
//! PostgreSQL for its tables find ours. It lists what whoever asks may read.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use activestore_catalog::SYSTEM_KEYSPACE;
use activestore_types::{ColumnId, DataType, TableName, TableSchema};
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::error::to_datafusion;
use crate::session::CATALOG;
use crate::tables::Tables;

/// Its name.
pub(crate) const INFORMATION_SCHEMA: &str = "information_schema";

const TABLES: &[&str] = &["table_catalog", "table_schema", "table_name", "table_type"];
const VIEWS: &[&str] = &[
    "table_catalog",
    "table_schema",
    "table_name",
    "view_definition",
];
const SCHEMATA: &[&str] = &["catalog_name", "schema_name", "schema_owner"];
const COLUMNS: &[&str] = &[
    "table_catalog",
    "table_schema",
    "table_name",
    "column_name",
    "#ordinal_position",
    "column_default",
    "is_nullable",
    "data_type",
    "#numeric_precision",
    "#numeric_scale",
    "#datetime_precision",
    "udt_name",
];
const CONSTRAINTS: &[&str] = &[
    "constraint_catalog",
    "constraint_schema",
    "constraint_name",
    "table_catalog",
    "table_schema",
    "table_name",
    "constraint_type",
];
const KEYS: &[&str] = &[
    "constraint_catalog",
    "constraint_schema",
    "constraint_name",
    "table_catalog",
    "table_schema",
    "table_name",
    "column_name",
    "#ordinal_position",
];
const ROUTINES: &[&str] = &[
    "routine_catalog",
    "routine_schema",
    "routine_name",
    "routine_type",
    "function_type",
];

/// The tables, each with its columns; `#` before a name says that it is a number.
const ALL: [(&str, &[&str]); 7] = [
    ("columns", COLUMNS),
    ("key_column_usage", KEYS),
    ("routines", ROUTINES),
    ("schemata", SCHEMATA),
    ("table_constraints", CONSTRAINTS),
    ("tables", TABLES),
    ("views", VIEWS),
];

/// A cell: a text, a number, or nothing.
#[derive(Clone, Debug)]
enum Cell {
    Text(String),
    Number(i64),
    Null,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<Option<i64>> for Cell {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Cell::Null, Cell::Number)
    }
}

pub(crate) struct Information(pub(crate) Arc<dyn Tables>);

impl fmt::Debug for Information {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Information")
    }
}

#[async_trait]
impl SchemaProvider for Information {
    fn table_names(&self) -> Vec<String> {
        ALL.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some((_, columns)) = ALL.iter().find(|(known, _)| *known == name) else {
            return Ok(None);
        };
        let schema = schema(columns);
        let rows = match name {
            "routines" => return Ok(Some(Arc::new(Routines(schema)))),
            "schemata" => self.schemata(),
            "tables" => self.tables(),
            "columns" => self.columns()?,
            "table_constraints" => self.constraints()?,
            "key_column_usage" => self.keys()?,
            // A node has no views; the table is there for those who ask.
            _ => Vec::new(),
        };
        let rows = batch(&schema, &rows)?;
        let table = MemTable::try_new(schema, vec![vec![rows]])?;
        Ok(Some(Arc::new(table)))
    }

    fn table_exist(&self, name: &str) -> bool {
        ALL.iter().any(|(known, _)| *known == name)
    }
}

impl Information {
    fn schemata(&self) -> Vec<Vec<Cell>> {
        let mut names = self.0.keyspaces();
        names.extend([SYSTEM_KEYSPACE, INFORMATION_SCHEMA].map(str::to_owned));
        let row = |name: &String| vec![CATALOG.into(), name.as_str().into(), Cell::Null];
        names.iter().map(row).collect()
    }

    fn tables(&self) -> Vec<Vec<Cell>> {
        let mut rows = Vec::new();
        let mut add = |keyspace: &str, table: &str, kind: &str| {
            rows.push(vec![
                CATALOG.into(),
                keyspace.into(),
                table.into(),
                kind.into(),
            ]);
        };
        for keyspace in self.0.keyspaces() {
            for table in self.0.tables(&keyspace) {
                let view = self.0.view(&TableName::new(&keyspace, &table));
                add(&keyspace, &table, view.map_or("BASE TABLE", |_| "VIEW"));
            }
        }
        for table in self.0.system_tables() {
            add(SYSTEM_KEYSPACE, &table, "BASE TABLE");
        }
        for (table, _) in ALL {
            add(INFORMATION_SCHEMA, table, "VIEW");
        }
        rows
    }

    /// The definitions of stored tables; one that is dropped meanwhile is left out.
    fn definitions(&self) -> Result<Vec<Arc<TableSchema>>> {
        let mut all = Vec::new();
        for keyspace in self.0.keyspaces() {
            for table in self.0.tables(&keyspace) {
                let name = TableName::new(&keyspace, &table);
                let snapshot = self.0.snapshot(&name).map_err(to_datafusion)?;
                all.extend(snapshot.map(|snapshot| snapshot.schema().clone()));
            }
        }
        Ok(all)
    }

    fn columns(&self) -> Result<Vec<Vec<Cell>>> {
        let mut rows = Vec::new();
        for table in self.definitions()? {
            let keys: BTreeSet<ColumnId> = table.key_columns().map(|key| key.id).collect();
            for (column, place) in table.columns.iter().zip(1..) {
                let nullable = !keys.contains(&column.id);
                rows.push(column_row(
                    &table.name.keyspace,
                    &table.name.table,
                    (&column.name, place),
                    nullable,
                    Some(column.data_type),
                ));
            }
        }
        for name in self.0.system_tables() {
            // One that cannot be made now has no columns to show.
            let Ok(Some(table)) = self.0.system_table(&name) else {
                continue;
            };
            for (field, place) in table.schema().fields().iter().zip(1..) {
                let known = DataType::from_arrow(field.data_type());
                let column = (field.name().as_str(), place);
                rows.push(column_row(SYSTEM_KEYSPACE, &name, column, true, known));
            }
        }
        for (name, columns) in ALL {
            for (field, place) in schema(columns).fields().iter().zip(1..) {
                let known = DataType::from_arrow(field.data_type());
                let column = (field.name().as_str(), place);
                rows.push(column_row(INFORMATION_SCHEMA, name, column, true, known));
            }
        }
        Ok(rows)
    }

    fn constraints(&self) -> Result<Vec<Vec<Cell>>> {
        let rows = self.definitions()?.into_iter().map(|table| {
            let mut row = key_name(&table);
            row.push("PRIMARY KEY".into());
            row
        });
        Ok(rows.collect())
    }

    fn keys(&self) -> Result<Vec<Vec<Cell>>> {
        let mut rows = Vec::new();
        for table in self.definitions()? {
            for (key, place) in table.key_columns().zip(1..) {
                let Some(column) = table.column_by_id(key.id) else {
                    continue;
                };
                let mut row = key_name(&table);
                row.extend([column.name.as_str().into(), Cell::Number(place)]);
                rows.push(row);
            }
        }
        Ok(rows)
    }
}

/// Where the primary key of a table is, and of which table it is.
fn key_name(table: &TableSchema) -> Vec<Cell> {
    let TableName { keyspace, table } = &table.name;
    vec![
        CATALOG.into(),
        keyspace.as_str().into(),
        Cell::Text(format!("{table}_pkey")),
        CATALOG.into(),
        keyspace.as_str().into(),
        table.as_str().into(),
    ]
}

fn column_row(
    keyspace: &str,
    table: &str,
    (column, place): (&str, i64),
    nullable: bool,
    data_type: Option<DataType>,
) -> Vec<Cell> {
    // PostgreSQL's name for the type, its short name, its digits before and after the point.
    let (name, short, digits, scale) = match data_type {
        Some(DataType::Boolean) => ("boolean", "bool", None, None),
        Some(DataType::Int) => ("integer", "int4", Some(32), Some(0)),
        Some(DataType::BigInt) => ("bigint", "int8", Some(64), Some(0)),
        Some(DataType::Real) => ("real", "float4", Some(24), None),
        Some(DataType::Double) => ("double precision", "float8", Some(53), None),
        Some(DataType::Decimal { precision, scale }) => (
            "numeric",
            "numeric",
            Some(i64::from(precision)),
            Some(i64::from(scale)),
        ),
        Some(DataType::Text) => ("text", "text", None, None),
        Some(DataType::Bytes) => ("bytea", "bytea", None, None),
        Some(DataType::Timestamp) => ("timestamp without time zone", "timestamp", None, None),
        Some(DataType::Date) => ("date", "date", None, None),
        Some(DataType::Uuid) => ("uuid", "uuid", None, None),
        Some(DataType::Json) => ("json", "json", None, None),
        None => ("USER-DEFINED", "unknown", None, None),
    };
    let fraction = (data_type == Some(DataType::Timestamp)).then_some(9);
    vec![
        CATALOG.into(),
        keyspace.into(),
        table.into(),
        column.into(),
        Cell::Number(place),
        Cell::Null,
        if nullable { "YES" } else { "NO" }.into(),
        name.into(),
        digits.into(),
        scale.into(),
        fraction.into(),
        short.into(),
    ]
}

fn schema(columns: &[&str]) -> SchemaRef {
    let field = |name: &&str| match name.strip_prefix('#') {
        Some(name) => Field::new(name, ArrowType::Int64, true),
        None => Field::new(*name, ArrowType::Utf8, true),
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn batch(schema: &SchemaRef, rows: &[Vec<Cell>]) -> Result<RecordBatch> {
    let columns = schema.fields().iter().enumerate().map(|(place, field)| {
        let cells = rows.iter().map(|row| row.get(place));
        if *field.data_type() == ArrowType::Int64 {
            let numbers = cells.map(|cell| match cell {
                Some(Cell::Number(number)) => Some(*number),
                _ => None,
            });
            return Arc::new(numbers.collect::<Int64Array>()) as ArrayRef;
        }
        let texts = cells.map(|cell| match cell {
            Some(Cell::Text(text)) => Some(text.as_str()),
            _ => None,
        });
        Arc::new(texts.collect::<StringArray>())
    });
    Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
}

/// The functions that the query at hand may call, listed as it is planned.
#[derive(Debug)]
struct Routines(SchemaRef);

#[async_trait]
impl TableProvider for Routines {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut all = BTreeSet::new();
        let scalars = state.scalar_functions().keys();
        all.extend(scalars.map(|name| (name, "SCALAR")));
        let aggregates = state.aggregate_functions().keys();
        all.extend(aggregates.map(|name| (name, "AGGREGATE")));
        let windows = state.window_functions().keys();
        all.extend(windows.map(|name| (name, "WINDOW")));
        let rows: Vec<Vec<Cell>> = all
            .into_iter()
            .map(|(name, kind)| {
                vec![
                    CATALOG.into(),
                    "public".into(),
                    name.as_str().into(),
                    "FUNCTION".into(),
                    kind.into(),
                ]
            })
            .collect();
        let rows = batch(&self.0, &rows)?;
        let table = MemTable::try_new(self.0.clone(), vec![vec![rows]])?;
        table.scan(state, projection, filters, limit).await
    }
}
