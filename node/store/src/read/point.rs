//! The point read: one key, from the newest source to the oldest, until every asked cell is decided.

use std::sync::Arc;

use activestore_sst::Sst;
use activestore_types::{ColumnId, Hlc, KeyRange, Result};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::Snapshot;
use super::output::{Picker, output_schema, record_batch};
use super::piece::{Fragment, Held, Pieces, Vector};
use super::resolve::Resolver;
use super::scan::single_partition;
use crate::memtable::MemtableView;

enum Place<'a> {
    View(&'a MemtableView),
    File(&'a Arc<Sst>),
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

    /// Finds what is stored under a key and resolves it; whether there is a visible row.
    fn find(&self, key: &[u8], found: &mut Found) -> Result<bool> {
        let range = KeyRange::only(key);
        let prefix = single_partition(&self.0.schema, &range);
        let barrier = self.covering(key);
        let mut places = self.places(prefix);
        places.sort_by_key(|(newest, _)| std::cmp::Reverse(*newest));
        let Found {
            pieces,
            resolver,
            fragments,
        } = found;
        for (newest, place) in &places {
            let hidden = barrier.is_some_and(|barrier| newest.0 < barrier.hlc);
            if hidden || settled(pieces, fragments, *newest) {
                break;
            }
            match place {
                Place::View(view) => read_view(view, &range, pieces, fragments),
                Place::File(sst) => self.read_file(sst, &range, pieces, fragments)?,
            }
        }
        Ok(!fragments.is_empty() && resolver.resolve(pieces, fragments, barrier)?)
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
