//! Resolving: the fragments of one key, newest first, become at most one visible row.
//!
//! 1. Fragments below a covering range tombstone, and everything below a row tombstone, are gone.
//! 2. Each cell is decided by the newest fragment that sets it; an expired one decides it as NULL.
//! 3. The row exists if its newest fragment is an unexpired upsert, or if any column of the table,
//!    asked for or not, is decided by an unexpired fragment with a value.

use std::sync::Arc;

use activestore_types::{ColumnId, Result, RowBatch, TableSchema};
use arrow::array::{Array, ArrayRef};

use super::piece::Fragment;
use crate::version::{Origins, Stamp};

/// The pieces that rows are picked from, as resolving and copying see them.
pub(crate) trait Cells {
    /// The wanted columns.
    fn wanted(&self) -> &[ColumnId];

    /// How many pieces.
    fn pieces(&self) -> usize;

    /// Makes sure that the wanted columns of a piece are there.
    fn load(&mut self, piece: usize) -> Result<()>;

    /// Whether every wanted column of the piece is there and set in every row.
    fn plain(&self, piece: usize) -> bool;

    /// The array of a wanted column, by its place among the wanted ones; `None` where the piece has
    /// none or is not loaded.
    fn array(&self, piece: usize, wanted: usize) -> Option<&ArrayRef>;

    /// Whether the fragment sets the wanted column. Its piece is plain or loaded.
    fn sets(&self, fragment: &Fragment, wanted: usize) -> bool;

    /// The fragment's batch with every column of the table.
    fn full(&self, fragment: &Fragment, all: &[ColumnId]) -> Result<Option<&RowBatch>>;
}

/// Sorts the fragments of one key from the newest to the oldest.
pub(crate) fn order_fragments(fragments: &mut [Fragment], origins: &Origins) {
    let newer = |left: &Fragment, right: &Fragment| {
        right
            .hlc
            .cmp(&left.hlc)
            .then_with(|| origins(right.origin).cmp(&origins(left.origin)))
    };
    if !fragments.is_sorted_by(|left, right| left.hlc > right.hlc) {
        fragments.sort_by(newer);
    }
}

/// What a key resolves to.
pub(crate) struct Resolver {
    origins: Origins,
    schema: Arc<TableSchema>,
    /// For each wanted column whether it is a key column: those are set in every fragment and never
    /// expire.
    keys: Vec<bool>,
    now_ms: u64,
    /// For each wanted column the fragment that decides it, by its place among the fragments;
    /// `None` is NULL. Valid after [`Resolver::resolve`] said that the row is visible.
    pub(crate) winners: Vec<Option<usize>>,
    decided: Vec<bool>,
}

impl Resolver {
    pub(crate) fn new(
        origins: Origins,
        schema: &Arc<TableSchema>,
        wanted: &[ColumnId],
        now_ms: u64,
    ) -> Self {
        Resolver {
            origins,
            schema: Arc::clone(schema),
            keys: wanted.iter().map(|id| schema.is_key(*id)).collect(),
            now_ms,
            winners: Vec::new(),
            decided: Vec::new(),
        }
    }

    /// Orders the fragments and decides the wanted columns; returns whether the row is visible.
    pub(crate) fn resolve(
        &mut self,
        pieces: &impl Cells,
        fragments: &mut Vec<Fragment>,
        barrier: Option<Stamp>,
    ) -> Result<bool> {
        if fragments.len() > 1 {
            order_fragments(fragments, &self.origins);
        }
        if let Some(barrier) = barrier {
            let origins = &self.origins;
            let alive = fragments
                .iter()
                .take_while(|fragment| fragment.stamp(origins.as_ref()) >= barrier)
                .count();
            fragments.truncate(alive);
        }
        let alive = fragments
            .iter()
            .take_while(|fragment| !fragment.tombstone)
            .count();
        fragments.truncate(alive);
        let Some(newest) = fragments.first() else {
            return Ok(false);
        };
        if newest.expired(self.now_ms) && !self.survives(pieces, fragments)? {
            return Ok(false);
        }
        let wanted = pieces.wanted().len();
        self.winners.clear();
        if fragments.len() == 1 && pieces.plain(newest.piece) {
            self.winners.resize(wanted, Some(0));
            return Ok(true);
        }
        self.winners.resize(wanted, None);
        self.decided.clear();
        self.decided.resize(wanted, false);
        let mut open = wanted;
        for (place, fragment) in fragments.iter().enumerate() {
            if open == 0 {
                break;
            }
            let expired = fragment.expired(self.now_ms);
            let cells = self.winners.iter_mut().zip(&mut self.decided);
            for (column, ((winner, decided), key)) in cells.zip(&self.keys).enumerate() {
                if !*decided && pieces.sets(fragment, column) {
                    *decided = true;
                    open -= 1;
                    *winner = (*key || !expired).then_some(place);
                }
            }
        }
        Ok(true)
    }

    /// Whether any column is decided by an unexpired fragment with a value.
    fn survives(&self, pieces: &impl Cells, fragments: &[Fragment]) -> Result<bool> {
        if fragments
            .iter()
            .all(|fragment| fragment.expired(self.now_ms))
        {
            return Ok(false);
        }
        // Every column of the table that is not a key column.
        let columns = self.schema.columns.iter().map(|column| column.id);
        let values: Vec<ColumnId> = columns.filter(|id| !self.schema.is_key(*id)).collect();
        let mut open = values.clone();
        for fragment in fragments {
            let Some(batch) = pieces.full(fragment, &values)? else {
                continue;
            };
            let mut survivor = false;
            open.retain(|id| {
                let Some(column) = batch.column(*id) else {
                    return true;
                };
                if column
                    .set
                    .as_ref()
                    .is_some_and(|set| fragment.row >= set.len() || !set.value(fragment.row))
                {
                    return true;
                }
                survivor |= !fragment.expired(self.now_ms)
                    && fragment.row < column.array.len()
                    && column.array.is_valid(fragment.row);
                false
            });
            if survivor {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
