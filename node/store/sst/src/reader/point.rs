//! Reading a few rows: the rows of a key range within one vector are found by binary search on the
//! key columns alone, and of the other columns only those rows are decoded.

use std::ops::Range;
use std::sync::Arc;

use activestore_types::{ColumnId, Error, KeyRange, Result, RowBatch, encode_keys};
use arrow::array::Array;
use arrow::datatypes::DataType;

use super::kept::Kept;
use super::keys::{KeyColumn, Keys};
use super::layout::At;
use super::{Reading, Sst, StoredColumn};
use crate::block::Encoding;
use crate::block::dictionary::Values;
use crate::block::vector::probe;
use crate::cache::rows::RowKey;
use crate::footer::ColumnKind;

impl Sst {
    /// The rows of a vector whose keys lie in the range; empty where there are none. Decodes the key
    /// columns only.
    ///
    /// # Errors
    /// `Invalid` where there is no such vector, `Corrupt` where bytes changed on disk.
    pub fn find_rows(&self, v: usize, range: &KeyRange) -> Result<Range<usize>> {
        self.at(v)
            .and_then(|at| self.search(&at, range, &mut Kept::default()))
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
        let file = self.file_number;
        let kept = self.cache.rows();
        let kept = kept.map(|rows| (rows, RowKey { file, vector, key }));
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
        let wanted = self.columns.iter().filter(|column| match column.kind {
            ColumnKind::Cells(id) => columns.contains(&id) || self.schema.is_key(id),
            _ => true,
        });
        let wanted: Vec<&StoredColumn> = wanted.collect();
        let mut find = || {
            let at = self.at(v)?;
            self.prepare(&wanted, &at, &mut Reading::Point(&mut kept))?;
            let rows = self.search(&at, range, &mut kept)?;
            if rows.is_empty() {
                return Ok(None);
            }
            let how = Reading::Point(&mut kept);
            let batch = self.read_at(&at, Some(rows.clone()), columns, true, how)?;
            Ok(Some((rows, batch)))
        };
        find().map_err(|error: Error| error.context(&self.path))
    }

    fn search(&self, at: &At, range: &KeyRange, kept: &mut Kept) -> Result<Range<usize>> {
        let stored = self.schema.key_columns();
        let stored = stored.filter_map(|key| self.column(ColumnKind::Cells(key.id)));
        let stored: Vec<&StoredColumn> = stored.collect();
        let mut how = Reading::Point(kept);
        self.prepare(&stored, at, &mut how)?;
        if stored.len() < self.schema.key_len() {
            return Err(missing());
        }
        let mut held = Vec::with_capacity(stored.len());
        for column in &stored {
            let bytes = self.bytes(column, at, &how)?.ok_or_else(missing)?;
            held.push((bytes, self.dictionary(column)?));
        }
        let mut columns = Vec::with_capacity(stored.len());
        for ((column, key), (bytes, dictionary)) in
            stored.iter().zip(self.schema.key_columns()).zip(&held)
        {
            let values = dictionary.shared().values.filter(|_| !key.descending);
            let known = key_column(column, bytes, at.rows, values, key.descending)?;
            columns.push(match known {
                Some(known) => known,
                None => self.encoded(column, at, key.descending, &how)?,
            });
        }
        let mut keys = Keys::new(at.rows, columns);
        let low = keys.lower_bound(0..at.rows, &range.start)?;
        let high = if range.end.is_empty() {
            at.rows
        } else {
            keys.bound_near(low, &range.end)?
        };
        Ok(low..high)
    }

    /// A key column, all of it encoded.
    fn encoded(
        &self,
        column: &StoredColumn,
        at: &At,
        descending: bool,
        how: &Reading<'_>,
    ) -> Result<KeyColumn<'static>> {
        let vector = self.vector(column, at, 0..at.rows, how)?;
        let vector = vector.ok_or_else(missing)?;
        if vector.set.is_some() || vector.array.null_count() > 0 {
            return Err(missing());
        }
        encode_keys(&[(vector.array, descending)])
            .map(KeyColumn::encoded)
            .map_err(|error| Error::corrupt(error.message().to_owned()))
    }
}

/// What of a key column is compared, where single values can be looked up; `values` are those of its
/// dictionary.
fn key_column<'a>(
    column: &StoredColumn,
    bytes: &'a [u8],
    rows: usize,
    values: Option<&'a Values>,
    descending: bool,
) -> Result<Option<KeyColumn<'a>>> {
    if let Some(values) = values
        && let Some(codes) = probe(bytes, rows, Encoding::Dictionary)?
    {
        return Ok(Some(KeyColumn::text(codes, values)));
    }
    let is_long = matches!(
        column.data_type,
        DataType::Int64 | DataType::Timestamp(_, _)
    );
    if !is_long {
        return Ok(None);
    }
    let numbers = probe(bytes, rows, Encoding::FrameOfReference)?;
    Ok(numbers.map(|numbers| KeyColumn::long(numbers, descending)))
}

fn missing() -> Error {
    Error::corrupt("a row without a key")
}
