//! Rows of another node that are about to be applied: finds the cells of joined columns that the last stamp
//! would leave below the join of what is here and what comes, and makes rows of this node's own that lift
//! them. Who calls is alone in the tables' gates and commits both together.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use activestore_plugin_host::settled;
use activestore_store::StampedCells;
use activestore_types::{
    BatchColumn, Hlc, NodeId, OriginId, RangeTombstone, Result, RowBatch, TableId, TableSchema,
};
use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{interleave, kernels::cmp::distinct};

use super::groups::{self, Place};
use super::{Joined, keys_of};
use crate::db::Inner;

/// What decides which of two writes is the later one.
type Stamp = (Hlc, Option<NodeId>);

/// The rows of one table that come, with what they meet.
pub(super) struct Coming<'a> {
    pub(super) schema: &'a TableSchema,
    pub(super) columns: &'a [Joined],
    pub(super) batches: &'a [&'a RowBatch],
    pub(super) ranges: &'a [&'a RangeTombstone],
    pub(super) now_ms: u64,
    /// Which node an origin's number stands for.
    pub(super) node: &'a dyn Fn(OriginId) -> Option<NodeId>,
    /// What is known here of a key.
    pub(super) held: &'a dyn Fn(&[u8]) -> Result<StampedCells>,
}

/// Rows that lift cells, not stamped yet.
pub(super) struct Lifted {
    pub(super) rows: usize,
    pub(super) columns: Vec<BatchColumn>,
    /// When each expires: as late as the last of the values that are in it; 0 means never.
    pub(super) expiry_ms: Vec<u64>,
    /// The latest of the stamps that they must come after.
    pub(super) after: Hlc,
}

/// A value of a cell that counts.
struct Candidate {
    stamp: Stamp,
    expiry_ms: u64,
    place: Place,
    is_null: bool,
}

/// A cell that rows come for.
struct Cell {
    /// Its row, by number among the keys.
    key: usize,
    latest: Place,
    stamp: Hlc,
    expiry_ms: u64,
    values: Vec<Place>,
}

impl Inner {
    /// The rows that this node has to write because of rows of others, stamped and ready to be committed in the
    /// same record; none of tables without joined columns. `batches` carry local ids.
    ///
    /// # Errors
    /// What a merge function says: then nothing of what came may be applied.
    pub(crate) fn joins_for(
        &self,
        batches: &[RowBatch],
        tombstones: &[RangeTombstone],
    ) -> Result<Vec<RowBatch>> {
        let state = self.catalog.state();
        let mut tables: BTreeMap<TableId, Vec<&RowBatch>> = BTreeMap::new();
        for batch in batches {
            tables.entry(batch.table).or_default().push(batch);
        }
        let mut own = Vec::new();
        for (table, batches) in tables {
            let Some(schema) = state.table_by_id(table) else {
                continue;
            };
            let columns = self.joined_columns(schema)?;
            if columns.is_empty() {
                continue;
            }
            let ids: Vec<_> = columns.iter().map(|column| column.id).collect();
            let ranges = tombstones.iter().filter(|range| range.table == table);
            let snapshot = self.store.snapshot(table)?;
            let now_ms = self.wall_ms();
            let lifted = lifted(&Coming {
                schema,
                columns: &columns,
                batches: &batches,
                ranges: &ranges.collect::<Vec<_>>(),
                now_ms,
                node: &|origin| self.store.origin_node(origin),
                held: &|key| snapshot.stamped(key, &ids, now_ms),
            })?;
            if let Some(lifted) = lifted {
                own.push(self.stamped(table, lifted, now_ms));
            }
        }
        Ok(own)
    }

    fn stamped(&self, table: TableId, lifted: Lifted, now_ms: u64) -> RowBatch {
        let rows = lifted.rows as u64;
        // A row may come from a clock that is far ahead, which this node's does not follow: its join has to
        // come after it all the same. That this node gives the same stamp to the same key once more, when
        // its clock gets there, would need the same count within the same millisecond.
        let first = self.clock.reserve(now_ms, rows).max(lifted.after.plus(1));
        let columns = lifted.columns;
        let mut batch = RowBatch::upsert(table, lifted.rows, columns, first, OriginId(0));
        let expires = lifted.expiry_ms.iter().any(|expiry| *expiry > 0);
        batch.expiry_ms = expires.then(|| lifted.expiry_ms.into());
        self.counts.rows_joined.fetch_add(rows, Ordering::Relaxed);
        batch
    }
}

