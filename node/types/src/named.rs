//! Rows as the outside names them: a table by name, columns by name, before the catalog has been
//! asked. Wires and files make these; `db` turns them into stamped [`crate::RowBatch`]es.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType as ArrowType, Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::data_type::DataType;
use crate::error::{Error, Result};
use crate::schema::{TYPE_METADATA_KEY, TableName};

/// Arrow field metadata of a Boolean field that is no column: it says which rows name the column of this name.
pub const SET_METADATA_KEY: &str = "activestore.set";

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
    /// All columns of a record batch. Every row sets every column that no field says otherwise of
    /// ([`SET_METADATA_KEY`]).
    pub fn from_record_batch(table: TableName, batch: &RecordBatch) -> Self {
        let schema = batch.schema();
        let marks = |field: &Field| {
            let of = field.metadata().get(SET_METADATA_KEY)?;
            (field.data_type() == &ArrowType::Boolean).then(|| of.clone())
        };
        let mut sets: HashMap<String, BooleanBuffer> = HashMap::new();
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            if let Some(of) = marks(field) {
                let array = array.as_boolean();
                let set = match array.nulls() {
                    Some(nulls) => array.values() & nulls.inner(),
                    None => array.values().clone(),
                };
                sets.insert(of, set);
            }
        }
        NamedBatch {
            table,
            rows: batch.num_rows(),
            columns: schema
                .fields()
                .iter()
                .zip(batch.columns())
                .filter(|(field, _)| marks(field).is_none())
                .map(|(field, array)| NamedColumn {
                    name: field.name().clone(),
                    array: array.clone(),
                    set: sets.remove(field.name()),
                    declared: field
                        .metadata()
                        .get(TYPE_METADATA_KEY)
                        .and_then(|name| name.parse().ok()),
                })
                .collect(),
            ttl_s: None,
            create: None,
        }
    }

    /// The columns as a record batch, with what [`NamedBatch::from_record_batch`] needs to make the same of it.
    ///
    /// # Errors
    /// `Invalid` where a column has another length.
    pub fn to_record_batch(&self) -> Result<RecordBatch> {
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let declared = column.declared.map(|declared| declared.to_string());
            let metadata = declared.map(|declared| (TYPE_METADATA_KEY.to_owned(), declared));
            fields.push(
                Field::new(&column.name, column.array.data_type().clone(), true)
                    .with_metadata(metadata.into_iter().collect()),
            );
            arrays.push(column.array.clone());
        }
        for column in &self.columns {
            if let Some(set) = &column.set {
                let metadata = (SET_METADATA_KEY.to_owned(), column.name.clone());
                fields.push(
                    Field::new(
                        format!("{SET_METADATA_KEY}.{}", column.name),
                        ArrowType::Boolean,
                        false,
                    )
                    .with_metadata([metadata].into()),
                );
                arrays.push(Arc::new(BooleanArray::new(set.clone(), None)));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let schema = Arc::new(Schema::new(fields));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
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
