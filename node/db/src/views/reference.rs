//! What a view looks up in other tables: rows of these that changed or expired, and the rows of the base that look them up.
//!
//! A changed row makes those groups and windows dirty that rows of the base which look it up are in, and these are computed
//! anew as a whole: so nobody has to know what the changed row said before, and a row of the base goes from one group to
//! another by itself. A row of the base that looked it up and does so no more was changed or deleted itself, and the log
//! says so.

use std::collections::{BTreeMap, VecDeque};

use activestore_query::{Reference, ViewQuery};
use activestore_store::{Note, Store};
use activestore_types::{
    ColumnId, Error, KeyBuffer, KeyRange, RangeTombstone, Result, RowBatch, TableId, TableSchema,
    encode_keys,
};
use arrow::array::{Array, ArrayRef};
use arrow::buffer::BooleanBuffer;
use arrow::compute::concat;

use super::expiring::{Expiring, Row};
use crate::subscribe::key_value;

/// The prefix of the notes: when a row of a reference table expires first.
pub(super) const PREFIX: &[u8] = b"view-expires/";
/// No row expires.
const NEVER: u64 = u64::MAX;
/// With so many changed rows no more of the log is looked at before they are followed …
const CHANGED_MAX: usize = 8_192;
/// … and beyond so many, which one record may change, all rows may have changed.
const CHANGED_AT_ONCE_MAX: usize = 65_536;
/// Changed rows that the base is looked through for at once.
const TOGETHER_MAX: usize = 512;

/// Times that the base is to be looked through, beyond which all of it is computed anew.
const HUNTS_MAX: usize = 64;

/// A stretch of the base that is still to be looked through for rows that look up some of the changed ones.
#[derive(Clone, Debug)]
pub(super) struct Hunt {
    /// Columns of the base with the values that they have.
    pub(super) among: Vec<(ColumnId, ArrayRef)>,
    /// The first moment and the last one; `None` before it is known where the base begins and ends.
    pub(super) left: Option<(i64, i64)>,
    /// Stretches one after the other in which nothing was found.
    pub(super) empty: u32,
}

/// What of reference tables is not in the view yet.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// Whether there are any.
    pub(super) follows: bool,
    /// Rows that changed. Where all that was written to one since sets nothing that the view reads, the first stamp of it:
    /// that changes something only where there was no row.
    changed: BTreeMap<Row, Option<u64>>,
    pub(super) hunts: VecDeque<Hunt>,
    pub(super) expiring: Expiring,
    /// Whether nobody knows when rows expire.
    pub(super) is_unknown: bool,
    /// When the first row expires, as it was noted before the start; until it is known which one that is.
    unlearned_ms: Option<u64>,
    /// All rows may have changed.
    everything: bool,
    /// Windows of the next stretch of the base.
    pub(super) step: i64,
}

impl Joined {
    /// Of a view, with what is noted of when rows expire first; where that has come, nobody can name them any more.
    pub(super) fn new(noted: Option<u64>, holds_rows: bool) -> Joined {
        Joined {
            follows: true,
            unlearned_ms: noted,
            is_unknown: noted != Some(NEVER),
            everything: noted.is_none() && holds_rows,
            ..Joined::default()
        }
    }

    /// Whether rows are to be followed at their time.
    pub(super) fn has_work(&self) -> bool {
        !self.changed.is_empty() || !self.hunts.is_empty() || self.everything || self.is_unknown
    }

    /// Whether changed rows are to be followed before more of the log is looked at.
    pub(super) fn is_full(&self) -> bool {
        self.changed.len() >= CHANGED_MAX
    }

    /// Whether all that the log said is in the view, or marked.
    pub(super) fn is_idle(&self) -> bool {
        self.changed.is_empty() && self.hunts.is_empty() && !self.everything
    }

    /// When a row expires first, in milliseconds since 1970; zero where nobody knows.
    pub(super) fn first_ms(&self) -> u64 {
        match self.is_unknown {
            true => 0,
            false => self.expiring.first().unwrap_or(NEVER),
        }
    }

