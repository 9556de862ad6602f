//! Rows of shared tables from before the horizon: whether they were deleted since nobody remembers.
//!
//! At the cloud such a row is taken where the cloud has something as old of its key, for then no delete came
//! between; it is left out where it changes nothing; else it is set aside for people to decide, and a tombstone of just
//! that stamp tells everybody who shows it, its writer first, that it is not in force. At an edge that fetches the
//! tables, what the cloud does not have and is as old goes in the same way: both ends go by the oldest fragment of a
//! key that the cloud has, so they come to the same.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use activestore_store::{Snapshot, Trace};
use activestore_types::{
    BatchColumn, Error, Hlc, OriginId, RangeTombstone, Result, RowBatch, SyncMode, TableSchema,
};
use arrow::buffer::BooleanBuffer;

use super::spared::Spared;
use crate::db::Inner;
use crate::incoming::Incoming;
use crate::merging::keys_of;
use crate::outbox::filter::picked;
use crate::outbox::origins::Covered;
use crate::outbox::segment::Erased;

/// Fragments that are looked at in one piece.
const PIECE_ROWS: usize = 8192;

/// What becomes of rows that an edge brings.
pub(crate) struct Sifted {
    pub(crate) taken: RowBatch,
    pub(crate) aside: RowBatch,
    /// For those that are set aside.
    pub(crate) tombstones: RowBatch,
}

/// What becomes of one row.
enum Fate {
    Taken,
    Needless,
    Aside,
}

/// Why rows are set aside.
pub(crate) fn too_late(schema: &TableSchema) -> Error {
    Error::conflict(format!(
        "rows of {} were written before the time from which on deletes are remembered ([sync] max_offline), and are \
         not here: they may have been deleted",
        schema.name
    ))
    .with_hint("activestore sync retry-rejected writes them anew")
}

/// Says of some rows that their keys are deleted as of stamps.
fn tombstones(schema: &TableSchema, rows: &RowBatch, hlc: Vec<u64>, origin: OriginId) -> RowBatch {
    let columns = rows.columns.iter();
    let keys = columns.filter(|column| schema.is_key(column.id));
    let columns = keys.map(|column| BatchColumn {
        id: column.id,
        array: column.array.clone(),
        set: None,
    });
    RowBatch {
        hlc: hlc.into(),
        tombstone: Some(BooleanBuffer::new_set(rows.rows)),
        ..RowBatch::upsert(schema.id, rows.rows, columns.collect(), Hlc::ZERO, origin)
    }
}

fn is_tombstone(batch: &RowBatch, row: usize) -> bool {
    let tombstones = batch.tombstone.as_ref();
    tombstones.is_some_and(|tombstones| tombstones.value(row))
}

/// The newest row tombstone of each key.
fn newest_deletes<'a>(
    schema: &TableSchema,
    batches: impl Iterator<Item = &'a RowBatch>,
) -> Result<BTreeMap<Vec<u8>, u64>> {
    let mut newest: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for batch in batches.filter(|batch| batch.tombstone.is_some()) {
        let keys = keys_of(schema, &batch.columns)?;
        for ((row, key), hlc) in keys.iter().enumerate().zip(batch.hlc.iter()) {
            if is_tombstone(batch, row) {
                let known = newest.entry(key.to_vec()).or_default();
                *known = (*known).max(*hlc);
            }
        }
    }
    Ok(newest)
}

/// The stamp of the oldest fragment of a key that is alive after some stamp.
fn oldest_alive(snapshot: &Snapshot, key: &[u8], after: Hlc) -> Result<Option<u64>> {
    let piece = snapshot.fragments(key, 1)?;
    let mut oldest: Option<u64> = None;
    for batch in &piece.batches {
        let keys = keys_of(snapshot.schema(), &batch.columns)?;
        for ((row, found), hlc) in keys.iter().enumerate().zip(batch.hlc.iter()) {
            if found == key && *hlc > after.0 && !is_tombstone(batch, row) {
                oldest = Some(oldest.map_or(*hlc, |known| known.min(*hlc)));
            }
        }
    }
    Ok(oldest)
}

