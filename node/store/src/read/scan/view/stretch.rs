//! Some of the next rows of a memtable as a strand, to be woven with those of files.

use std::ops::Range;
use std::sync::Arc;

use activestore_sst::StampZone;
use activestore_types::{ColumnId, RowBatch};

use super::{ViewSource, is_simple};
use crate::memtable::Chunks;
use crate::read::copy::Span;
use crate::read::keys::VectorKeys;
use crate::read::piece::Fragment;
use crate::read::scan::piece::{Held, Pieces};
use crate::read::scan::source::Alone;
use crate::read::scan::strand::{Stamped, Strand, Worth};

/// Rows of a stretch.
const STRETCH_ROWS: usize = 1024;

/// Rows of a memtable in key order, each the only one of its key there.
pub(crate) struct ViewStretch {
    keys: VectorKeys,
    /// Their places among the rows of the source.
    places: Range<usize>,
    /// Where each of them lies: in which chunk, and where in it.
    rows: Vec<(usize, usize)>,
    chunks: Chunks,
    stamps: StampZone,
}

impl ViewStretch {
    /// The stamp of a row.
    pub(crate) fn fragment(&self, row: usize) -> Fragment {
        match self.rows.get(row) {
            Some((chunk, at)) if let Some(chunk) = self.chunks.get(*chunk) => {
                Fragment::of(&chunk.batch, 0, *at)
            }
            // Never: strands ask for rows that they have.
            _ => Fragment::nothing(0, row),
        }
    }
}

impl ViewSource {
    /// How many rows are still to come.
    pub(crate) fn left(&self) -> usize {
        self.high - self.low
    }

    /// Looks at the next rows, where none is looked at yet; of a source whose rows need more of a look none ever is.
    pub(crate) fn look(&mut self) {
        if !(self.plain && self.is_numbered)
            || self
                .stretch
                .as_ref()
                .is_some_and(|it| !self.inside(it).is_empty())
        {
            return;
        }
        let places = if self.reverse {
            self.low.max(self.high.saturating_sub(STRETCH_ROWS))..self.high
        } else {
            self.low..self.high.min(self.low + STRETCH_ROWS)
        };
        let order = self.order.get(places.clone()).unwrap_or(&[]);
        let mut rows = Vec::with_capacity(order.len());
        let (mut min_hlc, mut max_hlc) = (u64::MAX, 0);
        for row in order {
            let (place, at) = self.chunks.locate(*row);
            let Some(chunk) = self.chunks.get(place) else {
                return;
            };
            let hlc = chunk.batch.hlc.get(at).copied().unwrap_or(0);
            (min_hlc, max_hlc) = (hlc.min(min_hlc), hlc.max(max_hlc));
            rows.push((place, at));
        }
        let encoded = order.iter().map(|row| self.chunks.key(*row));
        let keys = VectorKeys::of_rows(&self.shape, encoded);
        // A table of other keys is not looked at again.
        self.is_numbered = keys.is_some();
        self.stretch = keys.map(|keys| ViewStretch {
            keys,
            places,
            rows,
            chunks: self.chunks.clone(),
            stamps: StampZone {
                min_hlc,
                max_hlc,
                min_expiry_ms: 0,
                max_expiry_ms: 0,
                tombstones: false,
            },
        });
    }

    /// The rows of a stretch that are still to come.
    fn inside(&self, stretch: &ViewStretch) -> Range<usize> {
        let from = self.low.max(stretch.places.start);
        let to = self.high.min(stretch.places.end);
        let first = stretch.places.start;
        from.saturating_sub(first)..to.max(from).saturating_sub(first)
    }

    /// The last key of the rows that were looked at, in the direction of the scan; whether there is one.
    pub(crate) fn push_last(&self, out: &mut Vec<u8>) -> bool {
        let Some(stretch) = &self.stretch else {
            return false;
        };
        let rows = self.inside(stretch);
        if rows.is_empty() {
            return false;
        }
        let row = if self.reverse {
            rows.start
        } else {
            rows.end - 1
        };
        stretch.keys.push_key(row, out);
        true
    }

    /// The rows that were looked at, to be woven with others as the `source`-th; `None` where they need more of a look
    /// than at one number each.
    pub(crate) fn strand(
        &self,
        source: usize,
        alone: &Alone<'_>,
        wanted: &[ColumnId],
    ) -> Option<Strand<'_>> {
        let stretch = self.stretch.as_ref()?;
        let rows = self.inside(stretch);
        if rows.is_empty() || !alone.tombstones.is_empty() {
            return None;
        }
        let decides = *self.decides.get_or_init(|| {
            let asked = alone.predicates.iter().map(|predicate| predicate.column);
            let asked: Vec<ColumnId> = wanted.iter().copied().chain(asked).collect();
            let has = |batch: &RowBatch| asked.iter().all(|id| batch.column(*id).is_some());
            let mut chunks = self.chunks.iter();
            chunks.all(|chunk| is_simple(chunk, &asked) && has(&chunk.batch))
        });
        let worth = Worth {
            shows: true,
            decides,
            stamps: &stretch.stamps,
            stamped: Stamped::View(stretch),
        };
        let open = self.left() > rows.len();
        Some(Strand::new(
            source,
            &stretch.keys,
            rows,
            self.reverse,
            open,
            worth,
        ))
    }

    /// Hands out rows that were looked at.
    pub(crate) fn push_spans(
        &mut self,
        rows: Range<usize>,
        pieces: &mut Pieces,
        out: &mut Vec<Span>,
    ) {
        let stretch = self.stretch.as_ref();
        let taken = stretch.and_then(|stretch| stretch.rows.get(rows));
        let taken = taken.unwrap_or(&[]).iter();
        let mut push = |(chunk, at): &(usize, usize)| {
            if let (Some(held), Some(slot)) = (self.chunks.get(*chunk), self.slots.get_mut(*chunk))
            {
                out.push(Span {
                    piece: pieces.slot(slot, &Held::Chunk(Arc::clone(held))),
                    start: *at,
                    rows: 1,
                    reverse: false,
                });
            }
        };
        if self.reverse {
            taken.rev().for_each(&mut push);
        } else {
            taken.for_each(&mut push);
        }
    }

    /// Moves past so many rows.
    pub(crate) fn pass(&mut self, rows: usize) {
        self.advance(rows);
    }
}
