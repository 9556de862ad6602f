//! Sources: where the fragments of one key range come from, in key order, either way.
//!
//! A source stands *before* a row whose key it knows or, at the edge of a vector not yet decoded,
//! before rows of which it knows only a bound: forward no key is below the bound, in reverse none
//! is above it.

use std::ops::Range;
use std::sync::Arc;

use activestore_sst::{Sst, ZonePredicate};
use activestore_types::{ColumnId, Error, KeyRange, Result, TableSchema};

use super::piece::{Fragment, Held, Pieces, Slot, Vector};
use crate::memtable::{Chunks, MemtableView, row_keys};

pub(crate) enum Source {
    View(ViewSource),
    File(FileSource),
}

/// What all sources of a scan share.
pub(crate) struct Plan {
    pub(crate) schema: Arc<TableSchema>,
    /// The wanted columns and the key's.
    pub(crate) read: Vec<ColumnId>,
    /// Predicates on key columns: a vector that none of its rows satisfies holds no fragment of a
    /// wanted key, whatever else is merged.
    pub(crate) key_predicates: Vec<ZonePredicate>,
    pub(crate) reverse: bool,
}

impl Source {
    /// A bound of the next key; `None` at the end.
    pub(crate) fn bound(&self) -> Option<&[u8]> {
        match self {
            Source::View(view) => view.current().map(|row| view.chunks.key(row)),
            Source::File(file) => file.bound(),
        }
    }

    /// Whether [`Source::bound`] is the next key itself.
    pub(crate) fn is_loaded(&self) -> bool {
        match self {
            Source::View(_) => true,
            Source::File(file) => file.loaded.is_some(),
        }
    }

    pub(crate) fn load(&mut self, pieces: &mut Pieces) -> Result<()> {
        match self {
            Source::View(_) => Ok(()),
            Source::File(file) => file.load(pieces),
        }
    }

    /// Adds every fragment of `key`, which is the next one, and moves past them.
    pub(crate) fn take(
        &mut self,
        key: &[u8],
        pieces: &mut Pieces,
        out: &mut Vec<Fragment>,
    ) -> Result<()> {
        match self {
            Source::View(view) => {
                view.take(key, pieces, out);
                Ok(())
            }
            Source::File(file) => file.take(key, pieces, out),
        }
    }
}

/// The rows of a memtable view.
pub(crate) struct ViewSource {
    chunks: Chunks,
    order: Vec<u32>,
    low: usize,
    high: usize,
    reverse: bool,
    slots: Vec<Slot>,
}

impl ViewSource {
    /// `None` where the view holds nothing in the range.
    pub(crate) fn new(view: &MemtableView, range: &KeyRange, reverse: bool) -> Option<Self> {
        let order = view.order(range);
        if order.is_empty() {
            return None;
        }
        let chunks = view.chunks().clone();
        Some(ViewSource {
            slots: vec![Slot::default(); chunks.len()],
            chunks,
            low: 0,
            high: order.len(),
            order,
            reverse,
        })
    }

    fn current(&self) -> Option<u32> {
        if self.low >= self.high {
            return None;
        }
        let place = if self.reverse {
            self.high - 1
        } else {
            self.low
        };
        self.order.get(place).copied()
    }

    fn take(&mut self, key: &[u8], pieces: &mut Pieces, out: &mut Vec<Fragment>) {
        while let Some(row) = self.current() {
            let (chunk, at) = self.chunks.locate(row);
            let (Some(held), Some(slot)) = (self.chunks.get(chunk), self.slots.get_mut(chunk))
            else {
                return;
            };
            if held.keys.key(at) != key {
                return;
            }
            let piece = pieces.slot(slot, &Held::Chunk(Arc::clone(held)));
            out.push(pieces.fragment(piece, at));
            if self.reverse {
                self.high -= 1;
            } else {
                self.low += 1;
            }
        }
    }
}

/// The vectors of a file.
pub(crate) struct FileSource {
    sst: Arc<Sst>,
    plan: Arc<Plan>,
    range: KeyRange,
    /// Not decoded yet.
    vectors: Range<usize>,
    loaded: Option<Held>,
    /// The rows of the decoded vector that are still to come.
    low: usize,
    high: usize,
    slot: Slot,
    /// Whether a fragment that no other source shares its key with needs no work of its own.
    plain: bool,
}

