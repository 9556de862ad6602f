//! The point read: one key, from the newest source to the oldest, until every asked cell is decided.

use std::sync::Arc;

use activestore_sst::Sst;
use activestore_types::{ColumnId, Hlc, KeyRange, OriginId, RangeTombstone, Result};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::Snapshot;
use super::output::{Picker, output_schema, record_batch};
use super::piece::{Fragment, Held, Pieces, Vector};
use super::resolve::Resolver;
use super::scan::single_partition;
use crate::memtable::MemtableView;
use crate::version::Stamp;

enum Place<'a> {
    View(&'a MemtableView),
    File(&'a Arc<Sst>),
}

/// What the last stamp left of one cell, NULL included.
#[derive(Clone, Debug)]
pub struct StampedCell {
    /// The value, as an array of one row.
    pub value: ArrayRef,
    /// When it was written.
    pub hlc: Hlc,
    /// By whom.
    pub origin: OriginId,
    /// When it expires, in milliseconds since 1970; 0 means never.
    pub expiry_ms: u64,
}

/// What is known of a key, whether there is a row or not.
#[derive(Clone, Debug)]
pub struct StampedCells {
    /// For each column that was asked for its cell; `None` where nobody has written it, or it has expired.
    pub cells: Vec<Option<StampedCell>>,
    /// The newest delete of the key that is known; zero where there is none. Nothing that was written before
    /// it counts.
    pub deleted: Hlc,
}

/// What a key's fragments and tombstones come to.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The newest stamp that anybody left at the key.
    pub newest: Hlc,
    /// The newest delete of it, as a range that is this key alone where the row was deleted.
    pub erased: Option<RangeTombstone>,
    /// Whether there is a visible row.
    pub shown: bool,
    /// The cells that decide the row: column, stamp, writer.
    pub cells: Vec<(ColumnId, Hlc, OriginId)>,
}

/// What is stored under a key.
struct Found {
    pieces: Pieces,
    resolver: Resolver,
    fragments: Vec<Fragment>,
}

impl Found {
    fn new(snapshot: &Snapshot, columns: &[ColumnId], now_ms: u64) -> Self {
        let inner = &snapshot.0;
        let origins = Arc::clone(&inner.origins);
        Found {
            pieces: Pieces::new(columns.to_vec()),
            resolver: Resolver::new(origins, &inner.schema, columns, now_ms),
            fragments: Vec::new(),
        }
    }
}

impl Snapshot {
    /// The visible row with this encoded key, as a batch of one row; `now_ms` decides what has
    /// expired.
    ///
    /// # Errors
    /// `Invalid` for a column that the table does not have; `Corrupt` from a damaged file.
    pub fn get(
        &self,
        key: &[u8],
        columns: &[ColumnId],
        now_ms: u64,
    ) -> Result<Option<RecordBatch>> {
        let schema = self.row_schema(columns)?;
        let mut found = Found::new(self, columns, now_ms);
        if !self.find(key, &mut found)? {
            return Ok(None);
        }
        let Found {
            mut pieces,
            resolver,
            fragments,
        } = found;
        if let Some(arrays) = alone(&pieces, &fragments, &resolver.winners) {
            return record_batch(&schema, arrays, 1).map(Some);
        }
        let mut picker = Picker::new(schema);
        picker.push(&fragments, &resolver.winners);
        picker.finish(&mut pieces).map(Some)
    }

    /// The newest stamp of the visible row with this encoded key; `None` where there is no such row.
    ///
    /// # Errors
    /// `Corrupt` from a damaged file.
    pub fn written(&self, key: &[u8], now_ms: u64) -> Result<Option<Hlc>> {
        let mut found = Found::new(self, &[], now_ms);
        let visible = self.find(key, &mut found)?;
        let newest = found.fragments.iter().map(|fragment| fragment.hlc).max();
        Ok(newest.filter(|_| visible).map(Hlc))
    }

