//! What the comparison asks of the database at each end. All calls block; none of them is told anything that
//! was not checked against its bounds.

use std::sync::Arc;

use activestore_types::{Hlc, NodeId, Result, TableName};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Items, Outcome, Pick, Sum};

/// Cells described in one answer.
pub const CELLS_MAX: usize = 1 << 16;

/// Whose rows are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whose {
    /// Those of the node that asks, in tables that travel up.
    #[default]
    Own,
    /// Those of all others, in tables that flow down.
    Others,
    /// Those of a node below the one that asks, in tables that travel up.
    Of(NodeId),
}

/// What is compared: rows as they show at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The node that asks; who answers puts it in.
    #[serde(skip, default = "nobody")]
    pub writer: NodeId,
    /// Keys that anybody wrote to after this stamp are left out.
    pub as_of: Hlc,
    /// What has expired by then is left out: a moment that is in the future of both ends, so that neither has
    /// already let go of what the other still holds.
    pub now_ms: u64,
    /// Drawn at random for each comparison.
    pub seed: u64,
    /// Tables of which rows before that time, in nanoseconds since 1970, were let go on purpose: days that
    /// begin before it are left out.
    pub evicted: Vec<(TableName, i64)>,
    /// Deletes stamped before are left out: one end may have forgotten them.
    pub deletes_from: Hlc,
    /// Whose rows.
    pub whose: Whose,
}

fn nobody() -> NodeId {
    NodeId([0; 16])
}

impl View {
    /// Before when a table's rows are left out.
    pub fn evicted_before(&self, table: &TableName) -> Option<i64> {
        let before = self.evicted.iter().filter(|(name, _)| name == table);
        before.map(|(_, before)| *before).max()
    }
}

/// A comparison begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// What is compared.
    pub view: View,
    /// The wall clock, milliseconds since 1970.
    pub at_ms: u64,
    /// What the host remembers of it: what has to arrive at the other end first. Only the host reads it.
    pub mark: Vec<u8>,
}

/// What of a day can be looked at in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// All of it.
    Rows(Arc<Items>),
    /// Too many rows: bounds that cut them into parts.
    Parts(Vec<u64>),
}

/// A row's key and stamp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAt {
    /// The encoded key.
    pub key: Vec<u8>,
    /// The row's newest stamp by the writer.
    pub hlc: Hlc,
}

/// Keys that were erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// The first key.
    pub start: Vec<u8>,
    /// The first key behind; empty for the table's end.
    pub end: Vec<u8>,
    /// When.
    pub hlc: Hlc,
}

/// A cell that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellAt {
    /// A hash of the column's name.
    pub column: u32,
    /// When it was written.
    pub hlc: Hlc,
    /// Whether the writer that is compared wrote it.
    pub own: bool,
}

/// What an end knows of a row that it does not show as the other end does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judgement {
    /// Nothing that explains it: the row is missing.
    Unknown,
    /// Somebody else overwrote or erased it here, or wrote to it after the moment that is compared.
    Overruled,
    /// The writer itself erased it.
    Erased(Erasure),
    /// The row is here with other cells.
    Cells(Vec<CellAt>),
    /// Nothing is known of it, but this end has let go of deletes that may have been meant for it.
    Forgotten,
}

impl Judgement {
    pub(super) fn cells(&self) -> usize {
        match self {
            Judgement::Cells(cells) => cells.len(),
            _ => 0,
        }
    }

    pub(super) fn erasure(&self) -> Option<&Erasure> {
        match self {
            Judgement::Erased(erasure) => Some(erasure),
            _ => None,
        }
    }
}

/// One end's rows.
pub trait Holdings: Send + Sync {
    /// The tables that are compared and have rows of the writer, with their sums, by name.
    ///
    /// # Errors
    /// When one cannot be read.
    fn tables(&self, view: &View) -> Result<Vec<(TableName, Sum)>>;

    /// Whether rows that this end has lost come back from the other one. Without it a repair only ships.
    fn takes_back(&self) -> bool {
        true
    }

