//! What one end asks and the other answers: plain data, and the bounds of it. Every question says all that
//! its answer needs, so that who answers keeps nothing.

use activestore_types::{Hlc, TableName};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::holdings::{Judgement, KeyAt, View};
use super::packed::PackedRanges;
use super::report::Outcome;
use super::{CodedSymbol, Sum};

/// A question, the edge's alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Counts up within a connection; the answer repeats it.
    pub id: u64,
    /// What is compared, and as of when.
    pub view: View,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked. The order of the variants is part of the format: append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Which keyspaces differ? By name, with the hash of the sums of their tables; those without rows are left out.
    Groups(Vec<(String, [u8; 16])>),
    /// Which tables of a keyspace differ?
    Tables {
        /// The keyspace.
        keyspace: String,
        /// Its tables that hold rows here.
        sums: Vec<(String, Sum)>,
    },
    /// Which days of a table differ? Ranges of days that follow each other: the first day of each but the
    /// first, and the sum of each.
    Days {
        /// The table.
        table: TableName,
        /// Where one range ends and the next begins.
        cuts: Vec<i32>,
        /// One more than cuts.
        sums: Vec<[u8; 16]>,
    },
    /// Which ranges of a day differ?
    Sums {
        /// The table.
        table: TableName,
        /// The day.
        day: i32,
        /// Ranges of places, packed.
        ranges: PackedRanges,
        /// The sum of each; zeros where there is no row here.
        sums: Vec<[u8; 16]>,
    },
    /// Which of these rows do you have?
    Have {
        /// The table.
        table: TableName,
        /// The day.
        day: i32,
        /// Ranges of places, packed.
        ranges: PackedRanges,
        /// The ids of all rows here, for each range.
        ids: Vec<Vec<u64>>,
    },
    /// Coded symbols of ranges, please.
    Coded {
        /// The table.
        table: TableName,
        /// The day.
        day: i32,
        /// Which.
        ranges: Vec<CodedRange>,
    },
    /// The keys of rows, please.
    Keys {
        /// The table.
        table: TableName,
        /// The day.
        day: i32,
        /// Which rows.
        pick: Pick,
        /// How many at most.
        limit: u32,
    },
    /// You seem to lack these rows: what do you know of them?
    Judge {
        /// The table.
        table: TableName,
        /// Keys and stamps, by key.
        keys: Vec<KeyAt>,
    },
    /// The rows themselves, please.
    Rows {
        /// The table.
        table: TableName,
        /// The day.
        day: i32,
        /// Which rows.
        pick: Pick,
    },
    /// That is what it came to.
    Told(Outcome),
}

/// A range of which coded symbols are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodedRange {
    /// The first place.
    pub low: u64,
    /// The first place behind it; `u64::MAX` is no bound.
    pub high: u64,
    /// The first symbol.
    pub from: u32,
    /// How many.
    pub count: u32,
}

/// Rows of a range of places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// The first place.
    pub low: u64,
    /// The first place behind it; `u64::MAX` is no bound.
    pub high: u64,
    /// Whether all are meant but these, or these alone.
    pub all_but: bool,
    /// The ids, sorted.
    pub ids: Vec<u64>,
}

impl Pick {
    /// Whether a row is meant.
    pub fn takes(&self, place: u64, id: u64) -> bool {
        let inside = place >= self.low && (self.high == u64::MAX || place < self.high);
        inside && (self.ids.binary_search(&id).is_ok() != self.all_but)
    }
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// From the question.
    pub id: u64,
    /// What was found; why nothing could be, in one sentence.
    pub found: Result<Found, String>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// To `Groups`.
    Groups {
        /// The keyspaces that differ.
        differing: Vec<String>,
        /// Tables of which older rows were let go here, on purpose, than the question says.
        evicted: Vec<(TableName, i64)>,
        /// The stamp below which deletes may have been forgotten here.
        deletes_from: Hlc,
        /// Segments with the rows that are compared that are on their way to who asks.
        behind: u64,
    },
    /// To `Tables`: those that differ, with what is here.
    Tables(Vec<(String, Sum)>),
    /// To `Days`: the days of the ranges that differ, with what is here.
    Days {
        /// The numbers of the ranges that differ.
        ranges: Vec<u32>,
        /// All days of them that have rows here.
        days: Vec<(i32, Sum)>,
        /// Whether there are more.
        more: bool,
    },
    /// To `Sums`: the ranges that differ.
    Sums(Vec<Other>),
    /// To `Have`: for each range which of the ids are here, and how many rows.
    Have(Vec<(u32, u64)>),
    /// To `Coded`, for each range; and its rows here.
    Coded(Vec<(u64, Vec<CodedSymbol>)>),
    /// To `Keys`.
    Keys(Vec<KeyAt>),
    /// To `Judge`, one for each key.
    Judged(Vec<Judgement>),
    /// To `Rows`.
    Rows {
        /// The rows, encoded by the host as a segment's are.
        payload: Bytes,
        /// How many.
        rows: u64,
        /// The place to go on at.
        next: Option<u64>,
    },
    /// To `Told`.
    Noted,
}

/// What the other end has of a range that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// The number of the range in the question.
    pub range: u32,
    /// How many rows.
    pub rows: u64,
    /// Their ids, where they are few and the asker has any.
    pub ids: Vec<u64>,
}