/// The rows that lift cells; `None` where the last stamps leave no less than the joins.
pub(super) fn lifted(coming: &Coming<'_>) -> Result<Option<Lifted>> {
    // Where a key stands in what comes.
    let mut keys: BTreeMap<Vec<u8>, Vec<Place>> = BTreeMap::new();
    for (number, batch) in coming.batches.iter().enumerate() {
        let encoded = keys_of(coming.schema, &batch.columns)?;
        for (row, key) in encoded.iter().enumerate() {
            keys.entry(key.to_vec()).or_default().push((number, row));
        }
    }
    let mut cells: Vec<Vec<Cell>> = coming.columns.iter().map(|_| Vec::new()).collect();
    let mut sources: Vec<Vec<ArrayRef>> = coming
        .columns
        .iter()
        .map(|column| coming.arrays(column))
        .collect();
    for (number, (key, places)) in keys.iter().enumerate() {
        let held = (coming.held)(key)?;
        let deleted = coming.deleted(key, places).max(held.deleted);
        for (at, column) in coming.columns.iter().enumerate() {
            let (Some(cells), Some(sources)) = (cells.get_mut(at), sources.get_mut(at)) else {
                continue;
            };
            let mut found = coming.candidates(column, places, deleted);
            if found.is_empty() {
                continue; // nothing comes for this cell
            }
            let cell = held.cells.get(at).and_then(Option::as_ref);
            if let Some(cell) = cell.filter(|cell| cell.hlc > deleted) {
                found.push(Candidate {
                    stamp: (cell.hlc, (coming.node)(cell.origin)),
                    expiry_ms: cell.expiry_ms,
                    place: (sources.len(), 0),
                    is_null: cell.value.null_count() > 0,
                });
                sources.push(cell.value.clone());
            }
            cells.extend(Cell::of(number, &found));
        }
    }
    let mut lifts = Vec::new();
    for ((column, cells), sources) in coming.columns.iter().zip(cells).zip(sources) {
        lifts.push(lift(column, cells, &sources)?);
    }
    coming.rows(&keys, &lifts)
}

/// A column's cells that are lifted, each with its row in the array of joins.
struct Lift {
    cells: Vec<(Cell, usize)>,
    joins: ArrayRef,
}

fn lift(column: &Joined, cells: Vec<Cell>, sources: &[ArrayRef]) -> Result<Lift> {
    if cells.is_empty() {
        let joins = new_null_array(&column.data_type.arrow(), 0);
        return Ok(Lift {
            cells: Vec::new(),
            joins,
        });
    }
    let groups = cells.iter().map(|cell| cell.values.clone()).collect();
    let joins = groups::join(column, sources, groups)?;
    let latest: Vec<Place> = cells.iter().map(|cell| cell.latest).collect();
    let views: Vec<&dyn Array> = sources.iter().map(AsRef::as_ref).collect();
    let left = interleave(&views, &latest)?;
    // Both settled, so that values which are equal are equal bit by bit.
    let differs = distinct(&settled(&joins)?, &settled(&left)?)?;
    let lifted = cells.into_iter().zip(0..).zip(differs.values());
    let lifted = lifted.filter_map(|(cell, differs)| differs.then_some(cell));
    Ok(Lift {
        cells: lifted.collect(),
        joins,
    })
}

impl Cell {
    /// `None` where no value counts: NULL is left then.
    fn of(key: usize, found: &[Candidate]) -> Option<Cell> {
        let latest = found.iter().max_by_key(|candidate| candidate.stamp)?;
        let values = found.iter().filter(|candidate| !candidate.is_null);
        let never = values.clone().any(|candidate| candidate.expiry_ms == 0);
        let last = values.clone().map(|candidate| candidate.expiry_ms).max()?;
        Some(Cell {
            key,
            latest: latest.place,
            stamp: latest.stamp.0,
            expiry_ms: if never { 0 } else { last },
            values: values.map(|candidate| candidate.place).collect(),
        })
    }
}

