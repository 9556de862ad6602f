//! Pieces: decoded batches that rows are picked from while an output batch is being made.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use activestore_sst::Sst;
use activestore_types::{ColumnId, KeyBuffer, NodeId, OriginId, Result, RowBatch};
use arrow::array::ArrayRef;

use super::resolve::Cells;
use crate::memtable::Chunk;
use crate::memtable::gather::{expiry_of, is_tombstone};
use crate::version::Stamp;

/// Decoded vectors that rows may be picked from before the rows are copied out: with a vector's
/// 1,024 rows this bounds what a scan, a digest or a compaction holds.
pub(crate) const VECTORS_HELD_MAX: usize = 48;

/// One stored row write of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment {
    pub(crate) piece: usize,
    pub(crate) row: usize,
    pub(crate) hlc: u64,
    pub(crate) origin: OriginId,
    /// Milliseconds since 1970; 0 means never.
    pub(crate) expiry_ms: u64,
    pub(crate) tombstone: bool,
}

impl Fragment {
    /// The fragment at a row of a batch with stamps.
    pub(crate) fn of(batch: &RowBatch, piece: usize, row: usize) -> Self {
        Fragment {
            hlc: batch.hlc.get(row).copied().unwrap_or(0),
            origin: OriginId(batch.origin.get(row).copied().unwrap_or(0)),
            expiry_ms: expiry_of(batch, row),
            tombstone: is_tombstone(batch, row),
            ..Fragment::nothing(piece, row)
        }
    }

    /// One that says nothing, older than any other.
    pub(crate) fn nothing(piece: usize, row: usize) -> Self {
        Fragment {
            piece,
            row,
            hlc: 0,
            origin: OriginId(0),
            expiry_ms: 0,
            tombstone: false,
        }
    }

    pub(crate) fn expired(&self, now_ms: u64) -> bool {
        self.expiry_ms != 0 && self.expiry_ms <= now_ms
    }

    pub(crate) fn stamp(&self, node_of: &dyn Fn(OriginId) -> NodeId) -> Stamp {
        Stamp {
            hlc: self.hlc,
            node: node_of(self.origin),
        }
    }
}

/// A decoded vector of a file, or some of its rows.
pub(crate) struct Vector {
    pub(crate) sst: Arc<Sst>,
    pub(crate) index: usize,
    /// Which rows of the vector the batch holds, if not all.
    part: Option<Range<usize>>,
    /// The key columns, the wanted ones and the stamps.
    pub(crate) batch: Arc<RowBatch>,
    pub(crate) keys: KeyBuffer,
    /// All columns, read only where the existence of a row hangs on them.
    full: OnceLock<RowBatch>,
}

impl Vector {
    pub(crate) fn new(sst: Arc<Sst>, index: usize, batch: Arc<RowBatch>, keys: KeyBuffer) -> Self {
        Vector {
            sst,
            index,
            part: None,
            batch,
            keys,
            full: OnceLock::new(),
        }
    }

    /// Rows of a vector that were decoded alone, without their keys.
    pub(crate) fn part(
        sst: Arc<Sst>,
        index: usize,
        rows: Range<usize>,
        batch: Arc<RowBatch>,
    ) -> Self {
        Vector {
            part: Some(rows),
            ..Vector::new(sst, index, batch, KeyBuffer::default())
        }
    }
}

/// What a piece shares with its source.
#[derive(Clone)]
pub(crate) enum Held {
    Chunk(Arc<Chunk>),
    Vector(Arc<Vector>),
}

impl Held {
    pub(crate) fn batch(&self) -> &RowBatch {
        match self {
            Held::Chunk(chunk) => &chunk.batch,
            Held::Vector(vector) => &vector.batch,
        }
    }

    pub(crate) fn key(&self, row: usize) -> &[u8] {
        match self {
            Held::Chunk(chunk) => chunk.keys.key(row),
            Held::Vector(vector) => vector.keys.key(row),
        }
    }
}

pub(crate) struct Piece {
    held: Held,
    /// For each wanted column its place in the batch.
    places: Vec<Option<usize>>,
    /// Whether every wanted column is there and set in every row.
    plain: bool,
}

/// The pieces of the output batch in the making.
pub(crate) struct Pieces {
    wanted: Vec<ColumnId>,
    list: Vec<Piece>,
    /// Rises when the list is emptied, which makes the numbers that sources remember void.
    epoch: u64,
    vectors: usize,
}

/// The number of a piece as a source remembers it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    epoch: u64,
    piece: usize,
}

impl Slot {
    /// The piece's number, where it has one in this epoch.
    pub(crate) fn known(&self, epoch: u64) -> Option<usize> {
        (self.epoch == epoch).then_some(self.piece)
    }

    /// The piece's number in this epoch; it is added if it has none.
    pub(crate) fn number(&mut self, epoch: u64, add: impl FnOnce() -> usize) -> usize {
        if self.epoch != epoch {
            *self = Slot {
                epoch,
                piece: add(),
            };
        }
        self.piece
    }
}

