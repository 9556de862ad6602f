//! Rows on their way through a filter: fragments of one table laid end to end, deletes taken out.

use activestore_query::RowPredicate;
use activestore_store::Store;
use activestore_types::{
    BatchColumn, ColumnId, Error, Hlc, OriginId, Result, RowBatch, TableSchema, encode_keys,
};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, interleave, not, nullif, take};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

/// Fragments of one table, none of them a delete.
pub(super) struct Rows(RowBatch);

impl Rows {
    /// Those of batches, and beside them the deletes.
    pub(super) fn of(schema: &TableSchema, batches: &[&RowBatch]) -> Result<(Vec<RowBatch>, Rows)> {
        let mut deletes = Vec::new();
        let mut writes = Vec::new();
        for batch in batches {
            let Some(tombstones) = &batch.tombstone else {
                writes.push((*batch).clone());
                continue;
            };
            let numbers = |wanted: bool| -> Vec<u32> {
                let rows = (0..).zip(tombstones.iter());
                rows.filter(|(_, gone)| *gone == wanted)
                    .map(|(row, _)| row)
                    .collect()
            };
            let gone = picked(batch, &numbers(true))?;
            if gone.rows > 0 {
                deletes.push(RowBatch {
                    origin: std::iter::repeat_n(OriginId(0).0, gone.rows).collect(),
                    tombstone: Some(BooleanBuffer::new_set(gone.rows)),
                    ..gone
                });
            }
            writes.push(RowBatch {
                tombstone: None,
                ..picked(batch, &numbers(false))?
            });
        }
        Ok((deletes, Rows(end_to_end(schema, &writes)?)))
    }

    pub(super) fn len(&self) -> usize {
        self.0.rows
    }

    pub(super) fn into_batch(self) -> RowBatch {
        self.0
    }

    /// The rows named, in that order.
    pub(super) fn take(&self, rows: &[u32]) -> Result<Rows> {
        picked(&self.0, rows).map(Rows)
    }

    /// The rows of which this holds.
    pub(super) fn keep(&self, held: &BooleanArray) -> Result<Rows> {
        let rows = (0..).zip(held.values().iter());
        let rows: Vec<u32> = rows.filter(|(_, held)| *held).map(|(row, _)| row).collect();
        self.take(&rows)
    }

    /// Columns as a plugin sees them, by name: null where a write does not name the cell.
    pub(super) fn shown(&self, schema: &TableSchema, names: &[&str]) -> Result<RecordBatch> {
        let columns = names.iter().filter_map(|name| schema.column(name));
        let (fields, arrays): (Vec<_>, Vec<_>) = columns
            .map(|column| {
                let array = match self.0.column(column.id) {
                    Some(found) => named_only(found)?,
                    None => new_null_array(&column.data_type.arrow(), self.0.rows),
                };
                Ok((schema.arrow_field(column).with_nullable(true), array))
            })
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .unzip();
        record_batch(fields, arrays, self.0.rows)
    }

    /// The columns that a condition looks at. A cell that a write does not name is the row's as it is now.
    pub(super) fn asked(
        &self,
        schema: &TableSchema,
        condition: &RowPredicate,
        store: &Store,
        now_ms: u64,
    ) -> Result<RecordBatch> {
        let names = condition.columns().fields().iter();
        let columns: Vec<_> = names
            .filter_map(|name| schema.column(name.name()))
            .collect();
        let ids: Vec<ColumnId> = columns.iter().map(|column| column.id).collect();
        let given: Vec<Option<&BatchColumn>> = ids.iter().map(|id| self.0.column(*id)).collect();
        let names = |column: &Option<&BatchColumn>, row: usize| {
            column.is_some_and(|column| column.set.as_ref().is_none_or(|set| set.value(row)))
        };
        // For each column where its cells come from: its own array, one null, or rows that were read.
        let mut sources: Vec<Vec<ArrayRef>> = columns
            .iter()
            .zip(&given)
            .map(|(column, given)| {
                let nothing = new_null_array(&column.data_type.arrow(), 1);
                let own = given.map_or_else(|| nothing.clone(), |given| given.array.clone());
                vec![own, nothing]
            })
            .collect();
        let mut places: Vec<Vec<(usize, usize)>> = vec![Vec::new(); columns.len()];
        let keys = keys(schema, &self.0)?;
        let snapshot = store.snapshot(schema.id)?;
        for row in 0..self.0.rows {
            let whole = given.iter().all(|column| names(column, row));
            let found = if whole {
                None
            } else {
                snapshot.get(keys.key(row), &ids, now_ms)?
            };
            for (at, column) in given.iter().enumerate() {
                let (Some(places), Some(sources)) = (places.get_mut(at), sources.get_mut(at))
                else {
                    continue;
                };
                let read = found.as_ref().and_then(|found| found.columns().get(at));
                places.push(match (names(column, row), read) {
                    (true, _) => (0, row),
                    (false, None) => (1, 0),
                    (false, Some(read)) => {
                        sources.push(read.clone());
                        (sources.len() - 1, 0)
                    }
                });
            }
        }
        let arrays = sources.iter().zip(&places).map(|(sources, places)| {
            let views: Vec<&dyn Array> = sources.iter().map(AsRef::as_ref).collect();
            Ok(interleave(&views, places)?)
        });
        let fields = columns
            .iter()
            .map(|column| schema.arrow_field(column).with_nullable(true));
        record_batch(
            fields.collect(),
            arrays.collect::<Result<_>>()?,
            self.0.rows,
        )
    }

