//! A processor's durable state: a map from key to value, many keys at a time, and timers by key.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bindings::imports::activestore::plugin::{state, timers};
use crate::{VarBytes, bitmap};

pub use crate::bindings::imports::activestore::plugin::state::Found;

/// Where a processor keeps its state. What is written becomes durable together with the batch, or
/// not at all.
///
/// The packed calls do the same as the others for many keys without an allocation for each.
pub trait State {
    /// The keys' values, in their order; the call's own writes are seen.
    fn get_many(&self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>>;
    /// Sets each key's value; `None` removes it.
    fn put_many(&mut self, items: &[(Vec<u8>, Option<Vec<u8>>)]);
    /// Sets each key's timer to go off after so long, in [`crate::Processor::on_timer`]; one that was
    /// set before is moved. `None` takes the key's timer away.
    fn set_timers(&mut self, items: &[(Vec<u8>, Option<Duration>)]);

    /// The keys' values, in their order; the call's own writes are seen.
    fn get_packed(&self, keys: &VarBytes) -> Found {
        let keys: Vec<Vec<u8>> = (0..keys.len()).map(|row| keys.get(row).to_vec()).collect();
        let values = self.get_many(&keys);
        let present: Vec<bool> = values.iter().map(Option::is_some).collect();
        Found {
            present: bitmap::pack(&present),
            values: VarBytes::of(
                values
                    .iter()
                    .map(|value| value.as_deref().unwrap_or_default()),
            ),
        }
    }

    /// Sets each key's value; there are as many values as keys.
    fn put_packed(&mut self, keys: &VarBytes, values: &VarBytes) {
        let items: Vec<_> = (0..keys.len())
            .map(|row| (keys.get(row).to_vec(), Some(values.get(row).to_vec())))
            .collect();
        self.put_many(&items);
    }
}

impl Found {
    /// The value of the key at this place, if it has one.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        bitmap::get(&self.present, row).then(|| self.values.get(row))
    }
}

/// State in memory, for tests.
#[derive(Clone, Debug, Default)]
pub struct MemoryState {
    /// The values by key.
    pub values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The timers by key, as they were set last.
    pub timers: BTreeMap<Vec<u8>, Duration>,
}

impl State for MemoryState {
    fn get_many(&self, keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        keys.iter()
            .map(|key| self.values.get(key).cloned())
            .collect()
    }

    fn put_many(&mut self, items: &[(Vec<u8>, Option<Vec<u8>>)]) {
        for (key, value) in items {
            match value {
                Some(value) => self.values.insert(key.clone(), value.clone()),
                None => self.values.remove(key),
            };
        }
    }

    fn set_timers(&mut self, items: &[(Vec<u8>, Option<Duration>)]) {
        for (key, after) in items {
            match after {
                Some(after) => self.timers.insert(key.clone(), *after),
                None => self.timers.remove(key),
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
            .map(|row| found.get(row).map(<[u8]>::to_vec))
            .collect()
    }

    fn get_packed(&self, keys: &VarBytes) -> Found {
        state::get_many(keys)
    }

    fn put_packed(&mut self, keys: &VarBytes, values: &VarBytes) {
        let mut present = vec![0xff; keys.len() / 8];
        if !keys.len().is_multiple_of(8) {
            present.push((1 << (keys.len() % 8)) - 1);
        }
        state::put_many(keys, &present, values);
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

    fn set_timers(&mut self, items: &[(Vec<u8>, Option<Duration>)]) {
        let after: Vec<i64> = items
            .iter()
            .map(|(_, after)| match after {
                Some(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
                None => -1,
            })
            .collect();
        timers::set_many(&VarBytes::of(items.iter().map(|(key, _)| key)), &after);
    }
}
