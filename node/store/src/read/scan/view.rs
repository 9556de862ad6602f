//! The rows of a memtable view as a source.

use std::sync::{Arc, OnceLock};

use activestore_types::{ColumnId, KeyRange, Result};

use super::piece::{Held, Pieces, Slot};
use super::source::{Alone, Plan};

pub(crate) use stretch::ViewStretch;

mod stretch;
use crate::memtable::{Chunk, Chunks, MemtableView};
use crate::read::copy::Span;
use crate::read::keys::{KeyShape, lower_bound};
use crate::read::piece::Fragment;

pub(crate) struct ViewSource {
    chunks: Chunks,
    order: Vec<u32>,
    low: usize,
    high: usize,
    reverse: bool,
    slots: Vec<Slot>,
    /// For each chunk whether any of its rows shows as it is when nothing else has its key.
    simple: Vec<bool>,
    /// Whether that is so of all of them, and no two rows have one key: nothing has to be looked at row by row.
    plain: bool,
    shape: Arc<KeyShape>,
    /// Whether one number tells the rows of a partition apart, as far as is known.
    is_numbered: bool,
    /// Some of the next rows, to be woven with those of files.
    stretch: Option<ViewStretch>,
    /// Whether the newest row of a key says all that the scan asks for; known once it was asked for.
    decides: OnceLock<bool>,
}

impl ViewSource {
    /// `None` where the view holds nothing in the range.
    pub(crate) fn new(
        view: &MemtableView,
        range: &KeyRange,
        plan: &Plan,
        wanted: &[ColumnId],
    ) -> Option<Self> {
        let (order, may_repeat) = view.select(range);
        if order.is_empty() {
            return None;
        }
        let chunks = view.chunks().clone();
        let simple: Vec<bool> = (0..chunks.len())
            .map(|chunk| {
                chunks
                    .get(chunk)
                    .is_some_and(|chunk| is_simple(chunk, wanted))
            })
            .collect();
        Some(ViewSource {
            slots: vec![Slot::default(); chunks.len()],
            chunks,
            low: 0,
            high: order.len(),
            order,
            reverse: plan.reverse,
            plain: !may_repeat && simple.iter().all(|simple| *simple),
            simple,
            shape: Arc::clone(&plan.shape),
            is_numbered: true,
            stretch: None,
            decides: OnceLock::new(),
        })
    }

    /// The row that comes after so many others.
    fn row(&self, place: usize) -> Option<u32> {
        let place = if self.reverse {
            self.high.checked_sub(place + 1)?
        } else {
            self.low + place
        };
        (self.low..self.high)
            .contains(&place)
            .then(|| self.order.get(place).copied())
            .flatten()
    }

    fn advance(&mut self, rows: usize) {
        if self.reverse {
            self.high = self.high.saturating_sub(rows).max(self.low);
        } else {
            self.low = (self.low + rows).min(self.high);
        }
    }

    pub(crate) fn bound(&self) -> Option<&[u8]> {
        self.row(0).map(|row| self.chunks.key(row))
    }

    pub(crate) fn take(
        &mut self,
        key: &[u8],
        pieces: &mut Pieces,
        out: &mut Vec<Fragment>,
    ) -> Result<()> {
        while let Some(row) = self.row(0) {
            let (chunk, at) = self.chunks.locate(row);
            let (Some(held), Some(slot)) = (self.chunks.get(chunk), self.slots.get_mut(chunk))
            else {
                return Ok(());
            };
            if held.keys.key(at) != key {
                return Ok(());
            }
            let piece = pieces.slot(slot, &Held::Chunk(Arc::clone(held)));
            out.push(pieces.fragment(piece, at)?);
            self.advance(1);
        }
        Ok(())
    }

    /// As [`super::source::Source::run`]; rows that do not show are left to be resolved.
    pub(crate) fn run(&self, other: Option<&[u8]>, alone: &Alone<'_>) -> usize {
        let Some(head) = self.bound() else {
            return 0;
        };
        let stretch = alone.tombstones.stretch(head);
        if stretch.stamp.is_some() {
            return 0;
        }
        // In reverse the first key inside the stretch still counts.
        let before = |key: &[u8]| {
            if self.reverse {
                other.is_none_or(|other| key > other) && key >= stretch.start
            } else {
                other.is_none_or(|other| key < other)
                    && (stretch.end.is_empty() || key < stretch.end)
            }
        };
        let room = (self.high - self.low).min(alone.room);
        let key_at = |place: usize| self.row(place).map(|row| self.chunks.key(row));
        // Runs are often short: look near first.
        let mut reach = 1;
        while reach < room && key_at(reach).is_some_and(before) {
            reach *= 2;
        }
        let from = reach / 2;
        let rows = from
            + lower_bound(room.min(reach).saturating_sub(from), |place| {
                key_at(from + place).is_some_and(before)
            });
        if self.plain {
            return rows;
        }
        let mut key = head;
        for place in 0..rows {
            let chunk = self.row(place).map(|row| self.chunks.locate(row).0);
            let simple = chunk.and_then(|chunk| self.simple.get(chunk));
            let next = key_at(place + 1);
            if simple != Some(&true) || next == Some(key) {
                return place;
            }
            key = next.unwrap_or(&[]);
        }
        rows
    }

    /// Hands out the next rows and moves past them.
    pub(crate) fn take_run(&mut self, rows: usize, pieces: &mut Pieces, out: &mut Vec<Span>) {
        for place in 0..rows {
            let Some(row) = self.row(place) else {
                break;
            };
            let (chunk, at) = self.chunks.locate(row);
            if let (Some(held), Some(slot)) = (self.chunks.get(chunk), self.slots.get_mut(chunk)) {
                out.push(Span {
                    piece: pieces.slot(slot, &Held::Chunk(Arc::clone(held))),
                    start: at,
                    rows: 1,
                    reverse: false,
                });
            }
        }
        self.advance(rows);
    }
}

/// Whether no row is a tombstone, none expires, and what is wanted is set or absent throughout.
fn is_simple(chunk: &Chunk, wanted: &[ColumnId]) -> bool {
    let batch = &chunk.batch;
    let set = |id: &ColumnId| batch.column(*id).is_none_or(|column| column.set.is_none());
    batch.tombstone.is_none() && batch.expiry_ms.is_none() && wanted.iter().all(set)
}
