//! Reading a few rows: the rows of a key range within one vector are found by binary search on the
//! key columns alone, and of the other columns only those rows are decoded.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use activestore_types::{ColumnId, Error, KeyBuffer, KeyRange, Result, RowBatch, encode_keys};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Int64Type, TimestampNanosecondType};

use super::ahead::{Window, Wish};
use super::{Reading, Sst, StoredColumn};
use crate::cache::Slot;
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

    /// [`Sst::find_rows`] and [`Sst::read_rows`] in one, which reads the key columns' bytes once:
    /// the rows of a vector whose keys lie in the range; `None` where there are none.
    ///
    /// # Errors
    /// As [`Sst::read_rows`].
    pub fn read_key_range(
        &self,
        v: usize,
        range: &KeyRange,
        columns: &[ColumnId],
        stamped: bool,
    ) -> Result<Option<(Range<usize>, RowBatch)>> {
        let mut kept = Kept::default();
        // The other columns lie near the key's: reading all at once costs little more.
        let wanted = self
            .columns
            .iter()
            .filter(|column| match column.footer.kind {
                ColumnKind::Cells(id) => columns.contains(&id) || self.schema.is_key(id),
                _ => stamped,
            });
        let wanted: Vec<&StoredColumn> = wanted.collect();
        let prepared = self.prepare(&wanted, v, &mut Reading::Point(&mut kept));
        let found = prepared.and_then(|()| {
            let rows = self.search(v, range, &mut kept)?;
            if rows.is_empty() {
                return Ok(None);
            }
            let how = Reading::Point(&mut kept);
            let batch = self.read_batch(v, Some(rows.clone()), columns, stamped, how)?;
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
        for key in self.schema.key_columns() {
            let leading = columns
                .last()
                .is_none_or(|(cells, _): &(ArrayRef, bool)| cells.len() < place.rows);
            let cells = self.key_cells(key.id, v, place.rows, leading, kept)?;
            columns.push((cells, key.descending));
        }
        let keys = Keys::new(&columns, place.rows)?;
        let low = keys.lower_bound(&range.start);
        let high = if range.end.is_empty() {
            place.rows
        } else {
            keys.lower_bound(&range.end)
        };
        Ok(low..high.max(low))
    }

    /// The cells of a key column: of a leading one only one, where the encoding says that all are
    /// the same.
    fn key_cells(
        &self,
        id: ColumnId,
        v: usize,
        rows: usize,
        leading: bool,
        kept: &mut Kept,
    ) -> Result<ArrayRef> {
        let missing = || Error::corrupt("a row without a key");
        let column = self.column(ColumnKind::Cells(id)).ok_or_else(missing)?;
        let mut how = Reading::Point(kept);
        let first = self.vector(column, v, 0..1, &mut how)?;
        let mut vector = first.ok_or_else(missing)?;
        if !(vector.constant && leading) && rows > 1 {
            vector = self
                .vector(column, v, 0..rows, &mut how)?
                .ok_or_else(missing)?;
        }
        if vector.set.is_some() || vector.array.null_count() > 0 {
            return Err(missing());
        }
        Ok(vector.array)
    }
}

/// The encoded keys of a vector.
struct Keys {
    rows: usize,
    /// What all keys begin with.
    prefix: Vec<u8>,
    /// What is behind it.
    tail: Tail,
}

enum Tail {
    /// One column of 64-bit numbers, encoded as they are compared; descending if the flag says so.
    Long(ScalarBuffer<i64>, bool),
    Keys(KeyBuffer),
}

impl Keys {
    /// `columns` are leading ones of one cell, the same for all rows, and others of `rows` cells.
    fn new(columns: &[(ArrayRef, bool)], rows: usize) -> Result<Self> {
        let encode = |columns: &[(ArrayRef, bool)]| {
            encode_keys(columns).map_err(|error| Error::corrupt(error.message().to_owned()))
        };
        let constant = columns.iter().take_while(|(array, _)| array.len() < rows);
        let (constant, varying) = columns.split_at(constant.count());
        let prefix = encode(constant)?.key(0).to_vec();
        let tail = match varying {
            [(array, descending)] if *array.data_type() == DataType::Int64 => Tail::Long(
                array.as_primitive::<Int64Type>().values().clone(),
                *descending,
            ),
            [(array, descending)] if matches!(array.data_type(), DataType::Timestamp(_, _)) => {
                let array = array.as_primitive::<TimestampNanosecondType>();
                Tail::Long(array.values().clone(), *descending)
            }
            _ => Tail::Keys(encode(varying)?),
        };
        Ok(Keys { rows, prefix, tail })
    }

    /// Whether the key of a row, without the prefix, is below `target`.
    fn is_below(&self, row: usize, target: &[u8]) -> bool {
        match &self.tail {
            Tail::Long(values, descending) => {
                let value = values.get(row).copied().unwrap_or(0);
                let ordered = value.cast_unsigned() ^ (1 << 63);
                let ordered = if *descending { !ordered } else { ordered };
                ordered.to_be_bytes().as_slice() < target
            }
            Tail::Keys(keys) => keys.key(row) < target,
        }
    }

    /// The first row whose key is not below `target`.
    fn lower_bound(&self, target: &[u8]) -> usize {
        let shared = self.prefix.len().min(target.len());
        let (head, rest) = target.split_at_checked(shared).unwrap_or((target, &[]));
        match self.prefix.as_slice().cmp(head) {
            Ordering::Less => return self.rows,
            Ordering::Greater => return 0,
            Ordering::Equal => {}
        }
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = low.midpoint(high);
            if self.is_below(middle, rest) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
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
