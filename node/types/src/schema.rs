//! What a table is: its columns, its primary key and its options.

use std::fmt;
use std::str::FromStr;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::data_type::DataType;
use crate::error::{Error, Result};
use crate::id::{ColumnId, TableId};

/// The Arrow field metadata key that carries the SQL type's name.
pub const TYPE_METADATA_KEY: &str = "activestore.type";

/// `keyspace.table`, both parts lower case as parsed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// The keyspace, a schema in SQL's words.
    pub keyspace: String,
    /// The table.
    pub table: String,
}

impl TableName {
    /// From its two parts.
    pub fn new(keyspace: impl Into<String>, table: impl Into<String>) -> Self {
        TableName {
            keyspace: keyspace.into(),
            table: table.into(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.keyspace, self.table)
    }
}

impl FromStr for TableName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('.') {
            Some((keyspace, table)) if !keyspace.is_empty() && !table.is_empty() => {
                Ok(TableName::new(keyspace, table))
            }
            _ => Err(Error::invalid(format!(
                "'{text}' does not name a table: KEYSPACE.TABLE expected"
            ))),
        }
    }
}

/// Which way a table's rows travel between an edge and the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub enum SyncMode {
    /// Rows stay where they are written.
    #[default]
    None,
    /// Edge to cloud.
    Up,
    /// Cloud to edge.
    Down,
    /// Both ways.
    Both,
}

impl SyncMode {
    /// The name in DDL.
    pub fn name(self) -> &'static str {
        match self {
            SyncMode::None => "none",
            SyncMode::Up => "up",
            SyncMode::Down => "down",
            SyncMode::Both => "both",
        }
    }
}

impl FromStr for SyncMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(SyncMode::None),
            "up" => Ok(SyncMode::Up),
            "down" => Ok(SyncMode::Down),
            "both" => Ok(SyncMode::Both),
            _ => Err(Error::invalid(format!(
                "sync = '{text}' is unknown: 'none', 'up', 'down' or 'both' expected"
            ))),
        }
    }
}

/// How urgent rows are on their way up, the most urgent first: rows of one class never wait for those of
/// a class behind it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub enum SyncClass {
    /// Sealed and sent at once, before everything else.
    Alarm,
    /// What the other end acts upon: sealed soon, sent before all but alarms.
    Control,
    /// As it is written.
    #[default]
    Live,
    /// Live rows that an outage held up; no table is declared so.
    Backlog,
}

impl SyncClass {
    /// All of them, the most urgent first.
    pub const ALL: [SyncClass; 4] = [
        SyncClass::Alarm,
        SyncClass::Control,
        SyncClass::Live,
        SyncClass::Backlog,
    ];

    /// The name in DDL and in reports.
    pub fn name(self) -> &'static str {
        match self {
            SyncClass::Alarm => "alarm",
            SyncClass::Control => "control",
            SyncClass::Live => "live",
            SyncClass::Backlog => "backlog",
        }
    }

    /// Whether rows are sealed as soon as they are written.
    pub fn is_urgent(self) -> bool {
        matches!(self, SyncClass::Alarm | SyncClass::Control)
    }
}

impl FromStr for SyncClass {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "alarm" => Ok(SyncClass::Alarm),
            "control" => Ok(SyncClass::Control),
            "live" => Ok(SyncClass::Live),
            _ => Err(Error::invalid(format!(
                "sync_class = '{text}' is unknown: 'alarm', 'control' or 'live' expected"
            ))),
        }
    }
}

/// How a table's files are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub enum CompactionMode {
    /// By windows of time where the first clustering column is a TIMESTAMP, else by levels.
    #[default]
    Automatic,
    /// By windows of time: rows come about in the order of time and are rarely written again.
    TimeWindow,
    /// By levels of key ranges: rows are written again and again.
    Levelled,
}

impl CompactionMode {
    /// The name in DDL.
    pub fn name(self) -> &'static str {
        match self {
            CompactionMode::Automatic => "automatic",
            CompactionMode::TimeWindow => "time_window",
            CompactionMode::Levelled => "levelled",
        }
    }
}

impl FromStr for CompactionMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "automatic" => Ok(CompactionMode::Automatic),
            "time_window" => Ok(CompactionMode::TimeWindow),
            "levelled" => Ok(CompactionMode::Levelled),
            _ => Err(Error::invalid(format!(
                "compaction = '{text}' is unknown: 'automatic', 'time_window' or 'levelled' expected"
            ))),
        }
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its id in this table on this node.
    pub id: ColumnId,
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
}

/// A clustering column and its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusteringColumn {
    /// Which column.
    pub id: ColumnId,
    /// Whether rows are kept from the highest value to the lowest.
    pub descending: bool,
}

