//! What the asker may see of tables, with numbers that stay the same from one statement to the next.

use std::sync::Arc;

use activestore_catalog::SYSTEM_KEYSPACE;
use activestore_types::{DataType, Result, TableName, TableSchema};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use crate::tables::Tables;
use crate::write::quote;

use super::PG_CATALOG;

/// Numbers below this are PostgreSQL's own.
const FIRST_OID: u32 = 1 << 28;
/// Schemas that have a number of their own in PostgreSQL.
const SCHEMAS: [(&str, i64); 2] = [(PG_CATALOG, 11), ("public", 2200)];

/// A table, with its columns.
pub(super) struct Table {
    pub(super) oid: i64,
    pub(super) schema_oid: i64,
    pub(super) name: TableName,
    pub(super) columns: Vec<(String, DataType)>,
    /// Places of the key's columns, from 1.
    pub(super) key: Vec<i64>,
    pub(super) rows: i64,
    /// The query of a materialized view.
    pub(super) view: Option<String>,
}

impl Table {
    /// `relkind`: a table, a materialized view, or one of the node's own, which are made when they are asked for.
    pub(super) fn kind(&self) -> &'static str {
        match &self.view {
            _ if self.is_system() => "v",
            Some(_) => "m",
            None => "r",
        }
    }

    /// The name of the index that stands for its primary key.
    pub(super) fn index_name(&self) -> String {
        format!("{}_pkey", self.name.table)
    }

    pub(super) fn index_oid(&self) -> i64 {
        oid("index", &self.name.keyspace, &self.name.table)
    }

    pub(super) fn constraint_oid(&self) -> i64 {
        oid("constraint", &self.name.keyspace, &self.name.table)
    }

    /// `(a, b)`.
    pub(super) fn key_columns(&self) -> String {
        let names = self.key.iter().filter_map(|place| {
            let place = usize::try_from(*place).ok()?.checked_sub(1)?;
            Some(shown(&self.columns.get(place)?.0))
        });
        names.collect::<Vec<_>>().join(", ")
    }

    /// As SQL names it.
    pub(super) fn full_name(&self) -> String {
        if self.name.keyspace == "public" {
            return shown(&self.name.table);
        }
        format!("{}.{}", shown(&self.name.keyspace), shown(&self.name.table))
    }

    /// Whether it is one of the node's own.
    pub(super) fn is_system(&self) -> bool {
        self.name.keyspace == SYSTEM_KEYSPACE
    }
}

/// A number for what has this name: the same on every node, and after a restart.
pub(super) fn oid(what: &str, keyspace: &str, name: &str) -> i64 {
    if let ("schema", Some((_, oid))) = (what, SCHEMAS.iter().find(|(known, _)| *known == name)) {
        return *oid;
    }
    // FNV-1a, whose few bits of a number are spread enough for some thousand names.
    let mut hash = 0x811c_9dc5_u32;
    let parts = [what, "\0", keyspace, "\0", name];
    for byte in parts.iter().flat_map(|part| part.bytes()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    i64::from(FIRST_OID | (hash >> 4))
}

/// The schemas that may be seen, with their numbers.
pub(super) fn schemas(tables: &dyn Tables) -> Vec<(i64, String)> {
    let mut names = tables.keyspaces();
    names.extend([SYSTEM_KEYSPACE, PG_CATALOG, "information_schema"].map(str::to_owned));
    let numbered = names
        .into_iter()
        .map(|name| (oid("schema", "", &name), name));
    numbered.collect()
}

/// The tables that may be seen.
///
/// # Errors
/// What the store says.
pub(super) fn tables(tables: &dyn Tables) -> Result<Vec<Table>> {
    let mut all = Vec::new();
    for keyspace in tables.keyspaces() {
        for table in tables.tables(&keyspace) {
            let name = TableName::new(&keyspace, table);
            if let Some(snapshot) = tables.snapshot(&name)? {
                let rows = i64::try_from(snapshot.row_count_estimate()).unwrap_or(i64::MAX);
                let view = tables.view(&name);
                all.push(stored(snapshot.schema(), rows, view));
            }
        }
    }
    for name in tables.system_tables() {
        if let Some(batch) = tables.system_table(&name)? {
            let columns = batch.schema();
            let columns = columns.fields().iter().map(|field| {
                let data_type = DataType::from_arrow(field.data_type()).unwrap_or(DataType::Text);
                (field.name().clone(), data_type)
            });
            all.push(Table {
                oid: oid("table", SYSTEM_KEYSPACE, &name),
                schema_oid: oid("schema", "", SYSTEM_KEYSPACE),
                name: TableName::new(SYSTEM_KEYSPACE, name),
                columns: columns.collect(),
                key: Vec::new(),
                view: None,
                rows: i64::try_from(batch.num_rows()).unwrap_or(i64::MAX),
            });
        }
    }
    Ok(all)
}

fn stored(schema: &Arc<TableSchema>, rows: i64, view: Option<String>) -> Table {
    let place = |id| schema.columns.iter().position(|column| column.id == id);
    let key = schema.key_columns().filter_map(|key| place(key.id));
    let name = &schema.name;
    Table {
        oid: oid("table", &name.keyspace, &name.table),
        schema_oid: oid("schema", "", &name.keyspace),
        key: key
            .filter_map(|place| i64::try_from(place + 1).ok())
            .collect(),
        columns: schema
            .columns
            .iter()
            .map(|column| (column.name.clone(), column.data_type))
            .collect(),
        name: name.clone(),
        rows,
        view,
    }
}

/// A name as SQL has to write it.
pub(super) fn shown(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        quote(name)
    }
}

/// The index that stands for a primary key, as a statement would make it.
pub(super) fn index_definition(table: &Table) -> String {
    format!(
        "CREATE UNIQUE INDEX {} ON {} USING btree ({})",
        shown(&table.index_name()),
        table.full_name(),
        table.key_columns()
    )
}

/// What the files of a table take in bytes, or those of all; `None` where the asker may not know of files.
pub(super) fn file_bytes(tables: &dyn Tables, of: Option<&TableName>) -> Option<i64> {
    let files = tables.system_table("sstables").ok()??;
    let names = files.column_by_name("table")?;
    let names = names.as_string_opt::<i32>()?;
    let bytes = files.column_by_name("bytes")?;
    let bytes = bytes.as_primitive_opt::<Int64Type>()?;
    let of = of.map(ToString::to_string);
    let wanted = names
        .iter()
        .zip(bytes)
        .filter(|(name, _)| of.as_deref().is_none_or(|of| *name == Some(of)));
    Some(wanted.filter_map(|(_, bytes)| bytes).sum())
}