impl Pieces {
    pub(crate) fn new(wanted: Vec<ColumnId>) -> Self {
        Pieces {
            wanted,
            list: Vec::new(),
            epoch: 1,
            vectors: 0,
        }
    }

    pub(crate) fn wanted(&self) -> &[ColumnId] {
        &self.wanted
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Pieces that hold memory of their own.
    pub(crate) fn vectors(&self) -> usize {
        self.vectors
    }

    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.vectors = 0;
        self.epoch += 1;
    }

    /// The number of the piece; it is added if the slot does not know it.
    pub(crate) fn slot(&mut self, slot: &mut Slot, held: &Held) -> usize {
        slot.number(self.epoch, || self.push(held.clone()))
    }

    /// Adds a piece and returns its number.
    pub(crate) fn push(&mut self, held: Held) -> usize {
        let batch = held.batch();
        let places: Vec<Option<usize>> = self
            .wanted
            .iter()
            .map(|id| batch.columns.iter().position(|column| column.id == *id))
            .collect();
        let plain = places.iter().all(|place| {
            place
                .and_then(|place| batch.columns.get(place))
                .is_some_and(|column| column.set.is_none())
        });
        self.vectors += usize::from(matches!(held, Held::Vector(_)));
        self.list.push(Piece {
            held,
            places,
            plain,
        });
        self.list.len() - 1
    }

    pub(crate) fn fragment(&self, piece: usize, row: usize) -> Fragment {
        match self.list.get(piece) {
            Some(found) => Fragment::of(found.held.batch(), piece, row),
            // Never: sources pass the numbers that they were given.
            None => Fragment::nothing(piece, row),
        }
    }

    /// The keys of a piece's rows.
    pub(crate) fn keys(&self, piece: usize) -> Option<&KeyBuffer> {
        let held = self.list.get(piece).map(|piece| &piece.held)?;
        Some(match held {
            Held::Chunk(chunk) => &chunk.keys,
            Held::Vector(vector) => &vector.keys,
        })
    }

    pub(crate) fn batches(&self) -> Vec<&RowBatch> {
        self.list.iter().map(|piece| piece.held.batch()).collect()
    }

    pub(crate) fn plain(&self, piece: usize) -> bool {
        self.list.get(piece).is_some_and(|piece| piece.plain)
    }

    /// Whether the piece's arrays are its own and hold little beside the rows that are wanted.
    pub(crate) fn small(&self, piece: usize) -> bool {
        let held = self.list.get(piece).map(|piece| &piece.held);
        matches!(held, Some(Held::Vector(vector)) if vector.part.is_some())
    }

    /// The array of a wanted column, by its place among the wanted ones.
    pub(crate) fn array(&self, piece: usize, wanted: usize) -> Option<&ArrayRef> {
        let piece = self.list.get(piece)?;
        let place = (*piece.places.get(wanted)?)?;
        Some(&piece.held.batch().columns.get(place)?.array)
    }

    /// Whether the fragment sets the wanted column.
    pub(crate) fn sets(&self, fragment: &Fragment, wanted: usize) -> bool {
        let column = self.list.get(fragment.piece).and_then(|piece| {
            let place = (*piece.places.get(wanted)?)?;
            piece.held.batch().columns.get(place)
        });
        column.is_some_and(|column| {
            column
                .set
                .as_ref()
                .is_none_or(|set| fragment.row < set.len() && set.value(fragment.row))
        })
    }

    /// The fragment's batch with every column of the table.
    pub(crate) fn full(&self, fragment: &Fragment, all: &[ColumnId]) -> Result<Option<&RowBatch>> {
        let Some(piece) = self.list.get(fragment.piece) else {
            return Ok(None);
        };
        match &piece.held {
            Held::Chunk(chunk) => Ok(Some(&chunk.batch)),
            Held::Vector(vector) => {
                if let Some(full) = vector.full.get() {
                    return Ok(Some(full));
                }
                let full = match &vector.part {
                    Some(rows) => vector
                        .sst
                        .read_rows(vector.index, rows.clone(), all, false)?,
                    None => vector.sst.read(vector.index, all)?,
                };
                Ok(Some(vector.full.get_or_init(|| full)))
            }
        }
    }
}

impl Cells for Pieces {
    fn wanted(&self) -> &[ColumnId] {
        self.wanted()
    }

    fn pieces(&self) -> usize {
        self.len()
    }

    fn load(&mut self, _piece: usize) -> Result<()> {
        Ok(())
    }

    fn plain(&self, piece: usize) -> bool {
        self.plain(piece)
    }

    fn array(&self, piece: usize, wanted: usize) -> Option<&ArrayRef> {
        self.array(piece, wanted)
    }

    fn sets(&self, fragment: &Fragment, wanted: usize) -> bool {
        self.sets(fragment, wanted)
    }

    fn full(&self, fragment: &Fragment, all: &[ColumnId]) -> Result<Option<&RowBatch>> {
        self.full(fragment, all)
    }
}
