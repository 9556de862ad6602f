//! The point read: one key, from the newest source to the oldest, until every asked cell is decided.

use std::sync::Arc;

use activestore_sst::Sst;
use activestore_types::{ColumnId, Hlc, KeyBuffer, KeyRange, Result, encode_keys};
use arrow::array::{Array, ArrayRef};
use arrow::record_batch::RecordBatch;

use super::Snapshot;
use super::output::{Picker, output_schema};
use super::piece::{Fragment, Held, Pieces, Vector};
use super::resolve::Resolver;
use super::scan::single_partition;
use super::source::{bad_keys, lower_bound};
use crate::memtable::{MemtableView, key_arrays};

enum Place<'a> {
    View(&'a MemtableView),
    File(&'a Arc<Sst>),
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
        let inner = &self.0;
        let schema = output_schema(&inner.schema, columns)?;
        let mut end = key.to_vec();
        end.push(0);
        let range = KeyRange {
            start: key.to_vec(),
            end,
        };
        let prefix = single_partition(&inner.schema, &range);
        let barrier = self.covering(key);
        let mut pieces = Pieces::new(columns.to_vec());
        let mut resolver =
            Resolver::new(Arc::clone(&inner.origins), &inner.schema, columns, now_ms);
        let mut found: Vec<Fragment> = Vec::new();
        let mut places = self.places(prefix);
        places.sort_by_key(|(newest, _)| std::cmp::Reverse(*newest));
        for (newest, place) in &places {
            let hidden = barrier.is_some_and(|barrier| newest.0 < barrier.hlc);
            if hidden || settled(&pieces, &found, *newest) {
                break;
            }
            match place {
                Place::View(view) => read_view(view, &range, &mut pieces, &mut found),
                Place::File(sst) => self.read_file(sst, &range, &mut pieces, &mut found)?,
            }
        }
        if found.is_empty() || !resolver.resolve(&pieces, &mut found, barrier)? {
            return Ok(None);
        }
        let mut picker = Picker::new(schema);
        picker.push(&found, &resolver.winners);
        picker.finish(&pieces).map(Some)
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
        let schema = &self.0.schema;
        let meta = sst.meta();
        if meta.rows == 0 || !range.overlaps(&meta.first_key, &meta.last_key) {
            return Ok(());
        }
        let key_columns: Vec<ColumnId> = schema.key_columns().map(|key| key.id).collect();
        let wanted = pieces.wanted().iter().copied();
        let values: Vec<ColumnId> = wanted.filter(|id| !key_columns.contains(id)).collect();
        for vector in sst.vectors_in(range) {
            // The key's columns first: a vector that does not hold the key costs no more.
            let key_batch = sst.read(vector, &key_columns)?;
            pieces.stats.vectors_read += 1;
            let rows = key_batch.rows;
            let bad = |error| bad_keys(sst, &error);
            let keys = key_arrays(schema, &key_batch).map_err(bad)?;
            let low = lower_bound_in(&keys, rows, &range.start).map_err(bad)?;
            let high = lower_bound_in(&keys, rows, &range.end).map_err(bad)?;
            if low < high {
                let mut batch = sst.read_stamped(vector, &values)?;
                batch.columns.extend(key_batch.columns);
                let piece = pieces.len();
                let decoded = Vector::new(Arc::clone(sst), vector, batch, KeyBuffer::default());
                pieces.push(Held::Vector(Arc::new(decoded)));
                found.extend((low..high).map(|row| pieces.fragment(piece, row)));
            }
        }
        Ok(())
    }
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
            let piece = pieces.len();
            pieces.push(Held::Chunk(Arc::clone(chunk)));
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

/// The first row whose key is not below `target`; `rows` sorted rows, of which few keys are encoded.
pub(super) fn lower_bound_in(
    keys: &[(ArrayRef, bool)],
    rows: usize,
    target: &[u8],
) -> Result<usize> {
    let mut failure = None;
    let place = lower_bound(rows, |row| {
        let one: Vec<(ArrayRef, bool)> = keys
            .iter()
            .map(|(array, descending)| (array.slice(row, 1), *descending))
            .collect();
        match encode_keys(&one) {
            Ok(encoded) => encoded.key(0) < target,
            Err(error) => {
                failure = Some(error);
                false
            }
        }
    });
    failure.map_or(Ok(place), Err)
}
