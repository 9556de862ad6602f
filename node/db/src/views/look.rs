//! What a record of the log says of a view: which groups and windows its rows are in.

use activestore_catalog::Late;
use activestore_query::ViewQuery;
use activestore_store::LogRecord;
use activestore_types::{
    ColumnId, Error, Hlc, KeyBuffer, KeyRange, Lsn, Result, RowBatch, TableSchema, encode_keys,
};
use arrow::array::{ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::TimestampNanosecondType;

use super::erased;
use super::saved::{Region, key};
use super::upkeep::Upkeep;

/// A row's time may be so far ahead of when it was written: what is later says nothing of what time it is.
const AHEAD_NS: i64 = 250_000_000;

/// The moment at which records are looked at.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now_ns: i64,
    /// Windows before it are not computed anew for rows that come.
    pub(super) floor_ns: Option<i64>,
}

/// The times of rows, and the groups that they are in: none where there is one.
type Places = (PrimitiveArray<TimestampNanosecondType>, Option<KeyBuffer>);

impl Upkeep {
    /// Marks what the records touch, of those that it has not seen; all before `next` are among them. `late` is its
    /// table of late rows: the view leaves out what is there, whoever writes or deletes it.
    ///
    /// # Errors
    /// `Internal` for rows that are not of the table.
    pub(super) fn look(
        &mut self,
        records: &[LogRecord],
        next: Lsn,
        at: Moment,
        late: Option<&TableSchema>,
    ) -> Result<()> {
        let Some(query) = self.query.clone() else {
            // Nobody knows what a record would be to it.
            self.skip(next);
            return Ok(());
        };
        let from = self.next;
        let own = key(self.id);
        for record in records.iter().filter(|record| record.lsn >= from) {
            // Its own were marked where they came from.
            let late = late.filter(|_| record.set.notes.iter().all(|note| note.key != own));
            let is_late = |table| late.is_some_and(|late| late.id == table);
            for range in &record.set.tombstones {
                let of_base = range.table == query.base.id;
                if of_base || is_late(range.table) {
                    let keys = KeyRange {
                        start: range.start.clone(),
                        end: range.end.clone(),
                    };
                    let region = erased::region(&query, keys);
                    // Nobody deleted what the base has lost to its age.
                    let aged = of_base && region.aged;
                    self.dirty.add(Region { aged, ..region });
                }
                for (place, reference) in query.references.iter().enumerate() {
                    if range.table == reference.table.id {
                        self.joined.erase(place, reference, range);
                    }
                }
            }
            for batch in &record.set.batches {
                if batch.table == query.base.id {
                    self.rows(&query, batch, at, record.lsn)?;
                }
                if let Some(late) = late.filter(|late| late.id == batch.table) {
                    let id = |id| {
                        let column = late.column(&query.base.column_by_id(id)?.name)?;
                        Some(column.id)
                    };
                    self.touch(&query, batch, at.floor_ns, &id)?;
                }
                for (place, reference) in query.references.iter().enumerate() {
                    if batch.table == reference.table.id {
                        self.joined.look(place, reference, batch)?;
                    }
                }
            }
        }
        self.next = self.next.max(next);
        Ok(())
    }

    /// Passes records over that cannot be looked at: everything is computed anew.
    pub(super) fn skip(&mut self, next: Lsn) {
        if self.dirty.regions != [Region::all()] {
            self.dirty.forget();
            self.dirty.add(Region::all());
        }
        self.joined.forget();
        self.next = self.next.max(next);
    }

