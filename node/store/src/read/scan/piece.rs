//! Pieces: batches that rows are picked from while an output batch is being made. Of a vector, its
//! stamps and its cells are decoded only when something asks for them.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use activestore_sst::{SequentialReader, Sst};
use activestore_types::{BatchColumn, ColumnId, Result, RowBatch};
use arrow::array::{Array, ArrayRef};
use parking_lot::Mutex;

use super::ScanStats;
use crate::memtable::Chunk;
use crate::read::codes::read_coded;
use crate::read::piece::Fragment;
pub(crate) use crate::read::piece::Slot;
use crate::read::resolve::Cells;

mod whole;
pub(crate) use whole::Picked;

/// A reader that a source shares with the vectors it read.
pub(crate) type SharedReader = Arc<Mutex<SequentialReader>>;

/// A vector of a file, decoded as far as it was asked for.
pub(crate) struct Vector {
    sst: Arc<Sst>,
    reader: SharedReader,
    index: usize,
    /// Which of its rows are wanted, if not all.
    part: Option<Range<usize>>,
    /// Whether a part is read as the vectors around it are.
    in_order: bool,
    stamped: OnceLock<RowBatch>,
    /// Those of the wanted columns that are looked at before the others.
    ahead: OnceLock<Vec<BatchColumn>>,
    /// The wanted columns that the file has.
    cells: OnceLock<Vec<BatchColumn>>,
    /// All columns, read only where the existence of a row hangs on them.
    full: OnceLock<RowBatch>,
}

impl Vector {
    pub(crate) fn new(reader: &SharedReader, sst: &Arc<Sst>, index: usize) -> Self {
        Vector {
            sst: Arc::clone(sst),
            reader: Arc::clone(reader),
            index,
            part: None,
            in_order: false,
            stamped: OnceLock::new(),
            ahead: OnceLock::new(),
            cells: OnceLock::new(),
            full: OnceLock::new(),
        }
    }

    /// Some rows of a vector, decoded without the others.
    pub(crate) fn part(
        reader: &SharedReader,
        sst: &Arc<Sst>,
        index: usize,
        rows: Range<usize>,
    ) -> Self {
        Vector {
            part: Some(rows),
            ..Vector::new(reader, sst, index)
        }
    }

    /// Some rows of this vector, to be decoded without the others; what is looked at first is there already.
    fn cut(&self, rows: Range<usize>) -> Self {
        let mut part = Vector::part(&self.reader, &self.sst, self.index, rows.clone());
        part.in_order = true;
        if let Some(ahead) = self.ahead.get() {
            let set = |column: &BatchColumn| {
                let set = column.set.as_ref();
                set.map(|set| set.slice(rows.start, rows.len()))
            };
            let slice = |column: &BatchColumn| BatchColumn {
                id: column.id,
                array: column.array.slice(rows.start, rows.len()),
                set: set(column),
            };
            part.ahead.get_or_init(|| ahead.iter().map(slice).collect());
        }
        part
    }

    /// The rows' stamps.
    pub(crate) fn stamps(&self) -> Result<&RowBatch> {
        if let Some(stamped) = self.stamped.get() {
            return Ok(stamped);
        }
        let read = match &self.part {
            Some(rows) => self.sst.read_rows(self.index, rows.clone(), &[], true)?,
            None => self.reader.lock().read_stamped(self.index, &[])?,
        };
        Ok(self.stamped.get_or_init(|| read))
    }

    /// The wanted columns, some of them by codes where the vector has them so.
    fn cells(&self, wanted: &[ColumnId], codes: &[ColumnId]) -> Result<&[BatchColumn]> {
        if let Some(cells) = self.cells.get() {
            return Ok(cells);
        }
        let ahead = self.ahead.get().map_or(&[][..], Vec::as_slice);
        let is_there = |id: &ColumnId| ahead.iter().any(|column| column.id == *id);
        let mut read = if ahead.is_empty() {
            self.read(wanted, codes)?
        } else {
            let left: Vec<ColumnId> = wanted.iter().filter(|id| !is_there(id)).copied().collect();
            self.read(&left, codes)?
        };
        read.extend_from_slice(ahead);
        Ok(self.cells.get_or_init(|| read))
    }

