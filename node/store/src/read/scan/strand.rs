//! The next rows of one source as weaving sees them: their keys partition by partition, whether they show, and
//! which of two rows of one key is the newer one.

use std::cmp::Ordering;
use std::ops::Range;

use activestore_sst::StampZone;
use activestore_types::Result;

use super::piece::Vector;
use super::view::ViewStretch;
use crate::read::keys::VectorKeys;
use crate::read::piece::Fragment;
use crate::version::{Origins, Stamp};

/// Rows of one loaded vector, or of a memtable, each the only one of its key there.
pub(crate) struct Strand<'a> {
    /// Which source.
    pub(super) source: usize,
    keys: &'a VectorKeys,
    /// Still to come.
    rows: Range<usize>,
    /// How many are behind.
    passed: usize,
    /// The place of the next row's partition in the vector.
    partition: usize,
    reverse: bool,
    /// Whether more rows may come right behind the last one.
    open: bool,
    pub(super) worth: Worth<'a>,
}

/// What the rows of a strand are worth.
pub(crate) struct Worth<'a> {
    /// Whether those show whose key no other strand has.
    pub(super) shows: bool,
    /// Whether the newest row of a key says all that is asked for, whatever is older.
    pub(super) decides: bool,
    pub(super) stamps: &'a StampZone,
    pub(super) stamped: Stamped<'a>,
}

/// Where the stamp of each row stands.
pub(crate) enum Stamped<'a> {
    Vector(&'a Vector),
    View(&'a ViewStretch),
}

impl Stamped<'_> {
    fn stamp(&self, row: usize, origins: &Origins) -> Result<Stamp> {
        let fragment = match self {
            Stamped::Vector(vector) => Fragment::of(vector.stamps()?, 0, row),
            Stamped::View(stretch) => stretch.fragment(row),
        };
        Ok(fragment.stamp(origins.as_ref()))
    }
}

impl<'a> Strand<'a> {
    /// Of these rows; `open` says that what follows them in the file is not known.
    pub(super) fn new(
        source: usize,
        keys: &'a VectorKeys,
        rows: Range<usize>,
        reverse: bool,
        open: bool,
        worth: Worth<'a>,
    ) -> Self {
        let mut strand = Strand {
            source,
            keys,
            rows,
            passed: 0,
            partition: 0,
            reverse,
            open,
            worth,
        };
        strand.partition = keys.partition_of(strand.row(0));
        strand
    }

    /// Leaves out what does not come before this key.
    pub(super) fn end_before(&mut self, key: &[u8]) {
        let rows = self.rows.clone();
        if self.reverse {
            let first = self.keys.lower_bound(rows.clone(), key);
            let mut found = Vec::new();
            self.keys.push_key(first, &mut found);
            self.rows.start = first + usize::from(first < rows.end && found == key);
        } else {
            self.rows.end = self.keys.lower_bound(rows.clone(), key);
        }
        // What was left out comes at that key or behind it, so there is no gap before it.
        self.open &= self.rows == rows;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether it ended where nobody knows what comes next.
    pub(super) fn is_torn(&self) -> bool {
        self.open && self.rows.is_empty()
    }

    /// How many rows are behind.
    pub(super) fn passed(&self) -> usize {
        self.passed
    }

    /// The encoded prefix of the next row's partition.
    pub(super) fn prefix(&self) -> &'a [u8] {
        self.keys.prefix(self.partition)
    }

    /// The order in which partitions come.
    pub(super) fn compare(&self, prefix: &[u8]) -> Ordering {
        let order = self.prefix().cmp(prefix);
        if self.reverse { order.reverse() } else { order }
    }

    /// How many of the next rows are of one partition, and whether it may go on behind them.
    pub(super) fn stretch(&self) -> (usize, bool) {
        let inside = self.keys.partition_rows(self.partition);
        let from = inside.start.max(self.rows.start);
        let to = inside.end.min(self.rows.end);
        let rows = to.saturating_sub(from);
        (rows, self.open && rows == self.rows.len())
    }

    /// Appends a number for each of the next so many rows, all of one partition: they rise as the rows come.
    pub(super) fn numbers(&self, rows: usize, out: &mut Vec<u64>) {
        let rows = self.span(0, rows);
        self.keys.push_numbers(rows, self.reverse, out);
    }

    /// The number of the row that comes after so many others, in its vector.
    pub(super) fn row(&self, place: usize) -> usize {
        if self.reverse {
            self.rows.end.saturating_sub(place + 1)
        } else {
            self.rows.start + place
        }
    }

    /// The rows of the vector that come after `from` others, as many as `rows`.
    pub(super) fn span(&self, from: usize, rows: usize) -> Range<usize> {
        if self.reverse {
            let end = self.rows.end.saturating_sub(from);
            end.saturating_sub(rows)..end
        } else {
            self.rows.start + from..self.rows.start + from + rows
        }
    }

    /// Moves past the next so many rows, all of one partition.
    pub(super) fn pass(&mut self, rows: usize) {
        let rows = rows.min(self.rows.len());
        self.passed += rows;
        if self.reverse {
            self.rows.end -= rows;
        } else {
            self.rows.start += rows;
        }
        if !self.rows.is_empty() {
            self.partition = self.keys.partition_of(self.row(0));
        }
    }

    /// Whether a row is newer than another strand's row of the same key.
    pub(super) fn is_newer(
        &self,
        row: usize,
        other: &Strand<'_>,
        other_row: usize,
        origins: &Origins,
    ) -> Result<bool> {
        let (zone, others) = (self.worth.stamps, other.worth.stamps);
        if zone.min_hlc > others.max_hlc {
            return Ok(true);
        }
        if zone.max_hlc < others.min_hlc {
            return Ok(false);
        }
        let (mine, others) = (&self.worth.stamped, &other.worth.stamped);
        Ok(mine.stamp(row, origins)? > others.stamp(other_row, origins)?)
    }
}
