//! How the state of a row is found out: taken from its fragment, or read.

use std::collections::HashSet;

use activestore_types::{Error, Hlc, KeyBuffer, Lsn, Result, RowBatch, encode_keys};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::record_batch::RecordBatch;

use super::{Glance, Looking, batch_of, is_delete, with_schema};

/// Keys that are remembered as read; beyond it all are taken for read.
const READ_KEYS_MAX: usize = 16_384;
/// Writers that run at once are stamped within so many milliseconds of each other.
const STAMPED_TOGETHER_MS: u64 = 1000;

/// Keys that were read, up to a record.
#[derive(Default)]
pub(super) struct Read {
    pub(super) upto: Lsn,
    keys: HashSet<Vec<u8>>,
    pub(super) all: bool,
}

/// How the state of a row is found out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It is the fragment.
    Whole,
    /// It is gone: the fragment is a delete.
    Gone,
    /// It is read.
    Read,
}

impl Looking {
    /// The key columns of a batch.
    pub(super) fn keys(&self, batch: &RowBatch) -> Result<RecordBatch> {
        let table = self.query.table();
        let columns = table.key_columns().map(|key| {
            let column = batch.column(key.id);
            let column = column.ok_or_else(|| Error::internal("a fragment without its key"))?;
            Ok(column.array.clone())
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        Ok(RecordBatch::try_new(self.key_schema.clone(), columns)?)
    }

    fn encoded(&self, keys: &RecordBatch) -> Result<KeyBuffer> {
        let order = self.query.table().key_columns();
        let columns = keys.columns().iter().cloned();
        let columns = columns
            .zip(order)
            .map(|(array, key)| (array, key.descending));
        encode_keys(&columns.collect::<Vec<_>>())
    }

    pub(super) fn ways(
        &mut self,
        glance: &Glance<'_>,
        batch: &RowBatch,
        lsn: Lsn,
        keys: &RecordBatch,
    ) -> Result<Vec<Way>> {
        let lowest = Hlc(batch.hlc.iter().copied().min().unwrap_or(0));
        let rising = batch
            .hlc
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a < b));
        let highest = *self
            .highest
            .get_or_insert_with(|| above(batch.max_hlc(), STAMPED_TOGETHER_MS));
        let own = glance.inner.store.origin_id(self.node)?;
        let foreign = batch.origin.iter().any(|origin| *origin != own.0);
        if !rising || lowest <= highest || (foreign && !self.above_all) {
            return Ok(vec![Way::Read; batch.rows]);
        }
        let needed = self.query.needed().iter();
        let columns: Vec<_> = needed.map(|id| batch.column(*id)).collect();
        let all_there = columns.iter().all(Option::is_some);
        let sets: Vec<_> = columns
            .iter()
            .flatten()
            .filter_map(|one| one.set.as_ref())
            .collect();
        let mut ways: Vec<Way> = (0..batch.rows)
            .map(|row| {
                if is_delete(batch, row) {
                    Way::Gone
                } else if all_there
                    && sets.iter().all(|set| set.value(row))
                    && !expired(batch, row, glance.now_ms)
                {
                    Way::Whole
                } else {
                    Way::Read
                }
            })
            .collect();
        if lsn > self.read.upto {
            self.read.keys.clear();
            self.read.all = false;
        } else if self.read.all {
            ways.fill(Way::Read);
        } else if !self.read.keys.is_empty() {
            let encoded = self.encoded(keys)?;
            for (way, key) in ways.iter_mut().zip(encoded.iter()) {
                if self.read.keys.contains(key) {
                    *way = Way::Read;
                }
            }
        }
        let some_read = ways.contains(&Way::Read);
        if some_read && ways.iter().any(|way| *way != Way::Read) {
            // A key that is read for one of its rows is read for all of them.
            let encoded = self.encoded(keys)?;
            let both = encoded.iter().zip(&ways);
            let read = both
                .filter(|(_, way)| **way == Way::Read)
                .map(|(key, _)| key);
            let read: HashSet<&[u8]> = read.collect();
            for (way, key) in ways.iter_mut().zip(encoded.iter()) {
                if read.contains(key) {
                    *way = Way::Read;
                }
            }
        }
        Ok(ways)
    }

    /// The columns that are looked at of some rows of a batch that sets them.
    pub(super) fn whole(&self, batch: &RowBatch, rows: &UInt32Array) -> Result<RecordBatch> {
        let columns = self.query.needed().iter().map(|id| {
            let column = batch.column(*id);
            let column = column.ok_or_else(|| Error::internal("a fragment that was whole"))?;
            Ok(take(&column.array, rows, None)?)
        });
        batch_of(
            self.query.input(),
            columns.collect::<Result<_>>()?,
            rows.len(),
        )
    }

    /// Rows as they are now, and which rows of the batch they are.
    pub(super) fn as_they_stand(
        &mut self,
        glance: &mut Glance<'_>,
        keys: &RecordBatch,
        rows: &UInt32Array,
    ) -> Result<(RecordBatch, Vec<u32>)> {
        let (snapshot, upto) = glance.table(self.query.table())?;
        let encoded = self.encoded(keys)?;
        self.read.upto = self.read.upto.max(upto);
        let mut found = Vec::new();
        let mut parts = Vec::new();
        for row in rows.values() {
            let key = encoded.key(*row as usize);
            if self.read.keys.len() < READ_KEYS_MAX {
                self.read.keys.insert(key.to_vec());
            } else {
                self.read.all = true;
            }
            if let Some(part) = snapshot.get(key, self.query.needed(), glance.now_ms)? {
                found.push(*row);
                parts.push(with_schema(&part, self.query.input())?);
            }
        }
        Ok((concat_batches(self.query.input(), &parts)?, found))
    }
}

fn above(stamp: Hlc, ms: u64) -> Hlc {
    Hlc::from_ms(stamp.wall_ms().saturating_add(ms))
}

fn expired(batch: &RowBatch, row: usize, now_ms: u64) -> bool {
    let ends = batch.expiry_ms.as_ref().and_then(|all| all.get(row));
    ends.is_some_and(|end| *end != 0 && *end <= now_ms)
}
