//! Which vectors, row groups and pages of the index a file has, and where each lies.

use std::sync::Arc;

use activestore_types::{Error, Result};

use super::{Place, RECENT_PAGES, Sst};
use crate::block::VECTOR_ROWS;
use crate::block::cursor::Cursor;
use crate::block::dictionary::Values;
use crate::cache::index::{IndexKey, Part};
use crate::footer::{Footer, GROUP_ROWS, Section, WholeIndex};
use crate::page::Page;

/// One page.
pub(super) struct PagePlace {
    /// The first vector that it is about.
    vector: usize,
    /// The first row group.
    group: usize,
    /// Whether every row group but the last has all its rows: its vectors then need no counting.
    full: bool,
    section: Section,
}

/// What the footer says of a file's parts.
pub(super) struct Layout {
    pub(super) groups: Vec<u16>,
    pub(super) vectors: usize,
    pub(super) pages: Vec<PagePlace>,
    pub(super) page_keys: Values,
}

impl Layout {
    /// # Errors
    /// `Corrupt` for pages that are not about all row groups.
    pub(super) fn of(footer: &Footer) -> Result<Self> {
        let mut layout = Layout {
            groups: Vec::with_capacity(footer.groups.len()),
            vectors: 0,
            pages: Vec::new(),
            page_keys: Values::default(),
        };
        for rows in &footer.groups {
            layout.groups.push(u16::try_from(*rows).unwrap_or(u16::MAX));
        }
        if footer.whole.is_some() {
            layout.add(layout.groups.len(), Section::default());
            layout.page_keys.push(&footer.meta.first_key);
        }
        for page in &footer.pages {
            layout.add(page.groups as usize, page.section);
            layout.page_keys.push(&page.first_key);
        }
        let told: usize = footer.pages.iter().map(|page| page.groups as usize).sum();
        if footer.whole.is_none() && told != layout.groups.len() {
            return Err(Error::corrupt("the index is not about all row groups"));
        }
        Ok(layout)
    }

    fn add(&mut self, groups: usize, section: Section) {
        let group = self.pages.last().map_or(0, |_| self.next_group());
        let rows = self.groups.get(group..).unwrap_or(&[]);
        let rows = rows.get(..groups).unwrap_or(rows);
        self.pages.push(PagePlace {
            vector: self.vectors,
            group,
            full: all_full(rows),
            section,
        });
        self.vectors += rows.iter().map(|rows| vectors_of(*rows)).sum::<usize>();
    }

    /// The first row group behind the last page.
    fn next_group(&self) -> usize {
        let Some(last) = self.pages.last() else {
            return 0;
        };
        let (mut group, mut vector) = (last.group, last.vector);
        while vector < self.vectors {
            vector += self.groups.get(group).map_or(1, |rows| vectors_of(*rows));
            group += 1;
        }
        group
    }
}

/// Whether all but the last have all their rows.
fn all_full(groups: &[u16]) -> bool {
    let before_last = groups.split_last().map_or(groups, |(_, before)| before);
    before_last
        .iter()
        .all(|rows| usize::from(*rows) == GROUP_ROWS)
}

/// Vectors of a row group.
fn vectors_of(rows: u16) -> usize {
    usize::from(rows).div_ceil(VECTOR_ROWS)
}

/// A vector, and the page of the index that is about it.
pub(super) struct At {
    pub(super) v: usize,
    pub(super) rows: usize,
    /// The last vector of its row group.
    pub(super) last: usize,
    pub(super) page: Arc<Page>,
}

impl At {
    /// The vector's place in its page.
    pub(super) fn place(&self) -> usize {
        self.v - self.page.first
    }
}

impl Sst {
    /// Finds a vector.
    ///
    /// # Errors
    /// `Invalid` where there is no such vector, `Corrupt` where bytes of the index changed on disk.
    pub(super) fn at(&self, v: usize) -> Result<At> {
        let page = self.page_of(v)?;
        let place = self.place(v);
        let Place { rows, last } = place.ok_or_else(|| Error::internal("no such vector"))?;
        Ok(At {
            v,
            rows,
            last,
            page,
        })
    }

    /// Finds a vector that mostly has its index in the page of another.
    ///
    /// # Errors
    /// As [`Sst::at`].
    pub(super) fn at_near(&self, v: usize, other: At) -> Result<At> {
        match self.place(v) {
            Some(Place { rows, last }) if other.page.is_about(v) => Ok(At {
                v,
                rows,
                last,
                page: other.page,
            }),
            _ => self.at(v),
        }
    }

    /// The first key and the rows, about, of each page of the index: in memory while the file is open.
    pub fn pages(&self) -> impl ExactSizeIterator<Item = (&[u8], u64)> {
        let pages = 0..self.pages.len();
        pages.map(|page| {
            let start = self.pages.get(page).map_or(0, |page| page.vector);
            let next = self.pages.get(page + 1);
            let end = next.map_or(self.vectors, |next| next.vector);
            let key = self.page_keys.get(page).unwrap_or(&[]);
            (key, ((end - start) * VECTOR_ROWS) as u64)
        })
    }

