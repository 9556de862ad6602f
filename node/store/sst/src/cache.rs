//! What point reads keep: vectors as they lie in files, encoded and compressed, their checksums
//! checked, and beside them the rows found last. The vectors spare reads the disk and the checksum, not
//! the decoding, and so hold many times the rows that decoded ones would take. Files are immutable, so
//! nothing here grows stale; what belongs to files that are gone ages out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

pub(crate) mod rows;

use rows::RowCache;

/// What an entry takes beside its bytes, about.
const ENTRY_BYTES: usize = 96;
/// A vector's bytes, about: sizes the table of entries.
const VECTOR_BYTES: usize = 1024;

/// Encoded vectors and rows of any number of files, each up to a number of bytes in all; scans do not
/// enter it. Shared by the files that were opened with it, and by threads.
pub struct BlockCache {
    entries: Cache<Slot, Arc<[u8]>, Weight>,
    /// `None` where no rows are kept.
    rows: Option<RowCache>,
    files: AtomicU64,
}

/// Which vector: of the file with this number, of its column with this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) file: u64,
    pub(crate) column: u32,
    pub(crate) vector: u32,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Slot, Arc<[u8]>> for Weight {
    fn weight(&self, _: &Slot, bytes: &Arc<[u8]>) -> u64 {
        (bytes.len() + ENTRY_BYTES) as u64
    }
}

impl BlockCache {
    /// An empty cache of at most so many bytes of vectors, and so many of rows.
    pub fn new(bytes_max: usize, row_bytes_max: usize) -> Arc<Self> {
        let entries = (bytes_max / (VECTOR_BYTES + ENTRY_BYTES)).max(16);
        Arc::new(BlockCache {
            entries: Cache::with_weighter(entries, bytes_max as u64, Weight),
            rows: (row_bytes_max > 0).then(|| RowCache::new(row_bytes_max)),
            files: AtomicU64::new(0),
        })
    }

    /// Bytes held now, about.
    pub fn bytes(&self) -> u64 {
        self.entries.weight() + self.rows.as_ref().map_or(0, RowCache::bytes)
    }

    pub(crate) fn rows(&self) -> Option<&RowCache> {
        self.rows.as_ref()
    }

    /// A number for a file, given to no other.
    pub(crate) fn number_file(&self) -> u64 {
        self.files.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get(&self, slot: &Slot) -> Option<Arc<[u8]>> {
        self.entries.get(slot)
    }

    pub(crate) fn put(&self, slot: Slot, bytes: Arc<[u8]>) {
        self.entries.insert(slot, bytes);
    }
}

#[cfg(test)]
mod tests;
