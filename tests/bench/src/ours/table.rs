//! A data set as a table of the store.

use std::sync::Arc;

use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, SyncMode, TableId,
    TableName, TableSchema, encode_keys,
};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType as ArrowType;
use arrow::record_batch::RecordBatch;

use crate::data::fleet::FIELDS;
use crate::task::{Dataset, Result};

/// The only table.
pub const TABLE: TableId = TableId(1);

/// The table and which of its columns are what.
pub struct Table {
    /// Its definition; column ids are positions in the data's record batches.
    pub schema: Arc<TableSchema>,
    /// All columns.
    pub all: Vec<ColumnId>,
    /// The fleet's ten fields, where the data has them.
    pub fields: Vec<ColumnId>,
    key: Vec<usize>,
    flexible: bool,
}

impl Table {
    /// Of a data set.
    pub fn of(data: &Dataset) -> Result<Self> {
        let arrow = data.open()?.schema();
        let mut columns = Vec::new();
        for (id, field) in (0..).zip(arrow.fields()) {
            columns.push(Column {
                id: ColumnId(id),
                name: field.name().clone(),
                data_type: match field.data_type() {
                    ArrowType::Utf8 => DataType::Text,
                    ArrowType::Float64 => DataType::Double,
                    ArrowType::Int64 => DataType::BigInt,
                    ArrowType::Boolean => DataType::Boolean,
                    ArrowType::Timestamp(_, _) => DataType::Timestamp,
                    other => return Err(format!("no column is a {other}").into()),
                },
            });
        }
        let id = |name: &String| -> Result<ColumnId> {
            let column = columns.iter().find(|column| column.name == *name);
            Ok(column.ok_or("a key column is missing")?.id)
        };
        let partition_key = data.partition.iter().map(id).collect::<Result<_>>()?;
        let clustering_key = data
            .clustering
            .iter()
            .map(|name| {
                Ok(ClusteringColumn {
                    id: id(name)?,
                    descending: false,
                })
            })
            .collect::<Result<_>>()?;
        let key = data
            .key()
            .map(|name| Ok(id(name)?.0 as usize))
            .collect::<Result<_>>()?;
        Ok(Table {
            all: columns.iter().map(|column| column.id).collect(),
            fields: columns
                .iter()
                .filter(|column| FIELDS.contains(&column.name.as_str()))
                .map(|column| column.id)
                .collect(),
            schema: Arc::new(TableSchema {
                id: TABLE,
                name: TableName::new("bench", "readings"),
                columns,
                partition_key,
                clustering_key,
                flexible: data.flexible,
                ttl_s: None,
                compaction: CompactionMode::Automatic,
                sync: SyncMode::None,
                version: 1,
            }),
            key,
            flexible: data.flexible,
        })
    }

    /// A batch's columns as the store takes them. Cells that a row of a flexible table does not
    /// mention are absent, elsewhere they are NULL.
    pub fn columns(&self, batch: &RecordBatch) -> Vec<BatchColumn> {
        (0..)
            .zip(batch.columns())
            .map(|(id, array)| BatchColumn {
                id: ColumnId(id),
                array: Arc::clone(array),
                set: array
                    .nulls()
                    .filter(|_| self.flexible)
                    .map(|nulls| nulls.inner().clone()),
            })
            .collect()
    }

    /// One row's encoded key.
    pub fn key(&self, batch: &RecordBatch, row: usize) -> Result<Vec<u8>> {
        let columns: Vec<(ArrayRef, bool)> = self
            .key
            .iter()
            .map(|column| (batch.column(*column).slice(row, 1), false))
            .collect();
        Ok(encode_keys(&columns)?.key(0).to_vec())
    }
}
