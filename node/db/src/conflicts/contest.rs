//! One row that arrives beside what is here under its key.

use std::collections::BTreeMap;

use activestore_store::Snapshot;
use activestore_types::{
    BatchColumn, Column, ColumnId, Hlc, NodeId, OriginId, Result, RowBatch, TableId, TableSchema,
};
use arrow::array::{Array, ArrayRef};
use arrow::util::display::array_value_to_string;

use super::kept::{CONFLICTS_KEPT_MAX, KeptConflict, TEXT_BYTES_MAX};

/// The conflicts of one log record.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(super) counts: BTreeMap<TableId, u64>,
    /// Of tables that keep them; the latest where there are more than are kept.
    pub(super) kept: Vec<KeptConflict>,
    /// How many more there were of such tables.
    pub(super) let_go: u64,
}

impl Found {
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// A write, by its stamp.
#[derive(Clone, Copy)]
struct Write {
    hlc: Hlc,
    origin: OriginId,
}

/// Rows that arrive and the table as it is.
pub(super) struct Contest<'a> {
    pub(super) schema: &'a TableSchema,
    pub(super) batch: &'a RowBatch,
    /// The columns whose values can lose.
    pub(super) columns: Vec<&'a Column>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) keep: bool,
    /// What is stamped until here may have come in another order than it was written in.
    pub(super) fetched: Hlc,
    pub(super) at_ns: i64,
    pub(super) now_ms: u64,
    pub(super) node: &'a dyn Fn(OriginId) -> NodeId,
}

impl Contest<'_> {
    /// Finds the conflicts of one row.
    pub(super) fn row(&self, row: usize, key: &[u8], found: &mut Found) -> Result<()> {
        let batch = self.batch;
        let came = Write {
            hlc: Hlc(batch.hlc.get(row).copied().unwrap_or(0)),
            origin: OriginId(batch.origin.get(row).copied().unwrap_or(0)),
        };
        let expiry_ms = batch.expiry_ms.as_ref();
        let expiry_ms = expiry_ms.and_then(|expiry| expiry.get(row).copied());
        if expiry_ms.is_some_and(|expiry_ms| expiry_ms > 0 && expiry_ms <= self.now_ms) {
            return Ok(());
        }
        let held = self.snapshot.trace(key, self.now_ms)?;
        if held.newest <= came.hlc {
            return Ok(());
        }
        let beats =
            |hlc: Hlc, origin: OriginId| hlc > came.hlc.max(self.fetched) && origin != came.origin;
        let erased = batch.tombstone.as_ref();
        let erases = erased.is_some_and(|bits| row < bits.len() && bits.value(row));
        let deleted = held.erased.filter(|range| range.hlc > came.hlc);
        if let Some(range) = deleted {
            if !erases && beats(range.hlc, range.origin) {
                let by = Write {
                    hlc: range.hlc,
                    origin: range.origin,
                };
                let losing = Some(self.row_text(row));
                self.add(found, row, None, (came, losing), (by, None));
            }
            return Ok(());
        }
        let counts = |id: ColumnId| self.columns.iter().any(|column| column.id == id);
        let mut newer = held.cells.iter().filter(|(id, ..)| counts(*id));
        if erases {
            let cell = newer.find(|(_, hlc, origin)| beats(*hlc, *origin));
            if let Some((_, hlc, origin)) = cell.copied() {
                let by = Write { hlc, origin };
                self.add(found, row, None, (came, None), (by, None));
            }
            return Ok(());
        }
        let newer: Vec<_> = newer
            .filter(|(_, hlc, origin)| beats(*hlc, *origin))
            .filter_map(|(id, hlc, origin)| {
                let given = self.given(*id, row)?;
                let (hlc, origin) = (*hlc, *origin);
                Some((*id, given, Write { hlc, origin }))
            })
            .collect();
        if newer.is_empty() {
            return Ok(());
        }
        let ids: Vec<ColumnId> = newer.iter().map(|(id, ..)| *id).collect();
        let held = self.snapshot.stamped(key, &ids, self.now_ms)?;
        for ((id, given, by), cell) in newer.into_iter().zip(held.cells) {
            let Some(cell) = cell else { continue };
            if given.as_ref() == cell.value.as_ref() {
                continue; // nothing is lost
            }
            let name = self.schema.column_by_id(id);
            let name = name.map(|column| column.name.clone());
            self.add(
                found,
                row,
                name,
                (came, text(&given, 0)),
                (by, text(&cell.value, 0)),
            );
        }
        Ok(())
    }

    /// The value that a row brings for a column, where it brings one.
    fn given(&self, id: ColumnId, row: usize) -> Option<ArrayRef> {
        let column = self.batch.column(id)?;
        sets(column, row).then(|| column.array.slice(row, 1))
    }

    fn add(
        &self,
        found: &mut Found,
        row: usize,
        column: Option<String>,
        (lost, losing): (Write, Option<String>),
        (won, winning): (Write, Option<String>),
    ) {
        *found.counts.entry(self.schema.id).or_default() += 1;
        if !self.keep {
            return;
        }
        if found.kept.len() >= CONFLICTS_KEPT_MAX {
            found.let_go += 1;
            return;
        }
        found.kept.push(KeptConflict {
            at_ns: self.at_ns,
            table: self.schema.name.clone(),
            key: self.named(row, |id| self.schema.is_key(id)),
            column,
            losing,
            loser: (self.node)(lost.origin),
            lost_ms: lost.hlc.wall_ms(),
            winning,
            winner: (self.node)(won.origin),
            won_ms: won.hlc.wall_ms(),
        });
    }

    /// What a row brings beside its key.
    fn row_text(&self, row: usize) -> String {
        match self.keep {
            true => self.named(row, |id| !self.schema.is_key(id)),
            false => String::new(),
        }
    }

    /// The values of some columns of a row with their names.
    fn named(&self, row: usize, wanted: impl Fn(ColumnId) -> bool) -> String {
        let columns = self.batch.columns.iter();
        let columns = columns.filter(|column| wanted(column.id) && sets(column, row));
        let values = columns.filter_map(|column| {
            let name = &self.schema.column_by_id(column.id)?.name;
            let value = text(&column.array, row);
            Some(format!("{name} = {}", value.as_deref().unwrap_or("NULL")))
        });
        cut(values.collect::<Vec<_>>().join(", "))
    }
}

fn sets(column: &BatchColumn, row: usize) -> bool {
    let set = column.set.as_ref();
    set.is_none_or(|set| row < set.len() && set.value(row))
}

/// A value for people; `None` for NULL.
fn text(array: &ArrayRef, row: usize) -> Option<String> {
    if row >= array.len() || array.is_null(row) {
        return None;
    }
    array_value_to_string(array, row).ok().map(cut)
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}