    /// The cells of a key with their stamps, for who has to know whether a write of another node comes before
    /// or after them.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn stamped(&self, key: &[u8], columns: &[ColumnId], now_ms: u64) -> Result<StampedCells> {
        let mut found = Found::new(self, columns, now_ms);
        let barrier = self.gather(key, &mut found, false)?;
        let Found {
            pieces,
            mut resolver,
            mut fragments,
        } = found;
        let tombstones = fragments.iter().filter(|fragment| fragment.tombstone);
        let tombstones = tombstones.map(|fragment| fragment.hlc).max();
        let deleted = tombstones.max(barrier.map(|barrier| barrier.hlc));
        let visible =
            !fragments.is_empty() && resolver.resolve(&pieces, &mut fragments, barrier)?;
        let mut cells = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            let winner = resolver.winners.get(column).copied().flatten();
            let fragment = winner.filter(|_| visible).and_then(|at| fragments.get(at));
            let Some(fragment) = fragment else {
                cells.push(None);
                continue;
            };
            let array = pieces.array(fragment.piece, column);
            let value = array.filter(|array| fragment.row < array.len());
            cells.push(value.map(|array| StampedCell {
                value: array.slice(fragment.row, 1),
                hlc: Hlc(fragment.hlc),
                origin: fragment.origin,
                expiry_ms: fragment.expiry_ms,
            }));
        }
        Ok(StampedCells {
            cells,
            deleted: Hlc(deleted.unwrap_or(0)),
        })
    }

    /// Everything that is known of a key without its values.
    ///
    /// # Errors
    /// `Corrupt` from a damaged file.
    pub fn trace(&self, key: &[u8], now_ms: u64) -> Result<Trace> {
        let columns = self.schema().columns.iter().map(|column| column.id);
        let values: Vec<ColumnId> = columns.filter(|id| !self.schema().is_key(*id)).collect();
        let mut found = Found::new(self, &values, now_ms);
        let barrier = self.gather(key, &mut found, false)?;
        let Found {
            pieces,
            mut resolver,
            mut fragments,
        } = found;
        let mut erased = None;
        if barrier.is_some() {
            let covering = self.range_tombstones().into_iter();
            erased = covering
                .filter(|one| one.covers(key))
                .max_by_key(|one| one.hlc);
        }
        let deleted = fragments.iter().filter(|fragment| fragment.tombstone);
        if let Some(newest) = deleted.max_by_key(|fragment| fragment.hlc)
            && erased.as_ref().is_none_or(|range| range.hlc.0 < newest.hlc)
        {
            let KeyRange { start, end } = KeyRange::only(key);
            erased = Some(RangeTombstone {
                table: self.schema().id,
                start,
                end,
                hlc: Hlc(newest.hlc),
                origin: newest.origin,
            });
        }
        let newest = fragments.iter().map(|fragment| fragment.hlc).max();
        let newest = newest.max(erased.as_ref().map(|range| range.hlc.0));
        let shown = !fragments.is_empty() && resolver.resolve(&pieces, &mut fragments, barrier)?;
        let mut cells = Vec::new();
        if shown {
            for (column, winner) in values.iter().zip(&resolver.winners) {
                if let Some(fragment) = winner.and_then(|at| fragments.get(at)) {
                    cells.push((*column, Hlc(fragment.hlc), fragment.origin));
                }
            }
        }
        Ok(Trace {
            newest: Hlc(newest.unwrap_or(0)),
            erased,
            shown,
            cells,
        })
    }

    /// Finds what is stored under a key and resolves it; whether there is a visible row.
    fn find(&self, key: &[u8], found: &mut Found) -> Result<bool> {
        let barrier = self.gather(key, found, true)?;
        let Found {
            pieces,
            resolver,
            fragments,
        } = found;
        Ok(!fragments.is_empty() && resolver.resolve(pieces, fragments, barrier)?)
    }

    /// Finds what is stored under a key, all of it or until the rest decides nothing any more; gives the range
    /// tombstone that covers the key.
    fn gather(&self, key: &[u8], found: &mut Found, until_settled: bool) -> Result<Option<Stamp>> {
        let range = KeyRange::only(key);
        let prefix = single_partition(&self.0.schema, &range);
        let barrier = self.covering(key);
        let mut places = self.places(prefix);
        places.sort_by_key(|(newest, _)| std::cmp::Reverse(*newest));
        let Found {
            pieces, fragments, ..
        } = found;
        for (newest, place) in &places {
            let hidden = barrier.is_some_and(|barrier| newest.0 < barrier.hlc);
            if hidden || (until_settled && settled(pieces, fragments, *newest)) {
                break;
            }
            match place {
                Place::View(view) => read_view(view, &range, pieces, fragments),
                Place::File(sst) => self.read_file(sst, &range, pieces, fragments)?,
            }
        }
        Ok(barrier)
    }

    /// The Arrow schema of a row. That of the columns that were asked for first is kept: they are
    /// mostly asked for again.
    fn row_schema(&self, columns: &[ColumnId]) -> Result<SchemaRef> {
        let inner = &self.0;
        if let Some((known, schema)) = inner.row_schema.get()
            && known == columns
        {
            return Ok(Arc::clone(schema));
        }
        let schema = output_schema(&inner.schema, columns)?;
        let _ = inner
            .row_schema
            .set((columns.to_vec(), Arc::clone(&schema)));
        Ok(schema)
    }

    /// Every source that may hold the partition, each with its newest stamp.
    fn places(&self, prefix: Option<&[u8]>) -> Vec<(Hlc, Place<'_>)> {
        let views = self.0.views.iter();
        let views = views.filter_map(|view| Some((view.max_hlc()?, Place::View(view))));
        let files = self.0.files.iter().map(|file| &file.sst);
        let files = files
            .filter(|sst| prefix.is_none_or(|prefix| sst.may_hold_partition(prefix)))
            .map(|sst| (sst.meta().max_hlc, Place::File(sst)));
        views.chain(files).collect()
    }

    fn read_file(
        &self,
        sst: &Arc<Sst>,
        range: &KeyRange,
        pieces: &mut Pieces,
        found: &mut Vec<Fragment>,
    ) -> Result<()> {
        let meta = sst.meta();
        if meta.rows == 0 || !range.overlaps(&meta.first_key, &meta.last_key) {
            return Ok(());
        }
        for vector in sst.vectors_in(range)? {
            let read = sst.read_key(vector, &range.start, pieces.wanted())?;
            if let Some((rows, batch)) = read {
                let count = batch.rows;
                let decoded = Vector::part(Arc::clone(sst), vector, rows, batch);
                let piece = pieces.push(Held::Vector(Arc::new(decoded)));
                found.extend((0..count).map(|row| pieces.fragment(piece, row)));
            }
        }
        Ok(())
    }
}

