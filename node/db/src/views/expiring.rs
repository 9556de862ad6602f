//! When rows of reference tables expire: that leaves no record, so a view remembers the moments.

use std::collections::{BTreeMap, BTreeSet};

/// Rows whose moments are remembered.
const ROWS_MAX: usize = 65_536;

/// A row: the place of its table among those of the view, and its encoded key.
pub(super) type Row = (usize, Vec<u8>);

/// The moments, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Expiring {
    rows: BTreeMap<Row, u64>,
    moments: BTreeSet<(u64, Row)>,
    /// The first moment of those that there was no room for.
    beyond: Option<u64>,
}

impl Expiring {
    /// Those of which no more is known than the first moment.
    pub(super) fn beyond(first_ms: Option<u64>) -> Expiring {
        Expiring {
            beyond: first_ms,
            ..Expiring::default()
        }
    }

    /// When something of a row expires first; `None` where nothing of it does.
    pub(super) fn set(&mut self, row: Row, expires_ms: Option<u64>) {
        if let Some(known) = self.rows.remove(&row) {
            self.moments.remove(&(known, row.clone()));
        }
        let Some(expires_ms) = expires_ms else {
            return;
        };
        if self.rows.len() >= ROWS_MAX {
            let first = self
                .beyond
                .map_or(expires_ms, |known| known.min(expires_ms));
            self.beyond = Some(first);
            return;
        }
        self.rows.insert(row.clone(), expires_ms);
        self.moments.insert((expires_ms, row));
    }

    /// The first moment.
    pub(super) fn first(&self) -> Option<u64> {
        let known = self.moments.first().map(|(moment, _)| *moment);
        known.into_iter().chain(self.beyond).min()
    }

    /// Takes a row out whose moment has come.
    pub(super) fn due(&mut self, now_ms: u64) -> Option<Row> {
        let due = self.moments.first().is_some_and(|(at, _)| *at <= now_ms);
        let (_, row) = due.then(|| self.moments.pop_first()).flatten()?;
        self.rows.remove(&row);
        Some(row)
    }

    /// Whether the moment of a row has come that nobody can name.
    pub(super) fn is_over_beyond(&self, now_ms: u64) -> bool {
        self.beyond.is_some_and(|moment| moment <= now_ms)
    }

    pub(super) fn forget(&mut self) {
        *self = Expiring::default();
    }
}

#[cfg(test)]
mod tests;
