//! `--create`: the table that a file's first rows ask for.

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
            key: key(&columns, &args.key, args.time.as_deref())?,
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
        let mut lines: Vec<String> = self
            .columns
            .iter()
            .map(|(name, data_type)| format!("  {} {data_type}", quoted(name)))
            .collect();
        let mut parts = self.key.iter().map(|name| quoted(name));
        let mut primary = format!("({})", parts.next().unwrap_or_default());
        for part in parts {
            primary.push_str(", ");
            primary.push_str(&part);
        }
        lines.push(format!("  PRIMARY KEY ({primary})"));
        format!(
            "CREATE TABLE {}.{} (\n{}\n)",
            quoted(&self.name.keyspace),
            quoted(&self.name.table),
            lines.join(",\n")
        )
    }
}

/// The key that was asked for, or: the first TEXT, UUID, INT or BIGINT column as the partition key and the time after it,
/// which is the first TIMESTAMP column where none is named.
fn key(
    columns: &[(String, DataType)],
    asked: &[String],
    time: Option<&str>,
) -> Result<Vec<String>> {
    let named = asked.iter().map(String::as_str).chain(time);
    for name in named {
        if !columns.iter().any(|(column, _)| column == name) {
            return Err(Error::invalid(format!("the file has no column '{name}'")));
        }
    }
    let first = |fits: fn(&DataType) -> bool| {
        columns
            .iter()
            .filter(|(name, _)| Some(name.as_str()) != time)
            .find(|(_, data_type)| fits(data_type))
            .map(|(name, _)| name.clone())
    };
    let time = time.map(str::to_owned);
    if !asked.is_empty() {
        let time = time.filter(|time| !asked.contains(time));
        return Ok(asked.iter().cloned().chain(time).collect());
    }
    let text = first(|data_type| matches!(data_type, DataType::Text | DataType::Uuid));
    let number = first(|data_type| matches!(data_type, DataType::Int | DataType::BigInt));
    let time = time.or_else(|| first(|data_type| *data_type == DataType::Timestamp));
    let key: Vec<String> = text.or(number).into_iter().chain(time).collect();
    if key.is_empty() {
        return Err(Error::invalid("the columns do not say what a row's key is")
            .with_hint("name it with --key PARTITION_COLUMN,CLUSTERING_COLUMN"));
    }
    Ok(key)
}

/// A name as SQL writes it: quoted unless it is a plain lower-case word.
pub fn quoted(name: &str) -> String {
    let plain = name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_')
        && name
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        && !is_reserved(name);
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Words that SQL does not take as a name without quotes.
fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 24] = [
        "select", "from", "where", "group", "order", "by", "having", "limit", "offset", "table",
        "primary", "key", "values", "set", "and", "or", "not", "null", "in", "is", "as", "on",
        "with", "end",
    ];
    RESERVED.contains(&name)
}

#[cfg(test)]
mod tests;
