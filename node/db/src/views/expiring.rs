//! When rows of reference tables expire: that leaves no record, so a view remembers the moments.

use std::collections::{BTreeMap, BTreeSet};

/// Rows whose moments are remembered: those that expire first.
const ROWS_MAX: usize = if cfg!(test) { 2 } else { 65_536 };
/// With fewer than these left, those behind them are learned.
const ROWS_LOW: usize = ROWS_MAX / 2;

/// A row: the place of its table among those of the view, and its encoded key.
pub(super) type Row = (usize, Vec<u8>);

/// The moments, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Expiring {
    rows: BTreeMap<Row, u64>,
    moments: BTreeSet<(u64, Row)>,
    /// The first moment of those that there was no room for; all that are remembered come before it, or with it.
    beyond: Option<u64>,
}

impl Expiring {
    /// When something of a row expires first; `None` where nothing of it does.
    pub(super) fn set(&mut self, row: Row, expires_ms: Option<u64>) {
        if let Some(known) = self.rows.remove(&row) {
            self.moments.remove(&(known, row.clone()));
        }
        let Some(expires_ms) = expires_ms else {
            return;
        };
        // What expires behind a row that is not remembered is not either: so those that are come before all others.
        if self.beyond.is_some_and(|beyond| beyond <= expires_ms) {
            return;
        }
        self.rows.insert(row.clone(), expires_ms);
        self.moments.insert((expires_ms, row));
        if self.rows.len() > ROWS_MAX
            && let Some((last, row)) = self.moments.pop_last()
        {
            self.rows.remove(&row);
            self.beyond = Some(last);
        }
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

    /// Whether those that there was no room for are to be learned, before their moments come.
    pub(super) fn runs_low(&self) -> bool {
        self.beyond.is_some() && self.rows.len() <= ROWS_LOW
    }

    pub(super) fn forget(&mut self) {
        *self = Expiring::default();
    }
}

#[cfg(test)]
mod tests;
