//! Notes: a small map beside the rows, whole in memory, changed only by commits and checkpointed
//! into the manifest at each flush. It decides nothing about when that happens.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use activestore_types::{Error, Result};

use crate::write_set::Note;

/// Memory that a note takes beside its key and value, about.
const ENTRY_BYTES: usize = 96;

#[derive(Debug, Default)]
pub(crate) struct Notes {
    map: BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: usize,
    /// Keys that changed since the last checkpoint was taken.
    changed: BTreeSet<Vec<u8>>,
}

impl Notes {
    /// The notes of the last checkpoint, before the log is replayed over them.
    pub(crate) fn from_checkpoint(map: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        Notes {
            bytes: map.iter().map(|(key, value)| size(key, value)).sum(),
            map,
            changed: BTreeSet::new(),
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.map.get(key).cloned()
    }

    /// All notes whose key starts with `prefix`, by key.
    pub(crate) fn with_prefix(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.map
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Whether the changes fit below `bytes_max`. Commits that wait in the same group are not
    /// counted, so the bound may be passed by what one group holds.
    pub(crate) fn admit<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
        bytes_max: usize,
    ) -> Result<()> {
        let mut bytes = self.bytes;
        let mut grows = false;
        for (key, value) in changes {
            let before = self.map.get(key).map_or(0, |value| size(key, value));
            let after = value.map_or(0, |value| size(key, value));
            grows |= after > before;
            bytes = (bytes + after).saturating_sub(before);
        }
        if grows && bytes > bytes_max {
            return Err(Error::overloaded(format!(
                "the notes would take {bytes} bytes where {bytes_max} are allowed"
            ))
            .with_hint("keep less state per key, or raise the limit"));
        }
        Ok(())
    }

    pub(crate) fn apply(&mut self, changes: Vec<Note>) {
        for Note { key, value } in changes {
            self.changed.insert(key.clone());
            let after = value.as_ref().map_or(0, |value| size(&key, value));
            let before = match value {
                Some(value) => self.map.insert(key.clone(), value),
                None => self.map.remove(&key),
            };
            let before = before.map_or(0, |value| size(&key, &value));
            self.bytes = (self.bytes + after).saturating_sub(before);
        }
    }

    /// What changed since the last call, as the next checkpoint has to take it.
    pub(crate) fn take_changes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|key| Note {
                value: self.map.get(&key).cloned(),
                key,
            })
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn size(key: &[u8], value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests;
