//! What one commit writes, and how the log gives it back.

use activestore_types::{Hlc, Lsn, RangeTombstone, RowBatch};

/// One commit: all of it becomes durable and visible, or none.
#[derive(Clone, Debug, Default)]
pub struct WriteSet {
    /// Stamped row fragments, of any tables.
    pub batches: Vec<RowBatch>,
    /// Stamped range deletes.
    pub tombstones: Vec<RangeTombstone>,
    /// Changes to the notes.
    pub notes: Vec<Note>,
}

impl WriteSet {
    /// Rows of `batches`.
    pub fn from_batches(batches: Vec<RowBatch>) -> Self {
        WriteSet {
            batches,
            ..WriteSet::default()
        }
    }

    /// How many row fragments.
    pub fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.rows as u64).sum()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.tombstones.is_empty() && self.notes.is_empty()
    }

    /// Memory that its commit takes until it is answered, about: itself, its keys, its log record.
    pub(crate) fn commit_bytes(&self) -> usize {
        const KEY_BYTES: usize = 48;
        let rows: usize = self
            .batches
            .iter()
            .map(|batch| 2 * batch.memory_bytes() + batch.rows * KEY_BYTES)
            .sum();
        let tombstones = self
            .tombstones
            .iter()
            .map(|tombstone| 2 * (tombstone.start.len() + tombstone.end.len()));
        let notes = self
            .notes
            .iter()
            .map(|note| 2 * (note.key.len() + note.value.as_ref().map_or(0, Vec::len)));
        rows + tombstones.sum::<usize>() + notes.sum::<usize>() + size_of::<WriteSet>()
    }

    /// The highest stamp of a row or tombstone.
    pub fn max_hlc(&self) -> Hlc {
        let rows = self.batches.iter().map(RowBatch::max_hlc);
        let tombstones = self.tombstones.iter().map(|tombstone| tombstone.hlc);
        rows.chain(tombstones).max().unwrap_or_default()
    }
}

/// A change to one note: a small durable value beside the rows, such as a processor's state or how
/// far a peer has been sent. Notes change with the commit that carries them and are kept in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its key; any bytes.
    pub key: Vec<u8>,
    /// Its new value; `None` removes it.
    pub value: Option<Vec<u8>>,
}

impl Note {
    /// Its key and value.
    pub(crate) fn parts(&self) -> (&[u8], Option<&[u8]>) {
        (&self.key, self.value.as_deref())
    }
}

/// One committed record as the log holds it.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// Its position.
    pub lsn: Lsn,
    /// What it wrote.
    pub set: WriteSet,
}