    /// The moment up to which nothing of what the view holds has expired, with what is noted of it: a row whose moment has
    /// come is no longer among those that expire, and the view holds it until the note moves, with what follows from it.
    pub(super) fn holds_until_ms(&self, noted: Option<u64>) -> u64 {
        match self.follows {
            true => self.first_ms().min(noted.unwrap_or(0)),
            false => NEVER,
        }
    }

    /// Takes what is known of single rows as a change of all. Whether anything was.
    pub(super) fn give_up(&mut self) -> bool {
        let had = !self.is_idle();
        // When those rows expire was not looked at; of those that the base is looked through for it was.
        self.is_unknown |= !self.changed.is_empty() || self.everything;
        self.changed.clear();
        self.hunts.clear();
        self.everything = false;
        had
    }

    /// When rows expire is known.
    pub(super) fn learned(&mut self, expiring: Expiring) {
        self.expiring = expiring;
        self.is_unknown = false;
        self.unlearned_ms = None;
    }

    /// Everything is computed anew.
    pub(super) fn forget(&mut self) {
        self.give_up();
        self.unlearned_ms = None;
        self.expiring.forget();
        self.is_unknown = self.follows;
    }

    /// A row changed; `quiet` is the stamp of a write that sets nothing that the view reads.
    fn change(&mut self, row: Row, quiet: Option<u64>) {
        if self.everything {
            // All rows are computed anew, and when this one expires is not looked at.
            self.is_unknown = true;
            return;
        }
        if self.changed.len() >= CHANGED_AT_ONCE_MAX && !self.changed.contains_key(&row) {
            self.give_up();
            self.everything = true;
            return;
        }
        self.changed
            .entry(row)
            .and_modify(|known| *known = known.zip(quiet).map(|(one, other)| one.min(other)))
            .or_insert(quiet);
    }

    /// Rows whose moment has come changed.
    pub(super) fn expire(&mut self, now_ms: u64) {
        let unnamed = self.unlearned_ms.is_some_and(|moment| moment <= now_ms);
        if unnamed || self.expiring.is_over_beyond(now_ms) {
            self.forget();
            self.everything = true;
        }
        while let Some(row) = self.expiring.due(now_ms) {
            self.change(row, None);
        }
        self.is_unknown |= self.expiring.runs_low();
    }

    /// Rows of a reference table in the log.
    ///
    /// # Errors
    /// `Internal` for rows that lack a part of their key.
    pub(super) fn look(&mut self, place: usize, of: &Reference, batch: &RowBatch) -> Result<()> {
        let keys = keys(&of.table, batch)?;
        for row in 0..batch.rows {
            let is_set = |bits: Option<&BooleanBuffer>| {
                bits.is_some_and(|bits| row < bits.len() && bits.value(row))
            };
            let reads = batch.columns.iter().any(|column| {
                let set = column.set.as_ref();
                of.used.contains(&column.id) && (set.is_none() || is_set(set))
            });
            let matters = reads || is_set(batch.tombstone.as_ref());
            let quiet = batch.hlc.get(row).copied().filter(|_| !matters);
            self.change((place, keys.key(row).to_vec()), quiet);
        }
        Ok(())
    }

    /// A range of a reference table was deleted.
    pub(super) fn erase(&mut self, place: usize, of: &Reference, range: &RangeTombstone) {
        let whole = values(&of.table, &range.start).is_some();
        let single = whole
            && [KeyRange::only(&range.start), KeyRange::prefix(&range.start)]
                .iter()
                .any(|one| one.end == range.end);
        if single {
            self.change((place, range.start.clone()), None);
        } else {
            self.give_up();
            self.everything = true;
        }
    }

    /// Takes the changed rows; `None` where all may have changed.
    pub(super) fn take(&mut self) -> Option<BTreeMap<Row, Option<u64>>> {
        match std::mem::take(&mut self.everything) {
            true => None,
            false => Some(std::mem::take(&mut self.changed)),
        }
    }

    /// Changed rows that could not be followed are so again.
    pub(super) fn put_back(&mut self, rows: BTreeMap<Row, Option<u64>>) {
        for (row, quiet) in rows {
            self.change(row, quiet);
        }
    }

