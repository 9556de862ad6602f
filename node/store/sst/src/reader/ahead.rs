//! Bytes that are read together. The vectors of all columns of a row group lie near each other, so
//! one read serves many columns: those of one row, and, when vectors are read in order, those of the
//! rest of the group.

use std::ops::Range;
use std::sync::Arc;

use activestore_env::DiskFile;
use activestore_types::{ColumnId, Error, Result, RowBatch};

use super::codes::Codes;
use super::layout::At;
use super::{Reading, Sst};
use crate::footer::read_into;

/// Reading this many bytes that nobody wants costs less than another read.
const GAP_BYTES: u64 = 8 << 10;
/// A column's vectors are read ahead to the end of their row group where they take no more.
const AHEAD_BYTES: u64 = 64 << 10;

/// Stretches whose memory is used again, and bytes of each, at most.
const SPARE_MAX: usize = 2;
const SPARE_BYTES: usize = 128 << 10;

/// Columns of which it is kept what their codes stand for, at most.
const CODES_MAX: usize = 8;

/// Reads the vectors of one file in order, with fewer and longer reads than [`Sst::read`]. Holds the
/// row group's part of each column read, up to 64 KiB a column, or one vector if that is longer.
pub struct SequentialReader {
    sst: Arc<Sst>,
    window: Window,
    /// The vector read last, and whether it came behind the one before. Its page of the index is at hand for those behind
    /// it, without a look at what all readers share.
    last: Option<(At, bool)>,
    /// What codes of columns that were asked for stand for.
    codes: Vec<(ColumnId, Codes)>,
}

impl Sst {
    /// A reader for a scan of this file; each scan has its own.
    pub fn sequential(self: &Arc<Self>) -> SequentialReader {
        SequentialReader {
            sst: Arc::clone(self),
            window: Window::default(),
            last: None,
            codes: Vec::new(),
        }
    }
}

impl SequentialReader {
    /// The file.
    pub fn sst(&self) -> &Arc<Sst> {
        &self.sst
    }

    /// As [`Sst::codes`], kept for the vectors behind.
    ///
    /// # Errors
    /// As [`Sst::codes`].
    pub fn codes(&mut self, column: ColumnId) -> Result<&Codes> {
        let known = self.codes.iter().position(|(known, _)| *known == column);
        let place = match known {
            Some(place) => place,
            None => {
                let codes = self.sst.codes(column)?;
                // Large ones take turns, so that many readers do not hold many of them.
                self.codes.retain(|(_, codes)| codes.is_light());
                if self.codes.len() >= CODES_MAX {
                    self.codes.remove(0);
                }
                self.codes.push((column, codes));
                self.codes.len() - 1
            }
        };
        let codes = self.codes.get(place).map(|(_, codes)| codes);
        codes.ok_or_else(|| Error::internal("codes that were read are not there"))
    }

    /// As [`Sst::read`].
    ///
    /// # Errors
    /// As [`Sst::read`].
    pub fn read(&mut self, v: usize, columns: &[ColumnId]) -> Result<RowBatch> {
        self.read_batch(v, columns, false)
    }

    /// As [`Sst::read_stamped`].
    ///
    /// # Errors
    /// As [`Sst::read`].
    pub fn read_stamped(&mut self, v: usize, columns: &[ColumnId]) -> Result<RowBatch> {
        self.read_batch(v, columns, true)
    }

    /// Some rows of a vector, as [`Sst::read_rows`] without stamps.
    ///
    /// # Errors
    /// As [`Sst::read_rows`].
    pub fn read_rows(
        &mut self,
        v: usize,
        rows: Range<usize>,
        columns: &[ColumnId],
    ) -> Result<RowBatch> {
        let read = || {
            let (sst, at, how) = self.enter(v)?;
            sst.read_at(at, Some(rows), columns, false, how)
        };
        read().map_err(|error| error.context(self.sst.path()))
    }

