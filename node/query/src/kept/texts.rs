//! Plans of statements by their text. Programs that put values into their texts send each text once, and those would
//! only push out what others send again and again: so a text is kept when it comes for the second time.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use parking_lot::Mutex;

use super::KeptPlan;

/// Texts that are kept at most; the one that was not asked for longest goes first.
const TEXTS_MAX: usize = 256;
/// The longest text that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Bytes of all texts and their plans together, whatever memory there is.
const BYTES_MAX: usize = 16 << 20;
/// The part of the memory of queries that they may have.
const MEMORY_PART: usize = 16;
/// The part of that which one plan may have.
const ONE_PART: usize = 8;
/// About what an expression or a column of a step of a plan takes, of which there are two: as written, and optimized.
const PART_BYTES: usize = 2 * 192;
/// Texts that are remembered to have come once.
const SEEN_MAX: usize = 1024;

/// The plans that are kept.
pub(crate) struct Texts {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: HashMap<String, Entry>,
    bytes: usize,
    /// What was asked for last has the highest number.
    asked: u64,
    /// Hashes of texts that came, each at the place that it has by its value, until another takes it.
    seen: Vec<u64>,
}

struct Entry {
    plan: KeptPlan,
    bytes: usize,
    asked: u64,
}

impl Texts {
    /// None yet, for queries that have this much memory.
    pub(crate) fn new(memory_bytes: usize) -> Self {
        Texts {
            bytes_max: (memory_bytes / MEMORY_PART).min(BYTES_MAX),
            state: Mutex::default(),
        }
    }

    /// The plan of a text.
    pub(crate) fn find(&self, sql: &str) -> Option<KeptPlan> {
        if sql.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut state = self.state.lock();
        state.asked += 1;
        let asked = state.asked;
        let entry = state.kept.get_mut(sql)?;
        entry.asked = asked;
        Some(entry.plan.clone())
    }

    /// Whether there is a plan of a text.
    pub(crate) fn holds(&self, sql: &str) -> bool {
        sql.len() <= TEXT_BYTES_MAX && self.state.lock().kept.contains_key(sql)
    }

    /// Whether a text that has no plan came before, as far as is remembered; from now on it did.
    pub(crate) fn comes_again(&self, sql: &str) -> bool {
        if sql.len() > TEXT_BYTES_MAX {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        sql.hash(&mut hasher);
        let hash = hasher.finish();
        let place = usize::try_from(hash % SEEN_MAX as u64).unwrap_or(0);
        let mut state = self.state.lock();
        if state.seen.is_empty() {
            state.seen = vec![0; SEEN_MAX];
        }
        let seen = state.seen.get_mut(place);
        seen.is_some_and(|seen| std::mem::replace(seen, hash) == hash)
    }

    /// Keeps the plan of a text, if it is one for all who ask and not too large; others go where there is no room.
    pub(crate) fn keep(&self, sql: &str, plan: KeptPlan) {
        let known = &plan.0.known;
        let bytes = sql.len() + known.parts.saturating_mul(PART_BYTES);
        if known.asks_models || sql.len() > TEXT_BYTES_MAX || bytes > self.bytes_max / ONE_PART {
            return;
        }
        let mut state = self.state.lock();
        state.remove(sql);
        while state.kept.len() >= TEXTS_MAX || state.bytes + bytes > self.bytes_max {
            let oldest = state.kept.iter().min_by_key(|(_, entry)| entry.asked);
            let Some(oldest) = oldest.map(|(text, _)| text.clone()) else {
                break;
            };
            state.remove(&oldest);
        }
        state.asked += 1;
        let asked = state.asked;
        state.bytes += bytes;
        let entry = Entry { plan, bytes, asked };
        state.kept.insert(sql.to_owned(), entry);
    }

    /// Lets go of the plan of a text.
    pub(crate) fn forget(&self, sql: &str) {
        self.state.lock().remove(sql);
    }

    /// Lets go of all plans.
    pub(crate) fn clear(&self) {
        let mut state = self.state.lock();
        state.kept.clear();
        state.bytes = 0;
    }

    /// How many plans there are, and about how many bytes they take.
    pub(crate) fn held(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.kept.len(), state.bytes)
    }
}

impl State {
    fn remove(&mut self, sql: &str) {
        if let Some(entry) = self.kept.remove(sql) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }
}

#[cfg(test)]
mod tests;
