//! Columns with a merge function: a cell of them holds the join of all that was written to it, on whatever
//! node, in place of what was written last.
//!
//! The store knows nothing of it and goes on merging by stamps. A write of this node is joined with what the
//! cell holds before it is stamped (`local`). When rows of another node come and the last stamp would leave
//! less than the join, this node writes the join itself, in the same log record and under a stamp of its own
//! (`incoming`). Values only rise, so nodes that have heard the same end with the same and write no more. NULL
//! is joined with everything; a delete takes all with it that was written before.

mod groups;
mod incoming;
mod local;

use std::sync::Arc;

use activestore_plugin_host::MergeFunction;
use activestore_query::cast_lossless;
use activestore_types::{
    BatchColumn, ColumnId, DataType, Error, KeyBuffer, Result, TableSchema, encode_keys,
};
use arrow::array::ArrayRef;

use crate::db::Inner;
use crate::write::gates::Way;

/// What joins two columns row by row.
pub(crate) trait Join: Send + Sync {
    /// The joins; neither side holds a null, nor does the result. -0.0 and NaN are settled.
    fn join(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef>;
}

impl Join for MergeFunction {
    fn join(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        self.merge(left, right)
    }
}

/// A column whose values are joined.
#[derive(Clone)]
pub(crate) struct Joined {
    pub(crate) id: ColumnId,
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) function: Arc<dyn Join>,
}

impl Joined {
    /// The join of two columns in the column's own type.
    fn join(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        let joined = self
            .function
            .join(left, right)
            .map_err(|error| error.context(format!("column '{}' cannot be merged", self.name)))?;
        cast_lossless(&self.name, self.data_type, &joined)
    }
}

impl Inner {
    /// The columns of a table whose values are joined; most tables have none.
    ///
    /// # Errors
    /// `Conflict` when a function of theirs cannot be loaded: nothing may be written without it.
    pub(crate) fn joined_columns(&self, schema: &TableSchema) -> Result<Vec<Joined>> {
        let state = self.catalog.state();
        let Some(sharing) = state.sharing.get(&schema.name) else {
            return Ok(Vec::new());
        };
        let plugins = self.plugins.current();
        let columns = sharing.merges.iter().filter_map(|(column, function)| {
            Some((schema.column(column)?, function)) // one that the table lacks has no values
        });
        columns
            .map(|(column, function)| {
                let overloads = plugins.merge(function)?;
                let fits = overloads.iter().find(|one| one.takes(column.data_type));
                let function = fits.ok_or_else(|| {
                    Error::conflict(format!(
                        "merge function '{function}' does not take {}, the type of column '{}' of {}",
                        column.data_type, column.name, schema.name
                    ))
                })?;
                Ok(Joined {
                    id: column.id,
                    name: column.name.clone(),
                    data_type: column.data_type,
                    function: function.clone(),
                })
            })
            .collect()
    }

    /// How plain writes pass the table's gate: alone where what they write hangs on what is there.
    pub(crate) fn way_of(&self, schema: &TableSchema) -> Way {
        let state = self.catalog.state();
        let sharing = state.sharing.get(&schema.name);
        match sharing {
            Some(sharing) if !sharing.merges.is_empty() => Way::Alone,
            _ => Way::Together,
        }
    }
}

/// The encoded keys of rows; every key column must be among the columns.
pub(crate) fn keys_of(schema: &TableSchema, columns: &[BatchColumn]) -> Result<KeyBuffer> {
    let keys = schema.key_columns().map(|key| {
        let column = columns.iter().find(|column| column.id == key.id);
        let column = column.ok_or_else(|| {
            Error::invalid(format!("rows of {} lack a part of their key", schema.name))
        })?;
        Ok((column.array.clone(), key.descending))
    });
    encode_keys(&keys.collect::<Result<Vec<_>>>()?)
}

#[cfg(test)]
mod tests;
