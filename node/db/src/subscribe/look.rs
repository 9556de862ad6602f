//! What records of the log come to for one subscription.
//!
//! A fragment that sets every column that is looked at, and whose stamp is above all that the log has shown
//! of the table, is the row as it is now. (What lies before a token to go on from was not shown. This node's own
//! writes are stamped above it all the same; what others wrote is not.) Of any other the row is read as it stands. Once a key was read, what the log
//! still holds of it up to that moment is read as well and never taken from a fragment: so nobody is told of an
//! older state of a row after a newer one.

use std::sync::Arc;

use activestore_query::LiveQuery;
use activestore_store::{LogRecord, ScanRequest};
use activestore_types::{Error, Hlc, KeyRange, Lsn, NodeId, Result, RowBatch};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::bounds::Bounds;
use super::changes::{Change, Changes, What};
use super::definitions::Definitions;
use super::token::{ALL_ROWS, Place};

mod gathered;
mod glance;
mod state;

use gathered::Gathered;
pub(super) use glance::{Glance, dropped};
use state::{Read, Way};

/// Rows of a record that are looked at together, and events that are handed over in one piece.
const PIECE_ROWS: usize = 1024;
/// Rows that are told again behind a range that another node deleted.
const LEFT_ROWS_MAX: usize = 100_000;

/// One subscription's view of the log.
pub(super) struct Looking {
    pub(super) query: LiveQuery,
    /// Those that the query was compiled with, or stood under since.
    pub(super) definitions: Definitions,
    leaving: bool,
    /// Whether ranges that are deleted are told.
    ranges: bool,
    /// The record that could not be looked at.
    failed: Option<Lsn>,
    node: NodeId,
    key_schema: SchemaRef,
    /// Nothing up to there is told any more.
    after: Place,
    /// The highest stamp of the table that the log has shown; `None` until it has shown one.
    highest: Option<Hlc>,
    /// Whether that is above everything that is in the table.
    above_all: bool,
    read: Read,
}

impl Looking {
    /// `highest` is a stamp that everything before the place is below, where one is known.
    pub(super) fn new(
        query: LiveQuery,
        definitions: Definitions,
        leaving: bool,
        node: NodeId,
        after: Place,
        highest: Option<Hlc>,
    ) -> Self {
        let table = query.table();
        let fields = table.key_columns();
        let fields = fields.filter_map(|key| Some(table.arrow_field(table.column_by_id(key.id)?)));
        Looking {
            key_schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            query,
            definitions,
            leaving,
            ranges: true,
            failed: None,
            node,
            after,
            highest,
            above_all: highest.is_some(),
            read: Read::default(),
        }
    }

    /// Ranges that are deleted are not told.
    pub(super) fn without_ranges(&mut self) {
        self.ranges = false;
    }

    /// The record that could not be looked at, after an error that is one record's.
    pub(super) fn failed(&self) -> Option<Lsn> {
        self.failed
    }

    /// Rows were told as they are, all of those that are written up to a record.
    pub(super) fn was_read(&mut self, upto: Lsn) {
        self.read.upto = upto;
        self.read.all = true;
    }

    pub(super) fn key_schema(&self) -> &SchemaRef {
        &self.key_schema
    }

    /// Behind what it stands.
    pub(super) fn after(&self) -> Place {
        self.after
    }

    /// Passes over what was not told.
    pub(super) fn skip_to(&mut self, place: Place) {
        self.after = place;
        self.highest = None;
        self.above_all = false;
        self.read = Read::default();
    }

    /// There is nothing for it up to a record.
    pub(super) fn pass(&mut self, upto: Lsn) {
        if self.after.next() <= upto {
            self.after = Place::behind(upto);
        }
    }

    /// The same query compiled anew.
    pub(super) fn replace(&mut self, query: LiveQuery) {
        self.query = query;
    }

