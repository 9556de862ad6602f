//! Rows that a processor refused, kept beside the rows of the same write: `system.rejected_writes`.

use activestore_store::{Note, Store};
use activestore_types::{Error, Result};
use serde::{Deserialize, Serialize};

use super::processor::Refused;
use crate::db::Inner;

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
            key: [PREFIX, &first.plus(number).0.to_be_bytes()].concat(),
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
    store
        .notes(PREFIX)
        .iter()
        .filter_map(|(_, value)| postcard::from_bytes(value).ok())
        .collect()
}

fn json(refused: &Refused) -> Result<String> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(&refused.row)?;
    writer.finish()?;
    String::from_utf8(writer.into_inner())
        .map(|line| line.trim_end().to_owned())
        .map_err(|_| Error::internal("a row did not print as UTF-8"))
}
