//! The keys of a batch: checked against the table, encoded once, and passed on from there to the
//! memtable, the readers and the flush.

use std::sync::Arc;

use activestore_types::{
    Error, KeyBuffer, Result, RowBatch, TableSchema, encode_keys, encode_split_keys,
};
use arrow::array::ArrayRef;

use super::prefix;

/// A batch's encoded keys, and where and what each row's partition is.
#[derive(Clone, Debug, Default)]
pub struct RowKeys {
    pub(super) keys: KeyBuffer,
    pub(super) partitions: Vec<PartitionOf>,
}

/// The partition of one row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PartitionOf {
    /// [`prefix::hash`] of its prefix.
    pub(super) hash: u64,
    /// Bytes of the key that are the prefix.
    pub(super) prefix_len: u32,
}

impl RowKeys {
    /// Encodes the keys of every row.
    ///
    /// # Errors
    /// `Invalid` for a key column that is missing, NULL or not set in every row.
    pub(crate) fn encode(schema: &TableSchema, batch: &RowBatch) -> Result<RowKeys> {
        let columns = key_arrays(schema, batch)?;
        let (keys, lengths) = encode_split_keys(&columns, schema.partition_key.len())?;
        let partitions = keys
            .iter()
            .zip(lengths)
            .map(|(key, prefix_len)| PartitionOf {
                hash: prefix::hash(key.get(..prefix_len as usize).unwrap_or(key)),
                prefix_len,
            })
            .collect();
        Ok(RowKeys { keys, partitions })
    }

    /// The keys, row by row.
    pub fn keys(&self) -> &KeyBuffer {
        &self.keys
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds the keys of rows that follow.
    ///
    /// # Errors
    /// `Invalid` beyond 4 GiB of keys; nothing is added then.
    pub(crate) fn extend(&mut self, other: &RowKeys) -> Result<()> {
        self.keys.extend(&other.keys)?;
        self.partitions.extend_from_slice(&other.partitions);
        Ok(())
    }
}

/// Checks a batch against the schema.
///
/// # Errors
/// `Invalid` for parts of unequal length, and for a column that the table does not have or has with
/// another type.
pub(super) fn check_columns(schema: &TableSchema, batch: &RowBatch) -> Result<()> {
    batch.validate()?;
    for column in &batch.columns {
        let Some(known) = schema.column_by_id(column.id) else {
            return Err(Error::invalid(format!(
                "table {} has no column with the id {}",
                schema.name, column.id.0
            )));
        };
        if *column.array.data_type() != known.data_type.arrow() {
            return Err(Error::invalid(format!(
                "column '{}' of table {} is {}, not {}",
                known.name,
                schema.name,
                known.data_type,
                column.array.data_type()
            )));
        }
    }
    Ok(())
}

/// The encoded key of each row of a batch.
pub(crate) fn row_keys(schema: &TableSchema, batch: &RowBatch) -> Result<KeyBuffer> {
    encode_keys(&key_arrays(schema, batch)?)
}

/// The key columns of a batch, in key order, each with its direction.
pub(crate) fn key_arrays(schema: &TableSchema, batch: &RowBatch) -> Result<Vec<(ArrayRef, bool)>> {
    schema
        .key_columns()
        .map(|key| {
            let column = batch.column(key.id).ok_or_else(|| {
                let name = schema
                    .column_by_id(key.id)
                    .map_or("?", |column| &column.name);
                Error::invalid(format!(
                    "a write to {} leaves out the key column '{name}'",
                    schema.name
                ))
            })?;
            if column
                .set
                .as_ref()
                .is_some_and(|set| set.count_set_bits() < batch.rows)
            {
                return Err(Error::invalid(format!(
                    "a write to {} leaves a key column unset",
                    schema.name
                )));
            }
            Ok((Arc::clone(&column.array), key.descending))
        })
        .collect()
}