impl Inner {
    /// Looks at rows that an edge brings, of a shared table with a horizon; `erased` is what their segment erases.
    pub(crate) fn sift(
        &self,
        schema: &TableSchema,
        batch: &RowBatch,
        horizon: Hlc,
        erased: &[Erased],
    ) -> Result<Sifted> {
        let keys = keys_of(schema, &batch.columns)?;
        let deletes = newest_deletes(schema, std::iter::once(batch))?;
        let ranges = erased.iter().filter(|one| one.table == schema.name);
        let ranges: Vec<_> = ranges.collect();
        let snapshot = self.store.snapshot(schema.id)?;
        let now_ms = self.wall_ms();
        let (mut taken, mut aside) = (Vec::new(), Vec::new());
        let numbered = (0_u32..).zip(keys.iter()).zip(batch.hlc.iter());
        for ((number, key), hlc) in numbered {
            let row = number as usize;
            if *hlc >= horizon.0 || is_tombstone(batch, row) {
                taken.push(number);
                continue;
            }
            let range = ranges.iter().filter(|one| {
                one.start.as_slice() <= key && (one.end.is_empty() || key < one.end.as_slice())
            });
            let gone = range.map(|one| one.hlc).max();
            let gone = gone.max(deletes.get(key).copied());
            let expiry = batch.expiry_ms.as_ref().and_then(|all| all.get(row));
            let over = expiry.is_some_and(|at| *at > 0 && *at <= now_ms);
            let fate = match over || gone.is_some_and(|gone| gone >= *hlc) {
                true => Fate::Needless,
                false => fate(&snapshot, batch, row, key, *hlc, now_ms)?,
            };
            match fate {
                Fate::Taken => taken.push(number),
                Fate::Needless => {
                    self.down.horizons.needless.fetch_add(1, Ordering::Relaxed);
                }
                Fate::Aside => aside.push(number),
            }
        }
        let aside = picked(batch, &aside)?;
        let late = aside.rows as u64;
        self.down.horizons.late.fetch_add(late, Ordering::Relaxed);
        let stamps = aside.hlc.iter().map(|hlc| hlc.saturating_add(1));
        let tombstones = tombstones(schema, &aside, stamps.collect(), OriginId(0));
        Ok(Sifted {
            taken: picked(batch, &taken)?,
            aside,
            tombstones,
        })
    }

    /// Rows that came too late and are tried again, as writes of this node's of now: as old ones they would be deleted
    /// where somebody remembers that they were set aside. Those that somebody deleted since stay away, and cells of
    /// which something newer is known.
    pub(crate) fn as_written_now(
        &self,
        schema: &TableSchema,
        mut batch: RowBatch,
    ) -> Result<RowBatch> {
        let snapshot = self.store.snapshot(schema.id)?;
        let now_ms = self.wall_ms();
        let keys = keys_of(schema, &batch.columns)?;
        let mut traces = Vec::new();
        for key in keys.iter() {
            traces.push(snapshot.trace(key, now_ms)?);
        }
        // Later than the tombstone of when it was set aside.
        let is_gone = |trace: &Trace, hlc: u64| {
            let erased = trace.erased.as_ref();
            erased.is_some_and(|erased| erased.hlc.0 > hlc.saturating_add(1))
        };
        let mut says = vec![false; batch.rows];
        let mut has_values = false;
        for column in &mut batch.columns {
            if schema.is_key(column.id) {
                continue;
            }
            has_values = true;
            let stamped = traces.iter().zip(batch.hlc.iter());
            let set: BooleanBuffer = stamped
                .enumerate()
                .map(|(row, (trace, hlc))| {
                    let mut cells = trace.cells.iter();
                    let newer = cells.any(|(id, stamp, _)| *id == column.id && stamp.0 > *hlc);
                    !newer && column.set.as_ref().is_none_or(|set| set.value(row))
                })
                .collect();
            for (says, set) in says.iter_mut().zip(set.iter()) {
                *says |= set;
            }
            column.set = Some(set);
        }
        let looked = traces.iter().zip(batch.hlc.iter()).zip(says);
        let left = (0_u32..).zip(looked).filter(|(_, ((trace, hlc), says))| {
            // A row of a key alone is there or not.
            !is_gone(trace, **hlc) && (*says || !has_values || !trace.shown)
        });
        let left: Vec<u32> = left.map(|(number, _)| number).collect();
        let batch = picked(&batch, &left)?;
        let first = self.clock.reserve(self.wall_ms(), batch.rows as u64);
        let stamped = RowBatch::upsert(batch.table, batch.rows, batch.columns, first, OriginId(0));
        Ok(RowBatch {
            expiry_ms: batch.expiry_ms,
            tombstone: batch.tombstone,
            ..stamped
        })
    }

