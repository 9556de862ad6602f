//! Dividing a write by the data keys of the partitions that it touches.

use std::collections::BTreeMap;

use activestore_types::{KeyBuffer, Result, RowBatch, TableSchema};

use crate::memtable::RowKeys;
use crate::memtable::gather::{Pick, gather};
use crate::version::{OwnKeys, Version};
use crate::write_set::WriteSet;

/// A write without the rows of partitions that have keys of their own, and those rows by key.
pub(super) struct Divided {
    pub(super) common: WriteSet,
    pub(super) apart: Vec<(u32, WriteSet)>,
}

/// Divides a set whose keys are `keys`; `None` where no row is of a partition that has a key.
///
/// # Errors
/// As [`gather`].
pub(super) fn divide(
    version: &Version,
    set: &WriteSet,
    keys: &[RowKeys],
) -> Result<Option<Divided>> {
    let owned = |batch: &RowBatch| {
        version
            .table(batch.table)
            .filter(|table| !table.own.is_empty())
    };
    if !set.batches.iter().any(|batch| owned(batch).is_some()) {
        return Ok(None);
    }
    let mut common = Vec::with_capacity(set.batches.len());
    let mut apart: BTreeMap<u32, Vec<RowBatch>> = BTreeMap::new();
    for (batch, keys) in set.batches.iter().zip(keys) {
        let Some(table) = owned(batch) else {
            common.push(batch.clone());
            continue;
        };
        for (key, rows) in divide_batch(&table.schema, &table.own, batch, keys.keys())? {
            match key {
                None => common.push(rows),
                Some(key) => apart.entry(key).or_default().push(rows),
            }
        }
    }
    let apart: Vec<(u32, WriteSet)> = apart
        .into_iter()
        .map(|(key, batches)| (key, WriteSet::from_batches(batches)))
        .collect();
    Ok((!apart.is_empty()).then(|| Divided {
        common: WriteSet {
            batches: common,
            tombstones: set.tombstones.clone(),
            notes: set.notes.clone(),
        },
        apart,
    }))
}

/// A batch's rows by own key.
///
/// # Errors
/// As [`gather`].
pub(super) fn divide_batch(
    schema: &TableSchema,
    own: &OwnKeys,
    batch: &RowBatch,
    keys: &KeyBuffer,
) -> Result<Vec<(Option<u32>, RowBatch)>> {
    let mut picks: BTreeMap<Option<u32>, Vec<Pick>> = BTreeMap::new();
    for (place, rows) in own.split(keys) {
        let picked = picks.entry(own.key_at(place)).or_default();
        picked.extend(rows.map(|row| (0, row)));
    }
    picks
        .into_iter()
        .map(|(key, picks)| {
            let all = picks.len() == batch.rows;
            let rows = if all {
                batch.clone()
            } else {
                gather(schema, &[batch], &picks, None)?
            };
            Ok((key, rows))
        })
        .collect()
}
