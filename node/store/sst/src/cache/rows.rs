//! Rows that point reads found in files, decoded, and the keys that files were found not to have: a read
//! of the same key again costs no vector. Kept by file, so that nothing grows stale: what a key
//! resolves to is decided anew at each read.

use std::ops::Range;
use std::sync::Arc;

use activestore_types::{ColumnId, RowBatch};
use arrow::array::Array;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use super::sized;

/// What an entry takes beside its key, columns and cells, about.
const ENTRY_BYTES: usize = 200;
/// Memory of a stamp, an origin and an expiry, each with its buffer, about.
const STAMP_BYTES: usize = 250;
/// An entry's bytes, about: sizes the table of entries.
const ROW_BYTES: usize = 2048;
/// The most that one entry takes, in bytes: beyond it, reading is not what costs.
const ROW_BYTES_MAX: usize = 32 << 10;

/// Rows of a file's vector and their batch, as [`crate::Sst::read_key`] returns them.
pub(crate) type Found = Option<(Range<usize>, Arc<RowBatch>)>;

#[derive(PartialEq, Eq, Hash)]
struct OwnedKey {
    file: u64,
    vector: u32,
    key: Box<[u8]>,
}

/// The key of one row: of the file with this number, in its vector with this number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RowKey<'a> {
    pub(crate) file: u64,
    pub(crate) vector: u32,
    pub(crate) key: &'a [u8],
}

impl Equivalent<OwnedKey> for RowKey<'_> {
    fn equivalent(&self, owned: &OwnedKey) -> bool {
        self.file == owned.file && self.vector == owned.vector && *self.key == *owned.key
    }
}

struct Entry {
    columns: Box<[ColumnId]>,
    found: Found,
    bytes: usize,
}

#[derive(Clone)]
struct Weight;

impl Weighter<OwnedKey, Arc<Entry>> for Weight {
    fn weight(&self, _: &OwnedKey, entry: &Arc<Entry>) -> u64 {
        entry.bytes as u64
    }
}

/// The rows of any number of files, up to a number of bytes in all.
pub(crate) struct RowCache(Cache<OwnedKey, Arc<Entry>, Weight>);

impl RowCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let entries = (bytes_max / ROW_BYTES).max(16);
        RowCache(sized(entries, bytes_max, Weight))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.weight()
    }

    /// What was found by this key when these columns were read; `None` where it is not known.
    pub(crate) fn get(&self, key: RowKey<'_>, columns: &[ColumnId]) -> Option<Found> {
        let entry = self.0.get(&key)?;
        (*entry.columns == *columns).then(|| entry.found.clone())
    }

    pub(crate) fn put(&self, key: RowKey<'_>, columns: &[ColumnId], found: &Found) {
        let bytes = ENTRY_BYTES + key.key.len() + size_of_val(columns) + weight(found);
        if bytes > ROW_BYTES_MAX {
            return;
        }
        let owned = OwnedKey {
            file: key.file,
            vector: key.vector,
            key: key.key.into(),
        };
        let entry = Entry {
            columns: columns.into(),
            found: found.clone(),
            bytes,
        };
        self.0.insert(owned, Arc::new(entry));
    }
}

/// Memory that the rows hold on to: all of each buffer that they have a part of.
fn weight(found: &Found) -> usize {
    let Some((_, batch)) = found else {
        return 0;
    };
    let columns = batch.columns.iter();
    let cells = columns.map(|column| size_of_val(column) + column.array.get_array_memory_size());
    cells.sum::<usize>() + STAMP_BYTES + batch.rows * size_of::<[u64; 4]>()
}

#[cfg(test)]
mod tests;
