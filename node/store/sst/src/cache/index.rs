//! Pages of indexes and dictionaries of columns, decoded, within a number of bytes.

use std::sync::Arc;

use activestore_types::{Error, Result};
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

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Entry::Page(page) => page.weight(),
            Entry::Dictionary(dictionary) => dictionary.weight(),
        }
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<IndexKey, Entry> for Weight {
    fn weight(&self, _: &IndexKey, entry: &Entry) -> u64 {
        (entry.bytes() + ENTRY_BYTES) as u64
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
        let load = || load().map(|page| Entry::Page(Arc::new(page)));
        match self.entry(key, load)? {
            Entry::Page(page) => Ok(page),
            Entry::Dictionary(_) => Err(misplaced()),
        }
    }

    /// A dictionary, from `load` where it is not held.
    pub(crate) fn dictionary(
        &self,
        key: IndexKey,
        load: impl FnOnce() -> Result<Dictionary>,
    ) -> Result<Arc<Dictionary>> {
        let load = || load().map(|dictionary| Entry::Dictionary(Arc::new(dictionary)));
        match self.entry(key, load)? {
            Entry::Dictionary(dictionary) => Ok(dictionary),
            Entry::Page(_) => Err(misplaced()),
        }
    }

    fn entry(&self, key: IndexKey, load: impl FnOnce() -> Result<Entry>) -> Result<Entry> {
        if let Some(entry) = self.entries.get(&key) {
            return Ok(entry);
        }
        let entry = load()?;
        if self.takes(entry.bytes()) {
            self.entries.insert(key, entry.clone());
        }
        Ok(entry)
    }
}

fn misplaced() -> Error {
    Error::internal("the cache holds another part of an index under this key")
}
