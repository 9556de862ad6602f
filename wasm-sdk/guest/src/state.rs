//! A processor's durable state: a map from key to value, many keys at a time.

use std::collections::BTreeMap;

use crate::bindings::imports::activestore::plugin::state;
use crate::{VarBytes, bitmap};

/// Where a processor keeps its state. What is written becomes durable together with the batch, or
/// not at all.
pub trait State {
    /// The keys' values, in their order; the call's own writes are seen.
    fn get_many(&self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>>;
    /// Sets each key's value; `None` removes it.
    fn put_many(&mut self, items: &[(Vec<u8>, Option<Vec<u8>>)]);
}

/// State in memory, for tests.
#[derive(Clone, Debug, Default)]
pub struct MemoryState(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl State for MemoryState {
    fn get_many(&self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        keys.iter().map(|key| self.0.get(key).cloned()).collect()
    }

    fn put_many(&mut self, items: &[(Vec<u8>, Option<Vec<u8>>)]) {
        for (key, value) in items {
            match value {
                Some(value) => self.0.insert(key.clone(), value.clone()),
                None => self.0.remove(key),
            };
        }
    }
}

/// The host's state. It exists in the sandbox only: tests use [`MemoryState`].
#[doc(hidden)]
pub struct HostState;

impl State for HostState {
    fn get_many(&self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        let found = state::get_many(&VarBytes::of(keys));
        (0..keys.len())
            .map(|row| bitmap::get(&found.present, row).then(|| found.values.get(row).to_vec()))
            .collect()
    }

    fn put_many(&mut self, items: &[(Vec<u8>, Option<Vec<u8>>)]) {
        let present: Vec<bool> = items.iter().map(|(_, value)| value.is_some()).collect();
        let values = items
            .iter()
            .map(|(_, value)| value.as_deref().unwrap_or_default());
        state::put_many(
            &VarBytes::of(items.iter().map(|(key, _)| key)),
            &bitmap::pack(&present),
            &VarBytes::of(values),
        );
    }
}