/// A vector that can be shown as it is.
#[allow(dead_code, reason = "no merge of fragments copies whole vectors yet")]
pub(crate) struct Whole {
    pub(crate) sst: Arc<Sst>,
    pub(crate) index: usize,
    /// The range that is read.
    pub(crate) range: KeyRange,
    /// Whether all the vector's rows lie in the range.
    pub(crate) inside: bool,
}

/// Rows of one piece that nothing is merged with.
#[allow(dead_code, reason = "no merge of fragments copies runs yet")]
pub(crate) struct Run {
    pub(crate) piece: usize,
    pub(crate) rows: Range<usize>,
    /// Whether they come from the last to the first.
    pub(crate) reverse: bool,
}

impl FileSource {
    /// `None` where the file holds nothing in the range.
    pub(crate) fn new(
        sst: &Arc<Sst>,
        plan: &Arc<Plan>,
        range: &KeyRange,
        pieces: &mut Pieces,
    ) -> Option<Self> {
        let meta = sst.meta();
        if meta.rows == 0 || !range.overlaps(&meta.first_key, &meta.last_key) {
            return None;
        }
        let mut source = FileSource {
            vectors: sst.vectors_in(range),
            sst: Arc::clone(sst),
            plan: Arc::clone(plan),
            range: range.clone(),
            loaded: None,
            low: 0,
            high: 0,
            slot: Slot::default(),
            plain: meta.unique,
        };
        source.skip_pruned(pieces);
        (!source.vectors.is_empty()).then_some(source)
    }

    /// Of a merge that only rewrites fragments: runs are handed out where no key of the file stands
    /// twice, unless `dropping` says that some of its fragments may have to go.
    pub(crate) fn rewriting(mut self, dropping: bool) -> Self {
        self.plain = self.sst.meta().distinct && !dropping;
        self
    }

    fn next_vector(&self) -> Option<usize> {
        if self.vectors.is_empty() {
            None
        } else if self.plan.reverse {
            Some(self.vectors.end - 1)
        } else {
            Some(self.vectors.start)
        }
    }

    fn drop_vector(&mut self) {
        if self.plan.reverse {
            self.vectors.end -= 1;
        } else {
            self.vectors.start += 1;
        }
    }

    fn skip_pruned(&mut self, pieces: &mut Pieces) {
        while let Some(next) = self.next_vector() {
            let wanted = |predicate| self.sst.may_match(next, predicate);
            if self.plan.key_predicates.iter().all(wanted) {
                return;
            }
            pieces.stats.vectors_pruned += 1;
            self.drop_vector();
        }
    }

    /// A key that none in the vector is above.
    fn last_bound(&self, vector: usize) -> &[u8] {
        if vector + 1 < self.sst.vectors() {
            self.sst.fence(vector + 1)
        } else {
            &self.sst.meta().last_key
        }
    }

    fn bound(&self) -> Option<&[u8]> {
        if let Some(held) = &self.loaded {
            let row = if self.plan.reverse {
                self.high - 1
            } else {
                self.low
            };
            return Some(held.key(row));
        }
        let next = self.next_vector()?;
        let end = self.range.end.as_slice();
        Some(if !self.plan.reverse {
            self.sst.fence(next).max(&self.range.start)
        } else if end.is_empty() {
            self.last_bound(next)
        } else {
            self.last_bound(next).min(end)
        })
    }

    /// Decodes the next vector that has rows in the range.
    fn load(&mut self, pieces: &mut Pieces) -> Result<()> {
        while self.loaded.is_none()
            && let Some(next) = self.next_vector()
        {
            let batch = self.sst.read_stamped(next, &self.plan.read)?;
            let keys =
                row_keys(&self.plan.schema, &batch).map_err(|error| bad_keys(&self.sst, &error))?;
            pieces.stats.vectors_read += 1;
            self.drop_vector();
            self.skip_pruned(pieces);
            let rows = keys.len();
            self.low = lower_bound(rows, |row| keys.key(row) < self.range.start.as_slice());
            self.high = if self.range.end.is_empty() {
                rows
            } else {
                lower_bound(rows, |row| keys.key(row) < self.range.end.as_slice())
            };
            if self.low < self.high {
                let vector = Vector::new(Arc::clone(&self.sst), next, batch, keys);
                self.loaded = Some(Held::Vector(Arc::new(vector)));
                self.slot = Slot::default();
            }
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], pieces: &mut Pieces, out: &mut Vec<Fragment>) -> Result<()> {
        loop {
            if let Some(held) = &self.loaded {
                while self.low < self.high {
                    let row = if self.plan.reverse {
                        self.high - 1
                    } else {
                        self.low
                    };
                    if held.key(row) != key {
                        return Ok(());
                    }
                    let piece = pieces.slot(&mut self.slot, held);
                    out.push(pieces.fragment(piece, row));
                    if self.plan.reverse {
                        self.high -= 1;
                    } else {
                        self.low += 1;
                    }
                }
                self.loaded = None;
            }
            // The fragments of one key may go on in the next vector.
            if self.sst.meta().distinct || self.bound() != Some(key) {
                return Ok(());
            }
            self.load(pieces)?;
            if self.bound() != Some(key) {
                return Ok(());
            }
        }
    }

