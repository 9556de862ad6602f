//! Pages of a file's index: for a stretch of row groups the first key of each vector, and for each
//! column where its vectors lie and what is in them. Pages are read when something in them is asked
//! for and kept by the cache within its bytes, so that what a store holds in memory does not grow with its files.

use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use activestore_types::{Error, Result};

use crate::block::Family;
use crate::block::cursor::{Cursor, push_varint};
use crate::block::dictionary::Values;
use crate::index::{ColumnIndex, IndexBuilder};

/// Memory of what the index says about a vector of a column, once it is decoded, about.
const ENTRY_BYTES: usize = 72;
/// What a column takes in a page beside its entries: its slot, and allocations of its lists.
const COLUMN_BYTES: usize = size_of::<OnceLock<ColumnIndex>>() + 160;
/// What a page takes in memory, about; at least one row group has a place in it.
const PAGE_BYTES: usize = if cfg!(any(test, fuzzing)) {
    // So small that a file of a few thousand rows has some.
    2 << 10
} else {
    256 << 10
};

/// How many vectors a page of a table of so many columns is to have.
pub(crate) fn page_vectors(columns: usize) -> usize {
    (PAGE_BYTES / (ENTRY_BYTES * columns.max(1))).max(1)
}

/// The bytes of a page: fences, and each column's index behind its length.
pub(crate) fn encode<'a>(
    fences: &Values,
    columns: impl Iterator<Item = &'a IndexBuilder>,
) -> (Vec<u8>, Vec<usize>) {
    let mut out = Vec::new();
    fences.encode(&mut out);
    let mut lengths = Vec::new();
    for column in columns {
        let bytes = column.encode();
        push_varint(bytes.len() as u64, &mut out);
        lengths.push(bytes.len());
        out.extend_from_slice(&bytes);
    }
    (out, lengths)
}

/// A page in memory.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its first vector.
    pub(crate) first: usize,
    vectors: usize,
    /// For each row group its first vector, counted from that of the page.
    groups: Vec<usize>,
    fences: Values,
    bytes: Vec<u8>,
    /// Where the index of each column lies.
    parts: Vec<Range<usize>>,
    columns: Vec<OnceLock<ColumnIndex>>,
    version: u8,
}

impl Page {
    /// From the bytes of a page in a file of this version, for the vectors from `first` on, of at most so many columns.
    ///
    /// # Errors
    /// `Corrupt` for bytes that [`encode`] does not write.
    pub(crate) fn decode(
        bytes: Vec<u8>,
        first: usize,
        groups: Vec<usize>,
        vectors: usize,
        parts_max: usize,
        version: u8,
    ) -> Result<Self> {
        let mut cursor = Cursor::new(&bytes);
        let fences = Values::decode(&mut cursor, vectors, usize::MAX)?;
        let mut parts = Vec::new();
        while cursor.len() > 0 {
            if parts.len() == parts_max {
                return Err(Error::corrupt(
                    "a page of the index has more columns than the table",
                ));
            }
            let length = cursor.count("bytes of an index", cursor.len())?;
            let start = bytes.len() - cursor.len();
            cursor.take(length)?;
            parts.push(start..start + length);
        }
        Page::of(first, groups, vectors, fences, bytes, parts, version)
    }

    /// From parts that lie in `bytes`.
    ///
    /// # Errors
    /// `Corrupt` for fences that are not one a vector.
    pub(crate) fn of(
        first: usize,
        groups: Vec<usize>,
        vectors: usize,
        fences: Values,
        bytes: Vec<u8>,
        parts: Vec<Range<usize>>,
        version: u8,
    ) -> Result<Self> {
        if fences.len() != vectors {
            return Err(Error::corrupt("the key fences do not match the vectors"));
        }
        Ok(Page {
            first,
            vectors,
            groups,
            fences,
            columns: parts.iter().map(|_| OnceLock::new()).collect(),
            bytes,
            parts,
            version,
        })
    }

    /// Memory, about, with every column decoded.
    pub(crate) fn weight(&self) -> usize {
        let column = COLUMN_BYTES + self.vectors * ENTRY_BYTES;
        self.bytes.len() + self.fences.bytes() + self.parts.len() * column
    }

    /// The index of a column, by its part.
    ///
    /// # Errors
    /// `Corrupt` where the page has no such part, or it cannot be decoded.
    pub(crate) fn index(&self, part: usize, family: Family) -> Result<&ColumnIndex> {
        let missing = || Error::corrupt("a page of the index lacks a column");
        let slot = self.columns.get(part).ok_or_else(missing)?;
        if let Some(index) = slot.get() {
            return Ok(index);
        }
        let range = self.parts.get(part).cloned().unwrap_or_default();
        let bytes = self.bytes.get(range).ok_or_else(missing)?;
        let groups = self.groups.iter().copied();
        let index = ColumnIndex::decode(bytes, family, self.version, groups, self.vectors)?;
        Ok(slot.get_or_init(|| index))
    }

    /// Whether it is about a vector of the file.
    pub(crate) fn is_about(&self, v: usize) -> bool {
        (self.first..self.first + self.vectors).contains(&v)
    }

    /// The first key of a vector of the file.
    pub(crate) fn fence(&self, v: usize) -> &[u8] {
        let at = v.checked_sub(self.first);
        at.and_then(|at| self.fences.get(at)).unwrap_or(&[])
    }

    /// How many of its fences are below the key.
    pub(crate) fn fences_below(&self, key: &[u8]) -> usize {
        self.fences.below(key)
    }
}

/// The first key of a vector; holds on to the page that it lies in.
#[derive(Clone, Debug)]
pub struct Fence {
    /// `None` stands for the empty key.
    pub(crate) page: Option<Arc<Page>>,
    pub(crate) vector: usize,
}

impl Deref for Fence {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let page = self.page.as_ref();
        page.map_or(&[], |page| page.fence(self.vector))
    }
}
