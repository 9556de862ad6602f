//! What reads keep, each kind within its bytes: parts of the files' indexes and dictionaries, which every
//! read needs; vectors as they lie in files, encoded and compressed, their checksums checked; and the rows
//! found last. The vectors spare point reads the disk and the checksum, not the decoding, and so
//! hold many times the rows that decoded ones would take. Files are immutable, so nothing here grows
//! stale; what belongs to files that are gone ages out.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

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

/// Bytes of a part of a cache with a lock of its own. What takes most of one is not kept, so there are few.
const SHARD_BYTES: usize = 32 << 20;

/// A cache of so many entries, about, and bytes, at most.
fn sized<K: Eq + Hash, V: Clone, W: Weighter<K, V> + Clone>(
    entries: usize,
    bytes_max: usize,
    weight: W,
) -> Cache<K, V, W> {
    let options = OptionsBuilder::new()
        .shards(shards_of(bytes_max))
        .estimated_items_capacity(entries)
        .weight_capacity(bytes_max as u64)
        .build();
    match options {
        Ok(options) => {
            let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
            Cache::with_options(options, weight, hasher, lifecycle)
        }
        // Never: the entries and the bytes are given.
        Err(_) => Cache::with_weighter(entries, bytes_max as u64, weight),
    }
}

fn shards_of(bytes_max: usize) -> usize {
    (bytes_max / SHARD_BYTES).max(1).next_power_of_two()
}

/// The heaviest entry that a cache of so many bytes keeps for sure.
fn entry_bytes_max(bytes_max: usize) -> usize {
    bytes_max / shards_of(bytes_max) / 10 * 9
}

/// What is kept of any number of files. Shared by the files that were opened with it, and by threads.
pub struct BlockCache {
    /// `None` where no vectors are kept. Scans do not enter it.
    entries: Option<Cache<Slot, Arc<Bundle>, Weight>>,
    entry_bytes_max: usize,
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
    /// last, what is too heavy for the cache is kept by its file.
    pub fn new(bytes_max: usize, row_bytes_max: usize, index_bytes_max: usize) -> Arc<Self> {
        let entries = (bytes_max / (VECTOR_BYTES + ENTRY_BYTES)).max(16);
        Arc::new(BlockCache {
            entries: (bytes_max > 0).then(|| sized(entries, bytes_max, Weight)),
            entry_bytes_max: entry_bytes_max(bytes_max),
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
        // One that is too heavy would take a lighter one of the same vector with it.
        if let Some(entries) = &self.entries
            && Weight.weight(&slot, &bundle) <= self.entry_bytes_max as u64
        {
            entries.insert(slot, bundle);
        }
    }
}

#[cfg(test)]
mod tests;