    /// The base is looked through for rows that look these up by columns of theirs: together with others that wait for the same, while there is
    /// room. Where too much waits, all rows may have changed.
    pub(super) fn hunt(&mut self, by: &[Option<ColumnId>], rows: &[Vec<ArrayRef>]) -> Result<()> {
        let places = || by.iter().enumerate();
        let by = || places().filter_map(|(place, column)| column.map(|column| (place, column)));
        let mut rest = rows;
        while !rest.is_empty() && !self.everything {
            let columns = || by().map(|(_, column)| column);
            let at = self.hunts.iter().position(|hunt| hunt.takes(columns()));
            let together = at.and_then(|at| self.hunts.get(at));
            let known = together.map_or(0, Hunt::values);
            let room = TOGETHER_MAX.saturating_sub(known).min(rest.len());
            let (rows, left) = rest.split_at(room);
            rest = left;
            let mut among = Vec::new();
            for (number, (place, column)) in by().enumerate() {
                let known = together.and_then(|hunt| hunt.among.get(number));
                let known = known.map(|(_, values)| values.as_ref());
                let values = rows.iter().filter_map(|row| row.get(place));
                let values = known.into_iter().chain(values.map(AsRef::as_ref));
                among.push((column, concat(&values.collect::<Vec<&dyn Array>>())?));
            }
            if let Some(hunt) = at.and_then(|at| self.hunts.get_mut(at)) {
                hunt.among = among;
            } else if self.hunts.len() < HUNTS_MAX {
                self.hunts.push_back(Hunt {
                    among,
                    left: None,
                    empty: 0,
                });
            } else {
                self.give_up();
                self.everything = true;
            }
        }
        Ok(())
    }
}

impl Hunt {
    /// Whether it has not begun, is by these columns, and has room for more values.
    fn takes(&self, by: impl Iterator<Item = ColumnId>) -> bool {
        let columns = self.among.iter().map(|(column, _)| *column);
        self.left.is_none() && self.values() < TOGETHER_MAX && columns.eq(by)
    }

    /// How many rows it looks for.
    fn values(&self) -> usize {
        self.among.first().map_or(0, |(_, values)| values.len())
    }
}

/// The keys of rows, as the store has them.
fn keys(table: &TableSchema, batch: &RowBatch) -> Result<KeyBuffer> {
    let columns = table.key_columns().map(|key| {
        let column = batch.column(key.id).map(|column| column.array.clone());
        let column =
            column.ok_or_else(|| Error::internal("a row of the log lacks a part of its key"));
        Ok((column?, key.descending))
    });
    encode_keys(&columns.collect::<Result<Vec<_>>>()?)
}

/// The values of a key's columns; `None` for what is no whole key.
pub(super) fn values(table: &TableSchema, key: &[u8]) -> Option<Vec<ArrayRef>> {
    let mut rest = key;
    let mut values = Vec::new();
    for key in table.key_columns() {
        let data_type = table.column_by_id(key.id)?.data_type;
        let (value, left) = key_value(data_type, key.descending, rest)?;
        values.push(value);
        rest = left;
    }
    rest.is_empty().then_some(values)
}

/// Whether rows of the base that look up the same row are told apart from others by their groups.
pub(super) fn is_anchored(query: &ViewQuery, reference: &Reference) -> bool {
    let is_anchor = |id: &ColumnId| query.anchors.iter().any(|(anchor, _)| anchor == id);
    reference.by.iter().flatten().all(is_anchor)
}

/// What is noted of when the first row of a view's reference tables expires; `None` where nothing is.
pub(super) fn noted_expiry(store: &Store, view: TableId) -> Option<u64> {
    let value: [u8; 8] = store.note(&key(view))?.try_into().ok()?;
    Some(u64::from_le_bytes(value))
}

/// The note of it.
pub(super) fn expiry_note(view: TableId, first_ms: u64) -> Note {
    Note {
        key: key(view),
        value: Some(first_ms.to_le_bytes().to_vec()),
    }
}

pub(super) fn key(view: TableId) -> Vec<u8> {
    [PREFIX, view.0.to_string().as_bytes()].concat()
}

#[cfg(test)]
mod tests;