    /// Whether a table is compared here at all.
    fn compares(&self, table: &TableName) -> bool;

    /// Before when rows of tables were let go here on purpose.
    fn evicted(&self) -> Vec<(TableName, i64)>;

    /// The stamp below which this end may have forgotten deletes of shared tables; zero where it keeps all.
    fn deletes_from(&self) -> Hlc;

    /// Where this end asks about the rows of others: the same as of a moment up to which what others wrote is on its
    /// way to it; `None` where it follows nobody, or has not fetched all yet.
    fn others(&self, view: &View) -> Option<View>;

    /// Where this end asks about the rows of nodes below it: the view of the next after one, given that of its own.
    fn below(&self, own: &View, after: Option<NodeId>) -> Option<View>;

    /// Where this end answers: whether the node that asks is told of these rows. A comparison of those that it is not
    /// told of finds nothing.
    fn tells(&self, view: &View) -> bool;

    /// Where this end answers: how many segments with rows of others the node that asks lacks.
    fn unfollowed(&self, view: &View) -> u64;

    /// Has this end fetch all tables that flow down anew, once it asks where they go on.
    ///
    /// # Errors
    /// When that cannot be noted.
    fn fetch_anew(&self) -> Result<()>;

    /// The days of a table that have rows, with their sums, by day. A table without a time has one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn days(&self, view: &View, table: &TableName) -> Result<Vec<(i32, Sum)>>;

    /// The keyed sums of ranges of a day.
    ///
    /// # Errors
    /// When it cannot be read.
    fn sums(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        ranges: &[(u64, u64)],
    ) -> Result<Vec<Sum>>;

    /// The rows of a range of a day, at most [`super::ITEMS_MAX`].
    ///
    /// # Errors
    /// When it cannot be read.
    fn rows_of(&self, view: &View, table: &TableName, day: i32, range: (u64, u64)) -> Result<Held>;

    /// Keys of picked rows, in the order of places, at most so many.
    ///
    /// # Errors
    /// When they cannot be read.
    fn keys(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        pick: &Pick,
        limit: usize,
    ) -> Result<Vec<KeyAt>>;

    /// What this end knows of rows that the other has, one judgement for each.
    ///
    /// # Errors
    /// When they cannot be read.
    fn judge(&self, view: &View, table: &TableName, keys: &[KeyAt]) -> Result<Vec<Judgement>>;

    /// Picked rows as they are stored, what fits a frame, how many, and the place to go on at.
    ///
    /// # Errors
    /// When they cannot be read.
    fn rows(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        pick: &Pick,
    ) -> Result<(Bytes, u64, Option<u64>)>;

    /// A comparison begins; `None` where one was to be made by the clock and is not due.
    ///
    /// # Errors
    /// When it cannot begin now.
    fn begin(&self, scheduled: bool) -> Result<Option<Start>>;

    /// How many segments of before the beginning the other end has not acknowledged.
    ///
    /// # Errors
    /// When that cannot be told.
    fn waiting(&self, start: &Start) -> Result<u64>;

    /// Takes rows of the view's writer that this end had lost; durable on return. How many.
    ///
    /// # Errors
    /// When they cannot be taken.
    fn take(&self, view: &View, payload: &[u8]) -> Result<u64>;

    /// Takes erasures of the writer's that this end had lost.
    ///
    /// # Errors
    /// When they cannot be taken.
    fn take_erased(&self, view: &View, table: &TableName, erased: &[Erasure]) -> Result<()>;

    /// Has picked rows shipped again; durably under way on return. How many.
    ///
    /// # Errors
    /// When they cannot be read or queued.
    fn ship(&self, view: &View, table: &TableName, day: i32, pick: &Pick) -> Result<u64>;

    /// Has erasures shipped again.
    ///
    /// # Errors
    /// When they cannot be queued.
    fn ship_erased(&self, view: &View, table: &TableName, erased: &[Erasure]) -> Result<()>;

    /// What a comparison came to, at both ends.
    fn compared(&self, writer: NodeId, outcome: &Outcome);
}
