//! Reading a file. Opening one reads its footer, fences and filter; a column's index, zone map and
//! dictionary are read when the column is first asked for, and each vector when it is needed. Every byte is
//! checked against its checksum before it is decoded. Nothing is merged here.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use activestore_env::{Disk, DiskFile};
use activestore_types::{BatchColumn, ColumnId, Error, KeyRange, Result, RowBatch, TableSchema};
use arrow::array::{ArrayRef, AsArray, new_null_array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::{DataType as ArrowType, UInt32Type, UInt64Type};

use crate::block::cursor::Cursor;
use crate::block::dictionary::{DICTIONARY_BYTES_MAX, DICTIONARY_VALUES_MAX, Values};
use crate::block::vector::{EXPANSION_BYTES_MAX, Vector, decode_vector};
use crate::block::{Family, VECTOR_ROWS};
use crate::filter::Filter;
use crate::footer::{
    CHECKSUM_BYTES, ColumnIndex, ColumnKind, FooterColumn, check, family_of, read_footer,
    read_range, read_section,
};
use crate::meta::SstMeta;
use crate::zone::ZonePredicate;

use self::ahead::ReadAhead;

mod ahead;

pub use ahead::SequentialReader;

/// An open SSTable: immutable, shared between threads.
pub struct Sst {
    file: Arc<dyn DiskFile>,
    path: String,
    schema: Arc<TableSchema>,
    meta: SstMeta,
    /// Per row group: its first vector and its rows.
    groups: Vec<(usize, usize)>,
    vectors: usize,
    columns: Vec<StoredColumn>,
    fences: Values,
    filter: Filter,
}

/// A column of the file, with what was read of it so far.
struct StoredColumn {
    footer: FooterColumn,
    family: Family,
    data_type: ArrowType,
    index: OnceLock<ColumnIndex>,
    dictionary: OnceLock<Values>,
}

/// Where a vector lies.
#[derive(Clone, Copy)]
struct Place {
    group: usize,
    in_group: usize,
    rows: usize,
}

impl Sst {
    /// Opens a finished file.
    ///
    /// # Errors
    /// `NotFound` where there is none, `Corrupt` for one that is cut, changed or of another version.
    pub fn open(disk: &Arc<dyn Disk>, path: &str) -> Result<Arc<Sst>> {
        let file = disk
            .open(path)
            .map_err(|error| Error::from(error).context(path))?;
        let sst = Sst::read_parts(file, path).map_err(|error| error.context(path))?;
        Ok(Arc::new(sst))
    }

    fn read_parts(file: Arc<dyn DiskFile>, path: &str) -> Result<Sst> {
        let (footer, file_bytes) = read_footer(&file)?;
        let mut vectors = 0;
        let mut groups = Vec::new();
        for rows in &footer.groups {
            groups.push((vectors, *rows as usize));
            vectors += (*rows as usize).div_ceil(VECTOR_ROWS);
        }
        let fences = read_section(&file, file_bytes, footer.fences)?;
        let fences = Values::decode(&mut Cursor::new(&fences), vectors, usize::MAX)?;
        if fences.len() != vectors {
            return Err(Error::corrupt("the key fences do not match the vectors"));
        }
        let filter = Filter::decode(&read_section(&file, file_bytes, footer.filter)?)?;
        let schema = Arc::new(footer.schema);
        let mut columns = Vec::new();
        for column in footer.columns {
            let family = family_of(column.kind, &schema)
                .ok_or_else(|| Error::corrupt("a stored column is not in the file's schema"))?;
            let data_type = match column.kind {
                ColumnKind::Hlc | ColumnKind::Expiry => ArrowType::UInt64,
                ColumnKind::Origin => ArrowType::UInt32,
                ColumnKind::Tombstone => ArrowType::Boolean,
                ColumnKind::Cells(id) => schema
                    .column_by_id(id)
                    .map_or(ArrowType::Null, |column| column.data_type.arrow()),
            };
            columns.push(StoredColumn {
                footer: column,
                family,
                data_type,
                index: OnceLock::new(),
                dictionary: OnceLock::new(),
            });
        }
        Ok(Sst {
            file,
            path: path.to_owned(),
            schema,
            meta: footer.meta,
            groups,
            vectors,
            columns,
            fences,
            filter,
        })
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
    pub fn vectors_in(&self, range: &KeyRange) -> Range<usize> {
        if self.vectors == 0 || !range.overlaps(&self.meta.first_key, &self.meta.last_key) {
            return 0..0;
        }
        // A key may begin in the vector before the one that it is the fence of.
        let first = self.fences_below(&range.start).saturating_sub(1);
        let end = if range.end.is_empty() {
            self.vectors
        } else {
            self.fences_below(&range.end)
        };
        first..end.max(first)
    }

    /// The first encoded key of a vector; empty where there is no such vector.
    pub fn fence(&self, v: usize) -> &[u8] {
        self.fences.get(v).unwrap_or(&[])
    }

    /// Whether a vector may hold a row that the predicate wants. NULL and absent cells are not
    /// wanted, and a column that the file does not have is absent throughout: prune only where no other
    /// file can complete the row.
    pub fn may_match(&self, v: usize, p: &ZonePredicate) -> bool {
        let Some(column) = self.column(ColumnKind::Cells(p.column)) else {
            return p.is_unbounded();
        };
        // An index that cannot be read prunes nothing; reading the rows will say what is wrong.
        self.index(column).map_or(true, |index| {
            index.zones.may_match(v, self.vector_rows(v), p)
        })
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
        self.read_batch(v, columns, false, None)
            .map_err(|error| error.context(&self.path))
    }

    /// [`Sst::read`] with stamp, origin, expiry and tombstone of each row.
    ///
    /// # Errors
    /// As [`Sst::read`].
    pub fn read_stamped(&self, v: usize, columns: &[ColumnId]) -> Result<RowBatch> {
        self.read_batch(v, columns, true, None)
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
        read_section(&self.file, file_bytes, footer.fences)?;
        read_section(&self.file, file_bytes, footer.filter)?;
        for column in &self.columns {
            read_section(&self.file, file_bytes, column.footer.index)?;
            if let Some(section) = column.footer.dictionary {
                read_section(&self.file, file_bytes, section)?;
            }
            let mut ahead = ReadAhead::default();
            for v in 0..self.vectors {
                self.vector(column, v, Some(&mut ahead))?;
            }
        }
        Ok(())
    }

    fn read_batch(
        &self,
        v: usize,
        columns: &[ColumnId],
        stamped: bool,
        mut ahead: Option<&mut ReadAhead>,
    ) -> Result<RowBatch> {
        let place = self
            .place(v)
            .ok_or_else(|| Error::invalid(format!("vector {v} of a file of {}", self.vectors)))?;
        let rows = place.rows;
        let mut cells = Vec::with_capacity(columns.len());
        for id in columns {
            let Some(column) = self.column(ColumnKind::Cells(*id)) else {
                continue;
            };
            let (array, set) = match self.vector(column, v, ahead.as_deref_mut())? {
                Some(vector) => (vector.array, vector.set),
                None => (
                    new_null_array(&column.data_type, rows),
                    Some(BooleanBuffer::new_unset(rows)),
                ),
            };
            cells.push(BatchColumn {
                id: *id,
                array,
                set,
            });
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
            let hlc = self
                .hidden(ColumnKind::Hlc, v, ahead.as_deref_mut())?
                .ok_or_else(missing)?;
            batch.hlc = hlc.as_primitive::<UInt64Type>().values().clone();
            let origin = self
                .hidden(ColumnKind::Origin, v, ahead.as_deref_mut())?
                .ok_or_else(missing)?;
            batch.origin = origin.as_primitive::<UInt32Type>().values().clone();
            let expiry = self.hidden(ColumnKind::Expiry, v, ahead.as_deref_mut())?;
            batch.expiry_ms = expiry
                .map(|expiry| expiry.as_primitive::<UInt64Type>().values().clone())
                .filter(|expiry| expiry.iter().any(|expiry| *expiry > 0));
            let tombstone = self.hidden(ColumnKind::Tombstone, v, ahead)?;
            batch.tombstone = tombstone
                .map(|tombstone| tombstone.as_boolean().values().clone())
                .filter(|tombstone| tombstone.count_set_bits() > 0);
        }
        Ok(batch)
    }

    fn hidden(
        &self,
        kind: ColumnKind,
        v: usize,
        ahead: Option<&mut ReadAhead>,
    ) -> Result<Option<ArrayRef>> {
        let Some(column) = self.column(kind) else {
            return Ok(None);
        };
        let Some(vector) = self.vector(column, v, ahead)? else {
            return Ok(None);
        };
        if vector.set.is_some() || vector.array.null_count() > 0 {
            return Err(Error::corrupt("a row without a stamp"));
        }
        Ok(Some(vector.array))
    }

    /// Reads, checks and decodes one vector; `None` where its group holds nothing of the column.
    fn vector(
        &self,
        column: &StoredColumn,
        v: usize,
        ahead: Option<&mut ReadAhead>,
    ) -> Result<Option<Vector>> {
        let index = self.index(column)?;
        let place = self
            .place(v)
            .ok_or_else(|| Error::invalid("no such vector"))?;
        let Some(chunk) = index.chunks.get(place.group).copied().flatten() else {
            return Ok(None);
        };
        let before = index
            .lengths
            .iter()
            .skip(v - place.in_group)
            .take(place.in_group);
        let offset = before.fold(chunk, |sum, length| sum.saturating_add(*length));
        let length = index.lengths.get(v).copied().unwrap_or(0);
        if offset
            .checked_add(length)
            .is_none_or(|end| end > self.meta.bytes)
        {
            return Err(Error::corrupt("a vector lies outside the file"));
        }
        let owned;
        let bytes = match ahead {
            Some(ahead) => {
                let group_rows = self.groups.get(place.group).map_or(0, |(_, rows)| *rows);
                let left = group_rows.div_ceil(VECTOR_ROWS) - place.in_group;
                let rest = index.lengths.iter().skip(v).take(left);
                let chunk_end = rest.fold(offset, |sum, length| sum.saturating_add(*length));
                let limit = chunk_end.min(self.meta.bytes);
                ahead
                    .window(column.footer.kind)
                    .read(&self.file, offset, length, limit)?
            }
            None => {
                owned = read_range(&self.file, offset, length)?;
                &owned
            }
        };
        let (bytes, crc) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or_else(|| Error::corrupt("a vector without a checksum"))?;
        check(bytes, u32::from_le_bytes(*crc), "a vector")?;
        let dictionary = self.dictionary(column)?;
        let mut budget = EXPANSION_BYTES_MAX;
        decode_vector(
            bytes,
            place.rows,
            &column.data_type,
            dictionary,
            &mut budget,
        )
        .map(Some)
    }

    fn index<'a>(&self, column: &'a StoredColumn) -> Result<&'a ColumnIndex> {
        if let Some(index) = column.index.get() {
            return Ok(index);
        }
        let bytes = read_section(&self.file, self.meta.bytes, column.footer.index)?;
        let index = ColumnIndex::decode(&bytes, column.family, self.groups.len(), self.vectors)?;
        Ok(column.index.get_or_init(|| index))
    }

    fn dictionary<'a>(&self, column: &'a StoredColumn) -> Result<Option<&'a Values>> {
        let Some(section) = column.footer.dictionary else {
            return Ok(None);
        };
        if let Some(dictionary) = column.dictionary.get() {
            return Ok(Some(dictionary));
        }
        let bytes = read_section(&self.file, self.meta.bytes, section)?;
        let mut bytes = Cursor::new(&bytes);
        let values = Values::decode(&mut bytes, DICTIONARY_VALUES_MAX, DICTIONARY_BYTES_MAX)?;
        bytes.finish()?;
        Ok(Some(column.dictionary.get_or_init(|| values)))
    }

    fn column(&self, kind: ColumnKind) -> Option<&StoredColumn> {
        self.columns
            .iter()
            .find(|column| column.footer.kind == kind)
    }

    fn place(&self, v: usize) -> Option<Place> {
        let group = self
            .groups
            .partition_point(|(first, _)| *first <= v)
            .checked_sub(1)?;
        let (first, rows) = *self.groups.get(group)?;
        let in_group = v - first;
        let rows = rows
            .checked_sub(in_group * VECTOR_ROWS)
            .filter(|rows| *rows > 0)?;
        Some(Place {
            group,
            in_group,
            rows: rows.min(VECTOR_ROWS),
        })
    }

    /// How many fences are below the key.
    fn fences_below(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.vectors);
        while low < high {
            let middle = low.midpoint(high);
            if self.fence(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests;
