//! Partitions with a data key of their own: destroying the key erases the partition from every copy.
//!
//! The list of a table says which partition has which key. All that writes rows divides them by it:
//! an SSTable holds rows of one such partition and no others, under its key, or rows of all the
//! partitions that have none. The list is kept in notes, one a partition.
//!
//! Invariant: where a partition is [`OwnKey::whole`], no file but those of the partition's own holds
//! a row of it, and no record of the log but in parts under its keys.

use std::collections::BTreeMap;
use std::ops::Range;

use activestore_sst::SstMeta;
use activestore_types::{Error, KeyBuffer, KeyRange, RangeTombstone, Result, TableId};
use serde::{Deserialize, Serialize};

use crate::write_set::Note;

/// What the keys of these notes begin with.
const NOTES: &[u8] = b"own-key/";
/// The note of the keys that were destroyed.
pub(crate) const DESTROYED_NOTE: &[u8] = b"own-keys-destroyed";
/// The latest ones are remembered.
const DESTROYED_MAX: usize = 16_384;

/// The key of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnKey {
    /// What every row's key begins with.
    pub prefix: Vec<u8>,
    /// What is noted of it.
    pub state: OwnState,
}

/// The durable part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnState {
    /// The data key that rows are written under.
    pub key: u32,
    /// Earlier keys, to be destroyed as soon as nothing that counts is under them.
    pub past: Vec<u32>,
    /// Whether every row of the partition is under a key of its own: not yet while what was written
    /// before it had one is being brought over.
    pub whole: bool,
    /// The partition as its user named it.
    pub name: String,
    /// When it got its first key, in milliseconds since 1970.
    pub made_ms: u64,
}

impl OwnState {
    /// All keys that are not destroyed.
    pub fn keys(&self) -> impl Iterator<Item = u32> + '_ {
        std::iter::once(self.key).chain(self.past.iter().copied())
    }

    /// The note that keeps it.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn note(&self, table: TableId, prefix: &[u8]) -> Result<Note> {
        let value = postcard::to_stdvec(self)
            .map_err(|error| Error::internal(format!("the note of a partition's key: {error}")))?;
        Ok(Note {
            key: note_key(table, prefix),
            value: Some(value),
        })
    }
}

fn note_key(table: TableId, prefix: &[u8]) -> Vec<u8> {
    [NOTES, &table.0.to_be_bytes(), prefix].concat()
}

/// The note's removal.
pub(crate) fn no_note(table: TableId, prefix: &[u8]) -> Note {
    Note {
        key: note_key(table, prefix),
        value: None,
    }
}

/// The numbers in [`DESTROYED_NOTE`].
pub(crate) fn destroyed(note: Option<&[u8]>) -> Vec<u32> {
    let (numbers, _) = note.unwrap_or_default().as_chunks::<4>();
    numbers
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes))
        .collect()
}

/// [`DESTROYED_NOTE`] with more numbers.
pub(crate) fn destroyed_note(before: Option<&[u8]>, more: &[u32]) -> Note {
    let mut all = destroyed(before);
    all.retain(|number| !more.contains(number));
    all.extend(more);
    let kept = all.len().saturating_sub(DESTROYED_MAX);
    let bytes = all
        .iter()
        .skip(kept)
        .flat_map(|number| number.to_le_bytes());
    Note {
        key: DESTROYED_NOTE.to_vec(),
        value: Some(bytes.collect()),
    }
}

/// The partitions of one table that have keys, by prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnKeys(Vec<OwnKey>);

impl OwnKeys {
    /// Those of all tables, out of the notes.
    ///
    /// # Errors
    /// `Corrupt` for a note that is not one of these.
    pub(crate) fn of_notes(
        notes: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<BTreeMap<TableId, OwnKeys>> {
        let broken = || Error::corrupt("the note of a partition's key is not what was written");
        let mut tables: BTreeMap<TableId, OwnKeys> = BTreeMap::new();
        for (key, value) in notes {
            let rest = key.strip_prefix(NOTES).ok_or_else(broken)?;
            let (table, prefix) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
            let state = postcard::from_bytes(&value).map_err(|_| broken())?;
            // Notes come by key, so the prefixes are in order.
            let table = TableId(u32::from_be_bytes(*table));
            tables.entry(table).or_default().0.push(OwnKey {
                prefix: prefix.to_vec(),
                state,
            });
        }
        Ok(tables)
    }

    /// What the keys of the notes begin with.
    pub(crate) fn notes_prefix() -> &'static [u8] {
        NOTES
    }

