//! The files of a merge as sources of fragments, in key order, whole vectors decoded at a time.
//!
//! A source stands *before* a row whose key it knows or, at the edge of a vector not yet decoded,
//! before rows none of whose keys is below its bound.

use std::ops::Range;
use std::sync::Arc;

use activestore_sst::{Fence, Sst};
use activestore_types::{ColumnId, Result, TableSchema};

use crate::memtable::row_keys;
use crate::read::{Fragment, Head, Held, Pieces, Slot, Vector, bad_keys, lower_bound};
use crate::version::TombstoneMap;

/// What all sources of a merge share.
pub(super) struct Columns {
    pub(super) schema: Arc<TableSchema>,
    /// Every column of the table.
    pub(super) all: Vec<ColumnId>,
}

/// The vectors of a file.
pub(super) struct FileSource {
    sst: Arc<Sst>,
    columns: Arc<Columns>,
    /// Not decoded yet.
    vectors: Range<usize>,
    loaded: Option<Held>,
    /// The first key of the next vector that is not decoded.
    edge: Option<Fence>,
    /// The rows of the decoded vector that are still to come.
    rows: Range<usize>,
    slot: Slot,
    /// Whether no key of the file stands twice.
    distinct: bool,
    /// Whether a fragment that no other source shares its key with stays as it is.
    plain: bool,
}

/// A vector that can be moved as it is.
pub(super) struct Whole {
    pub(super) sst: Arc<Sst>,
    pub(super) index: usize,
}

/// Rows of one piece that nothing is merged with.
pub(super) struct Run {
    pub(super) piece: usize,
    pub(super) rows: Range<usize>,
}

impl FileSource {
    /// With `dropping`, some of the file's fragments may have to go, so each is looked at.
    pub(super) fn new(sst: &Arc<Sst>, columns: &Arc<Columns>, dropping: bool) -> Result<Self> {
        let distinct = sst.meta().distinct;
        let mut source = FileSource {
            vectors: 0..sst.vectors(),
            sst: Arc::clone(sst),
            columns: Arc::clone(columns),
            loaded: None,
            edge: None,
            rows: 0..0,
            slot: Slot::default(),
            distinct,
            plain: distinct && !dropping,
        };
        source.note_edge()?;
        Ok(source)
    }

    /// A key that none in the vector is above.
    fn last_bound(&self, vector: usize) -> Result<Vec<u8>> {
        Ok(if vector + 1 < self.sst.vectors() {
            self.sst.fence(vector + 1)?.to_vec()
        } else {
            self.sst.meta().last_key.clone()
        })
    }

    /// Notes the first key of the next vector.
    fn note_edge(&mut self) -> Result<()> {
        self.edge = match self.vectors.is_empty() {
            true => None,
            false => Some(self.sst.fence(self.vectors.start)?),
        };
        Ok(())
    }

    /// Decodes the next vector.
    pub(super) fn load(&mut self) -> Result<()> {
        while self.loaded.is_none()
            && let Some(next) = self.vectors.next()
        {
            self.note_edge()?;
            let batch = self.sst.read_stamped(next, &self.columns.all)?;
            let keys = row_keys(&self.columns.schema, &batch)
                .map_err(|error| bad_keys(&self.sst, &error))?;
            self.rows = 0..keys.len();
            if !self.rows.is_empty() {
                let vector = Vector::new(Arc::clone(&self.sst), next, Arc::new(batch), keys);
                self.loaded = Some(Held::Vector(Arc::new(vector)));
                self.slot = Slot::default();
            }
        }
        Ok(())
    }

    /// Adds every fragment of `key`, which is the next one, and moves past them.
    pub(super) fn take(
        &mut self,
        key: &[u8],
        pieces: &mut Pieces,
        out: &mut Vec<Fragment>,
    ) -> Result<()> {
        loop {
            if let Some(held) = &self.loaded {
                while !self.rows.is_empty() {
                    let row = self.rows.start;
                    if held.key(row) != key {
                        return Ok(());
                    }
                    let piece = pieces.slot(&mut self.slot, held);
                    out.push(pieces.fragment(piece, row));
                    self.rows.start += 1;
                }
                self.loaded = None;
            }
            // The fragments of one key may go on in the next vector.
            if self.distinct || self.bound() != Some(key) {
                return Ok(());
            }
            self.load()?;
            if self.bound() != Some(key) {
                return Ok(());
            }
        }
    }

    /// Hands out the next vector, undecoded, if nothing in it is merged with anything, no other source
    /// comes before its end and no range tombstone touches it. `other` is the nearest bound of the others.
    pub(super) fn take_whole(
        &mut self,
        other: Option<&[u8]>,
        tombstones: &TombstoneMap,
    ) -> Result<Option<Whole>> {
        let next = self.vectors.start;
        let passed = self.vectors.is_empty() || self.loaded.is_some();
        if passed || !self.plain || !self.sst.meta().unique {
            return Ok(None);
        }
        let (first, last) = (self.sst.fence(next)?, self.last_bound(next)?);
        let (first, last) = (&*first, last.as_slice());
        let is_last = next + 1 >= self.sst.vectors();
        // In a unique file the next fence belongs to the next vector alone.
        let apart = other.is_none_or(|other| other > last || (!is_last && other == last));
        if !apart || tombstones.overlaps(first, last) {
            return Ok(None);
        }
        self.vectors.start += 1;
        self.note_edge()?;
        Ok(Some(Whole {
            sst: Arc::clone(&self.sst),
            index: next,
        }))
    }

    /// Hands out those of the next decoded rows, at most `room`, that come before `other` and are the only
    /// fragments of their keys; none where a range tombstone covers some of them.
    pub(super) fn take_run(
        &mut self,
        other: Option<&[u8]>,
        room: usize,
        tombstones: &TombstoneMap,
        pieces: &mut Pieces,
    ) -> Option<Run> {
        let held = self.loaded.as_ref().filter(|_| self.plain)?;
        let start = self.rows.start;
        let before = other.map_or(self.rows.len(), |other| {
            lower_bound(self.rows.len(), |row| held.key(start + row) < other)
        });
        let rows = start..start + before.min(room);
        let last = rows.clone().next_back()?;
        if tombstones.overlaps(held.key(start), held.key(last)) {
            return None;
        }
        let piece = pieces.slot(&mut self.slot, held);
        self.rows.start = rows.end;
        if self.rows.is_empty() {
            self.loaded = None;
        }
        Some(Run { piece, rows })
    }
}

impl Head for FileSource {
    fn bound(&self) -> Option<&[u8]> {
        match &self.loaded {
            Some(held) => Some(held.key(self.rows.start)),
            None => self.edge.as_deref(),
        }
    }

    fn is_loaded(&self) -> bool {
        self.loaded.is_some()
    }
}
