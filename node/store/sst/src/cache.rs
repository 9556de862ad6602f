//! What reads keep, each kind within its bytes: parts of the files' indexes and dictionaries, which every
//! read needs; vectors as they lie in files, encoded and compressed, their checksums checked; and the rows
//! found last. The vectors spare point reads the disk and the checksum, not the decoding, and so
//! hold many times the rows that decoded ones would take. Files are immutable, so nothing here grows
//! stale; what belongs to files that are gone ages out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

pub(crate) mod index;
pub(crate) mod rows;

use index::IndexCache;
use rows::RowCache;

/// What an entry takes beside its bytes, about.
const ENTRY_BYTES: usize = 96;
/// What a column takes in an entry beside its bytes.
const COLUMN_BYTES: usize = size_of::<Part>();
/// An entry's bytes, about: sizes the table of entries.
const VECTOR_BYTES: usize = 16 << 10;

/// What is kept of any number of files. Shared by the files that were opened with it, and by threads.
pub struct BlockCache {
    /// `None` where no vectors are kept. Scans do not enter it.
    entries: Option<Cache<Slot, Arc<Bundle>, Weight>>,
    index: IndexCache,
    /// `None` where no rows are kept.
    rows: Option<RowCache>,
    files: AtomicU64,
}

/// Which vector: of the file with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) file: u64,
    pub(crate) vector: u32,
}

/// The bytes of some columns of one vector, as they lie in the file.
pub(crate) struct Bundle {
    /// By column.
    parts: Box<[Part]>,
    bytes: Box<[u8]>,
}

struct Part {
    /// The column's place among those of the file.
    column: u32,
    start: usize,
    end: usize,
}

impl Bundle {
    /// What another one holds, and the bytes of further columns.
    pub(crate) fn new(other: Option<&Bundle>, further: &[(u32, &[u8])]) -> Self {
        let held = other.map_or(&[] as &[Part], |other| &other.parts);
        let known = held.iter().filter_map(|part| {
            let bytes = other?.bytes.get(part.start..part.end)?;
            Some((part.column, bytes))
        });
        let mut all: Vec<(u32, &[u8])> = known.chain(further.iter().copied()).collect();
        all.sort_unstable_by_key(|(column, _)| *column);
        let mut bytes = Vec::with_capacity(all.iter().map(|(_, bytes)| bytes.len()).sum());
        let mut parts = Vec::with_capacity(all.len());
        for (column, part) in all {
            let start = bytes.len();
            bytes.extend_from_slice(part);
            parts.push(Part {
                column,
                start,
                end: bytes.len(),
            });
        }
        Bundle {
            parts: parts.into(),
            bytes: bytes.into(),
        }
    }

    /// The bytes of a column.
    pub(crate) fn get(&self, column: u32) -> Option<&[u8]> {
        let at = self
            .parts
            .binary_search_by_key(&column, |part| part.column)
            .ok()?;
        let part = self.parts.get(at)?;
        self.bytes.get(part.start..part.end)
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Slot, Arc<Bundle>> for Weight {
    fn weight(&self, _: &Slot, bundle: &Arc<Bundle>) -> u64 {
        (bundle.bytes.len() + bundle.parts.len() * COLUMN_BYTES + ENTRY_BYTES) as u64
    }
}

impl BlockCache {
    /// An empty cache of at most so many bytes of vectors, of rows, and of indexes and dictionaries. Of the
    /// last a few stay whatever the bound: no read can do without.
    pub fn new(bytes_max: usize, row_bytes_max: usize, index_bytes_max: usize) -> Arc<Self> {
        let entries = (bytes_max / (VECTOR_BYTES + ENTRY_BYTES)).max(16);
        Arc::new(BlockCache {
            entries: (bytes_max > 0)
                .then(|| Cache::with_weighter(entries, bytes_max as u64, Weight)),
            index: IndexCache::new(index_bytes_max),
            rows: (row_bytes_max > 0).then(|| RowCache::new(row_bytes_max)),
            files: AtomicU64::new(0),
        })
    }

    /// Bytes held now, about.
    pub fn bytes(&self) -> u64 {
        let entries = self.entries.as_ref().map_or(0, Cache::weight);
        let rows = self.rows.as_ref().map_or(0, RowCache::bytes);
        entries + rows + self.index.bytes()
    }

    /// Bytes of indexes and dictionaries held now, about.
    pub fn index_bytes(&self) -> u64 {
        self.index.bytes()
    }

    pub(crate) fn index(&self) -> &IndexCache {
        &self.index
    }

    pub(crate) fn rows(&self) -> Option<&RowCache> {
        self.rows.as_ref()
    }

    /// A number for a file, given to no other.
    pub(crate) fn number_file(&self) -> u64 {
        self.files.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get(&self, slot: &Slot) -> Option<Arc<Bundle>> {
        self.entries.as_ref()?.get(slot)
    }

    pub(crate) fn put(&self, slot: Slot, bundle: Arc<Bundle>) {
        if let Some(entries) = &self.entries {
            entries.insert(slot, bundle);
        }
    }
}

#[cfg(test)]
mod tests;
