//! What a comparison found and mended.

use activestore_types::TableName;
use serde::{Deserialize, Serialize};

use super::Sum;

/// An end, as seen by who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The one that asks.
    Here,
    /// The other.
    There,
}

/// A comparison in a few numbers: what is kept of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// When it began: the asker's wall clock, milliseconds since 1970.
    pub at_ms: u64,
    /// Rows that one end lacks or holds otherwise, erasures included.
    pub differences: u64,
    /// Rows and erasures that were shipped again.
    pub mended_there: u64,
    /// Rows and erasures that came back.
    pub mended_here: u64,
    /// Segments that had not arrived: differences are no surprise then.
    pub behind: u64,
}

impl Outcome {
    /// Differences that were not mended.
    pub fn left(&self) -> u64 {
        self.differences
            .saturating_sub(self.mended_there.saturating_add(self.mended_here))
    }
}

/// A day of a table that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayReport {
    /// Days since 1970; `None` for a table without a time.
    pub day: Option<i32>,
    /// Rows that the asker lacks.
    pub missing_here: u64,
    /// Rows that the other end lacks.
    pub missing_there: u64,
    /// Deletes that the asker lacks.
    pub erasures_missing_here: u64,
    /// Deletes that the other end lacks.
    pub erasures_missing_there: u64,
    /// Rows that only one end has, and that the other may have deleted: too long ago to tell. They are not mended.
    pub undecided: u64,
    /// Rows that differ on purpose: overwritten by others, or still on their way.
    pub overruled: u64,
    /// Rows and deletes that came back.
    pub mended_here: u64,
    /// Rows and deletes that were shipped again.
    pub mended_there: u64,
    /// Keys of some of them, encoded, with the end that lacks them.
    pub examples: Vec<(Side, Vec<u8>)>,
}

impl DayReport {
    /// Everything that differs and should not.
    pub fn differences(&self) -> u64 {
        self.missing_here
            .saturating_add(self.missing_there)
            .saturating_add(self.erasures_missing_here)
            .saturating_add(self.erasures_missing_there)
            .saturating_add(self.undecided)
    }
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReport {
    /// Its name.
    pub table: TableName,
    /// What the asker holds.
    pub here: Sum,
    /// What the other end holds.
    pub there: Sum,
    /// The days that differ.
    pub days: Vec<DayReport>,
    /// Why it was not looked at any closer, where that is so.
    pub unexplored: Option<String>,
}

impl TableReport {
    /// Whether both ends hold the same, but for what differs on purpose.
    pub fn equal(&self) -> bool {
        self.unexplored.is_none() && self.days.iter().all(|day| day.differences() == 0)
    }
}

/// A whole comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every table that either end has rows of.
    pub tables: Vec<TableReport>,
    /// In a few numbers.
    pub outcome: Outcome,
    /// Questions that were asked.
    pub questions: u64,
    /// Whether the asker fetches the tables that flow down anew.
    pub fetch_anew: bool,
}

impl Report {
    /// The place of a table, which is put in where it is new.
    pub(super) fn of(&mut self, table: &TableName) -> usize {
        let known = self.tables.iter().position(|one| one.table == *table);
        known.unwrap_or_else(|| {
            self.tables.push(TableReport {
                table: table.clone(),
                here: Sum::default(),
                there: Sum::default(),
                days: Vec::new(),
                unexplored: None,
            });
            self.tables.len() - 1
        })
    }
}
