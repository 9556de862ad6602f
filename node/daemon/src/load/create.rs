//! `--create`: the table that a file's first records ask for.

use std::path::Path;

use activestore_ingest::{CsvOptions, JsonOptions, JsonShape, csv, json};
use activestore_types::{DataType, Error, NamedBatch, Result, TableName};
use arrow::ipc::reader::StreamReader;

use super::progress::Progress;
use super::split::Splitter;
use crate::cli::{FileFormat, LoadArgs};
use crate::client::Client;

/// Shows the table and creates it.
///
/// # Errors
/// `Invalid` where no key can be told from the columns; what the node says otherwise.
pub fn table(client: &Client, args: &LoadArgs, path: &Path, format: FileFormat) -> Result<()> {
    if format == FileFormat::Lp {
        return Err(
            Error::invalid("line protocol makes its tables itself").with_hint("leave out --create")
        );
    }
    let columns = columns(path, format, &args.table)?;
    let key = key(&columns, &args.key)?;
    let statement = definition(&args.table, &columns, &key);
    eprintln!("{statement};");
    client.sql(&format!(
        "CREATE KEYSPACE IF NOT EXISTS {}",
        quoted(&args.table.keyspace)
    ))?;
    client.sql(&statement)?;
    Ok(())
}

/// The columns of the file's first piece with the types that hold all its values.
fn columns(path: &Path, format: FileFormat, table: &TableName) -> Result<Vec<(String, DataType)>> {
    let beginning = Progress::of(path, table, format)?.rewound();
    let piece = Splitter::open(path, format, &beginning)?
        .next_piece()?
        .ok_or_else(|| Error::invalid("the file holds no rows to tell the types from"))?;
    let body = piece.request();
    let batches: Vec<NamedBatch> = match format {
        FileFormat::Csv => csv::parse(&body, &CsvOptions::new(table.clone()))?.batches,
        FileFormat::Json | FileFormat::Ndjson => {
            let mut options = JsonOptions::new(table.clone());
            options.shape = JsonShape::Lines;
            json::parse(&body, &options).batches
        }
        _ => StreamReader::try_new(body.as_slice(), None)?
            .take(1)
            .map(|batch| Ok(NamedBatch::from_record_batch(table.clone(), &batch?)))
            .collect::<Result<_>>()?,
    };
    let mut found: Vec<(String, DataType)> = Vec::new();
    for column in batches.iter().flat_map(|batch| &batch.columns) {
        let data_type = column
            .declared
            .or_else(|| DataType::from_arrow(column.array.data_type()))
            .unwrap_or(DataType::Text);
        if !found.iter().any(|(name, _)| *name == column.name) {
            found.push((column.name.clone(), data_type));
        }
    }
    if found.is_empty() {
        return Err(Error::invalid("no row of the file can be read")
            .with_hint("look at its first lines, and at --format"));
    }
    Ok(found)
}

/// The key that was asked for, or: the first TEXT, UUID, INT or BIGINT column as the partition key
/// and the first TIMESTAMP column after it.
fn key(columns: &[(String, DataType)], asked: &[String]) -> Result<Vec<String>> {
    for name in asked {
        if !columns.iter().any(|(column, _)| column == name) {
            return Err(Error::invalid(format!("the file has no column '{name}'")));
        }
    }
    if !asked.is_empty() {
        return Ok(asked.to_vec());
    }
    let first = |fits: fn(&DataType) -> bool| {
        columns
            .iter()
            .find(|(_, data_type)| fits(data_type))
            .map(|(name, _)| name.clone())
    };
    let text = first(|data_type| matches!(data_type, DataType::Text | DataType::Uuid));
    let number = first(|data_type| matches!(data_type, DataType::Int | DataType::BigInt));
    let time = first(|data_type| *data_type == DataType::Timestamp);
    let key: Vec<String> = text.or(number).into_iter().chain(time).collect();
    if key.is_empty() {
        return Err(Error::invalid("the columns do not say what a row's key is")
            .with_hint("name it with --key PARTITION_COLUMN,CLUSTERING_COLUMN"));
    }
    Ok(key)
}

fn definition(table: &TableName, columns: &[(String, DataType)], key: &[String]) -> String {
    let mut lines: Vec<String> = columns
        .iter()
        .map(|(name, data_type)| format!("  {} {data_type}", quoted(name)))
        .collect();
    let mut parts = key.iter().map(|name| quoted(name));
    let mut primary = format!("({})", parts.next().unwrap_or_default());
    for part in parts {
        primary.push_str(", ");
        primary.push_str(&part);
    }
    lines.push(format!("  PRIMARY KEY ({primary})"));
    format!(
        "CREATE TABLE {}.{} (\n{}\n)",
        quoted(&table.keyspace),
        quoted(&table.table),
        lines.join(",\n")
    )
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