    /// Whether no partition has a key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by prefix.
    pub fn iter(&self) -> impl Iterator<Item = &OwnKey> {
        self.0.iter()
    }

    /// A partition's.
    pub fn find(&self, prefix: &[u8]) -> Option<&OwnKey> {
        let at = self
            .0
            .binary_search_by(|own| own.prefix.as_slice().cmp(prefix));
        at.ok().and_then(|at| self.0.get(at))
    }

    /// The list with a partition added or changed.
    #[must_use]
    pub(crate) fn with(&self, prefix: &[u8], state: OwnState) -> Self {
        let mut next = self.clone();
        let own = OwnKey {
            prefix: prefix.to_vec(),
            state,
        };
        match next
            .0
            .binary_search_by(|own| own.prefix.as_slice().cmp(prefix))
        {
            Ok(at) => {
                if let Some(place) = next.0.get_mut(at) {
                    *place = own;
                }
            }
            Err(at) => next.0.insert(at, own),
        }
        next
    }

    /// The data key at a place of [`OwnKeys::place_of`].
    pub fn key_at(&self, place: Option<usize>) -> Option<u32> {
        Some(self.0.get(place?)?.state.key)
    }

    /// The partition that a row's key belongs to, by its place in the list.
    pub fn place_of(&self, key: &[u8]) -> Option<usize> {
        let after = self.0.partition_point(|own| own.prefix.as_slice() <= key);
        let at = after.checked_sub(1)?;
        let own = self.0.get(at)?;
        key.starts_with(&own.prefix).then_some(at)
    }

    /// The partition that all of a file's rows belong to.
    pub fn place_of_file(&self, meta: &SstMeta) -> Option<usize> {
        let place = self.place_of(&meta.first_key)?;
        (self.place_of(&meta.last_key) == Some(place)).then_some(place)
    }

    /// Rows in runs of the same place.
    pub fn split(&self, keys: &KeyBuffer) -> Vec<(Option<usize>, Range<usize>)> {
        if self.is_empty() {
            return vec![(None, 0..keys.len())];
        }
        let mut runs: Vec<(Option<usize>, Range<usize>)> = Vec::new();
        for (row, key) in keys.iter().enumerate() {
            let place = self.place_of(key);
            match runs.last_mut() {
                Some((last, rows)) if *last == place => rows.end = row + 1,
                _ => runs.push((place, row..row + 1)),
            }
        }
        runs
    }

    /// Whether two files cannot hold rows of one partition, whatever their ranges of keys say.
    pub(crate) fn apart(&self, left: &SstMeta, right: &SstMeta) -> bool {
        let places = (self.place_of_file(left), self.place_of_file(right));
        places.0 != places.1 && self.is_whole(places.0) && self.is_whole(places.1)
    }

    /// Whether a file cannot hold rows that a range delete covers, whatever its range of keys says.
    pub(crate) fn beside(&self, tombstone: &RangeTombstone, file: &SstMeta) -> bool {
        let Some(place) = self.place_of(&tombstone.start) else {
            return false;
        };
        let Some(own) = self.0.get(place) else {
            return false;
        };
        let whole = KeyRange::prefix(&own.prefix);
        let inside =
            !tombstone.end.is_empty() && (whole.end.is_empty() || tombstone.end <= whole.end);
        inside && own.state.whole && self.place_of_file(file) != Some(place)
    }

    fn is_whole(&self, place: Option<usize>) -> bool {
        place.is_none_or(|at| self.0.get(at).is_some_and(|own| own.state.whole))
    }
}

#[cfg(test)]
mod tests;