    fn read(&self, wanted: &[ColumnId], codes: &[ColumnId]) -> Result<Vec<BatchColumn>> {
        let mut reader = self.reader.lock();
        if let Some(rows) = &self.part {
            let (index, rows) = (self.index, rows.clone());
            let read = match self.in_order {
                true => reader.read_rows(index, rows, wanted)?,
                false => self.sst.read_rows(index, rows, wanted, false)?,
            };
            return Ok(read.columns);
        }
        if codes.iter().any(|id| wanted.contains(id)) {
            return read_coded(&mut reader, self.index, wanted, codes);
        }
        Ok(reader.read(self.index, wanted)?.columns)
    }

    fn full(&self, all: &[ColumnId]) -> Result<&RowBatch> {
        if let Some(full) = self.full.get() {
            return Ok(full);
        }
        let read = match &self.part {
            Some(rows) => self.sst.read_rows(self.index, rows.clone(), all, false)?,
            None => self.sst.read(self.index, all)?,
        };
        Ok(self.full.get_or_init(|| read))
    }
}

/// What a piece shares with its source.
#[derive(Clone)]
pub(crate) enum Held {
    Chunk(Arc<Chunk>),
    Vector(Arc<Vector>),
}

struct Piece {
    held: Held,
    /// Whether every wanted column is there and set in every row.
    plain: bool,
    /// For each wanted column its place in the batch or among the cells; empty until they are there.
    places: Vec<Option<usize>>,
}

/// The pieces of the output batch in the making.
pub(crate) struct Pieces {
    wanted: Vec<ColumnId>,
    /// Those of the wanted columns that are wanted by codes.
    codes: Vec<ColumnId>,
    /// Those that are looked at before the others are read.
    ahead: Vec<ColumnId>,
    list: Vec<Piece>,
    /// Rises when the list is emptied, which makes the numbers that sources remember void.
    epoch: u64,
    vectors: usize,
    pub(crate) stats: ScanStats,
}

impl Pieces {
    pub(crate) fn new(wanted: Vec<ColumnId>) -> Self {
        Pieces {
            wanted,
            codes: Vec::new(),
            ahead: Vec::new(),
            list: Vec::new(),
            epoch: 1,
            vectors: 0,
            stats: ScanStats::default(),
        }
    }

    /// The same, with these of the wanted columns by codes.
    pub(crate) fn with_codes(mut self, codes: Vec<ColumnId>) -> Self {
        self.codes = codes;
        self
    }

    /// The same, with these of the wanted columns to be looked at before the others.
    pub(crate) fn with_ahead(mut self, ahead: &[ColumnId]) -> Self {
        self.ahead = ahead.to_vec();
        self
    }

    pub(crate) fn wanted(&self) -> &[ColumnId] {
        &self.wanted
    }

    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// Makes sure that what is looked at first of a piece is there.
    pub(crate) fn load_ahead(&mut self, piece: usize) -> Result<()> {
        let Some(piece) = self.list.get(piece) else {
            return Ok(());
        };
        if let Held::Vector(vector) = &piece.held
            && piece.places.is_empty()
            && vector.cells.get().is_none()
            && vector.ahead.get().is_none()
        {
            self.stats.vectors_read += 1;
            let read = vector.read(&self.ahead, &self.codes)?;
            self.stats.bytes_decoded += bytes(&read);
            vector.ahead.get_or_init(|| read);
        }
        Ok(())
    }

    /// The array of a column that is looked at first, by its place among the wanted ones.
    pub(crate) fn ahead(&self, piece: usize, wanted: usize) -> Option<&ArrayRef> {
        let held = self.list.get(piece)?;
        if let Held::Vector(vector) = &held.held
            && held.places.is_empty()
        {
            let id = self.wanted.get(wanted)?;
            let columns = vector.cells.get().or(vector.ahead.get())?;
            let column = columns.iter().find(|column| column.id == *id)?;
            return Some(&column.array);
        }
        self.column(piece, wanted).map(|column| &column.array)
    }

    /// Whether nothing but what is looked at first was read of a vector.
    pub(crate) fn is_fresh(&self, piece: usize) -> bool {
        let held = self.list.get(piece).map(|piece| &piece.held);
        matches!(held, Some(Held::Vector(one)) if one.part.is_none() && one.cells.get().is_none())
    }

    /// Adds a piece of some rows of a vector.
    pub(crate) fn push_part(&mut self, piece: usize, rows: Range<usize>) -> Option<usize> {
        let Held::Vector(vector) = self.held(piece)? else {
            return None;
        };
        Some(self.push(Held::Vector(Arc::new(vector.cut(rows)))))
    }

