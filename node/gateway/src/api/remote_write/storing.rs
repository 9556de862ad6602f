//! The rows of a body on their way into their tables. What one table does not take keeps no other from being stored,
//! and one sample no other of its table: the sender never sends any of it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use activestore_db::Db;
use activestore_ingest::RemoteWrite;
use activestore_types::{
    Error, ErrorKind, NamedBatch, NamedColumn, Result, TableName, TableSchema,
};
use tokio::time::Instant;

/// Times that rows of one table are written where it is made, changed or dropped meanwhile.
const ATTEMPTS_MAX: usize = 3;

/// How often the rows for one table are parted to find those that it does not take. A few among thousands are found by
/// a dozen parts each; a table that takes nothing costs no more than these.
const PARTS_MAX: usize = 256;

/// How long what is not taken is looked for: each try is a write that reaches the disk, and a sender that hears nothing
/// for 30 seconds sends all of it again, for ever.
pub(super) const SEARCH_MAX: Duration = Duration::from_secs(10);

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
/// does not is found by few writes, and, once all others are stored, rows of it that it does not take. What is not tried
/// within `search_max` after the first try is refused. `samples` says how many are durable. What comes back is the first reason; `parsed` counts what
/// is not stored.
///
/// # Errors
/// What a later attempt could mend. Then all of it is to be sent again, also what is stored by now.
pub(super) async fn store(
    tables: &impl Tables,
    parsed: &mut RemoteWrite,
    samples: &mut u64,
    search_max: Duration,
) -> Result<Option<Error>> {
    let mut search = Search {
        search_max,
        ..Search::default()
    };
    let mut open = vec![std::mem::take(&mut parsed.batches)];
    // Tables that do not take all of their rows, with the reason.
    let mut wrong = Vec::new();
    while let Some(mut batches) = open.pop() {
        let Some(error) = search.try_all(tables, &batches, samples).await? else {
            continue;
        };
        if batches.len() > 1 {
            let later = batches.split_off(batches.len() / 2);
            open.extend([later, batches]);
        } else if let Some(batch) = batches.pop() {
            wrong.push((batch, error));
        }
    }
    let mut parts = BTreeMap::new();
    for (batch, error) in wrong {
        let mut open = vec![(batch, Some(error))];
        while let Some((batch, known)) = open.pop() {
            let error = match known {
                Some(error) => error,
                None => match search
                    .try_all(tables, std::slice::from_ref(&batch), samples)
                    .await?
                {
                    Some(error) => error,
                    None => continue,
                },
            };
            let parts = parts.entry(batch.table.clone()).or_insert(0_usize);
            // Any other kind says nothing of single rows.
            if error.kind() != ErrorKind::Invalid || batch.rows == 1 || *parts >= PARTS_MAX {
                search.refuse(parsed, &batch, error);
                continue;
            }
            *parts += 1;
            let half = batch.rows / 2;
            let later = part(&batch, half, batch.rows - half);
            open.extend([(later, None), (part(&batch, 0, half), None)]);
        }
    }
    Ok(search.ended(parsed))
}

/// What a search for rows that are not taken has come to.
#[derive(Default)]
struct Search {
    search_max: Duration,
    /// Set by the first try, which is no search yet.
    until: Option<Instant>,
    first: Option<Error>,
    /// Tables that took rows.
    taking: BTreeSet<TableName>,
    /// Rows that are refused.
    refused: BTreeMap<TableName, u64>,
}

impl Search {
    /// Writes all of it or none; the reason where it is not taken.
    async fn try_all(
        &mut self,
        tables: &impl Tables,
        batches: &[NamedBatch],
        samples: &mut u64,
    ) -> Result<Option<Error>> {
        if batches.is_empty() {
            return Ok(None);
        }
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Ok(Some(out_of_time()));
        }
        // The rows themselves are shared, not copied.
        let written = match batches {
            [batch] => write_one(tables, batch).await,
            _ => tables.write(batches.to_vec()).await,
        };
        if self.until.is_none() {
            self.until = Instant::now().checked_add(self.search_max);
        }
        match written {
            Ok(()) => {
                *samples += batches.iter().map(|batch| batch.rows as u64).sum::<u64>();
                let tables = batches.iter().map(|batch| batch.table.clone());
                self.taking.extend(tables);
                Ok(None)
            }
            Err(error) if is_refusal(&error) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    fn refuse(&mut self, parsed: &mut RemoteWrite, batch: &NamedBatch, error: Error) {
        parsed.refuse(batch, &error);
        *self.refused.entry(batch.table.clone()).or_insert(0) += batch.rows as u64;
        self.first.get_or_insert(error);
    }

    /// The first reason. A table that took some of its rows is not one that took none.
    fn ended(self, parsed: &mut RemoteWrite) -> Option<Error> {
        for (table, rows) in self.refused {
            if self.taking.contains(&table) {
                parsed.refused_tables.remove(&table);
                parsed.refused_samples += rows;
            }
        }
        self.first
    }
}

/// The reason for rows that were not tried. It is no refusal of single rows.
fn out_of_time() -> Error {
    Error::conflict("others of the request are refused, and finding out which took too long")
        .with_hint("lower max_samples_per_send in the sender's queue_config, or mend what it sends")
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
