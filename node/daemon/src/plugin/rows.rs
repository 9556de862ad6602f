//! The rows that a plugin is tried on: those of a file, or those of a node's table as they arrive, batch
//! by batch.

use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use activestore_ingest::{Chunk, CsvOptions, CsvReader, JsonOptions, JsonReader};
use activestore_types::{Error, NamedBatch, Result, TableName};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use indicatif::{ProgressBar, ProgressStyle};

use super::node::{TableKey, broken_off, in_order, rows_of, texts};
use crate::cli::SelectArgs;
use crate::client::{Client, SqlAnswer};

/// Rows on their way, all of one schema.
pub struct Rows {
    /// What they are, for people.
    pub what: String,
    /// Their columns.
    pub schema: SchemaRef,
    batches: Box<dyn Iterator<Item = Result<RecordBatch>>>,
    bar: ProgressBar,
}

impl Rows {
    /// All rows of a CSV or NDJSON file. The file is held whole, since columns may appear late in it.
    ///
    /// # Errors
    /// `Invalid` where it cannot be read, is of another type or holds no rows.
    pub fn of_file(path: &Path) -> Result<Rows> {
        let batches = batches(path)?;
        let Some(first) = batches.first() else {
            return Err(Error::invalid(format!("{} holds no rows", path.display())));
        };
        Ok(Rows {
            what: path.display().to_string(),
            schema: first.schema(),
            batches: Box::new(batches.into_iter().map(Ok)),
            bar: ProgressBar::hidden(),
        })
    }

    /// Rows of a table, read at the pace at which they are used. Where stderr is a terminal, a bar shows how
    /// far they are.
    ///
    /// # Errors
    /// What the node says.
    pub fn of_table(client: &Client, key: &TableKey, select: &SelectArgs) -> Result<Rows> {
        let bar = bar(client, key, select)?;
        let sql = rows_of(key, select, "*")? + &in_order(key, select);
        let SqlAnswer::Rows(reader) = client.sql(&sql)? else {
            return Err(Error::internal("the node answered a query without rows"));
        };
        let mut what = format!("table {}", key.name);
        if let Some(order) = &select.order_by {
            what.push_str(&format!(" in the order of {order}"));
        }
        Ok(Rows {
            what,
            schema: reader.schema(),
            batches: Box::new(reader.map(|batch| batch.map_err(broken_off))),
            bar,
        })
    }

    /// At most so many of them, as one batch; without any it has no rows.
    ///
    /// # Errors
    /// Where reading them fails.
    pub fn gather(mut self, rows_max: usize) -> Result<RecordBatch> {
        let mut taken = Vec::new();
        let mut room = rows_max;
        while room > 0
            && let Some(batch) = self.next()
        {
            let batch = batch?;
            let batch = batch.slice(0, batch.num_rows().min(room));
            room -= batch.num_rows();
            taken.push(batch);
        }
        self.bar.finish_and_clear();
        Ok(concat_batches(&self.schema, &taken)?)
    }

    /// Takes the bar away, so that something can be printed.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next();
        match &batch {
            Some(Ok(batch)) => self.bar.inc(batch.num_rows() as u64),
            _ => self.bar.finish_and_clear(),
        }
        batch
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar as long as there are rows; nothing is asked and nothing drawn where nobody looks.
fn bar(client: &Client, key: &TableKey, select: &SelectArgs) -> Result<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let count = texts(client, &rows_of(key, select, "count(*)")?)?;
    let count = count
        .first()
        .and_then(|row| row.first()?.parse::<u64>().ok());
    let count = count.unwrap_or(0).min(select.limit.unwrap_or(u64::MAX));
    let bar = ProgressBar::new(count);
    let style = "{bar:30} {human_pos}/{human_len} rows  {per_sec}  {eta}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    Ok(bar)
}

/// The file's rows in one batch a chunk, all with the first chunk's columns.
fn batches(path: &Path) -> Result<Vec<RecordBatch>> {
    let file = File::open(path)
        .map_err(|error| Error::invalid(format!("{} cannot be read: {error}", path.display())))?;
    let table = TableName::new("trial", "rows");
    let chunks: Box<dyn Iterator<Item = Result<Chunk>>> =
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Box::new(CsvReader::new(file, CsvOptions::new(table))),
            Some("json" | "ndjson" | "jsonl") => {
                Box::new(JsonReader::new(file, JsonOptions::new(table)))
            }
            _ => {
                return Err(Error::invalid("the rows must be a .csv or .ndjson file"));
            }
        };
    let mut found = Vec::new();
    for chunk in chunks {
        let chunk = chunk?;
        for refused in &chunk.rejected {
            eprintln!(
                "{}, line {}: {}",
                path.display(),
                refused.line,
                refused.reason
            );
        }
        for batch in &chunk.batches {
            found.push(record_batch(batch)?);
        }
    }
    if let [first, rest @ ..] = found.as_slice()
        && rest.iter().any(|batch| batch.schema() != first.schema())
    {
        // Columns that appear late change the schema; one batch has one.
        return Ok(vec![concat_batches(&first.schema(), &found)?]);
    }
    Ok(found)
}

fn record_batch(batch: &NamedBatch) -> Result<RecordBatch> {
    let fields: Vec<Field> = batch
        .columns
        .iter()
        .map(|column| Field::new(&column.name, column.array.data_type().clone(), true))
        .collect();
    let columns = batch.columns.iter().map(|column| column.array.clone());
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns.collect(),
    )?)
}