    /// Whether the next vector can be shown as it is: nothing in it is merged with anything, and
    /// no other source comes before its end. `other` is the nearest bound of the others.
    pub(crate) fn stands_alone(
        &self,
        other: Option<&[u8]>,
        covered: impl Fn(&[u8], &[u8]) -> bool,
    ) -> bool {
        let Some(next) = self.next_vector() else {
            return false;
        };
        if self.loaded.is_some() || !self.sst.meta().unique {
            return false;
        }
        let (first, last) = (self.sst.fence(next), self.last_bound(next));
        let is_last = next + 1 >= self.sst.vectors();
        let apart = other.is_none_or(|other| {
            if self.plan.reverse {
                other < first
            } else {
                // In a unique file the next fence belongs to the next vector alone.
                other > last || (!is_last && other == last)
            }
        });
        apart && !covered(first, last)
    }

    /// How many of the decoded rows, at most `room`, come before `other` and are the only fragments
    /// of their keys; 0 also where a range tombstone covers some of them.
    pub(crate) fn run_before(
        &self,
        other: Option<&[u8]>,
        room: usize,
        covered: impl Fn(&[u8], &[u8]) -> bool,
    ) -> usize {
        let Some(held) = self.loaded.as_ref().filter(|_| self.plain) else {
            return 0;
        };
        let left = self.high - self.low;
        let before = match other {
            None => left,
            Some(other) if self.plan.reverse => {
                left - lower_bound(left, |row| held.key(self.low + row) <= other)
            }
            Some(other) => lower_bound(left, |row| held.key(self.low + row) < other),
        };
        let rows = before.min(room);
        if rows == 0 {
            return 0;
        }
        let (first, last) = if self.plan.reverse {
            (self.high - rows, self.high - 1)
        } else {
            (self.low, self.low + rows - 1)
        };
        if covered(held.key(first), held.key(last)) {
            0
        } else {
            rows
        }
    }

    /// Hands out the next `rows` decoded rows and moves past them.
    pub(crate) fn take_run(&mut self, rows: usize, pieces: &mut Pieces) -> Option<Run> {
        let piece = pieces.slot(&mut self.slot, self.loaded.as_ref()?);
        let range = if self.plan.reverse {
            self.high -= rows;
            self.high..self.high + rows
        } else {
            self.low += rows;
            self.low - rows..self.low
        };
        if self.low >= self.high {
            self.loaded = None;
        }
        Some(Run {
            piece,
            rows: range,
            reverse: self.plan.reverse,
        })
    }

    /// Hands out the next vector as it is and moves past it.
    pub(crate) fn take_whole(&mut self, pieces: &mut Pieces) -> Option<Whole> {
        let index = self.next_vector()?;
        let is_last = index + 1 >= self.sst.vectors();
        let last = self.last_bound(index);
        let end = self.range.end.as_slice();
        let inside = self.range.start.as_slice() <= self.sst.fence(index)
            && (end.is_empty() || last < end || (!is_last && last == end));
        self.drop_vector();
        self.skip_pruned(pieces);
        Some(Whole {
            sst: Arc::clone(&self.sst),
            index,
            range: if inside {
                KeyRange::all()
            } else {
                self.range.clone()
            },
            inside,
        })
    }
}

/// Keys that cannot be encoded were checked when they were written: the bytes have changed since.
pub(crate) fn bad_keys(sst: &Sst, error: &Error) -> Error {
    Error::corrupt(format!(
        "the keys of {} cannot be read: {}",
        sst.path(),
        error.message()
    ))
}

/// The first of `rows` rows that does not lie below.
pub(crate) fn lower_bound(rows: usize, mut below: impl FnMut(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if below(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
