//! Rows as the outside names them: a table by name, columns by name, before the catalog has been
//! asked. Wires and files make these; `db` turns them into stamped [`crate::RowBatch`]es.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::BooleanBuffer;
use arrow::record_batch::RecordBatch;

use crate::data_type::DataType;
use crate::error::{Error, Result};
use crate::schema::TableName;

/// One named column. The array may have any Arrow type that casts to the column's without loss.
#[derive(Clone, Debug)]
pub struct NamedColumn {
    /// The column's name.
    pub name: String,
    /// The values.
    pub array: ArrayRef,
    /// Which rows name this column at all; `None` means all. A row that does not name it keeps the
    /// cell it had, while a NULL overwrites it.
    pub set: Option<BooleanBuffer>,
    /// The type to give the column where a flexible table has to be grown, when the Arrow type
    /// alone does not say it (JSON, UUID).
    pub declared: Option<DataType>,
}

/// The primary key that a table gets when a write has to create it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHint {
    /// The partition key's columns.
    pub partition: Vec<String>,
    /// The clustering key's columns, ascending.
    pub clustering: Vec<String>,
}

/// Rows for one table.
#[derive(Clone, Debug)]
pub struct NamedBatch {
    /// Where they go.
    pub table: TableName,
    /// How many rows.
    pub rows: usize,
    /// The columns, each `rows` long.
    pub columns: Vec<NamedColumn>,
    /// How long the rows live, in seconds, in place of the table's own time to live.
    pub ttl_s: Option<u64>,
    /// Set where the wire may create the table (line protocol, `load --create`): the table is made
    /// flexible with this key. `None` makes a missing table an error.
    pub create: Option<KeyHint>,
}

impl NamedBatch {
    /// All columns of a record batch, every row set.
    pub fn from_record_batch(table: TableName, batch: &RecordBatch) -> Self {
        NamedBatch {
            table,
            rows: batch.num_rows(),
            columns: batch
                .schema()
                .fields()
                .iter()
                .zip(batch.columns())
                .map(|(field, array)| NamedColumn {
                    name: field.name().clone(),
                    array: array.clone(),
                    set: None,
                    declared: field
                        .metadata()
                        .get(crate::schema::TYPE_METADATA_KEY)
                        .and_then(|name| name.parse().ok()),
                })
                .collect(),
            ttl_s: None,
            create: None,
        }
    }

    /// The column with this name.
    pub fn column(&self, name: &str) -> Option<&NamedColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Checks that every column has the batch's length and a name of its own.
    ///
    /// # Errors
    /// `Invalid`, naming the column.
    pub fn validate(&self) -> Result<()> {
        for (index, column) in self.columns.iter().enumerate() {
            let set = column.set.as_ref().map_or(self.rows, BooleanBuffer::len);
            if column.array.len() != self.rows || set != self.rows {
                return Err(Error::invalid(format!(
                    "column '{}' holds {} rows where the batch holds {}",
                    column.name,
                    column.array.len(),
                    self.rows
                )));
            }
            if self
                .columns
                .iter()
                .take(index)
                .any(|other| other.name == column.name)
            {
                return Err(Error::invalid(format!(
                    "column '{}' is named twice",
                    column.name
                )));
            }
        }
        Ok(())
    }
}