impl Coming<'_> {
    /// The column in each batch, nulls where a batch lacks it.
    fn arrays(&self, column: &Joined) -> Vec<ArrayRef> {
        let arrays = self
            .batches
            .iter()
            .map(|batch| match batch.column(column.id) {
                Some(found) => found.array.clone(),
                None => new_null_array(&column.data_type.arrow(), batch.rows),
            });
        arrays.collect()
    }

    /// The newest delete of a key among what comes.
    fn deleted(&self, key: &[u8], places: &[Place]) -> Hlc {
        let rows = places.iter().filter_map(|(batch, row)| {
            let batch = self.batches.get(*batch)?;
            is_tombstone(batch, *row).then(|| stamp_of(batch, *row))
        });
        let ranges = self.ranges.iter().filter(|range| range.covers(key));
        let all = rows.chain(ranges.map(|range| range.hlc));
        all.max().unwrap_or(Hlc::ZERO)
    }

    /// What comes for a cell and counts.
    fn candidates(&self, column: &Joined, places: &[Place], deleted: Hlc) -> Vec<Candidate> {
        let found = places.iter().filter_map(|(number, row)| {
            let (batch, row) = (self.batches.get(*number)?, *row);
            let given = batch.column(column.id)?;
            let set = given.set.as_ref();
            let set = set.is_none_or(|set| row < set.len() && set.value(row));
            let expiry_ms = batch.expiry_ms.as_ref();
            let expiry_ms = expiry_ms
                .and_then(|expiry| expiry.get(row).copied())
                .unwrap_or(0);
            let expired = expiry_ms > 0 && expiry_ms <= self.now_ms;
            let hlc = stamp_of(batch, row);
            if !set || expired || is_tombstone(batch, row) || hlc <= deleted {
                return None;
            }
            let origin = OriginId(batch.origin.get(row).copied()?);
            Some(Candidate {
                stamp: (hlc, (self.node)(origin)),
                expiry_ms,
                place: (*number, row),
                is_null: given.array.is_null(row),
            })
        });
        found.collect()
    }

    /// One row for each key that has a lifted cell.
    fn rows(&self, keys: &BTreeMap<Vec<u8>, Vec<Place>>, lifts: &[Lift]) -> Result<Option<Lifted>> {
        // By the key's number: its row among the new ones, the stamp to come after, the expiry.
        let mut rows: BTreeMap<usize, (usize, u64)> = BTreeMap::new();
        let mut after = Hlc::ZERO;
        for (cell, _) in lifts.iter().flat_map(|lift| &lift.cells) {
            after = after.max(cell.stamp);
            let (_, expiry) = rows.entry(cell.key).or_insert((0, cell.expiry_ms));
            *expiry = match (*expiry, cell.expiry_ms) {
                (0, _) | (_, 0) => 0,
                (one, other) => one.max(other),
            };
        }
        if rows.is_empty() {
            return Ok(None);
        }
        for (row, (place, _)) in rows.values_mut().enumerate() {
            *place = row;
        }
        let firsts: Vec<Option<Place>> = keys
            .values()
            .map(|places| places.first().copied())
            .collect();
        let picked = rows
            .keys()
            .filter_map(|key| firsts.get(*key).copied().flatten());
        let picked: Vec<Place> = picked.collect();
        let mut columns = Vec::new();
        for key in self.schema.key_columns() {
            let arrays: Vec<&dyn Array> = self
                .batches
                .iter()
                .filter_map(|batch| Some(batch.column(key.id)?.array.as_ref()))
                .collect();
            columns.push(BatchColumn {
                id: key.id,
                array: interleave(&arrays, &picked)?,
                set: None,
            });
        }
        for (column, lift) in self.columns.iter().zip(lifts) {
            if lift.cells.is_empty() {
                continue;
            }
            let nothing = new_null_array(lift.joins.data_type(), 1);
            let mut places: Vec<Place> = vec![(1, 0); rows.len()];
            for (cell, join) in &lift.cells {
                let row = rows.get(&cell.key).map(|(row, _)| *row);
                if let Some(place) = row.and_then(|row| places.get_mut(row)) {
                    *place = (0, *join);
                }
            }
            let set: BooleanBuffer = places.iter().map(|place| place.0 == 0).collect();
            columns.push(BatchColumn {
                id: column.id,
                array: interleave(&[&lift.joins, &nothing], &places)?,
                set: Some(set),
            });
        }
        Ok(Some(Lifted {
            rows: rows.len(),
            columns,
            expiry_ms: rows.values().map(|(_, expiry)| *expiry).collect(),
            after,
        }))
    }
}

fn stamp_of(batch: &RowBatch, row: usize) -> Hlc {
    Hlc(batch.hlc.get(row).copied().unwrap_or(0))
}

fn is_tombstone(batch: &RowBatch, row: usize) -> bool {
    let bits = batch.tombstone.as_ref();
    bits.is_some_and(|bits| row < bits.len() && bits.value(row))
}