    /// Hands over what the records come to.
    ///
    /// # Errors
    /// `Conflict` where the record that a token names is not the one that it was given for; what the store and the
    /// query's functions say.
    pub(super) fn look(
        &mut self,
        glance: &mut Glance<'_>,
        records: &[LogRecord],
        tell: &mut dyn FnMut(Changes),
    ) -> Result<()> {
        for record in records {
            if record.lsn < self.after.next() {
                continue;
            }
            self.failed = Some(record.lsn);
            self.record(glance, record, tell)?;
            self.failed = None;
            self.after = Place::behind(record.lsn);
        }
        Ok(())
    }

    fn record(
        &mut self,
        glance: &mut Glance<'_>,
        record: &LogRecord,
        tell: &mut dyn FnMut(Changes),
    ) -> Result<()> {
        let table = self.query.table().id;
        let ranges = record
            .set
            .tombstones
            .iter()
            .filter(|one| one.table == table);
        let batches = record.set.batches.iter().filter(|one| one.table == table);
        self.same_record(record.lsn, batches.clone())?;
        let mut row = 0_u32;
        let skip = |row: u32, after: Place| after.lsn == record.lsn && row <= after.row;
        // Before the rows: those that the same record wrote after it are told behind it.
        for range in ranges {
            if !skip(row, self.after) {
                let foreign = glance.inner.store.origin_node(range.origin) != Some(self.node);
                let keys = KeyRange {
                    start: range.start.clone(),
                    end: range.end.clone(),
                };
                let place = Place {
                    lsn: record.lsn,
                    row,
                    stamp: 0,
                    among: None,
                };
                // Who hears of no range needs not hear what is left in it.
                match foreign {
                    _ if !self.ranges => {}
                    true => self.tell_left(glance, keys, place, tell)?,
                    false => tell(self.erased(keys, place)),
                }
            }
            self.highest = self.highest.max(Some(range.hlc));
            row = row.saturating_add(1);
        }
        for batch in batches {
            let mut start = 0;
            while start < batch.rows {
                let rows = PIECE_ROWS.min(batch.rows - start);
                let piece = batch.slice(start, rows);
                // A row's number within its record has 32 bits, as a batch's length has.
                let first = row.saturating_add(start as u32);
                let skipped = if self.after.lsn == record.lsn && self.after.row != ALL_ROWS {
                    (self.after.row as usize + 1).saturating_sub(first as usize)
                } else {
                    0
                };
                if skipped < rows {
                    let changes = self.piece(glance, &piece, record.lsn, first, skipped)?;
                    if !changes.list.is_empty() {
                        tell(changes);
                    }
                }
                let highest = Some(piece.max_hlc());
                self.highest = self.highest.max(highest);
                start += rows;
            }
            row = row.saturating_add(u32::try_from(batch.rows).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// Where a token names a row of this record: checks that it is the record that it was given for.
    fn same_record<'r>(&self, lsn: Lsn, batches: impl Iterator<Item = &'r RowBatch>) -> Result<()> {
        if self.after.lsn != lsn || self.after.stamp == 0 {
            return Ok(());
        }
        let mut stamps = batches.flat_map(|batch| batch.hlc.iter());
        if stamps.any(|stamp| *stamp == self.after.stamp) {
            return Ok(());
        }
        Err(
            Error::conflict("the token to go on from belongs to a log that is no more").with_hint(
                "a crash or a backup has put other rows in its place: begin WITH (snapshot = true)",
            ),
        )
    }

    fn erased(&self, keys: KeyRange, place: Place) -> Changes {
        Changes {
            rows: RecordBatch::new_empty(self.query.output().clone()),
            keys: RecordBatch::new_empty(self.key_schema.clone()),
            ranges: vec![Bounds::of(self.query.table(), keys)],
            list: vec![Change {
                what: What::Erase(0),
                place,
            }],
            node: self.node,
        }
    }

    /// Another node's delete of a range may be older than rows that are in it here: they are told behind it. Whoever goes
    /// on from one of these events gets all of them again: only the last one's place is behind the range.
    fn tell_left(
        &mut self,
        glance: &mut Glance<'_>,
        keys: KeyRange,
        place: Place,
        tell: &mut dyn FnMut(Changes),
    ) -> Result<()> {
        let (snapshot, upto) = glance.table(self.query.table())?;
        self.read.upto = self.read.upto.max(upto);
        self.read.all = true;
        let scan = snapshot.scan(ScanRequest {
            columns: self.query.needed().to_vec(),
            ranges: vec![keys.clone()],
            limit: Some(LEFT_ROWS_MAX + 1),
            now_ms: glance.now_ms,
            ..ScanRequest::default()
        })?;
        let before = place.before();
        // Of another moment, other rows may be left: their ids are other ones.
        let among = |number: usize| Place {
            among: Some((upto, u32::try_from(number).unwrap_or(u32::MAX))),
            ..before
        };
        let mut waits = self.erased(keys, among(0));
        let (mut left, mut number) = (0, 0);
        for rows in scan {
            let rows = rows?;
            left += rows.num_rows();
            if left > LEFT_ROWS_MAX {
                return Err(Error::overloaded(format!(
                    "another node deleted a range of {} in which more than {LEFT_ROWS_MAX} later rows are",
                    self.query.table().name
                ))
                .with_hint("begin anew WITH (snapshot = true)"));
            }
            let (_, rows) = self.query.rows(&with_schema(&rows, self.query.input())?)?;
            let list = (0..rows.num_rows()).map(|at| Change {
                what: What::Upsert(at),
                place: among(number + 1 + at),
            });
            if rows.num_rows() == 0 {
                continue;
            }
            let next = Changes {
                list: list.collect(),
                keys: RecordBatch::new_empty(self.key_schema.clone()),
                rows,
                ranges: Vec::new(),
                node: self.node,
            };
            number += next.rows.num_rows();
            tell(std::mem::replace(&mut waits, next));
        }
        if let Some(last) = waits.list.last_mut() {
            last.place = place;
        }
        tell(waits);
        Ok(())
    }

    /// Some rows of a batch; the first of them is row `first` of the record, and the first `skipped` were told.
    fn piece(
        &mut self,
        glance: &mut Glance<'_>,
        batch: &RowBatch,
        lsn: Lsn,
        first: u32,
        skipped: usize,
    ) -> Result<Changes> {
        let keys = self.keys(batch)?;
        let ways = self.ways(glance, batch, lsn, &keys)?;
        let of = |way: Way| -> UInt32Array {
            let rows = ways.iter().enumerate().skip(skipped);
            let rows = rows.filter(|(_, one)| **one == way);
            rows.map(|(row, _)| row as u32).collect()
        };
        let (whole, gone, read) = (of(Way::Whole), of(Way::Gone), of(Way::Read));
        let mut told = Gathered::default();
        if !whole.is_empty() {
            let rows = self.whole(batch, &whole)?;
            told.rows(&self.query, &rows, whole.values(), self.leaving)?;
        }
        if !read.is_empty() {
            let (rows, found) = self.as_they_stand(glance, &keys, &read)?;
            told.rows(&self.query, &rows, &found, self.leaving)?;
            for row in read.values() {
                let deletes = is_delete(batch, *row as usize);
                if deletes && !found.contains(row) {
                    told.gone.push(*row);
                }
            }
        }
        told.gone.extend(gone.values());
        told.changes(self, batch, &keys, lsn, first)
    }
}

fn is_delete(batch: &RowBatch, row: usize) -> bool {
    let deletes = batch.tombstone.as_ref();
    deletes.is_some_and(|bits| row < bits.len() && bits.value(row))
}

/// The same columns under the names and types that a query expects.
fn with_schema(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    batch_of(schema, rows.columns().to_vec(), rows.num_rows())
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    Ok(batch)
}