/// The cells of a row that one fragment decides, uncopied, where that keeps nothing else in memory.
fn alone(pieces: &Pieces, found: &[Fragment], winners: &[Option<usize>]) -> Option<Vec<ArrayRef>> {
    let first = (*winners.first()?)?;
    let fragment = found.get(first)?;
    let whole = winners.iter().all(|winner| *winner == Some(first));
    if !whole || !pieces.small(fragment.piece) {
        return None;
    }
    (0..winners.len())
        .map(|column| {
            let array = pieces.array(fragment.piece, column)?;
            match array.len() {
                1 if fragment.row == 0 => Some(Arc::clone(array)),
                rows => (fragment.row < rows).then(|| array.slice(fragment.row, 1)),
            }
        })
        .collect()
}

fn read_view(
    view: &MemtableView,
    range: &KeyRange,
    pieces: &mut Pieces,
    found: &mut Vec<Fragment>,
) {
    for row in view.order(range) {
        let (chunk, at) = view.chunks().locate(row);
        if let Some(chunk) = view.chunks().get(chunk) {
            let piece = pieces.push(Held::Chunk(Arc::clone(chunk)));
            found.push(pieces.fragment(piece, at));
        }
    }
}

/// Whether nothing stamped `newest` or earlier can change what the found fragments say: a row
/// tombstone above it ends the key, and an upsert above it that sets every asked column, and does
/// not expire, decides all of it.
fn settled(pieces: &Pieces, found: &[Fragment], newest: Hlc) -> bool {
    let above = || found.iter().filter(|fragment| fragment.hlc > newest.0);
    if above().any(|fragment| fragment.tombstone) {
        return true;
    }
    above().any(|fragment| fragment.expiry_ms == 0)
        && above().all(|fragment| fragment.expiry_ms == 0)
        && (0..pieces.wanted().len())
            .all(|column| above().any(|fragment| pieces.sets(fragment, column)))
}
