//! What one edge wrote to its own device, and what of it must be found in the cloud at the end.
//!
//! A row has one value that it must have, or several that it may have: where a write was neither accepted nor
//! refused for good, or its disk was lost before the cloud had it. Rows of doubt are never touched again.

use std::collections::BTreeMap;

/// A value, or that the row is deleted.
type Cell = Option<i64>;

/// Writes to one device.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub device: String,
    may_be: BTreeMap<i64, Vec<Cell>>,
    /// Rows that this incarnation of the disk wrote and knows.
    known: Vec<i64>,
    /// Since everything was in the cloud: the row and what it might have been before.
    pending: Vec<(i64, Vec<Cell>)>,
}

impl Ledger {
    pub fn new(device: String) -> Self {
        Ledger {
            device,
            may_be: BTreeMap::new(),
            known: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Rows that may be changed.
    pub fn known(&self) -> &[i64] {
        &self.known
    }

    /// Whether a row is there, as this incarnation knows.
    pub fn is_live(&self, row: i64) -> bool {
        matches!(self.may_be.get(&row).map(Vec::as_slice), Some([Some(_)]))
    }

    /// A write that was acknowledged.
    pub fn wrote(&mut self, row: i64, value: Cell) {
        let before = self.may_be.insert(row, vec![value]);
        self.pending
            .push((row, before.unwrap_or_else(|| vec![None])));
        if !self.known.contains(&row) {
            self.known.push(row);
        }
    }

    /// A write that failed: it may be there or not.
    pub fn doubts(&mut self, row: i64, value: Cell) {
        let may_be = self.may_be.entry(row).or_insert_with(|| vec![None]);
        may_be.push(value);
        self.known.retain(|known| *known != row);
    }

    /// The cloud holds all of it.
    pub fn delivered(&mut self) {
        self.pending.clear();
    }

    /// The disk is gone, or another one: what the cloud did not have may be lost.
    pub fn lost(&mut self) {
        for (row, before) in self.pending.drain(..) {
            self.may_be.entry(row).or_default().extend(before);
        }
        self.known.clear();
    }

    /// What is wrong with the rows that were found; nothing where all is well.
    pub fn judge(&self, found: &BTreeMap<i64, i64>) -> Option<String> {
        for (row, may_be) in &self.may_be {
            let is = found.get(row).copied();
            if !may_be.contains(&is) {
                return Some(format!(
                    "row {row} of {} is {is:?} and must be one of {may_be:?}",
                    self.device
                ));
            }
        }
        let strange = found.keys().find(|row| !self.may_be.contains_key(row));
        strange.map(|row| format!("row {row} of {} was never written", self.device))
    }
}
