//! The vectors of a file as a source.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use activestore_sst::{Sst, StampZone};
use activestore_types::{ColumnId, KeyRange, Result};
use parking_lot::Mutex;

use super::piece::{Held, Pieces, SharedReader, Slot, Vector};
use super::source::{Alone, Plan};
use super::strand::{Stamped, Strand, Worth};
use crate::read::copy::Span;
use crate::read::covering::Known;
use crate::read::keys::VectorKeys;
use crate::read::piece::Fragment;
use crate::version::{Stamp, TableFile};

pub(crate) struct FileSource {
    file: Arc<TableFile>,
    sst: Arc<Sst>,
    reader: SharedReader,
    plan: Arc<Plan>,
    range: KeyRange,
    /// Not loaded yet.
    vectors: Range<usize>,
    /// Whether some of them were passed without a look at their keys.
    is_pruned: bool,
    loaded: Option<Loaded>,
    /// The key of the next row, while a vector is loaded.
    head: Vec<u8>,
    /// The bound of the next vector, while none is loaded.
    edge: Vec<u8>,
    slot: Slot,
    /// Whether the newest row of a key says all that the scan asks for; known once it was asked for.
    decides: OnceLock<bool>,
}

/// A vector whose keys were read.
struct Loaded {
    index: usize,
    keys: VectorKeys,
    vector: Arc<Vector>,
    /// The rows that are still to come.
    low: usize,
    high: usize,
    /// Rows, ascending, that are not the last fragment of their key.
    repeats: Vec<usize>,
    stamps: StampZone,
    /// Whether the predicates leave nothing of it; known once it was asked for.
    unwanted: OnceLock<bool>,
    /// Whether no range tombstone covers any of its keys; known once it was asked for.
    untouched: OnceLock<bool>,
}

