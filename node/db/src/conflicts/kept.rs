//! Conflicts that are counted and kept: notes in the log record of the rows that lost, so each is there exactly
//! once, also after a crash.

use std::collections::BTreeMap;

use activestore_store::Note;
use activestore_types::{Error, NodeId, Result, TableId, TableName};
use serde::{Deserialize, Serialize};

use super::contest::Found;
use crate::db::Inner;

/// How many conflicts are kept; the oldest make room for newer ones and are counted.
pub(crate) const CONFLICTS_KEPT_MAX: usize = 1_000;
/// Bytes that they take at most.
const CONFLICT_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a value or of a key that are kept.
pub(super) const TEXT_BYTES_MAX: usize = 512;
/// Conflicts are not kept where notes would take more than so many eighths of the memory they may: what they
/// are there for goes first.
const NOTE_EIGHTHS: usize = 6;

/// Before a table's number: how many conflicts there were.
const COUNT_PREFIX: &[u8] = b"conflict/n/";
/// Before a running number: a conflict that is kept.
const KEPT_PREFIX: &[u8] = b"conflict/e/";
/// How many are not there any more.
const LET_GO_NOTE: &[u8] = b"conflict/let-go";

/// One conflict.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeptConflict {
    /// When it was found, in nanoseconds since 1970.
    pub(crate) at_ns: i64,
    pub(crate) table: TableName,
    /// The key's columns with their values.
    pub(crate) key: String,
    /// `None` where a delete is one side, and so all of the row the other.
    pub(crate) column: Option<String>,
    /// `None` for NULL and for a delete.
    pub(crate) losing: Option<String>,
    pub(crate) loser: NodeId,
    /// When it was written, by its writer's clock, in milliseconds since 1970.
    pub(crate) lost_ms: u64,
    pub(crate) winning: Option<String>,
    pub(crate) winner: NodeId,
    pub(crate) won_ms: u64,
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn numbered(key: Vec<u8>, number: u64) -> Note {
    Note {
        key,
        value: Some(number.to_le_bytes().to_vec()),
    }
}

impl Inner {
    /// What is to be noted of conflicts; who calls has their turn until it is committed.
    ///
    /// # Errors
    /// `Internal` where one cannot be written down.
    pub(crate) fn conflict_notes(&self, found: Found) -> Result<Vec<Note>> {
        let mut notes = self.count_notes(&found.counts);
        let mut let_go = found.let_go;
        let held = self.store.notes(KEPT_PREFIX);
        let last = held.last().and_then(|(key, _)| {
            let digits = key.get(KEPT_PREFIX.len()..)?.try_into().ok()?;
            Some(u64::from_be_bytes(digits))
        });
        let mut kept = Vec::with_capacity(found.kept.len());
        for (conflict, at) in found.kept.iter().zip(last.map_or(0, |last| last + 1)..) {
            let value = postcard::to_stdvec(conflict)
                .map_err(|error| Error::internal(format!("a conflict cannot be kept: {error}")))?;
            kept.push(Note {
                key: [KEPT_PREFIX, &at.to_be_bytes()].concat(),
                value: Some(value),
            });
        }
        let changes = kept
            .iter()
            .map(|note| (note.key.as_slice(), note.value.as_deref()));
        if self.store.admit_notes(changes, NOTE_EIGHTHS).is_err() {
            let_go += kept.len() as u64;
            kept.clear();
        }
        let new_bytes: usize = kept
            .iter()
            .filter_map(|note| note.value.as_ref())
            .map(Vec::len)
            .sum();
        let mut bytes = new_bytes + held.iter().map(|(_, value)| value.len()).sum::<usize>();
        let mut count = held.len() + kept.len();
        for (key, value) in held {
            if count <= CONFLICTS_KEPT_MAX && bytes <= CONFLICT_BYTES_MAX {
                break;
            }
            count -= 1;
            bytes -= value.len();
            let_go += 1;
            notes.push(Note { key, value: None });
        }
        notes.append(&mut kept);
        if let_go > 0 {
            let before = self.conflicts_let_go();
            notes.push(numbered(LET_GO_NOTE.to_vec(), before + let_go));
        }
        Ok(notes)
    }

    /// The counts of tables as they are with these; those of tables that are gone go.
    fn count_notes(&self, more: &BTreeMap<TableId, u64>) -> Vec<Note> {
        let state = self.catalog.state();
        let before = self.conflict_counts();
        let gone = before.keys().filter(|id| state.was_dropped(**id));
        let gone = gone.map(|id| Note {
            key: count_key(*id),
            value: None,
        });
        let counted = more.iter().map(|(id, more)| {
            let before = before.get(id).copied().unwrap_or(0);
            numbered(count_key(*id), before + more)
        });
        gone.chain(counted).collect()
    }

    /// How many conflicts were seen here, by table.
    pub(crate) fn conflict_counts(&self) -> BTreeMap<TableId, u64> {
        let kept = self.store.notes(COUNT_PREFIX);
        let counts = kept.iter().filter_map(|(key, value)| {
            let id = key.get(COUNT_PREFIX.len()..)?.try_into().ok()?;
            Some((TableId(u32::from_be_bytes(id)), number(value)))
        });
        counts.collect()
    }

    /// How many conflicts of tables that keep them are not kept any more.
    pub(crate) fn conflicts_let_go(&self) -> u64 {
        let kept = self.store.note(LET_GO_NOTE);
        kept.map_or(0, |bytes| number(&bytes))
    }

    /// The conflicts that are kept, oldest first.
    pub(crate) fn kept_conflicts(&self) -> Vec<KeptConflict> {
        let kept = self.store.notes(KEPT_PREFIX);
        let kept = kept
            .iter()
            .filter_map(|(_, value)| postcard::from_bytes(value).ok());
        kept.collect()
    }
}

fn count_key(table: TableId) -> Vec<u8> {
    [COUNT_PREFIX, &table.0.to_be_bytes()].concat()
}
