//! What each defined thing is made of: by names, without ids, as statements and bundles carry it.

use std::collections::BTreeMap;

use activestore_types::{
    ClusteringColumn, Column, ColumnId, DataType, Error, Result, SyncMode, TableId, TableName,
    TableSchema,
};
use serde::{Deserialize, Serialize};

use crate::keeping::KeepingOptions;
use crate::names::{MAX_COLUMNS, check_column_name, check_table_name};
use crate::options::TableOptions;
use crate::plugin::PluginReference;
use crate::sharing::SharingOptions;

/// A keyspace: what its tables inherit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyspaceDef {
    /// Its name.
    pub name: String,
    /// How long rows live, in seconds; `None` means for ever.
    pub ttl_s: Option<u64>,
    /// Which way rows travel.
    pub sync: SyncMode,
}

impl KeyspaceDef {
    /// A keyspace with the default options.
    pub fn named(name: impl Into<String>) -> Self {
        KeyspaceDef {
            name: name.into(),
            ..KeyspaceDef::default()
        }
    }
}

/// A column by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
}

impl ColumnDefinition {
    /// From its two parts.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        ColumnDefinition {
            name: name.into(),
            data_type,
        }
    }
}

/// A clustering column by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusteringDefinition {
    /// The column.
    pub name: String,
    /// Whether rows are kept from its highest value to its lowest.
    pub descending: bool,
}

/// A table by names: what `CREATE TABLE` says and what travels between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDefinition {
    /// Its full name.
    pub name: TableName,
    /// Its columns in order.
    pub columns: Vec<ColumnDefinition>,
    /// The partition key's columns.
    pub partition_key: Vec<String>,
    /// The clustering key's columns.
    pub clustering_key: Vec<ClusteringDefinition>,
    /// What the statement says about options; the rest comes from the keyspace.
    pub options: TableOptions,
}

impl TableDefinition {
    /// A table without columns, to be filled in.
    pub fn named(name: TableName) -> Self {
        TableDefinition {
            name,
            columns: Vec::new(),
            partition_key: Vec::new(),
            clustering_key: Vec::new(),
            options: TableOptions::default(),
        }
    }

    /// A published table by names, every option explicit.
    pub fn from_schema(schema: &TableSchema) -> Self {
        let name_of = |id: ColumnId| {
            schema
                .column_by_id(id)
                .map(|column| column.name.clone())
                .unwrap_or_default()
        };
        TableDefinition {
            name: schema.name.clone(),
            columns: schema
                .columns
                .iter()
                .map(|column| ColumnDefinition::new(&column.name, column.data_type))
                .collect(),
            partition_key: schema.partition_key.iter().map(|id| name_of(*id)).collect(),
            clustering_key: schema
                .clustering_key
                .iter()
                .map(|key| ClusteringDefinition {
                    name: name_of(key.id),
                    descending: key.descending,
                })
                .collect(),
            options: TableOptions {
                flexible: Some(schema.flexible),
                ttl_s: Some(schema.ttl_s.unwrap_or(0)),
                sync: Some(schema.sync),
                compaction: Some(schema.compaction),
                // A bundle has these beside its tables.
                sharing: SharingOptions::default(),
                keeping: KeepingOptions::default(),
                keep_conflicts: None,
            },
        }
    }

    /// The table with ids, its options completed from the keyspace.
    ///
    /// # Errors
    /// `Invalid` for names, types or keys that a table cannot have.
    pub fn to_schema(&self, id: TableId, keyspace: &KeyspaceDef) -> Result<TableSchema> {
        check_table_name(&self.name)?;
        if self.columns.len() > MAX_COLUMNS {
            return Err(Error::invalid(format!(
                "table {} would have {} columns; at most {MAX_COLUMNS} are allowed",
                self.name,
                self.columns.len()
            )));
        }
        let mut columns = Vec::with_capacity(self.columns.len());
        for (column, number) in self.columns.iter().zip(0_u32..) {
            check_column_name(&column.name)?;
            columns.push(Column {
                id: ColumnId(number),
                name: column.name.clone(),
                data_type: column.data_type,
            });
        }
        let id_of = |name: &str| {
            columns
                .iter()
                .find(|column| column.name == name)
                .map(|column| column.id)
                .ok_or_else(|| {
                    Error::invalid(format!(
                        "the primary key of {} names column '{name}', which is not defined",
                        self.name
                    ))
                })
        };
        let partition_key = self
            .partition_key
            .iter()
            .map(|name| id_of(name))
            .collect::<Result<_>>()?;
        let clustering_key = self
            .clustering_key
            .iter()
            .map(|key| {
                Ok(ClusteringColumn {
                    id: id_of(&key.name)?,
                    descending: key.descending,
                })
            })
            .collect::<Result<_>>()?;
        let schema = TableSchema {
            id,
            name: self.name.clone(),
            columns,
            partition_key,
            clustering_key,
            flexible: self.options.flexible.unwrap_or(false),
            ttl_s: match self.options.ttl_s {
                Some(0) => None,
                Some(seconds) => Some(seconds),
                None => keyspace.ttl_s,
            },
            sync: self.options.sync.unwrap_or(keyspace.sync),
            compaction: self.options.compaction.unwrap_or_default(),
            version: 1,
        };
        schema.validate()?;
        Ok(schema)
    }
}

/// What a function of SQL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// A value for each row.
    Scalar,
    /// A value for each group of rows.
    Aggregate,
    /// Rows.
    Table,
}

/// A SQL function or aggregate that a plugin provides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionDef {
    /// Its name in SQL.
    pub name: String,
    /// The plugin, and its version where the statement pins one.
    pub plugin: PluginReference,
    /// The function's name inside the plugin.
    pub function: String,
    /// Further options, as given.
    pub options: BTreeMap<String, String>,
}

/// What a processor runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessorSource {
    /// A plugin of the processor kind.
    Plugin(PluginReference),
    /// A model of the catalog: each row is scored as it is written.
    Model(String),
}

/// A processor in a table's write path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessorDef {
    /// Its name.
    pub name: String,
    /// The table whose writes it sees.
    pub table: TableName,
    /// What it runs.
    pub source: ProcessorSource,
    /// Its configuration, as given.
    pub options: BTreeMap<String, String>,
    /// The tables that take its rows, one for each of its outputs; none where it sends none.
    pub into: Vec<TableName>,
}

/// A model: a plugin that runs it and the artifact it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDef {
    /// Its name, as `predict('name', …)` says it.
    pub name: String,
    /// The plugin that runs it.
    pub plugin: PluginReference,
    /// The artifact's SHA-256; the bytes lie in the node's blob folder.
    pub artifact_sha256: [u8; 32],
    /// The artifact's file name, for display.
    pub artifact_name: String,
    /// Further options, as given.
    pub options: BTreeMap<String, String>,
    /// How often it was defined, this time included; the catalog fills this. It begins anew when the model was
    /// dropped.
    pub version: u64,
}