    /// Adds to a fetched piece of a shared table what goes of that table here: fragments as old as the cloud says,
    /// and older than all that it has of their keys, but for what is spared.
    pub(super) fn forget_as_above(
        &self,
        schema: &TableSchema,
        covered: &Covered,
        spared: &Spared,
        incoming: &mut Incoming,
    ) -> Result<()> {
        let mut oldest: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for batch in incoming.batches.iter().filter(|one| one.table == schema.id) {
            let keys = keys_of(schema, &batch.columns)?;
            for (key, hlc) in keys.iter().zip(batch.hlc.iter()) {
                let known = oldest.entry(key.to_vec()).or_insert(*hlc);
                *known = (*known).min(*hlc);
            }
        }
        let Some(snapshot) = self.snapshot_of(schema)? else {
            return Ok(());
        };
        let now_ms = self.wall_ms();
        let is_behind = |key: &[u8]| !covered.end.is_empty() && key >= covered.end.as_slice();
        // Keys of which the cloud has nothing go as ranges, for they may be many.
        let mut run: Option<(Vec<u8>, Vec<u8>)> = None;
        let mut start = covered.start.clone();
        loop {
            let piece = snapshot.fragments(&start, PIECE_ROWS)?;
            let deleted = newest_deletes(snapshot.schema(), piece.batches.iter())?;
            // Of each key: whether something of it goes, and whether something of that stays.
            let mut found: BTreeMap<Vec<u8>, (bool, bool)> = BTreeMap::new();
            for batch in &piece.batches {
                let keys = keys_of(snapshot.schema(), &batch.columns)?;
                let stamped = batch.hlc.iter().zip(batch.origin.iter());
                for ((row, key), (hlc, origin)) in keys.iter().enumerate().zip(stamped) {
                    if is_behind(key) {
                        continue;
                    }
                    let upto = goes_upto(&oldest, key, covered);
                    let dead = deleted.get(key).is_some_and(|deleted| deleted >= hlc);
                    let goes = *hlc < upto && !dead && !is_tombstone(batch, row);
                    let (some, stays) = found.entry(key.to_vec()).or_default();
                    *some |= goes;
                    *stays |= goes && spared.stays(*hlc, *origin);
                }
            }
            for batch in &piece.batches {
                let keys = keys_of(snapshot.schema(), &batch.columns)?;
                let (mut rows, mut stamps) = (Vec::new(), Vec::new());
                for (number, key) in (0_u32..).zip(keys.iter()) {
                    if oldest.contains_key(key)
                        && found.get(key).is_some_and(|one| *one == (true, false))
                    {
                        found.remove(key);
                        rows.push(number);
                        stamps.push(goes_upto(&oldest, key, covered));
                    }
                }
                if !rows.is_empty() {
                    let picked = picked(batch, &rows)?;
                    incoming.rows(tombstones(schema, &picked, stamps, spared.by));
                }
            }
            for (key, (some, stays)) in found {
                if stays {
                    incoming.forgotten(schema, run.take(), covered, spared.by);
                    continue;
                }
                let absent = some && !oldest.contains_key(&key);
                if !absent || !snapshot.trace(&key, now_ms)?.shown {
                    continue;
                }
                // Of a key between them the cloud has something, which may be as old.
                let is_one = run.as_ref().is_some_and(|(first, _)| {
                    oldest.range(first.clone()..key.clone()).next().is_none()
                });
                let first = match run.take() {
                    Some((first, _)) if is_one => first,
                    ended => {
                        incoming.forgotten(schema, ended, covered, spared.by);
                        key.clone()
                    }
                };
                run = Some((first, key));
            }
            match piece.next {
                Some(next) if !is_behind(&next) => start = next,
                _ => break,
            }
        }
        incoming.forgotten(schema, run, covered, spared.by);
        Ok(())
    }