    /// Rises whenever the pieces are let go.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
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
        let (plain, places) = match &held {
            Held::Chunk(chunk) => {
                let columns = &chunk.batch.columns;
                (
                    is_plain(columns, &self.wanted),
                    places(columns, &self.wanted),
                )
            }
            Held::Vector(vector) => {
                let meta = vector.sst.meta();
                let has = |id: &ColumnId| meta.columns.iter().any(|column| column.id == *id);
                let plain = meta.unique && self.wanted.iter().all(has);
                (plain, Vec::new())
            }
        };
        self.vectors += usize::from(matches!(held, Held::Vector(_)));
        self.list.push(Piece {
            held,
            plain,
            places,
        });
        self.list.len() - 1
    }

    /// What a piece shares with its source.
    pub(crate) fn held(&self, piece: usize) -> Option<Held> {
        self.list.get(piece).map(|piece| piece.held.clone())
    }

    /// The fragment at a row of a piece, with its stamp.
    pub(crate) fn fragment(&self, piece: usize, row: usize) -> Result<Fragment> {
        match self.list.get(piece).map(|piece| &piece.held) {
            Some(Held::Chunk(chunk)) => Ok(Fragment::of(&chunk.batch, piece, row)),
            Some(Held::Vector(vector)) => Ok(Fragment::of(vector.stamps()?, piece, row)),
            // Never: sources pass the numbers that they were given.
            None => Ok(Fragment::nothing(piece, row)),
        }
    }

    fn column(&self, piece: usize, wanted: usize) -> Option<&BatchColumn> {
        let piece = self.list.get(piece)?;
        let place = (*piece.places.get(wanted)?)?;
        match &piece.held {
            Held::Chunk(chunk) => chunk.batch.columns.get(place),
            Held::Vector(vector) => vector.cells.get()?.get(place),
        }
    }
}

impl Cells for Pieces {
    fn wanted(&self) -> &[ColumnId] {
        &self.wanted
    }

    fn pieces(&self) -> usize {
        self.list.len()
    }

    fn load(&mut self, piece: usize) -> Result<()> {
        let Some(piece) = self.list.get_mut(piece) else {
            return Ok(());
        };
        if let Held::Vector(vector) = &piece.held
            && piece.places.is_empty()
            && !self.wanted.is_empty()
        {
            let ahead = vector.ahead.get();
            if vector.cells.get().is_none() {
                let cells = bytes(vector.cells(&self.wanted, &self.codes)?);
                let before = ahead.map_or(0, |ahead| bytes(ahead));
                self.stats.bytes_decoded += cells.saturating_sub(before);
                self.stats.vectors_read += u64::from(ahead.is_none());
            }
            piece.places = places(vector.cells(&self.wanted, &self.codes)?, &self.wanted);
        }
        Ok(())
    }

    fn plain(&self, piece: usize) -> bool {
        self.list.get(piece).is_some_and(|piece| piece.plain)
    }

    fn array(&self, piece: usize, wanted: usize) -> Option<&ArrayRef> {
        Some(&self.column(piece, wanted)?.array)
    }

    fn sets(&self, fragment: &Fragment, wanted: usize) -> bool {
        self.plain(fragment.piece)
            || self.column(fragment.piece, wanted).is_some_and(|column| {
                column
                    .set
                    .as_ref()
                    .is_none_or(|set| fragment.row < set.len() && set.value(fragment.row))
            })
    }

    fn full(&self, fragment: &Fragment, all: &[ColumnId]) -> Result<Option<&RowBatch>> {
        match self.list.get(fragment.piece).map(|piece| &piece.held) {
            None => Ok(None),
            Some(Held::Chunk(chunk)) => Ok(Some(&chunk.batch)),
            Some(Held::Vector(vector)) => vector.full(all).map(Some),
        }
    }
}

fn bytes(columns: &[BatchColumn]) -> u64 {
    let size = |column: &BatchColumn| column.array.get_buffer_memory_size() as u64;
    columns.iter().map(size).sum()
}

fn places(columns: &[BatchColumn], wanted: &[ColumnId]) -> Vec<Option<usize>> {
    wanted
        .iter()
        .map(|id| columns.iter().position(|column| column.id == *id))
        .collect()
}

fn is_plain(columns: &[BatchColumn], wanted: &[ColumnId]) -> bool {
    let column = |id: &ColumnId| columns.iter().find(|column| column.id == *id);
    wanted
        .iter()
        .all(|id| column(id).is_some_and(|column| column.set.is_none()))
}