    /// The number of the page that is about a vector.
    fn page_number(&self, v: usize) -> Option<usize> {
        let behind = self.pages.partition_point(|page| page.vector <= v);
        behind.checked_sub(1).filter(|_| v < self.vectors)
    }

    pub(super) fn place(&self, v: usize) -> Option<Place> {
        let page = self.pages.get(self.page_number(v)?)?;
        let whole = GROUP_ROWS / VECTOR_ROWS;
        let (mut group, mut first) = (page.group, page.vector);
        if page.full {
            let groups = (v - first) / whole;
            (group, first) = (group + groups, first + groups * whole);
        }
        loop {
            let rows = usize::from(*self.groups.get(group)?);
            let vectors = rows.div_ceil(VECTOR_ROWS);
            if v < first + vectors {
                return Some(Place {
                    rows: (rows - (v - first) * VECTOR_ROWS).min(VECTOR_ROWS),
                    last: first + vectors - 1,
                });
            }
            (group, first) = (group + 1, first + vectors);
        }
    }

    /// The page that is about a vector, from the cache or the file.
    pub(super) fn page_of(&self, v: usize) -> Result<Arc<Page>> {
        let number = self
            .page_number(v)
            .ok_or_else(|| Error::invalid(format!("vector {v} of a file of {}", self.vectors)))?;
        self.page(number)
    }

    fn page(&self, number: usize) -> Result<Arc<Page>> {
        let key = IndexKey {
            file: self.file_number,
            part: Part::Page(number as u32),
        };
        let recent = self.recent.get(number % RECENT_PAGES);
        let held = recent.and_then(|recent| {
            let recent = recent.lock();
            let (held, page) = recent.0.as_ref()?;
            page.upgrade().filter(|_| *held == number)
        });
        if let Some(page) = held {
            return Ok(page);
        }
        let index = self.cache.index();
        let page = index.page(key, || self.load_page(number))?;
        if let Some(recent) = recent {
            recent.lock().0 = Some((number, Arc::downgrade(&page)));
        }
        if !index.takes(page.weight()) {
            *self.heavy.lock() = Some(Arc::clone(&page));
        }
        Ok(page)
    }

    /// A page from the file.
    pub(super) fn load_page(&self, number: usize) -> Result<Page> {
        let place = self.pages.get(number);
        let place = place.ok_or_else(|| Error::internal("no such page of an index"))?;
        let next = self.pages.get(number + 1);
        let end = next.map_or(self.vectors, |next| next.vector);
        let last_group = next.map_or(self.groups.len(), |next| next.group);
        let rows = self.groups.get(place.group..last_group).unwrap_or(&[]);
        let mut groups = Vec::with_capacity(rows.len());
        let mut vectors = 0;
        for rows in rows {
            groups.push(vectors);
            vectors += vectors_of(*rows);
        }
        let count = end - place.vector;
        match &self.whole {
            Some(whole) => self.load_whole(whole, groups, count),
            None => {
                let bytes = self.section(place.section)?;
                // A part for each hidden column and each of the schema.
                let parts_max = self.schema.columns.len() + 4;
                Page::decode(bytes, place.vector, groups, count, parts_max, self.version)
            }
        }
    }

    /// The index of a file of version 1, as one page.
    fn load_whole(&self, whole: &WholeIndex, groups: Vec<usize>, vectors: usize) -> Result<Page> {
        let fences = self.section(whole.fences)?;
        let fences = Values::decode(&mut Cursor::new(&fences), vectors, usize::MAX)?;
        let (mut bytes, mut parts) = (Vec::new(), Vec::new());
        for section in &whole.columns {
            let start = bytes.len();
            bytes.extend(self.section(*section)?);
            parts.push(start..bytes.len());
        }
        Page::of(0, groups, vectors, fences, bytes, parts, self.version)
    }

    /// Lets go what the cache holds of the index. Compaction ends files faster than they would age out.
    pub(super) fn forget(&self) {
        let pages = (0..self.pages.len()).map(|number| Part::Page(number as u32));
        let columns = self.columns.iter();
        let dictionaries = columns.map(|column| Part::Dictionary(column.place));
        for part in pages.chain(dictionaries) {
            let file = self.file_number;
            self.cache.index().remove(IndexKey { file, part });
        }
    }

    /// How many fences of the file are below the key.
    pub(super) fn fences_below(&self, key: &[u8]) -> Result<usize> {
        // The first fence of a page is its first key.
        let Some(number) = self.page_keys.below(key).checked_sub(1) else {
            return Ok(0);
        };
        let page = self.page(number)?;
        Ok(page.first + page.fences_below(key))
    }
}
