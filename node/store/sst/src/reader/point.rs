//! Reading a few rows: the rows of a key range within one vector are found by binary search on the
//! key columns alone, and of the other columns only those rows are decoded.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use activestore_types::key::push_text;
use activestore_types::{ColumnId, Error, KeyBuffer, KeyRange, Result, RowBatch, encode_keys};
use arrow::array::{Array, AsArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Int64Type, TimestampNanosecondType};

use super::ahead::{Window, Wish};
use super::{Reading, Sst, StoredColumn};
use crate::block::dictionary::Values;
use crate::block::vector::decode_codes;
use crate::cache::Slot;
use crate::cache::rows::RowKey;
use crate::footer::{ColumnKind, open_vector};

impl Sst {
    /// The rows of a vector whose keys lie in the range; empty where there are none. Decodes the key
    /// columns only.
    ///
    /// # Errors
    /// `Invalid` where there is no such vector, `Corrupt` where bytes changed on disk.
    pub fn find_rows(&self, v: usize, range: &KeyRange) -> Result<Range<usize>> {
        self.search(v, range, &mut Kept::default())
            .map_err(|error| error.context(&self.path))
    }

    /// Some rows of a vector, of those of `columns` that the file has, in that order. With `stamped`
    /// also their stamps, origins, expiries and tombstones, as [`Sst::read_stamped`]. A few rows cost
    /// about a tenth of a microsecond a column beside getting their bytes; from 64 rows on, the
    /// whole vector is decoded.
    ///
    /// # Errors
    /// `Invalid` where there is no such vector or it has fewer rows, `Corrupt` where bytes changed on
    /// disk.
    pub fn read_rows(
        &self,
        v: usize,
        rows: Range<usize>,
        columns: &[ColumnId],
        stamped: bool,
    ) -> Result<RowBatch> {
        let how = &mut Kept::default();
        self.read_batch(v, Some(rows), columns, stamped, Reading::Point(how))
            .map_err(|error| error.context(&self.path))
    }

    /// The rows of a vector with this key, with their stamps as [`Sst::read_stamped`]; `None` where there
    /// are none. What was read lately comes from the cache that the file was opened with.
    ///
    /// # Errors
    /// As [`Sst::read_rows`].
    pub fn read_key(
        &self,
        v: usize,
        key: &[u8],
        columns: &[ColumnId],
    ) -> Result<Option<(Range<usize>, Arc<RowBatch>)>> {
        let vector = u32::try_from(v).unwrap_or(u32::MAX);
        let cache = self.cache.as_ref();
        let cache = cache.and_then(|(cache, file)| Some((cache.rows()?, *file)));
        let kept = cache.map(|(rows, file)| (rows, RowKey { file, vector, key }));
        if let Some((rows, key)) = kept
            && let Some(found) = rows.get(key, columns)
        {
            return Ok(found);
        }
        let found = self.read_key_range(v, &KeyRange::only(key), columns)?;
        let found = found.map(|(rows, batch)| (rows, Arc::new(batch)));
        if let Some((rows, key)) = kept {
            rows.put(key, columns, &found);
        }
        Ok(found)
    }

    /// [`Sst::find_rows`] and [`Sst::read_rows`] in one, which reads the key columns' bytes once.
    pub(super) fn read_key_range(
        &self,
        v: usize,
        range: &KeyRange,
        columns: &[ColumnId],
    ) -> Result<Option<(Range<usize>, RowBatch)>> {
        let mut kept = Kept::default();
        // The other columns lie near the key's: reading all at once costs little more.
        let wanted = self
            .columns
            .iter()
            .filter(|column| match column.footer.kind {
                ColumnKind::Cells(id) => columns.contains(&id) || self.schema.is_key(id),
                _ => true,
            });
        let wanted: Vec<&StoredColumn> = wanted.collect();
        let prepared = self.prepare(&wanted, v, &mut Reading::Point(&mut kept));
        let found = prepared.and_then(|()| {
            let rows = self.search(v, range, &mut kept)?;
            if rows.is_empty() {
                return Ok(None);
            }
            let how = Reading::Point(&mut kept);
            let batch = self.read_batch(v, Some(rows.clone()), columns, true, how)?;
            Ok(Some((rows, batch)))
        });
        found.map_err(|error| error.context(&self.path))
    }

    fn search(&self, v: usize, range: &KeyRange, kept: &mut Kept) -> Result<Range<usize>> {
        let place = self
            .place(v)
            .ok_or_else(|| Error::invalid(format!("vector {v} of a file of {}", self.vectors)))?;
        let stored = self.schema.key_columns();
        let stored = stored.filter_map(|key| self.column(ColumnKind::Cells(key.id)));
        let stored: Vec<&StoredColumn> = stored.collect();
        self.prepare(&stored, v, &mut Reading::Point(kept))?;
        let mut columns = Vec::with_capacity(self.schema.key_len());
        for (column, key) in stored.iter().zip(self.schema.key_columns()) {
            columns.push(self.key_column(column, v, place.rows, key.descending, kept)?);
        }
        if columns.len() < self.schema.key_len() {
            return Err(missing());
        }
        let mut keys = Keys {
            rows: place.rows,
            columns,
            scratch: Vec::new(),
        };
        let low = keys.lower_bound(&range.start)?;
        let high = if range.end.is_empty() {
            place.rows
        } else {
            keys.lower_bound(&range.end)?
        };
        Ok(low..high.max(low))
    }