    /// The stamp up to which a fetched piece of a table says all that there is, if it says so.
    pub(super) fn covered_up_to(&self, schema: &TableSchema) -> Result<Option<Hlc>> {
        match schema.sync {
            SyncMode::Down => self.whole_up_to(),
            // Below the horizon, which itself is not forgotten.
            SyncMode::Both => Ok(self
                .horizons()
                .of(schema)
                .map(|hlc| Hlc(hlc.0.saturating_sub(1)))),
            SyncMode::None | SyncMode::Up => Ok(None),
        }
    }
}

/// Up to which stamp fragments of a key go: older than all that the cloud has of it.
fn goes_upto(oldest: &BTreeMap<Vec<u8>, u64>, key: &[u8], covered: &Covered) -> u64 {
    let oldest = oldest.get(key).map(|oldest| oldest.saturating_sub(1));
    oldest.unwrap_or(covered.hlc).min(covered.hlc)
}

impl Incoming {
    /// Adds a run of keys, with the last one, of which the cloud has nothing.
    fn forgotten(
        &mut self,
        schema: &TableSchema,
        run: Option<(Vec<u8>, Vec<u8>)>,
        covered: &Covered,
        by: OriginId,
    ) {
        if let Some((start, last)) = run {
            self.range(RangeTombstone {
                table: schema.id,
                start,
                // No key lies between a key and itself with a zero.
                end: [last.as_slice(), &[0]].concat(),
                hlc: Hlc(covered.hlc),
                origin: by,
            });
        }
    }
}

/// What becomes of a row from behind the horizon.
fn fate(
    snapshot: &Snapshot,
    batch: &RowBatch,
    row: usize,
    key: &[u8],
    hlc: u64,
    now_ms: u64,
) -> Result<Fate> {
    let trace = snapshot.trace(key, now_ms)?;
    let erased = trace.erased.as_ref().map_or(Hlc::ZERO, |erased| erased.hlc);
    if erased.0 >= hlc {
        return Ok(Fate::Needless);
    }
    if !trace.shown {
        return Ok(Fate::Aside);
    }
    let is_decided = |column: &BatchColumn| {
        let cells = trace.cells.iter();
        let mut cells = cells.filter(|(id, stamp, _)| *id == column.id && stamp.0 >= hlc);
        cells.next().is_some()
    };
    let sets = |column: &&BatchColumn| column.set.as_ref().is_none_or(|set| set.value(row));
    let schema = snapshot.schema();
    let values = batch
        .columns
        .iter()
        .filter(|column| !schema.is_key(column.id));
    if values.filter(sets).all(is_decided) {
        return Ok(Fate::Needless);
    }
    let oldest = oldest_alive(snapshot, key, erased)?;
    Ok(match oldest.is_some_and(|oldest| oldest <= hlc) {
        true => Fate::Taken,
        false => Fate::Aside,
    })
}
