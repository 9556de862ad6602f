//! Pages of indexes and dictionaries of columns, decoded, within a number of bytes.

use std::sync::Arc;

use activestore_types::Result;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::{entry_bytes_max, sized};
use crate::page::Page;
use crate::reader::Dictionary;

/// What an entry takes beside its content, about.
const ENTRY_BYTES: usize = 128;
/// An entry's bytes, about: sizes the table of entries.
const PAGE_BYTES: usize = 64 << 10;

/// Which part: of the file with this number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct IndexKey {
    pub(crate) file: u64,
    pub(crate) part: Part,
}

/// A part of what a file says about its rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// The page with this number.
    Page(u32),
    /// The dictionary of the column with this place.
    Dictionary(u32),
}

#[derive(Clone)]
enum Entry {
    Page(Arc<Page>),
    Dictionary(Arc<Dictionary>),
}

#[derive(Clone)]
struct Weight;

impl Weighter<IndexKey, Entry> for Weight {
    fn weight(&self, _: &IndexKey, entry: &Entry) -> u64 {
        let bytes = match entry {
            Entry::Page(page) => page.weight(),
            Entry::Dictionary(dictionary) => dictionary.weight(),
        };
        (bytes + ENTRY_BYTES) as u64
    }
}

/// Parts of any number of files.
pub(crate) struct IndexCache {
    entries: Cache<IndexKey, Entry, Weight>,
    entry_bytes_max: usize,
}

impl IndexCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let entries = (bytes_max / PAGE_BYTES).max(16);
        IndexCache {
            entries: sized(entries, bytes_max, Weight),
            entry_bytes_max: entry_bytes_max(bytes_max),
        }
    }

    /// Whether an entry of this weight is kept. What is not, is the file's to hold on to.
    pub(crate) fn takes(&self, weight: usize) -> bool {
        weight + ENTRY_BYTES <= self.entry_bytes_max
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    /// Lets a part go, of a file that is not read any more.
    pub(crate) fn remove(&self, key: IndexKey) {
        self.entries.remove(&key);
    }

    /// A page, from `load` where it is not held.
    pub(crate) fn page(
        &self,
        key: IndexKey,
        load: impl FnOnce() -> Result<Page>,
    ) -> Result<Arc<Page>> {
        if let Some(Entry::Page(page)) = self.entries.get(&key) {
            return Ok(page);
        }
        let page = Arc::new(load()?);
        if self.takes(page.weight()) {
            self.entries.insert(key, Entry::Page(Arc::clone(&page)));
        }
        Ok(page)
    }

    /// A dictionary, from `load` where it is not held.
    pub(crate) fn dictionary(
        &self,
        key: IndexKey,
        load: impl FnOnce() -> Result<Dictionary>,
    ) -> Result<Arc<Dictionary>> {
        if let Some(Entry::Dictionary(dictionary)) = self.entries.get(&key) {
            return Ok(dictionary);
        }
        let dictionary = Arc::new(load()?);
        if self.takes(dictionary.weight()) {
            let entry = Entry::Dictionary(Arc::clone(&dictionary));
            self.entries.insert(key, entry);
        }
        Ok(dictionary)
    }
}