/// A table: immutable once published; a change publishes a new one with a higher `version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// The table's id on this node.
    pub id: TableId,
    /// Its full name.
    pub name: TableName,
    /// All columns in the order of their definition.
    pub columns: Vec<Column>,
    /// The partition key: at least one column.
    pub partition_key: Vec<ColumnId>,
    /// The clustering key, in order; may be empty.
    pub clustering_key: Vec<ClusteringColumn>,
    /// Whether a write may name columns that do not exist yet.
    pub flexible: bool,
    /// How long rows live unless the write says otherwise, in seconds; `None` means for ever.
    pub ttl_s: Option<u64>,
    /// Which way rows travel.
    pub sync: SyncMode,
    /// How its files are merged.
    pub compaction: CompactionMode,
    /// Rises by one with each change.
    pub version: u32,
}

impl TableSchema {
    /// The column with this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column with this id.
    pub fn column_by_id(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// The primary key's columns with their direction: partition key first, ascending.
    pub fn key_columns(&self) -> impl Iterator<Item = ClusteringColumn> + '_ {
        self.partition_key
            .iter()
            .map(|id| ClusteringColumn {
                id: *id,
                descending: false,
            })
            .chain(self.clustering_key.iter().copied())
    }

    /// The first clustering column, where it is a TIMESTAMP: the time that a row is about.
    pub fn time_column(&self) -> Option<ColumnId> {
        let first = self.column_by_id(self.clustering_key.first()?.id)?;
        (first.data_type == DataType::Timestamp).then_some(first.id)
    }

    /// Bytes that a row takes in memory, about: its columns' widths, a guess for text, the stamps.
    pub fn row_bytes_estimate(&self) -> usize {
        let width = |column: &Column| match column.data_type {
            DataType::Boolean => 1,
            DataType::Int | DataType::Date | DataType::Real => 4,
            DataType::BigInt | DataType::Timestamp | DataType::Double => 8,
            DataType::Decimal { .. } => 16,
            DataType::Text | DataType::Bytes | DataType::Uuid | DataType::Json => 24,
        };
        self.columns.iter().map(width).sum::<usize>() + 20
    }

    /// How many columns the primary key has.
    pub fn key_len(&self) -> usize {
        self.partition_key.len() + self.clustering_key.len()
    }

    /// Whether the column belongs to the primary key.
    pub fn is_key(&self, id: ColumnId) -> bool {
        self.key_columns().any(|column| column.id == id)
    }

    /// The Arrow field of a column: key columns are not nullable.
    pub fn arrow_field(&self, column: &Column) -> Field {
        Field::new(
            &column.name,
            column.data_type.arrow(),
            !self.is_key(column.id),
        )
        .with_metadata(
            [(TYPE_METADATA_KEY.to_owned(), column.data_type.to_string())]
                .into_iter()
                .collect(),
        )
    }

    /// All columns as an Arrow schema, in the order of their definition.
    pub fn arrow(&self) -> SchemaRef {
        Schema::new(
            self.columns
                .iter()
                .map(|column| self.arrow_field(column))
                .collect::<Vec<_>>(),
        )
        .into()
    }

    /// Checks what every table must satisfy before it is published.
    ///
    /// # Errors
    /// `Invalid` for a missing partition key, a key column that does not exist or stands twice, a
    /// repeated column name or id, a JSON key column, or windows of time without a time.
    pub fn validate(&self) -> Result<()> {
        if self.partition_key.is_empty() {
            return Err(
                Error::invalid(format!("table {} has no primary key", self.name))
                    .with_hint("add PRIMARY KEY ((partition columns), clustering columns)"),
            );
        }
        for (index, column) in self.columns.iter().enumerate() {
            let earlier = self.columns.iter().take(index);
            if earlier
                .clone()
                .any(|other| other.name == column.name || other.id == column.id)
            {
                return Err(Error::invalid(format!(
                    "column '{}' stands twice in table {}",
                    column.name, self.name
                )));
            }
        }
        let keys: Vec<_> = self.key_columns().map(|key| key.id).collect();
        for (index, id) in keys.iter().enumerate() {
            let Some(column) = self.column_by_id(*id) else {
                return Err(Error::invalid(format!(
                    "the primary key of {} names a column that it does not have",
                    self.name
                )));
            };
            if keys.iter().take(index).any(|other| other == id) {
                return Err(Error::invalid(format!(
                    "column '{}' stands twice in the primary key of {}",
                    column.name, self.name
                )));
            }
            if column.data_type == DataType::Json {
                return Err(Error::invalid(format!(
                    "column '{}' cannot be a key: JSON has no order",
                    column.name
                )));
            }
        }
        if self.compaction == CompactionMode::TimeWindow && self.time_column().is_none() {
            return Err(Error::invalid(format!(
                "compaction = 'time_window' does not fit table {}: its first clustering column is no \
                 TIMESTAMP",
                self.name
            ))
            .with_hint("leave the option out, or use 'levelled'"));
        }
        Ok(())
    }
}