    /// The file, its vector `v`, which comes next, and how that is read.
    ///
    /// # Errors
    /// As [`Sst::at`].
    pub(super) fn enter(&mut self, v: usize) -> Result<(&Sst, &At, Reading<'_>)> {
        let before = self.last.as_ref();
        // A first vector says nothing about the next one; columns of one vector may come in parts.
        let in_order =
            before.is_some_and(|(last, in_order)| last.v + 1 == v || last.v == v && *in_order);
        let at = match self.last.take() {
            Some((last, _)) if last.v == v => last,
            Some((last, _)) => {
                let group = last.last;
                let at = self.sst.at_near(v, last)?;
                if at.last != group {
                    self.window.clear();
                }
                at
            }
            None => {
                self.window.clear();
                self.sst.at(v)?
            }
        };
        let (at, _) = self.last.insert((at, in_order));
        Ok((&self.sst, at, Reading::Ahead(&mut self.window, in_order)))
    }

    fn read_batch(&mut self, v: usize, columns: &[ColumnId], stamped: bool) -> Result<RowBatch> {
        let mut read = || {
            let (sst, at, how) = self.enter(v)?;
            sst.read_at(at, None, columns, stamped, how)
        };
        read().map_err(|error| error.context(self.sst.path()))
    }
}

/// Stretches of the file.
#[derive(Default)]
pub(super) struct Window {
    stretches: Vec<(u64, Vec<u8>)>,
    /// Memory of stretches that were let go.
    spare: Vec<Vec<u8>>,
}

/// What a reader asks of the file for one column: a vector, and perhaps those behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// Where the vector begins.
    pub(super) offset: u64,
    /// Its bytes.
    pub(super) length: u64,
    /// Where the column's part of the row group ends.
    pub(super) chunk_end: u64,
}

impl Wish {
    fn range(&self, ahead: bool) -> Range<u64> {
        let end = self.offset.saturating_add(self.length);
        if ahead && self.chunk_end.saturating_sub(self.offset) <= AHEAD_BYTES {
            self.offset..self.chunk_end.max(end)
        } else {
            self.offset..end
        }
    }
}

impl Window {
    /// Forgets everything.
    fn clear(&mut self) {
        let room = SPARE_MAX.saturating_sub(self.spare.len());
        let spare = self.stretches.drain(..).map(|(_, bytes)| bytes);
        let spare = spare.filter(|bytes| bytes.capacity() <= SPARE_BYTES);
        self.spare.extend(spare.take(room));
    }

    /// Reads what is wished and not held, in as few reads as are cheap.
    pub(super) fn fill(
        &mut self,
        file: &Arc<dyn DiskFile>,
        wishes: &[Wish],
        ahead: bool,
    ) -> Result<()> {
        let missing = wishes
            .iter()
            .filter(|wish| self.find(wish.offset, wish.length).is_none());
        let mut ranges: Vec<Range<u64>> = missing.map(|wish| wish.range(ahead)).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        let mut ranges = ranges.into_iter();
        let Some(mut stretch) = ranges.next() else {
            return Ok(());
        };
        for range in ranges {
            if range.start > stretch.end.saturating_add(GAP_BYTES) {
                self.read(file, std::mem::replace(&mut stretch, range))?;
            } else {
                stretch.end = stretch.end.max(range.end);
            }
        }
        self.read(file, stretch)
    }

    fn read(&mut self, file: &Arc<dyn DiskFile>, range: Range<u64>) -> Result<()> {
        let mut bytes = self.spare.pop().unwrap_or_default();
        let length = range.end - range.start;
        read_into(file, range.start, length, &mut bytes)?;
        self.stretches.push((range.start, bytes));
        Ok(())
    }

    /// The bytes of a vector that [`Window::fill`] was asked for.
    pub(super) fn get(&self, offset: u64, length: u64) -> Result<&[u8]> {
        self.find(offset, length)
            .ok_or_else(|| Error::internal("a read window does not hold what it read"))
    }

    /// Whether it holds these bytes.
    pub(super) fn holds(&self, offset: u64, length: u64) -> bool {
        self.find(offset, length).is_some()
    }

    fn find(&self, offset: u64, length: u64) -> Option<&[u8]> {
        self.stretches.iter().find_map(|(start, bytes)| {
            let from = usize::try_from(offset.checked_sub(*start)?).ok()?;
            bytes.get(from..)?.get(..usize::try_from(length).ok()?)
        })
    }
}
