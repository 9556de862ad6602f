//! Reading a file. Opening one reads its footer and filter; pages of its index and dictionaries are read
//! when something in them is asked for, and each vector when it is needed. Every byte is
//! checked against its checksum before it is decoded. Nothing is merged here.

use std::ops::Range;
use std::sync::{Arc, OnceLock, Weak};

use activestore_env::{Disk, DiskFile};
use activestore_types::{BatchColumn, ColumnId, Error, KeyRange, Result, RowBatch, TableSchema};
use arrow::array::{ArrayRef, AsArray, new_null_array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::{UInt32Type, UInt64Type};
use parking_lot::Mutex;

use crate::block::dictionary::Values;
use crate::block::vector::{EXPANSION_BYTES_MAX, Vector, decode_rows};
use crate::cache::BlockCache;
use crate::filter::Filter;
use crate::footer::{
    ColumnKind, Section, WholeIndex, open_vector, read_footer, read_part, read_section,
};
use crate::index::Spot;
use crate::meta::SstMeta;
use crate::newest::Part;
use crate::page::{Fence, Page};
use crate::zone::ZonePredicate;

use self::ahead::{Window, Wish};
use self::kept::Kept;
use self::layout::{At, Layout, PagePlace};
use self::stored::StoredColumn;

mod ahead;
mod codes;
mod kept;
mod keys;
mod layout;
mod point;
mod room;
mod stamps;
mod stored;
mod summary;
mod wide;

pub use ahead::SequentialReader;
pub use codes::Codes;
pub use stamps::StampZone;
pub(crate) use stored::Dictionary;
pub use summary::Summary;
pub use wide::{WideColumn, is_wide_type};

/// What of its index a file keeps in memory that was opened without a cache, in bytes.
const INDEX_BYTES_ALONE: usize = 4 << 20;
/// Pages of which a file knows that they were used last.
const RECENT_PAGES: usize = 4;

/// An open SSTable: immutable, shared between threads. What it says about its vectors is read page by
/// page when it is needed, and kept within the bytes of its cache.
pub struct Sst {
    file: Arc<dyn DiskFile>,
    path: String,
    schema: Arc<TableSchema>,
    meta: SstMeta,
    /// Rows of each row group.
    groups: Vec<u16>,
    vectors: usize,
    pages: Vec<PagePlace>,
    /// Their first keys.
    page_keys: Values,
    /// Of a file of version 1.
    whole: Option<WholeIndex>,
    /// Of the format.
    version: u8,
    columns: Vec<StoredColumn>,
    filter: Filter,
    /// Where parts of files are kept, and this file's number there.
    cache: Arc<BlockCache>,
    file_number: u64,
    no_dictionary: Arc<Dictionary>,
    /// Pages used last, each at the remainder of its number: scans ask for one again and again, at several places at once.
    recent: [Mutex<Recent>; RECENT_PAGES],
    /// The one used last where pages are too heavy for the cache.
    heavy: Mutex<Option<Arc<Page>>>,
    newest: Option<Newest>,
}

/// The page that was asked for last of some, by its number.
#[derive(Default)]
struct Recent(Option<(usize, Weak<Page>)>);

/// The newest rows of the file's partitions.
struct Newest {
    section: Section,
    /// Opened when they are first asked for.
    sst: OnceLock<Option<Arc<Sst>>>,
}

/// How vectors come from the disk.
enum Reading<'a> {
    /// Those of all columns together, with the rest of the row group if the flag says so.
    Ahead(&'a mut Window, bool),
    /// From the cache first, and kept for the length of one call.
    Point(&'a mut Kept),
}

/// Where a vector lies.
#[derive(Clone, Copy)]
struct Place {
    rows: usize,
    /// The last vector of its row group.
    last: usize,
}

impl Sst {
    /// Opens a finished file, with a small cache of its own for its index.
    ///
    /// # Errors
    /// `NotFound` where there is none, `Corrupt` for one that is cut, changed or of another version.
    pub fn open(disk: &Arc<dyn Disk>, path: &str) -> Result<Arc<Sst>> {
        Sst::open_cached(disk, path, &BlockCache::new(0, 0, INDEX_BYTES_ALONE))
    }

    /// Opens a finished file, parts of which are kept in a cache.
    ///
    /// # Errors
    /// As [`Sst::open`].
    pub fn open_cached(
        disk: &Arc<dyn Disk>,
        path: &str,
        cache: &Arc<BlockCache>,
    ) -> Result<Arc<Sst>> {
        let file = disk
            .open(path)
            .map_err(|error| Error::from(error).context(path))?;
        let sst = Sst::read_parts(file, path, cache).map_err(|error| error.context(path))?;
        Ok(Arc::new(sst))
    }

    fn read_parts(file: Arc<dyn DiskFile>, path: &str, cache: &Arc<BlockCache>) -> Result<Sst> {
        let (footer, file_bytes) = read_footer(&file)?;
        let layout = Layout::of(&footer)?;
        let filter = read_section(&file, file_bytes, footer.version, footer.filter)?;
        let filter = Filter::decode(&filter)?;
        let schema = Arc::new(footer.schema);
        let mut columns = Vec::new();
        for (place, column) in (0..).zip(footer.columns) {
            columns.push(StoredColumn::new(place, column, &schema)?);
        }
        Ok(Sst {
            file,
            path: path.to_owned(),
            schema,
            meta: footer.meta,
            groups: layout.groups,
            vectors: layout.vectors,
            pages: layout.pages,
            page_keys: layout.page_keys,
            whole: footer.whole,
            version: footer.version,
            columns,
            filter,
            cache: Arc::clone(cache),
            file_number: cache.number_file(),
            no_dictionary: Arc::new(Dictionary::None),
            recent: std::array::from_fn(|_| Mutex::default()),
            heavy: Mutex::new(None),
            newest: footer.newest.map(|section| Newest {
                section,
                sst: OnceLock::new(),
            }),
        })
    }

    /// The newest row of each partition (the last by key, or the first where the first clustering
    /// column descends), as an SSTable within this one. `None` where the file keeps them nowhere else:
    /// it is of an earlier version, its partitions are short, or keys stand in it twice; and where
    /// they are damaged, since all of them are in the file as well.
    pub fn newest(&self) -> Option<&Arc<Sst>> {
        let newest = self.newest.as_ref()?;
        let opened = newest
            .sst
            .get_or_init(|| self.open_newest(newest.section).ok());
        opened.as_ref()
    }

    fn open_newest(&self, section: Section) -> Result<Arc<Sst>> {
        // Checked as a whole: what is read of it later is then what was written.
        read_part(&self.file, self.meta.bytes, section)?;
        let part = Arc::new(Part {
            file: Arc::clone(&self.file),
            offset: section.offset,
            length: section.length,
        });
        let mut opened = Sst::read_parts(part, &self.path, &self.cache)?;
        let rows = opened.meta.rows;
        let fits = opened.schema == self.schema && opened.meta.distinct;
        if !fits || rows == 0 || rows > self.meta.rows {
            return Err(Error::corrupt("the newest rows are not those of the file"));
        }
        // Nothing is written there, and hostile bytes must not lead on and on.
        opened.newest = None;
        Ok(Arc::new(opened))
    }

    /// What the file says about itself.
    pub fn meta(&self) -> &SstMeta {
        &self.meta
    }

    /// The table as it was when the file was written.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// The path it was opened with.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How many vectors.
    pub fn vectors(&self) -> usize {
        self.vectors
    }

    /// Rows of a vector; 0 where there is no such vector.
    pub fn vector_rows(&self, v: usize) -> usize {
        self.place(v).map_or(0, |place| place.rows)
    }

    /// The vectors that may hold keys of the range.
    ///
    /// # Errors
    /// `Corrupt` where bytes of the index changed on disk.
    pub fn vectors_in(&self, range: &KeyRange) -> Result<Range<usize>> {
        if self.vectors == 0 || !range.overlaps(&self.meta.first_key, &self.meta.last_key) {
            return Ok(0..0);
        }
        let below = |key| {
            let below = self.fences_below(key);
            below.map_err(|error| error.context(&self.path))
        };
        // A key may begin in the vector before the one that it is the fence of.
        let first = below(&range.start)?.saturating_sub(1);
        let end = if range.end.is_empty() {
            self.vectors
        } else {
            below(&range.end)?
        };
        Ok(first..end.max(first))
    }

    /// The first encoded key of a vector; empty where there is no such vector.
    ///
    /// # Errors
    /// `Corrupt` where bytes of the index changed on disk.
    pub fn fence(&self, v: usize) -> Result<Fence> {
        let page = (v < self.vectors).then(|| self.page_of(v)).transpose();
        let page = page.map_err(|error| error.context(&self.path))?;
        Ok(Fence { page, vector: v })
    }

    /// Whether a vector may hold a row that the predicate wants. NULL and absent cells are not
    /// wanted, and a column that the file does not have is absent throughout: prune only where no other
    /// file can complete the row.
    pub fn may_match(&self, v: usize, p: &ZonePredicate) -> bool {
        let Some(column) = self.column(ColumnKind::Cells(p.column)) else {
            return p.is_unbounded();
        };
        // An index that cannot be read prunes nothing; reading the rows will say what is wrong.
        let matches = self.at(v).and_then(|at| {
            let index = column.index(&at.page)?;
            Ok(index.zones.may_match(at.place(), at.rows, p))
        });
        matches.unwrap_or(true)
    }

    /// Whether a vector may hold a row in which the column is NULL or absent.
    pub fn may_lack(&self, v: usize, column: ColumnId) -> bool {
        let Some(column) = self.column(ColumnKind::Cells(column)) else {
            return true;
        };
        let lacks = self.at(v).and_then(|at| {
            let index = column.index(&at.page)?;
            Ok(index.zones.lacks(at.place()))
        });
        lacks.unwrap_or(true)
    }

    /// Whether the file may hold rows of the partition with this encoded prefix.
    pub fn may_hold_partition(&self, encoded_partition_prefix: &[u8]) -> bool {
        self.filter.may_hold(encoded_partition_prefix)
    }

    /// The rows of a vector, of those of `columns` that the file has, in that order. Stamps are not
    /// read: `hlc` and `origin` are empty, `expiry_ms` and `tombstone` `None`. Absent cells are NULL
    /// in the array and not in `set`.
    ///
    /// # Errors
    /// `Invalid` where there is no such vector, `Corrupt` where bytes changed on disk.
    pub fn read(&self, v: usize, columns: &[ColumnId]) -> Result<RowBatch> {
        self.read_batch(
            v,
            None,
            columns,
            false,
            Reading::Ahead(&mut Window::default(), false),
        )
        .map_err(|error| error.context(&self.path))
    }

    /// [`Sst::read`] with stamp, origin, expiry and tombstone of each row.
    ///
    /// # Errors
    /// As [`Sst::read`].
    pub fn read_stamped(&self, v: usize, columns: &[ColumnId]) -> Result<RowBatch> {
        self.read_batch(
            v,
            None,
            columns,
            true,
            Reading::Ahead(&mut Window::default(), false),
        )
        .map_err(|error| error.context(&self.path))
    }

    /// Reads the whole file, checks every checksum and decodes every vector.
    ///
    /// # Errors
    /// `Corrupt`, naming the first part that is not what was written.
    pub fn verify(&self) -> Result<()> {
        self.verify_parts()
            .map_err(|error| error.context(&self.path))
    }

    fn verify_parts(&self) -> Result<()> {
        let (footer, file_bytes) = read_footer(&self.file)?;
        read_section(&self.file, file_bytes, footer.version, footer.filter)?;
        for page in 0..self.pages.len() {
            // From the file, whatever the cache holds.
            self.load_page(page)?;
        }
        for column in &self.columns {
            if let Some(section) = column.dictionary {
                self.section(section)?;
            }
        }
        if let Some(newest) = &self.newest {
            self.open_newest(newest.section)?.verify_parts()?;
        }
        let all: Vec<&StoredColumn> = self.columns.iter().collect();
        for v in 0..self.vectors {
            let mut window = Window::default();
            let how = &mut Reading::Ahead(&mut window, false);
            let at = self.at(v)?;
            self.prepare(&all, &at, how)?;
            for column in &all {
                self.vector(column, &at, 0..at.rows, how)?;
            }
        }
        Ok(())
    }

    /// `wanted` are the rows to be read; `None` means all.
    fn read_batch(
        &self,
        v: usize,
        wanted: Option<Range<usize>>,
        columns: &[ColumnId],
        stamped: bool,
        how: Reading<'_>,
    ) -> Result<RowBatch> {
        self.read_at(&self.at(v)?, wanted, columns, stamped, how)
    }

    fn read_at(
        &self,
        at: &At,
        wanted: Option<Range<usize>>,
        columns: &[ColumnId],
        stamped: bool,
        mut how: Reading<'_>,
    ) -> Result<RowBatch> {
        let wanted = wanted.unwrap_or(0..at.rows);
        if wanted.start > wanted.end || wanted.end > at.rows {
            return Err(Error::invalid(format!(
                "rows {wanted:?} of a vector of {}",
                at.rows
            )));
        }
        let rows = wanted.len();
        let stored: Vec<&StoredColumn> = columns
            .iter()
            .filter_map(|id| self.column(ColumnKind::Cells(*id)))
            .collect();
        let hidden = self
            .columns
            .iter()
            .filter(|column| stamped && !matches!(column.kind, ColumnKind::Cells(_)));
        let all: Vec<&StoredColumn> = stored.iter().copied().chain(hidden).collect();
        self.prepare(&all, at, &mut how)?;
        let mut cells = Vec::with_capacity(stored.len());
        for column in stored {
            let ColumnKind::Cells(id) = column.kind else {
                continue;
            };
            let (array, set) = match self.vector(column, at, wanted.clone(), &how)? {
                Some(vector) => (vector.array, vector.set),
                None => (
                    new_null_array(&column.data_type, rows),
                    Some(BooleanBuffer::new_unset(rows)),
                ),
            };
            cells.push(BatchColumn { id, array, set });
        }
        let mut batch = RowBatch {
            table: self.schema.id,
            rows,
            columns: cells,
            hlc: ScalarBuffer::from(Vec::new()),
            origin: ScalarBuffer::from(Vec::new()),
            expiry_ms: None,
            tombstone: None,
        };
        if stamped {
            let missing = || Error::corrupt("a file without stamps");
            let hidden = |kind| self.hidden(kind, at, wanted.clone(), &how);
            let hlc = hidden(ColumnKind::Hlc)?.ok_or_else(missing)?;
            batch.hlc = hlc.as_primitive::<UInt64Type>().values().clone();
            let origin = hidden(ColumnKind::Origin)?.ok_or_else(missing)?;
            batch.origin = origin.as_primitive::<UInt32Type>().values().clone();
            batch.expiry_ms = hidden(ColumnKind::Expiry)?
                .map(|expiry| expiry.as_primitive::<UInt64Type>().values().clone())
                .filter(|expiry| expiry.iter().any(|expiry| *expiry > 0));
            batch.tombstone = hidden(ColumnKind::Tombstone)?
                .map(|tombstone| tombstone.as_boolean().values().clone())
                .filter(|tombstone| tombstone.count_set_bits() > 0);
        }
        Ok(batch)
    }

    fn hidden(
        &self,
        kind: ColumnKind,
        at: &At,
        wanted: Range<usize>,
        how: &Reading<'_>,
    ) -> Result<Option<ArrayRef>> {
        let Some(column) = self.column(kind) else {
            return Ok(None);
        };
        let Some(vector) = self.vector(column, at, wanted, how)? else {
            return Ok(None);
        };
        if vector.set.is_some() || vector.array.null_count() > 0 {
            return Err(Error::corrupt("a row without a stamp"));
        }
        Ok(Some(vector.array))
    }

    /// Reads what is needed of a vector of these columns, together.
    fn prepare(&self, columns: &[&StoredColumn], at: &At, how: &mut Reading<'_>) -> Result<()> {
        if let Reading::Ahead(window, _) = how
            && self.is_at_hand(columns, at, window)?
        {
            return Ok(());
        }
        let mut wishes = Vec::with_capacity(columns.len());
        for column in columns {
            let index = column.index(&at.page)?;
            let Spot::Stored { offset, length } = index.spot(at.place()) else {
                continue;
            };
            if offset.saturating_add(length) > self.meta.bytes {
                return Err(Error::corrupt("a vector lies outside the file"));
            }
            let chunk_end = index.end(at.last - at.page.first).min(self.meta.bytes);
            let wish = Wish {
                offset,
                length,
                chunk_end,
            };
            wishes.push((column.place, wish));
        }
        match how {
            Reading::Ahead(window, ahead) => {
                let wishes: Vec<Wish> = wishes.into_iter().map(|(_, wish)| wish).collect();
                window.fill(&self.file, &wishes, *ahead)
            }
            Reading::Point(kept) => kept.fill(self, at.v as u32, &wishes),
        }
    }

    /// Whether a window holds a vector of all of these columns.
    fn is_at_hand(&self, columns: &[&StoredColumn], at: &At, window: &Window) -> Result<bool> {
        for column in columns {
            if let Spot::Stored { offset, length } = column.index(&at.page)?.spot(at.place())
                && !window.holds(offset, length)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks and decodes some rows of one vector, which was prepared; `None` where its group holds nothing of
    /// the column.
    fn vector(
        &self,
        column: &StoredColumn,
        at: &At,
        wanted: Range<usize>,
        how: &Reading<'_>,
    ) -> Result<Option<Vector>> {
        let Some(bytes) = self.bytes(column, at, how)? else {
            return Ok(None);
        };
        let dictionary = self.dictionary(column)?;
        let (kind, shared) = (&column.data_type, dictionary.shared());
        let mut budget = EXPANSION_BYTES_MAX;
        decode_rows(bytes, at.rows, wanted, kind, shared, &mut budget).map(Some)
    }

    /// The checked bytes of one vector, which was prepared; `None` where its group holds nothing of
    /// the column.
    fn bytes<'a>(
        &self,
        column: &StoredColumn,
        at: &'a At,
        how: &'a Reading<'_>,
    ) -> Result<Option<&'a [u8]>> {
        let index = column.index(&at.page)?;
        Ok(Some(match index.spot(at.place()) {
            Spot::Nowhere => return Ok(None),
            Spot::Inline(bytes) => bytes,
            Spot::Stored { offset, length } => match how {
                Reading::Ahead(window, _) => open_vector(window.get(offset, length)?)?,
                Reading::Point(kept) => kept.get(column.place)?,
            },
        }))
    }

    fn column(&self, kind: ColumnKind) -> Option<&StoredColumn> {
        self.columns.iter().find(|column| column.kind == kind)
    }
}

impl Drop for Sst {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests;
