//! One simulated file: what programs read, what would survive a power cut, and the 512-byte pieces
//! in which the two may differ. It knows no names; those belong to the disk.

use std::collections::BTreeSet;

use super::rng::SimRng;

/// What a disk writes in one go: a power cut tears between these, never inside one.
pub(super) const PIECE_BYTES: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Inode {
    /// What reads return.
    pub(super) written: Vec<u8>,
    /// What is on the platter.
    durable: Vec<u8>,
    /// Pieces written since the last sync.
    dirty: BTreeSet<usize>,
    /// Lengths that the file was given since the last sync without a write, smallest first.
    given: BTreeSet<usize>,
}

impl Inode {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if end > self.written.len() {
            self.dirty_range(self.written.len(), end);
            self.written.resize(end, 0);
        }
        if let Some(place) = self.written.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
        self.dirty_range(offset, end);
    }

    pub(super) fn set_len(&mut self, len: usize) {
        let (low, high) = (len.min(self.written.len()), len.max(self.written.len()));
        self.written.resize(len, 0);
        self.dirty_range(low, high);
        self.given.retain(|given| *given < len);
        self.given.insert(len);
    }

    fn dirty_range(&mut self, start: usize, end: usize) {
        if start < end {
            self.dirty
                .extend(start / PIECE_BYTES..end.div_ceil(PIECE_BYTES));
        }
    }

    pub(super) fn sync(&mut self) {
        self.given.clear();
        self.durable.resize(self.written.len(), 0);
        for piece in std::mem::take(&mut self.dirty) {
            self.persist(piece);
        }
    }

    /// A sync that failed: the kernel has dropped the pages' dirty marks, so that no later sync
    /// writes them, while reads go on showing them.
    pub(super) fn fail_sync(&mut self, rng: &SimRng) {
        for piece in std::mem::take(&mut self.dirty) {
            if rng.one_in(2) {
                self.persist_lengthening(piece);
            }
        }
    }

    /// The power comes back: an arbitrary subset of the unsynced pieces has made it.
    pub(super) fn crash(&mut self, rng: &SimRng) {
        let mode = rng.below(4);
        for piece in std::mem::take(&mut self.dirty) {
            let kept = match mode {
                0 => false,
                1 => true,
                2 => rng.one_in(2),
                _ => rng.one_in(8),
            };
            if kept {
                self.persist_lengthening(piece);
            }
        }
        // The length is written on its own: it may lag behind the pieces or be as it was last set.
        if self.durable.len() != self.written.len() && rng.one_in(2) {
            self.durable.resize(self.written.len(), 0);
        }
        self.given.clear();
        self.written.clone_from(&self.durable);
    }

    pub(super) fn flip(&mut self, offset: usize, mask: u8) {
        for bytes in [&mut self.written, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= mask;
            }
        }
    }

    fn persist_lengthening(&mut self, piece: usize) {
        let end = (piece * PIECE_BYTES + PIECE_BYTES).min(self.written.len());
        if self.durable.len() < end {
            // A file system changes the length of an inode in one piece: it never stops between two
            // lengths that a file was given, while appended bytes may lengthen it by any part.
            let length = self.given.range(end..).next().copied().unwrap_or(end);
            self.durable.resize(length, 0);
        }
        self.persist(piece);
    }

    fn persist(&mut self, piece: usize) {
        let start = piece * PIECE_BYTES;
        let end = (start + PIECE_BYTES)
            .min(self.written.len())
            .min(self.durable.len());
        if let (Some(to), Some(from)) = (
            self.durable.get_mut(start..end.max(start)),
            self.written.get(start..end.max(start)),
        ) {
            to.copy_from_slice(from);
        }
    }
}
