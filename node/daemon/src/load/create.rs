//! `--create`: the table that a file's first records ask for.

use std::path::Path;

use activestore_ingest::definition::{key, quoted, statement};
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
    let key = key(&columns, &args.key).map_err(|error| {
        error.with_hint("name it with --key PARTITION_COLUMN,CLUSTERING_COLUMN")
    })?;
    let statement = statement(&args.table, &columns, &key);
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

#[cfg(test)]
mod tests;