impl FileSource {
    /// `None` where the file holds nothing in the range.
    pub(crate) fn new(
        file: &Arc<TableFile>,
        plan: &Arc<Plan>,
        range: &KeyRange,
        pieces: &mut Pieces,
    ) -> Result<Option<Self>> {
        let sst = &file.sst;
        let meta = sst.meta();
        if meta.rows == 0 || !range.overlaps(&meta.first_key, &meta.last_key) {
            return Ok(None);
        }
        let mut source = FileSource {
            vectors: sst.vectors_in(range)?,
            reader: Arc::new(Mutex::new(sst.sequential())),
            sst: Arc::clone(sst),
            file: Arc::clone(file),
            is_pruned: false,
            plan: Arc::clone(plan),
            range: range.clone(),
            loaded: None,
            head: Vec::new(),
            edge: Vec::new(),
            slot: Slot::default(),
            decides: OnceLock::new(),
        };
        source.skip_pruned(pieces)?;
        Ok((!source.vectors.is_empty()).then_some(source))
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

    fn skip_pruned(&mut self, pieces: &mut Pieces) -> Result<()> {
        while let Some(next) = self.next_vector() {
            let wanted = |predicate| self.sst.may_match(next, predicate);
            let narrowed = &self.plan.narrowed;
            if self.plan.key_predicates.iter().all(wanted)
                && !narrowed.excludes_keys(self.sst.schema(), &self.sst, next)
            {
                return self.note_edge(next);
            }
            pieces.stats.vectors_pruned += 1;
            self.is_pruned = true;
            self.drop_vector();
        }
        Ok(())
    }

    fn note_edge(&mut self, next: usize) -> Result<()> {
        let end = self.range.end.as_slice();
        self.edge = if !self.plan.reverse {
            let fence = self.sst.fence(next)?;
            (&*fence).max(self.range.start.as_slice()).to_vec()
        } else if end.is_empty() {
            self.last_bound(next)?
        } else {
            let mut bound = self.last_bound(next)?;
            if bound.as_slice() > end {
                bound = end.to_vec();
            }
            bound
        };
        Ok(())
    }

    /// A key that none in the vector is above.
    fn last_bound(&self, vector: usize) -> Result<Vec<u8>> {
        Ok(if vector + 1 < self.sst.vectors() {
            self.sst.fence(vector + 1)?.to_vec()
        } else {
            self.sst.meta().last_key.clone()
        })
    }

    /// The file.
    pub(super) fn file(&self) -> &Arc<TableFile> {
        &self.file
    }

    /// Whether keys of it in the range were passed unseen.
    pub(super) fn is_pruned(&self) -> bool {
        self.is_pruned
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded.is_some()
    }

    pub(crate) fn bound(&self) -> Option<&[u8]> {
        if self.loaded.is_some() {
            return Some(&self.head);
        }
        self.next_vector().map(|_| self.edge.as_slice())
    }

    /// Reads the keys of the next vector that has rows in the range.
    pub(crate) fn load(&mut self, pieces: &mut Pieces) -> Result<()> {
        while self.loaded.is_none()
            && let Some(next) = self.next_vector()
        {
            let keys = VectorKeys::read(&mut self.reader.lock(), &self.plan.shape, next)?;
            pieces.stats.keys_read += 1;
            self.drop_vector();
            self.skip_pruned(pieces)?;
            let rows = keys.rows();
            let low = keys.lower_bound(0..rows, &self.range.start);
            let high = if self.range.end.is_empty() {
                rows
            } else {
                keys.lower_bound(0..rows, &self.range.end)
            };
            if low >= high {
                continue;
            }
            let vector = Vector::new(&self.reader, &self.sst, next);
            let mut repeats = Vec::new();
            if !self.sst.meta().distinct {
                repeats = keys.repeats();
                // The fragments of its last key may go on in the next vector.
                let mut last = Vec::new();
                keys.push_key(rows.saturating_sub(1), &mut last);
                if next + 1 < self.sst.vectors() && *self.sst.fence(next + 1)? == *last {
                    repeats.push(rows - 1);
                }
            }
            self.loaded = Some(Loaded {
                index: next,
                keys,
                vector: Arc::new(vector),
                low,
                high,
                repeats,
                stamps: self.sst.stamps(next)?,
                unwanted: OnceLock::new(),
                untouched: OnceLock::new(),
            });
            self.slot = Slot::default();
            self.settle();
        }
        Ok(())
    }

    /// Notes the key of the next row, or lets a vector go that has none.
    fn settle(&mut self) {
        self.head.clear();
        match &self.loaded {
            Some(loaded) if loaded.low < loaded.high => {
                let row = if self.plan.reverse {
                    loaded.high - 1
                } else {
                    loaded.low
                };
                loaded.keys.push_key(row, &mut self.head);
            }
            _ => self.loaded = None,
        }
    }

    pub(crate) fn take(
        &mut self,
        key: &[u8],
        pieces: &mut Pieces,
        out: &mut Vec<Fragment>,
    ) -> Result<()> {
        loop {
            while self.loaded.is_some() {
                if self.head != key {
                    return Ok(());
                }
                if let Some(loaded) = &mut self.loaded {
                    let held = Held::Vector(Arc::clone(&loaded.vector));
                    let piece = pieces.slot(&mut self.slot, &held);
                    let row = if self.plan.reverse {
                        loaded.high -= 1;
                        loaded.high
                    } else {
                        loaded.low += 1;
                        loaded.low - 1
                    };
                    out.push(pieces.fragment(piece, row)?);
                }
                self.settle();
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

    /// Whether the next vector, not loaded, can be taken as it is: all of it lies in the range, its
    /// keys stand once, no other source comes before its end and deletion touches none or all of it.
    /// `other` is the nearest bound of the others. `Some(false)` says that nothing of it shows.
    pub(crate) fn whole(&self, other: Option<&[u8]>, alone: &Alone<'_>) -> Result<Option<bool>> {
        let Some(next) = self.next_vector() else {
            return Ok(None);
        };
        if self.loaded.is_some() || !self.sst.meta().distinct {
            return Ok(None);
        }
        let (first, last) = (self.sst.fence(next)?, self.last_bound(next)?);
        let (first, last) = (&*first, last.as_slice());
        let is_last = next + 1 >= self.sst.vectors();
        let end = self.range.end.as_slice();
        // In a file of distinct keys the next fence belongs to the next vector alone.
        let before = |bound: &[u8]| last < bound || (!is_last && last == bound);
        let inside = self.range.start.as_slice() <= first && (end.is_empty() || before(end));
        let apart = other.is_none_or(|other| {
            if self.plan.reverse {
                other < first
            } else {
                before(other)
            }
        });
        if !inside || !apart {
            return Ok(None);
        }
        if !self.wanted(next, alone) {
            return Ok(Some(false));
        }
        let stamps = self.sst.stamps(next)?;
        if stamps.all_expired(alone.now_ms) {
            return Ok(Some(false));
        }
        let covered = alone.tombstones.overlaps(first, last);
        Ok((stamps.all_live(alone.now_ms) && !covered).then_some(true))
    }

    fn wanted(&self, vector: usize, alone: &Alone<'_>) -> bool {
        let mut predicates = alone.predicates.iter();
        predicates.all(|predicate| self.sst.may_match(vector, predicate))
            && !alone.narrowed.excludes(&self.sst, vector)
    }

    /// Whether somebody takes the next vector, of which all rows show, by what is known of it.
    pub(crate) fn is_covered(&self, alone: &Alone<'_>) -> Result<bool> {
        match (alone.covering, self.next_vector()) {
            (Some(covering), Some(next)) => covering.cover(&Known::of(&self.sst, next)),
            _ => Ok(false),
        }
    }

    /// Moves past the next vector, which was taken otherwise.
    pub(crate) fn pass_whole(&mut self, pieces: &mut Pieces) -> Result<Option<Span>> {
        self.drop_vector();
        self.skip_pruned(pieces)?;
        pieces.stats.vectors_covered += 1;
        Ok(None)
    }

    /// Takes the next vector as it is and moves past it.
    pub(crate) fn take_whole(&mut self, shows: bool, pieces: &mut Pieces) -> Result<Option<Span>> {
        let Some(index) = self.next_vector() else {
            return Ok(None);
        };
        self.drop_vector();
        self.skip_pruned(pieces)?;
        if !shows {
            pieces.stats.vectors_pruned += 1;
            return Ok(None);
        }
        pieces.stats.vectors_whole += 1;
        let vector = Vector::new(&self.reader, &self.sst, index);
        Ok(Some(Span {
            piece: pieces.push(Held::Vector(Arc::new(vector))),
            start: 0,
            rows: self.sst.vector_rows(index),
            reverse: self.plan.reverse,
        }))
    }

    /// As [`super::source::Source::run`].
    pub(crate) fn run(&self, other: Option<&[u8]>, alone: &Alone<'_>) -> Result<(usize, bool)> {
        let Some(loaded) = &self.loaded else {
            return Ok((0, false));
        };
        let reverse = self.plan.reverse;
        let mut rows = loaded.low..loaded.high;
        if let Some(other) = other {
            if reverse {
                // The first row above it.
                let first = loaded.keys.lower_bound(rows.clone(), other);
                let mut key = Vec::new();
                loaded.keys.push_key(first, &mut key);
                rows.start = first + usize::from(first < rows.end && key == other);
            } else {
                rows.end = loaded.keys.lower_bound(rows.clone(), other);
            }
        }
        loaded.keep_single(&mut rows, reverse, self.sst.meta().distinct);
        if rows.is_empty() {
            return Ok((0, false));
        }
        let unwanted = *loaded
            .unwanted
            .get_or_init(|| !self.wanted(loaded.index, alone));
        if unwanted {
            return Ok((rows.len(), false));
        }
        let barrier = self.uncovered(&mut rows, alone, loaded);
        let zone = &loaded.stamps;
        if zone.all_expired(alone.now_ms)
            || barrier.is_some_and(|barrier| zone.max_hlc < barrier.hlc)
        {
            return Ok((rows.len(), false));
        }
        let beyond = barrier.is_none_or(|barrier| zone.min_hlc > barrier.hlc);
        let room = rows.len().min(alone.room);
        if zone.all_live(alone.now_ms) && beyond {
            return Ok((room, true));
        }
        let stamps = loaded.vector.stamps()?;
        let shows = |row: usize| {
            let fragment = Fragment::of(stamps, 0, row);
            let stamp = || fragment.stamp(alone.origins.as_ref());
            let above = barrier.is_none_or(|barrier| stamp() >= barrier);
            above && !fragment.tombstone && !fragment.expired(alone.now_ms)
        };
        let row_at = |place: usize| {
            if reverse {
                rows.end - 1 - place
            } else {
                rows.start + place
            }
        };
        let first = shows(row_at(0));
        let same = (1..room).take_while(|place| shows(row_at(*place)) == first);
        Ok((1 + same.count(), first))
    }

    /// Cuts the rows where the cover by range tombstones changes, and returns what covers them.
    fn uncovered(
        &self,
        rows: &mut Range<usize>,
        alone: &Alone<'_>,
        loaded: &Loaded,
    ) -> Option<Stamp> {
        if alone.tombstones.is_empty() {
            return None;
        }
        let stretch = alone.tombstones.stretch(&self.head);
        if self.plan.reverse {
            rows.start = loaded.keys.lower_bound(rows.clone(), stretch.start);
        } else if !stretch.end.is_empty() {
            rows.end = loaded.keys.lower_bound(rows.clone(), stretch.end);
        }
        stretch.stamp
    }

    /// The last key of the loaded rows, in the direction of the scan; whether there is one.
    pub(crate) fn push_last(&self, out: &mut Vec<u8>) -> bool {
        let Some(loaded) = &self.loaded else {
            return false;
        };
        let row = if self.plan.reverse {
            loaded.low
        } else {
            loaded.high - 1
        };
        loaded.keys.push_key(row, out);
        true
    }

    /// How many of the loaded rows are still to come.
    pub(crate) fn left(&self) -> usize {
        let loaded = self.loaded.as_ref();
        loaded.map_or(0, |loaded| loaded.high - loaded.low)
    }

    /// The rest of the loaded vector, to be woven with others as the `source`-th; `None` where its rows need
    /// more of a look than at one number each.
    pub(crate) fn strand(
        &self,
        source: usize,
        alone: &Alone<'_>,
        wanted: &[ColumnId],
    ) -> Result<Option<Strand<'_>>> {
        let Some(loaded) = &self.loaded else {
            return Ok(None);
        };
        let stamps = &loaded.stamps;
        let live = stamps.all_live(alone.now_ms);
        let simple = self.sst.meta().distinct
            && loaded.keys.has_numbers()
            && (live || stamps.all_expired(alone.now_ms));
        if !simple || !self.is_untouched(loaded, alone)? {
            return Ok(None);
        }
        let unwanted = *loaded
            .unwanted
            .get_or_init(|| !self.wanted(loaded.index, alone));
        let decides = *self.decides.get_or_init(|| {
            // Where the rows lack what is asked for, older ones of their keys may have it.
            let asked = alone.predicates.iter().map(|predicate| predicate.column);
            self.decides(wanted) && self.has_all(asked)
        });
        let worth = Worth {
            shows: live && !unwanted,
            decides,
            stamps,
            stamped: Stamped::Vector(&loaded.vector),
        };
        Ok(Some(Strand::new(
            source,
            &loaded.keys,
            loaded.low..loaded.high,
            self.plan.reverse,
            self.next_vector().is_some(),
            worth,
        )))
    }

    /// Whether no range tombstone covers any key of the loaded vector.
    fn is_untouched(&self, loaded: &Loaded, alone: &Alone<'_>) -> Result<bool> {
        if alone.tombstones.is_empty() {
            return Ok(true);
        }
        if let Some(untouched) = loaded.untouched.get() {
            return Ok(*untouched);
        }
        let (first, last) = (
            self.sst.fence(loaded.index)?,
            self.last_bound(loaded.index)?,
        );
        let untouched = !alone.tombstones.overlaps(&first, &last);
        Ok(*loaded.untouched.get_or_init(|| untouched))
    }

    /// The number of the loaded vector's piece.
    pub(crate) fn piece(&mut self, pieces: &mut Pieces) -> Option<usize> {
        let held = Held::Vector(Arc::clone(&self.loaded.as_ref()?.vector));
        Some(pieces.slot(&mut self.slot, &held))
    }

    /// The number of the loaded vector's piece, where rows of it were taken and others are still to come.
    pub(crate) fn open_piece(&self, pieces: &Pieces) -> Option<usize> {
        self.loaded.as_ref()?;
        self.slot.known(pieces.epoch())
    }

    /// The bounds of the stamps of the loaded vector, whose keys stand once.
    pub(crate) fn stamps(&self) -> Option<&StampZone> {
        let loaded = self.loaded.as_ref()?;
        self.sst.meta().distinct.then_some(&loaded.stamps)
    }

    /// Whether every row sets every wanted column and none is a tombstone or expires: what is older
    /// does not matter.
    pub(crate) fn decides(&self, wanted: &[ColumnId]) -> bool {
        self.sst.meta().unique && self.has_all(wanted.iter().copied())
    }

    /// Whether the file has all of these columns.
    fn has_all(&self, mut columns: impl Iterator<Item = ColumnId>) -> bool {
        let meta = self.sst.meta();
        columns.all(|id| meta.columns.iter().any(|column| column.id == id))
    }

    /// How many of the next rows have the keys of the other's next rows, one each.
    pub(crate) fn common(&self, other: &FileSource) -> usize {
        let (Some(loaded), Some(other)) = (&self.loaded, &other.loaded) else {
            return 0;
        };
        let (rows, other_rows) = (loaded.low..loaded.high, other.low..other.high);
        let reverse = self.plan.reverse;
        loaded.keys.common(rows, &other.keys, other_rows, reverse)
    }

    /// Moves past the next `rows` rows of the loaded vector; with `shows`, hands them out.
    pub(crate) fn take_run(
        &mut self,
        rows: usize,
        shows: bool,
        pieces: &mut Pieces,
    ) -> Option<Span> {
        let loaded = self.loaded.as_mut()?;
        let start = if self.plan.reverse {
            loaded.high -= rows.min(loaded.high - loaded.low);
            loaded.high
        } else {
            loaded.low += rows;
            loaded.low - rows
        };
        let span = shows.then(|| Span {
            piece: pieces.slot(&mut self.slot, &Held::Vector(Arc::clone(&loaded.vector))),
            start,
            rows,
            reverse: self.plan.reverse,
        });
        self.settle();
        span
    }
}

impl Loaded {
    /// Cuts the rows before the first key, in the direction of the scan, that has more fragments.
    fn keep_single(&self, rows: &mut Range<usize>, reverse: bool, distinct: bool) {
        if distinct {
            return;
        }
        if reverse {
            // What repeats at a row repeats at the row after it too, and the first row may belong
            // to a key that began in the vector before.
            let before = self.repeats.partition_point(|row| *row < rows.end);
            let after = before
                .checked_sub(1)
                .and_then(|place| self.repeats.get(place))
                .map_or(0, |row| row + 2);
            let first = usize::from(self.index > 0);
            rows.start = rows.start.max(after).max(first).min(rows.end);
        } else {
            let next = self.repeats.partition_point(|row| *row < rows.start);
            if let Some(row) = self.repeats.get(next) {
                rows.end = rows.end.min(*row).max(rows.start);
            }
        }
    }
}
