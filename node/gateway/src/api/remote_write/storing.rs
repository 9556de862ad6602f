//! The rows of a body on their way into their tables. What one table does not take keeps no other from being stored,
//! and one sample no other of its table: the sender never sends any of it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use activestore_db::Db;
use activestore_ingest::RemoteWrite;
use activestore_types::{
    Error, ErrorKind, NamedBatch, NamedColumn, Result, TableName, TableSchema,
};

/// Times that rows of one table are written where it is made, changed or dropped meanwhile.
const ATTEMPTS_MAX: usize = 3;

/// How often the rows for one table are parted, of one body, to find those that it does not take. A few among
/// thousands are found by a dozen parts each; a table that takes nothing costs no more than these.
const PARTS_MAX: usize = 256;

/// Where the rows go.
pub(super) trait Tables: Sync {
    /// All batches or none.
    fn write(&self, batches: Vec<NamedBatch>) -> impl Future<Output = Result<()>> + Send;
    /// The table as it is defined now.
    fn definition(&self, table: &TableName) -> Option<Arc<TableSchema>>;
}

impl Tables for Db {
    async fn write(&self, batches: Vec<NamedBatch>) -> Result<()> {
        Db::write(self, batches).await.map(drop)
    }

    fn definition(&self, table: &TableName) -> Option<Arc<TableSchema>> {
        self.table_schema(table)
    }
}

/// Stores the rows of a body: all at once where every table takes them, else half by half, so that one table that
/// does not is found by few writes, and then rows of it that it does not take. `samples` says how many are durable.
/// What comes back is the first reason; `parsed` counts what is not stored.
///
/// # Errors
/// What a later attempt could mend. Then all of it is to be sent again, also what is stored by now.
pub(super) async fn store(
    tables: &impl Tables,
    parsed: &mut RemoteWrite,
    samples: &mut u64,
) -> Result<Option<Error>> {
    let mut first = None;
    let mut parts = 0;
    let mut taking = BTreeSet::new();
    let mut refused = BTreeMap::new();
    let mut open = vec![std::mem::take(&mut parsed.batches)];
    while let Some(mut batches) = open.pop() {
        if batches.is_empty() {
            continue;
        }
        let rows: u64 = batches.iter().map(|batch| batch.rows as u64).sum();
        // The rows themselves are shared, not copied.
        let written = match batches.as_slice() {
            [batch] => write_one(tables, batch).await,
            _ => tables.write(batches.clone()).await,
        };
        let Err(error) = written else {
            *samples += rows;
            taking.extend(batches.into_iter().map(|batch| batch.table));
            continue;
        };
        if !is_refusal(&error) {
            return Err(error);
        }
        if let [batch] = batches.as_slice() {
            // Any other kind says nothing of single rows.
            if error.kind() == ErrorKind::Invalid && batch.rows > 1 && parts < PARTS_MAX {
                parts += 1;
                let half = batch.rows / 2;
                let later = part(batch, half, batch.rows - half);
                open.extend([vec![later], vec![part(batch, 0, half)]]);
                continue;
            }
            parsed.refuse(batch, &error);
            *refused.entry(batch.table.clone()).or_insert(0) += rows;
            first.get_or_insert(error);
            continue;
        }
        let later = batches.split_off(batches.len() / 2);
        open.extend([later, batches]);
    }
    for (table, rows) in refused {
        if taking.contains(&table) {
            parsed.refused_tables.remove(&table);
            parsed.refused_samples += rows;
        }
    }
    Ok(first)
}

/// The rows from `start`, `rows` of them, without the columns that none of them names.
fn part(batch: &NamedBatch, start: usize, rows: usize) -> NamedBatch {
    let columns = batch.columns.iter().filter_map(|column| {
        let set = column.set.as_ref().map(|set| set.slice(start, rows));
        let named = set.as_ref().is_none_or(|set| set.count_set_bits() > 0);
        named.then(|| NamedColumn {
            name: column.name.clone(),
            array: column.array.slice(start, rows),
            set,
            declared: column.declared,
        })
    });
    NamedBatch {
        table: batch.table.clone(),
        rows,
        columns: columns.collect(),
        ttl_s: batch.ttl_s,
        create: batch.create.clone(),
    }
}

/// Rows of one table. That it is missing, or not as was thought, is a refusal only while nobody changes it: one that
/// is dropped meanwhile is made anew by the next attempt.
async fn write_one(tables: &impl Tables, batch: &NamedBatch) -> Result<()> {
    for _ in 0..ATTEMPTS_MAX {
        let before = tables.definition(&batch.table);
        let Err(error) = tables.write(vec![batch.clone()]).await else {
            return Ok(());
        };
        let changed = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict)
            && (before.is_none() || before != tables.definition(&batch.table));
        if !changed {
            return Err(error);
        }
    }
    Err(Error::overloaded(format!(
        "table {} is dropped or changed while rows are written to it",
        batch.table
    ))
    .with_hint("send the request again in a second"))
}

/// Whether it lies in what was sent and in the table that it is for, so that the same again would be met the same.
fn is_refusal(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Denied => true,
        ErrorKind::Overloaded
        | ErrorKind::DiskFull
        | ErrorKind::Corrupt
        | ErrorKind::Poisoned
        | ErrorKind::Closed
        | ErrorKind::Internal => false,
    }
}

#[cfg(test)]
mod tests;
