//! `--create`: the table that a file's first rows ask for.

use activestore_ingest::definition::{key, statement};
use activestore_types::{DataType, Error, NamedBatch, Result, TableName};

use super::target::Target;
use crate::cli::LoadArgs;

/// A table that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    name: TableName,
    /// Its columns.
    pub columns: Vec<(String, DataType)>,
    /// Its key.
    pub key: Vec<String>,
}

impl Wanted {
    /// What the first rows ask for.
    ///
    /// # Errors
    /// `Invalid` where no key can be told from the columns, and for a column that no type carries.
    pub fn of(args: &LoadArgs, sample: &NamedBatch) -> Result<Wanted> {
        let mut columns: Vec<(String, DataType)> = Vec::new();
        for column in &sample.columns {
            let known = column
                .declared
                .or_else(|| DataType::from_arrow(column.array.data_type()));
            let nothing = column.array.data_type().is_null();
            let data_type = match known {
                Some(data_type) => data_type,
                None if nothing => DataType::Text,
                None => {
                    return Err(Error::invalid(format!(
                        "column '{}' holds {}, which no column type carries",
                        column.name,
                        column.array.data_type()
                    ))
                    .with_hint(format!("leave it out with --skip {}", column.name)));
                }
            };
            columns.push((column.name.clone(), data_type));
        }
        if columns.is_empty() {
            return Err(Error::invalid("no row of the file can be read")
                .with_hint("look at its first lines, and at --format"));
        }
        Ok(Wanted {
            name: args.table.clone(),
            key: key(&columns, &args.key, args.time.as_deref()).map_err(|error| {
                error.with_hint("name it with --key PARTITION_COLUMN,CLUSTERING_COLUMN")
            })?,
            columns,
        })
    }

    /// As the node will describe it.
    pub fn target(&self) -> Target {
        Target {
            name: self.name.clone(),
            columns: self.columns.iter().cloned().collect(),
            key: self.key.clone(),
            flexible: false,
            stamp: String::new(),
        }
    }

    /// The statement that makes the table.
    pub fn statement(&self) -> String {
        statement(&self.name, &self.columns, &self.key)
    }
}

#[cfg(test)]
mod tests;