    /// Marks what rows of a record touch.
    fn rows(&mut self, query: &ViewQuery, batch: &RowBatch, at: Moment, lsn: Lsn) -> Result<()> {
        // Its late rows were written before the node started: none is late any more.
        let sent = lsn.0 <= self.saved.late_upto;
        let (times, groups) = places(query, batch, &Some)?;
        let watermark = self.watermark_ns();
        let mut last: Option<(&[u8], i64, bool)> = None;
        let mut newest = i64::MIN;
        let mut kept = vec![false; batch.rows];
        for (row, kept) in (0..times.len()).zip(&mut kept) {
            let ns = times.value(row);
            let slot = query.windows.slot(ns);
            let deletes = batch.tombstone.as_ref();
            let deletes = deletes.is_some_and(|bits| row < bits.len() && bits.value(row));
            // A clock that is ahead would make everybody else late, and a delete may be of any time. When the row was
            // written tells, so that it is the same when the log is read again, long after.
            let written_ms = batch.hlc.get(row).map_or(0, |hlc| Hlc(*hlc).wall_ms());
            let written_ns = i64::try_from(written_ms.saturating_mul(1_000_000));
            let now_ns = written_ns.unwrap_or(i64::MAX).min(at.now_ns);
            if ns <= now_ns.saturating_add(AHEAD_NS) && !deletes {
                newest = newest.max(ns);
            }
            let late = !deletes
                && !sent
                && watermark.is_some_and(|moment| query.windows.closes(ns) <= moment);
            let aged = !deletes
                && at
                    .floor_ns
                    .is_some_and(|floor| query.windows.aged(ns) < floor);
            *kept = !sent && (late || aged);
            self.late += u64::from(*kept);
            // One that goes into a table of its own is left out from then on, and a row with its key may be counted in.
            if aged || (late && self.def.late == Late::Drop) {
                continue;
            }
            let group = groups.as_ref().map_or(&[][..], |groups| groups.key(row));
            if last != Some((group, slot, deletes)) {
                if deletes {
                    self.dirty.mark_deleted(group, slot);
                } else {
                    self.dirty.mark(group, slot);
                }
                last = Some((group, slot, deletes));
            }
        }
        self.newest_ns = self.newest_ns.max(newest);
        if self.def.late.table().is_some() {
            self.late_rows.add(lsn, batch, &BooleanArray::from(kept))?;
        }
        Ok(())
    }

    /// Marks the windows of rows of the base, or of a table with its key whose columns `id` tells, but for those that
    /// begin before a moment.
    ///
    /// # Errors
    /// `Internal` for rows that lack a part of their key.
    pub(super) fn touch(
        &mut self,
        query: &ViewQuery,
        batch: &RowBatch,
        floor_ns: Option<i64>,
        id: &dyn Fn(ColumnId) -> Option<ColumnId>,
    ) -> Result<()> {
        let (times, groups) = places(query, batch, id)?;
        for (row, ns) in times.values().iter().enumerate() {
            if floor_ns.is_none_or(|floor| query.windows.aged(*ns) >= floor) {
                let group = groups.as_ref().map_or(&[][..], |groups| groups.key(row));
                self.dirty.mark(group, query.windows.slot(*ns));
            }
        }
        Ok(())
    }
}

fn places(
    query: &ViewQuery,
    batch: &RowBatch,
    id: &dyn Fn(ColumnId) -> Option<ColumnId>,
) -> Result<Places> {
    let column = |of| {
        let column = id(of).and_then(|id| batch.column(id));
        column
            .map(|column| column.array.clone())
            .ok_or_else(|| Error::internal("a row of the log lacks a part of its key"))
    };
    let times = column(query.time)?;
    let Some(times) = times.as_primitive_opt::<TimestampNanosecondType>() else {
        return Err(Error::internal("the time of a row of the log is none"));
    };
    Ok((times.clone(), groups(query, &column)?))
}

fn groups(
    query: &ViewQuery,
    column: &dyn Fn(ColumnId) -> Result<ArrayRef>,
) -> Result<Option<KeyBuffer>> {
    if query.anchors.is_empty() {
        return Ok(None);
    }
    let anchors = query.anchors.iter();
    let anchors = anchors.map(|(id, _)| Ok((column(*id)?, false)));
    encode_keys(&anchors.collect::<Result<Vec<_>>>()?).map(Some)
}

#[cfg(test)]
mod tests;