    /// What of a key column is compared.
    fn key_column<'a>(
        &self,
        column: &'a StoredColumn,
        v: usize,
        rows: usize,
        descending: bool,
        kept: &mut Kept,
    ) -> Result<KeyColumn<'a>> {
        let mut how = Reading::Point(kept);
        if let Some(values) = self.shared(column)?.values
            && !descending
        {
            let codes = self.with_vector(column, v, &mut how, decode_codes)?;
            if let Some(codes) = codes.flatten() {
                return Ok(KeyColumn::Codes(codes, values));
            }
        }
        let vector = self.vector(column, v, 0..rows, &mut how)?;
        let vector = vector.ok_or_else(missing)?;
        if vector.set.is_some() || vector.array.null_count() > 0 {
            return Err(missing());
        }
        let array = vector.array;
        Ok(match array.data_type() {
            DataType::Int64 => KeyColumn::Long(
                array.as_primitive::<Int64Type>().values().clone(),
                descending,
            ),
            DataType::Timestamp(_, _) => {
                let array = array.as_primitive::<TimestampNanosecondType>();
                KeyColumn::Long(array.values().clone(), descending)
            }
            _ => KeyColumn::Keys(
                encode_keys(&[(array, descending)])
                    .map_err(|error| Error::corrupt(error.message().to_owned()))?,
            ),
        })
    }
}

fn missing() -> Error {
    Error::corrupt("a row without a key")
}

/// One column of the keys of a vector. An encoded key is the encodings of its columns one after the
/// other, none of which begins another: keys are compared a column at a time, and few are encoded.
enum KeyColumn<'a> {
    /// Text by its dictionary, ascending.
    Codes(Vec<u32>, &'a Values),
    /// 64-bit numbers, encoded as they are compared; descending if the flag says so.
    Long(ScalarBuffer<i64>, bool),
    Keys(KeyBuffer),
}

/// The keys of a vector.
struct Keys<'a> {
    rows: usize,
    columns: Vec<KeyColumn<'a>>,
    scratch: Vec<u8>,
}

impl Keys<'_> {
    /// Whether the key of a row is below `target`.
    fn is_below(&mut self, row: usize, target: &[u8]) -> Result<bool> {
        let mut rest = target;
        for column in &self.columns {
            let number;
            let part = match column {
                KeyColumn::Codes(codes, values) => {
                    let code = codes.get(row).copied().unwrap_or(0);
                    let value = values.get(code as usize);
                    let value = value.ok_or_else(|| {
                        Error::corrupt(format!("code {code} is not in a dictionary"))
                    })?;
                    self.scratch.clear();
                    push_text(value, &mut self.scratch);
                    self.scratch.as_slice()
                }
                KeyColumn::Long(values, descending) => {
                    let value = values.get(row).copied().unwrap_or(0);
                    let ordered = value.cast_unsigned() ^ (1 << 63);
                    let ordered = if *descending { !ordered } else { ordered };
                    number = ordered.to_be_bytes();
                    number.as_slice()
                }
                KeyColumn::Keys(keys) => keys.key(row),
            };
            let (head, after) = rest.split_at_checked(part.len()).unwrap_or((rest, &[]));
            match part.cmp(head) {
                Ordering::Less => return Ok(true),
                Ordering::Greater => return Ok(false),
                Ordering::Equal => rest = after,
            }
        }
        Ok(!rest.is_empty())
    }

    /// The first row whose key is not below `target`.
    fn lower_bound(&mut self, target: &[u8]) -> Result<usize> {
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = low.midpoint(high);
            if self.is_below(middle, target)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

/// The checked bytes of vectors that one call has asked for, one a column.
#[derive(Default)]
pub(super) struct Kept {
    window: Window,
    vectors: Vec<(u32, Bytes)>,
}

enum Bytes {
    /// A part of the window, which was checked.
    Window {
        offset: u64,
        length: u64,
    },
    Shared(Arc<[u8]>),
}

impl Kept {
    /// The bytes of a column's vector.
    pub(super) fn get(&self, column: u32) -> Result<&[u8]> {
        let vector = self.vectors.iter().find(|(known, _)| *known == column);
        match vector {
            Some((_, Bytes::Shared(bytes))) => Ok(bytes),
            Some((_, Bytes::Window { offset, length })) => self.window.get(*offset, *length),
            None => Err(Error::internal("a vector is decoded that was not read")),
        }
    }

    /// Gets the vectors that are not held, by column, from the cache or the file.
    pub(super) fn fill(&mut self, sst: &Sst, vector: u32, wishes: &[(u32, Wish)]) -> Result<()> {
        let mut missing: Vec<(u32, Wish)> = Vec::new();
        for (column, wish) in wishes {
            if self.vectors.iter().any(|(known, _)| known == column) {
                continue;
            }
            let cached = sst.cache.as_ref().and_then(|(cache, file)| {
                let (file, column) = (*file, *column);
                cache.get(&Slot {
                    file,
                    column,
                    vector,
                })
            });
            match cached {
                Some(bytes) => self.vectors.push((*column, Bytes::Shared(bytes))),
                None => missing.push((*column, *wish)),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let mut window = Window::default();
        let wishes: Vec<Wish> = missing.iter().map(|(_, wish)| *wish).collect();
        window.fill(&sst.file, &wishes, false)?;
        for (column, wish) in missing {
            let opened = open_vector(window.get(wish.offset, wish.length)?)?;
            let bytes = match &sst.cache {
                Some((cache, file)) => {
                    let bytes: Arc<[u8]> = opened.into();
                    let slot = Slot {
                        file: *file,
                        column,
                        vector,
                    };
                    cache.put(slot, Arc::clone(&bytes));
                    Bytes::Shared(bytes)
                }
                None => Bytes::Window {
                    offset: wish.offset,
                    length: opened.len() as u64,
                },
            };
            self.vectors.push((column, bytes));
        }
        self.window.join(window);
        Ok(())
    }
}
