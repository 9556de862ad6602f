//! The ends of partitions: for each partition of a source the row with the greatest key (or the
//! least), found by fences in a file and by the index in a memtable.

use std::sync::Arc;

use activestore_sst::Sst;
use activestore_types::{KeyRange, Result};
use parking_lot::Mutex;

use super::keys::{KeyShape, VectorKeys};
use super::scan::piece::{SharedReader, Vector};
use crate::memtable::{Chunk, MemtableView};

/// Where a row lies.
pub(super) enum Place {
    /// In a batch of a memtable.
    Chunk(Arc<Chunk>, usize),
    /// In a vector of a file.
    Vector(usize, usize),
}

/// The end of a partition in one source.
pub(super) struct End {
    /// The encoded key of the row.
    pub(super) key: Vec<u8>,
    /// How many bytes of it are the partition's prefix.
    prefix: usize,
    pub(super) place: Place,
    /// Whether no other fragment of the source has the key.
    pub(super) alone: bool,
}

impl End {
    /// The encoded prefix of the partition.
    pub(super) fn prefix(&self) -> &[u8] {
        self.key.get(..self.prefix).unwrap_or(&self.key)
    }
}

/// The ends of a memtable view.
pub(super) struct ViewEnds {
    view: MemtableView,
    last: bool,
    /// The rows to come and whether each is alone, by partition, the next one last.
    rows: Vec<(u32, bool)>,
    head: Option<End>,
}

impl ViewEnds {
    /// With `all`, the head is the end of the first partition of those in this range; without it, there is none until a
    /// seek.
    pub(super) fn new(view: &MemtableView, last: bool, all: Option<&KeyRange>) -> Self {
        let mut rows = match all {
            Some(range) => view.ends(last, range),
            None => Vec::new(),
        };
        rows.reverse();
        let mut ends = ViewEnds {
            view: view.clone(),
            last,
            rows,
            head: None,
        };
        ends.advance();
        ends
    }

    pub(super) fn head(&self) -> Option<&End> {
        self.head.as_ref()
    }

    pub(super) fn advance(&mut self) {
        let next = self.rows.pop();
        self.head = next.and_then(|(row, alone)| self.end(row, alone));
    }

    pub(super) fn seek(&mut self, prefix: &[u8]) {
        let found = self.view.end(prefix, self.last);
        self.head = found.and_then(|(row, alone)| self.end(row, alone));
    }

    fn end(&self, row: u32, alone: bool) -> Option<End> {
        let (chunk, at) = self.view.chunks().locate(row);
        let chunk = self.view.chunks().get(chunk)?;
        let key = chunk.keys.key(at).to_vec();
        Some(End {
            prefix: self.view.prefix_len(&key),
            key,
            place: Place::Chunk(Arc::clone(chunk), at),
            alone,
        })
    }
}

/// The ends of a file.
pub(super) struct FileEnds {
    sst: Arc<Sst>,
    reader: SharedReader,
    shape: Arc<KeyShape>,
    last: bool,
    /// Whether each partition is one row: the file's newest rows are read in the place of all.
    single: bool,
    /// The vector and the place in it where the partition asked for next may be found.
    hint: (usize, usize),
    loaded: Option<(usize, VectorKeys)>,
    /// The vector in which the head's partition ends, and which of its partitions it is.
    at: (usize, usize),
    head: Option<End>,
    /// The piece that a vector of the file was made, with the vector's and the pieces' number.
    pub(super) piece: Option<((usize, u64), usize)>,
    pub(super) vectors_read: u64,
}

impl FileEnds {
    /// With `all`, the head is the end of the first partition whose prefix is not below the range; without it, there is
    /// none until a seek.
    pub(super) fn new(
        sst: &Arc<Sst>,
        shape: &Arc<KeyShape>,
        last: bool,
        all: Option<&KeyRange>,
    ) -> Result<Self> {
        let newest = sst.newest();
        let sst = newest.unwrap_or(sst);
        let mut ends = FileEnds {
            sst: Arc::clone(sst),
            reader: Arc::new(Mutex::new(sst.sequential())),
            shape: Arc::clone(shape),
            last,
            single: newest.is_some(),
            hint: (0, 0),
            loaded: None,
            at: (0, 0),
            head: None,
            piece: None,
            vectors_read: 0,
        };
        if let Some(range) = all {
            ends.enter_at(&range.start)?;
        }
        Ok(ends)
    }

    /// Makes the first partition whose prefix is not below this one the head's.
    fn enter_at(&mut self, prefix: &[u8]) -> Result<()> {
        let behind = KeyRange {
            start: prefix.to_vec(),
            end: Vec::new(),
        };
        let meta = self.sst().meta();
        if !behind.overlaps(&meta.first_key, &meta.last_key) {
            // It ends before them.
            return Ok(());
        }
        let vector = self.sst().vectors_in(&behind)?.start;
        let keys = self.keys(vector)?;
        let row = keys.lower_bound(0..keys.rows(), prefix);
        if row < keys.rows() {
            let place = keys.partition_of(row);
            return self.enter(vector, place);
        }
        self.enter(vector + 1, 0)
    }

