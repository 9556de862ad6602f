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
    map: BTreeMap<Vec<u8>, Kept>,
    bytes: usize,
    /// Keys that changed since the last checkpoint was taken.
    changed: BTreeSet<Vec<u8>>,
}

#[derive(Debug)]
struct Kept {
    value: Vec<u8>,
    /// Whether the key is among those that changed: most that change do so many times.
    changed: bool,
}

impl Notes {
    /// The notes of the last checkpoint, before the log is replayed over them.
    pub(crate) fn from_checkpoint(map: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        Notes {
            bytes: map.iter().map(|(key, value)| size(key, value)).sum(),
            map: map
                .into_iter()
                .map(|(key, value)| {
                    let changed = false;
                    (key, Kept { value, changed })
                })
                .collect(),
            changed: BTreeSet::new(),
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.map.get(key).map(|kept| kept.value.clone())
    }

    /// All notes whose key starts with `prefix`, by key.
    pub(crate) fn with_prefix(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.map
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, kept)| (key.clone(), kept.value.clone()))
            .collect()
    }

    /// Whether the changes fit below `bytes_max`. Commits that wait in the same group are not
    /// counted, so the bound may be passed by what one group holds.
    pub(crate) fn admit<'a>(
        &self,
        changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone,
        bytes_max: usize,
    ) -> Result<()> {
        // Mostly there is room for all of them, were they all new: then none has to be looked up.
        let new = changes
            .clone()
            .map(|(key, value)| value.map_or(0, |value| size(key, value)));
        if self.bytes + new.sum::<usize>() <= bytes_max {
            return Ok(());
        }
        let mut bytes = self.bytes;
        let mut grows = false;
        for (key, value) in changes {
            let before = self.map.get(key).map_or(0, |kept| size(key, &kept.value));
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
            let after = value.as_ref().map_or(0, |value| size(&key, value));
            let before = match value {
                Some(value) => self.set(key, value),
                None => {
                    let before = self.map.remove(&key);
                    let before = before.map_or(0, |kept| size(&key, &kept.value));
                    self.changed.insert(key);
                    before
                }
            };
            self.bytes = (self.bytes + after).saturating_sub(before);
        }
    }

    /// Sets a value; gives the size of the note before.
    fn set(&mut self, key: Vec<u8>, value: Vec<u8>) -> usize {
        let Some(kept) = self.map.get_mut(&key) else {
            self.changed.insert(key.clone());
            let changed = true;
            self.map.insert(key, Kept { value, changed });
            return 0;
        };
        let before = size(&key, &kept.value);
        kept.value = value;
        if !std::mem::replace(&mut kept.changed, true) {
            self.changed.insert(key);
        }
        before
    }

    /// What changed since the last call, as the next checkpoint has to take it.
    pub(crate) fn take_changes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|key| {
                let kept = self.map.get_mut(&key);
                let value = kept.map(|kept| {
                    kept.changed = false;
                    kept.value.clone()
                });
                Note { key, value }
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