    /// Puts a column in the place of what was written to it. A cell that a write does not name gets a value
    /// where there is one.
    pub(super) fn put(&mut self, id: ColumnId, array: ArrayRef) -> Result<()> {
        let rows = self.0.rows;
        let there: BooleanBuffer = (0..rows).map(|row| array.is_valid(row)).collect();
        let known = self.0.columns.iter_mut().find(|column| column.id == id);
        match known {
            Some(column) => {
                column.set = column.set.as_ref().map(|set| set | &there);
                column.array = array;
            }
            None if there.count_set_bits() > 0 => self.0.columns.push(BatchColumn {
                id,
                array,
                set: Some(there),
            }),
            None => {}
        }
        Ok(())
    }

    /// Takes columns out; how many cells they had.
    pub(super) fn withhold(&mut self, held: impl Fn(ColumnId) -> bool) -> u64 {
        let rows = self.0.rows;
        let mut cells = 0;
        self.0.columns.retain(|column| {
            let stays = !held(column.id);
            if !stays {
                let set = column.set.as_ref().map(BooleanBuffer::count_set_bits);
                cells += set.unwrap_or(rows) as u64;
            }
            stays
        });
        cells
    }
}

fn record_batch(
    fields: Vec<arrow::datatypes::Field>,
    arrays: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let schema = arrow::datatypes::Schema::new(fields);
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        schema.into(),
        arrays,
        &options,
    )?)
}

/// The column's array with nulls where a write does not name the cell.
fn named_only(column: &BatchColumn) -> Result<ArrayRef> {
    match &column.set {
        None => Ok(column.array.clone()),
        Some(set) => {
            let unnamed = not(&BooleanArray::new(set.clone(), None))?;
            Ok(nullif(&column.array, &unnamed)?)
        }
    }
}

fn keys(schema: &TableSchema, batch: &RowBatch) -> Result<activestore_types::KeyBuffer> {
    let keys = schema.key_columns().map(|key| {
        let column = batch.column(key.id);
        let column = column.ok_or_else(|| Error::internal("rows without their whole key"))?;
        Ok((column.array.clone(), key.descending))
    });
    encode_keys(&keys.collect::<Result<Vec<_>>>()?)
}

/// The deletes among rows, as they were written; `None` where there are none.
pub(crate) fn deletes_of(batch: &RowBatch) -> Result<Option<RowBatch>> {
    let Some(tombstones) = &batch.tombstone else {
        return Ok(None);
    };
    let rows = (0..).zip(tombstones.iter());
    let gone: Vec<u32> = rows.filter_map(|(row, gone)| gone.then_some(row)).collect();
    if gone.is_empty() {
        return Ok(None);
    }
    picked(batch, &gone).map(Some)
}

/// Some rows of a batch, in that order.
pub(crate) fn picked(batch: &RowBatch, rows: &[u32]) -> Result<RowBatch> {
    let places = UInt32Array::from(rows.to_vec());
    let columns = batch.columns.iter().map(|column| {
        let set = column.set.as_ref().map(|set| {
            let set = take(&BooleanArray::new(set.clone(), None), &places, None)?;
            Ok::<_, Error>(set.as_boolean().values().clone())
        });
        Ok(BatchColumn {
            id: column.id,
            array: take(&column.array, &places, None)?,
            set: set.transpose()?,
        })
    });
    let number = |values: &[u64], row: &u32| values.get(*row as usize).copied().unwrap_or(0);
    let origin = |row: &u32| batch.origin.get(*row as usize).copied().unwrap_or(0);
    let (expiry, tombstone) = (batch.expiry_ms.as_ref(), batch.tombstone.as_ref());
    Ok(RowBatch {
        table: batch.table,
        rows: rows.len(),
        columns: columns.collect::<Result<_>>()?,
        hlc: rows.iter().map(|row| number(&batch.hlc, row)).collect(),
        origin: rows.iter().map(origin).collect(),
        expiry_ms: expiry.map(|expiry| rows.iter().map(|row| number(expiry, row)).collect()),
        tombstone: tombstone.map(|bits| rows.iter().map(|row| bits.value(*row as usize)).collect()),
    })
}

/// One batch of several, with every column that one of them has.
fn end_to_end(schema: &TableSchema, batches: &[RowBatch]) -> Result<RowBatch> {
    let rows = batches.iter().map(|batch| batch.rows).sum();
    let mut columns = Vec::new();
    for column in &schema.columns {
        let id = column.id;
        if !batches.iter().any(|batch| batch.column(id).is_some()) {
            continue;
        }
        let mut parts: Vec<ArrayRef> = Vec::with_capacity(batches.len());
        let mut set: Vec<bool> = Vec::with_capacity(rows);
        for batch in batches {
            match batch.column(id) {
                Some(found) => {
                    parts.push(found.array.clone());
                    set.extend((0..batch.rows).map(|row| {
                        let set = found.set.as_ref();
                        set.is_none_or(|set| set.value(row))
                    }));
                }
                None => {
                    parts.push(new_null_array(&column.data_type.arrow(), batch.rows));
                    set.extend(std::iter::repeat_n(false, batch.rows));
                }
            }
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        columns.push(BatchColumn {
            id,
            array: concat(&parts)?,
            set: set.contains(&false).then(|| set.into()),
        });
    }
    let mut whole = RowBatch::upsert(schema.id, rows, columns, Hlc::ZERO, OriginId(0));
    whole.hlc = batches
        .iter()
        .flat_map(|batch| batch.hlc.iter().copied())
        .collect();
    let expires = batches.iter().any(|batch| batch.expiry_ms.is_some());
    whole.expiry_ms = expires.then(|| {
        let expiry = batches.iter().flat_map(|batch| {
            let expiry = batch.expiry_ms.as_ref();
            (0..batch.rows)
                .map(move |row| expiry.and_then(|all| all.get(row).copied()).unwrap_or(0))
        });
        expiry.collect()
    });
    Ok(whole)
}
