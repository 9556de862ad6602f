//! Rows that a processor refused, kept beside the rows of the same write: `system.rejected_writes`.

use activestore_store::{Note, Store};
use activestore_types::{Error, NamedBatch, Result, TableName};
use serde::{Deserialize, Serialize};

use super::WriteReceipt;
use super::processor::Refused;
use crate::db::{Db, Inner};

/// How many refused rows are kept; the oldest make room for newer ones and are counted.
pub(crate) const REJECTED_KEPT_MAX: usize = 1_000;
const PREFIX: &[u8] = b"rejected/";

/// One refused row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rejected {
    /// When, in nanoseconds since 1970.
    pub(crate) at_ns: i64,
    /// The table it was meant for.
    pub(crate) table: String,
    /// Who refused it.
    pub(crate) processor: String,
    /// Why.
    pub(crate) reason: String,
    /// The row, as a JSON object.
    pub(crate) row: String,
}

/// Adds the notes that keep these rows and drop the oldest beyond the bound.
pub(crate) fn note_rejected(
    inner: &Inner,
    refused: &[Refused],
    notes: &mut Vec<Note>,
) -> Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let at_ns = inner.env.clock.wall_ns();
    let first = inner.clock.reserve(inner.wall_ms(), refused.len() as u64);
    for (number, row) in (0_u64..).zip(refused) {
        let kept = Rejected {
            at_ns,
            table: row.table.clone(),
            processor: row.processor.clone(),
            reason: row.reason.clone(),
            row: json(row)?,
        };
        let value = postcard::to_stdvec(&kept)
            .map_err(|error| Error::internal(format!("a refused row cannot be kept: {error}")))?;
        notes.push(Note {
            key: key_of(first.plus(number).0),
            value: Some(value),
        });
    }
    let held = inner.store.notes(PREFIX);
    let over = (held.len() + refused.len()).saturating_sub(REJECTED_KEPT_MAX);
    notes.extend(
        held.into_iter()
            .take(over)
            .map(|(key, _)| Note { key, value: None }),
    );
    Ok(())
}

/// The refused rows that are kept, oldest first.
pub(crate) fn read_rejected(store: &Store) -> Vec<Rejected> {
    let kept = numbered(store).into_iter();
    kept.map(|(_, rejected)| rejected).collect()
}

/// The same with their numbers.
fn numbered(store: &Store) -> Vec<(u64, Rejected)> {
    let kept = store.notes(PREFIX);
    let kept = kept.iter().filter_map(|(key, value)| {
        let number = key.get(PREFIX.len()..)?.try_into().ok()?;
        Some((
            u64::from_be_bytes(number),
            postcard::from_bytes(value).ok()?,
        ))
    });
    kept.collect()
}

fn key_of(number: u64) -> Vec<u8> {
    [PREFIX, &number.to_be_bytes()].concat()
}

/// A row that a processor refused and that is kept.
#[derive(Clone, Debug)]
pub struct RefusedRow {
    /// Its number, for [`Db::write_refused`].
    pub number: u64,
    /// The table it was meant for, `KEYSPACE.TABLE`.
    pub table: String,
    /// The row, as a JSON object.
    pub row: String,
}

impl Db {
    /// The rows that processors refused, of one table or of all, oldest first.
    pub fn refused_rows(&self, table: Option<&TableName>) -> Vec<RefusedRow> {
        let table = table.map(ToString::to_string);
        let kept = numbered(&self.inner.store).into_iter();
        let kept = kept.filter(|(_, one)| table.as_ref().is_none_or(|table| one.table == *table));
        kept.map(|(number, one)| RefusedRow {
            number,
            table: one.table,
            row: one.row,
        })
        .collect()
    }

    /// Writes a refused row again, as a new write; that it was refused is forgotten with it, so it is written once.
    /// Where a processor refuses it again, it is kept again. Nothing is written where it is not kept any more.
    ///
    /// # Errors
    /// As [`Db::write`]; then it is kept as before.
    pub async fn write_refused(
        &self,
        number: u64,
        batches: Vec<NamedBatch>,
    ) -> Result<WriteReceipt> {
        let inner = self.inner.clone();
        self.blocking(move || inner.write_refused(number, &batches))
            .await
    }
}

impl Inner {
    fn write_refused(&self, number: u64, batches: &[NamedBatch]) -> Result<WriteReceipt> {
        let _turn = self.set_aside.turn();
        let key = key_of(number);
        if self.store.note(&key).is_none() {
            return Ok(WriteReceipt::default());
        }
        let forgotten = Note { key, value: None };
        self.write_with(batches, vec![forgotten])
    }

    /// Notes that forget refused rows of one table, or of all.
    pub(crate) fn forget_refused(&self, table: Option<&TableName>) -> Vec<Note> {
        let table = table.map(ToString::to_string);
        let kept = numbered(&self.store).into_iter();
        let kept = kept.filter(|(_, one)| table.as_ref().is_none_or(|table| one.table == *table));
        kept.map(|(number, _)| Note {
            key: key_of(number),
            value: None,
        })
        .collect()
    }
}

fn json(refused: &Refused) -> Result<String> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(&refused.row)?;
    writer.finish()?;
    String::from_utf8(writer.into_inner())
        .map(|line| line.trim_end().to_owned())
        .map_err(|_| Error::internal("a row did not print as UTF-8"))
}
