//! Reading ahead: a scan takes vectors in order, and a chunk's vectors lie side by side, so one read
//! serves many. Only a second vector in a row sets it off; a point read stays one vector long.

use std::sync::Arc;

use activestore_env::DiskFile;
use activestore_types::{ColumnId, Error, Result, RowBatch};

use super::Sst;
use crate::footer::{ColumnKind, read_range};

/// Bytes read at once, per column.
const WINDOW_BYTES: u64 = 64 << 10;

/// Reads the vectors of one file in order, with fewer and longer reads than [`Sst::read`]. Holds up
/// to 64 KiB (or one vector, if that is longer) for each column read.
pub struct SequentialReader {
    sst: Arc<Sst>,
    ahead: ReadAhead,
}

impl Sst {
    /// A reader for a scan of this file; each scan has its own.
    pub fn sequential(self: &Arc<Self>) -> SequentialReader {
        SequentialReader {
            sst: Arc::clone(self),
            ahead: ReadAhead::default(),
        }
    }
}

impl SequentialReader {
    /// The file.
    pub fn sst(&self) -> &Arc<Sst> {
        &self.sst
    }

    /// As [`Sst::read`].
    ///
    /// # Errors
    /// As [`Sst::read`].
    pub fn read(&mut self, v: usize, columns: &[ColumnId]) -> Result<RowBatch> {
        let batch = self
            .sst
            .read_batch(v, columns, false, Some(&mut self.ahead));
        batch.map_err(|error| error.context(&self.sst.path))
    }

    /// As [`Sst::read_stamped`].
    ///
    /// # Errors
    /// As [`Sst::read`].
    pub fn read_stamped(&mut self, v: usize, columns: &[ColumnId]) -> Result<RowBatch> {
        let batch = self.sst.read_batch(v, columns, true, Some(&mut self.ahead));
        batch.map_err(|error| error.context(&self.sst.path))
    }
}

/// What was read ahead, per column.
#[derive(Default)]
pub(crate) struct ReadAhead {
    windows: Vec<(ColumnKind, Window)>,
}

impl ReadAhead {
    /// The window of a column.
    pub(crate) fn window(&mut self, kind: ColumnKind) -> &mut Window {
        let known = self.windows.iter().position(|(known, _)| *known == kind);
        let at = known.unwrap_or(self.windows.len());
        if known.is_none() {
            self.windows.push((kind, Window::default()));
        }
        // There is one at this place now, in either case.
        self.windows
            .get_mut(at)
            .map(|(_, window)| window)
            .expect("a window was just added")
    }
}

/// A stretch of the file.
#[derive(Default)]
pub(crate) struct Window {
    start: u64,
    bytes: Vec<u8>,
    /// Where the vector read last ended.
    next: u64,
}

impl Window {
    /// The bytes at `offset`, from what is held or from the file, then perhaps up to `limit`.
    pub(crate) fn read(
        &mut self,
        file: &Arc<dyn DiskFile>,
        offset: u64,
        length: u64,
        limit: u64,
    ) -> Result<&[u8]> {
        let held_end = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + length > held_end {
            let in_order = offset == self.next && self.next > 0;
            let wanted = if in_order {
                WINDOW_BYTES.max(length)
            } else {
                length
            };
            let wanted = wanted.min(limit.saturating_sub(offset)).max(length);
            self.bytes = read_range(file, offset, wanted)?;
            self.start = offset;
        }
        self.next = offset + length;
        let from = (offset - self.start) as usize;
        let held = self
            .bytes
            .get(from..)
            .and_then(|bytes| bytes.get(..length as usize));
        held.ok_or_else(|| Error::internal("a read window does not hold what it read"))
    }
}