    pub(super) fn sst(&self) -> &Arc<Sst> {
        &self.sst
    }

    pub(super) fn head(&self) -> Option<&End> {
        self.head.as_ref()
    }

    /// A vector of the file, not decoded yet.
    pub(super) fn vector(&self, vector: usize) -> Arc<Vector> {
        Arc::new(Vector::new(&self.reader, &self.sst, vector))
    }

    /// One row of a vector of the file, not decoded yet.
    pub(super) fn row(&self, vector: usize, row: usize) -> Arc<Vector> {
        let rows = row..row + 1;
        Arc::new(Vector::part(&self.reader, &self.sst, vector, rows))
    }

    /// How many partitions have rows in a vector.
    pub(super) fn partitions(&mut self, vector: usize) -> Result<usize> {
        Ok(self.keys(vector)?.partitions())
    }

    pub(super) fn advance(&mut self) -> Result<()> {
        let (vector, place) = self.at;
        let partitions = self.keys(vector)?.partitions();
        if place + 1 < partitions {
            self.enter(vector, place + 1)
        } else {
            self.enter(vector + 1, 0)
        }
    }

    /// Makes the partition that begins as the `place`-th of this vector the head's.
    fn enter(&mut self, vector: usize, place: usize) -> Result<()> {
        self.head = None;
        if vector >= self.sst().vectors() {
            return Ok(());
        }
        let keys = self.keys(vector)?;
        let rows = keys.partition_rows(place);
        let prefix = keys.prefix(place).to_vec();
        let is_last = place + 1 >= keys.partitions();
        let (mut ends_in, mut end_place) = (vector, place);
        if !self.last {
            self.take(vector, rows.start, prefix.len())?;
        }
        if is_last {
            let inside = self.sst().vectors_in(&KeyRange::prefix(&prefix))?;
            if inside.end > vector + 1 {
                (ends_in, end_place) = (inside.end - 1, 0);
            }
        }
        self.at = (ends_in, end_place);
        if self.last {
            let rows = self.keys(ends_in)?.partition_rows(end_place);
            self.take(ends_in, rows.end.saturating_sub(1), prefix.len())?;
        }
        Ok(())
    }

    pub(super) fn seek(&mut self, prefix: &[u8]) -> Result<()> {
        self.head = None;
        if self.single {
            // Partitions are asked for in order: the one behind the last is mostly the next.
            let (vector, place) = self.hint;
            let held = self.loaded.as_ref().filter(|(held, _)| *held == vector);
            if let Some((_, keys)) = held.filter(|(_, keys)| keys.prefix(place) == prefix) {
                let row = keys.partition_rows(place).start;
                self.hint = (vector, place + 1);
                return self.take(vector, row, prefix.len());
            }
        }
        if !self.sst().may_hold_partition(prefix) {
            return Ok(());
        }
        let inside = self.sst().vectors_in(&KeyRange::prefix(prefix))?;
        // It ends in the last of these, or begins in the first or at the very start of the second.
        let vectors = if self.last {
            inside.end.saturating_sub(1)..inside.end
        } else {
            inside.start..inside.end.min(inside.start + 2)
        };
        let last = self.last;
        for vector in vectors {
            let keys = self.keys(vector)?;
            let start = keys.lower_bound(0..keys.rows(), prefix);
            let place = keys.partition_of(start);
            if start >= keys.rows() || keys.prefix(place) != prefix {
                continue;
            }
            let row = if last {
                keys.partition_rows(place).end.saturating_sub(1)
            } else {
                start
            };
            self.hint = (vector, place + 1);
            return self.take(vector, row, prefix.len());
        }
        Ok(())
    }

    /// Makes a row the head.
    fn take(&mut self, vector: usize, row: usize, prefix: usize) -> Result<()> {
        let distinct = self.sst().meta().distinct;
        let last = self.last;
        let keys = self.keys(vector)?;
        let mut key = Vec::with_capacity(prefix + 8);
        keys.push_key(row, &mut key);
        let neighbour = if last {
            row.checked_sub(1)
        } else {
            Some(row + 1).filter(|row| *row < keys.rows())
        };
        // At the edge of the vector more of the key may lie in the next.
        let alone = distinct || neighbour.is_some_and(|other| !keys.equal(row, other));
        self.head = Some(End {
            key,
            prefix,
            place: Place::Vector(vector, row),
            alone,
        });
        Ok(())
    }

    fn keys(&mut self, vector: usize) -> Result<&VectorKeys> {
        let held = self.loaded.take().filter(|(held, _)| *held == vector);
        let keys = match held {
            Some((_, keys)) => keys,
            None => {
                self.vectors_read += 1;
                VectorKeys::read(&mut self.reader.lock(), &self.shape, vector)?
            }
        };
        Ok(&self.loaded.insert((vector, keys)).1)
    }
}
