//! A write of this node, before it is stamped: what it writes to a joined column becomes the join of that, of
//! what else it writes to the same cell, and of what the cell holds. Who calls is alone in the table's gate.

use std::collections::{BTreeMap, HashMap};

use activestore_types::{BatchColumn, KeyBuffer, Result, TableId, TableSchema, encode_keys};
use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::interleave;

use super::groups::{self, Place};
use super::{Joined, keys_of};
use crate::db::Inner;
use crate::write::effect::Erasure;
use crate::write::resolve::Staged;

/// Writes to one row that no delete of the same write comes between, by number.
struct Rows {
    numbers: HashMap<(Vec<u8>, usize), usize>,
    /// For each batch of the table, for each of its rows, the number.
    of_batch: Vec<Vec<usize>>,
    /// For each number the key, where what the row holds counts: no delete comes before.
    held: Vec<Option<Vec<u8>>>,
}

impl Inner {
    /// Joins what is written to joined columns; batches of other tables stay as they are.
    ///
    /// # Errors
    /// What a merge function says: then nothing of the write may be stored.
    pub(crate) fn join_staged(
        &self,
        mut staged: Vec<Staged>,
        erasures: &[(usize, Erasure)],
    ) -> Result<Vec<Staged>> {
        if self.catalog.state().sharing.is_empty() {
            return Ok(staged);
        }
        let mut tables: BTreeMap<TableId, Vec<usize>> = BTreeMap::new();
        for (at, batch) in staged.iter().enumerate() {
            tables.entry(batch.schema.id).or_default().push(at);
        }
        for places in tables.into_values() {
            let batches: Vec<&Staged> = places.iter().filter_map(|at| staged.get(*at)).collect();
            let Some(schema) = batches.first().map(|batch| batch.schema.clone()) else {
                continue;
            };
            let columns = self.joined_columns(&schema)?;
            if columns.is_empty() {
                continue;
            }
            let rows = rows(&schema, &batches, erasures)?;
            let mut changed = Vec::new();
            for column in &columns {
                changed.push((
                    column.id,
                    self.join_column(&schema, column, &batches, &rows)?,
                ));
            }
            for (id, arrays) in changed {
                for (at, array) in places.iter().zip(arrays) {
                    let column = staged
                        .get_mut(*at)
                        .and_then(|batch| batch.columns.iter_mut().find(|column| column.id == id));
                    if let (Some(column), Some(array)) = (column, array) {
                        column.array = array;
                    }
                }
            }
        }
        Ok(staged)
    }

    /// A joined column of each batch, where the batch has it.
    fn join_column(
        &self,
        schema: &TableSchema,
        column: &Joined,
        batches: &[&Staged],
        rows: &Rows,
    ) -> Result<Vec<Option<ArrayRef>>> {
        let given: Vec<Option<&BatchColumn>> = batches
            .iter()
            .map(|batch| batch.columns.iter().find(|given| given.id == column.id))
            .collect();
        let mut sources: Vec<ArrayRef> = Vec::new();
        let mut groups: Vec<Vec<Place>> = Vec::new();
        // For each number of rows that set the cell its group.
        let mut group_of: HashMap<usize, usize> = HashMap::new();
        for (given, numbers) in given.iter().zip(&rows.of_batch) {
            let Some(given) = given else { continue };
            for (row, number) in numbers.iter().enumerate() {
                if !is_set(given, row) {
                    continue;
                }
                let group = *group_of.entry(*number).or_insert_with(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                // An explicit NULL has nothing to say against a value.
                if let Some(group) = groups.get_mut(group)
                    && row < given.array.len()
                    && given.array.is_valid(row)
                {
                    group.push((sources.len(), row));
                }
            }
            sources.push(given.array.clone());
        }
        if groups.is_empty() {
            return Ok(vec![None; batches.len()]);
        }
        let snapshot = self.store.snapshot(schema.id)?;
        let now_ms = self.wall_ms();
        for (number, group) in &group_of {
            let Some(key) = rows.held.get(*number).and_then(Option::as_ref) else {
                continue;
            };
            let found = snapshot.get(key, &[column.id], now_ms)?;
            let held = found.and_then(|row| row.columns().first().cloned());
            if let (Some(held), Some(group)) = (held, groups.get_mut(*group))
                && held.null_count() == 0
            {
                group.push((sources.len(), 0));
                sources.push(held);
            }
        }
        // Where there is no value, here or before, NULL is left.
        let mut full = 0;
        let places: Vec<Place> = groups
            .iter()
            .map(|group| {
                full += usize::from(!group.is_empty());
                if group.is_empty() {
                    (1, 0)
                } else {
                    (0, full - 1)
                }
            })
            .collect();
        groups.retain(|group| !group.is_empty());
        let joined = groups::join(column, &sources, groups)?;
        let nothing = new_null_array(&column.data_type.arrow(), 1);
        let arrays = given.iter().zip(&rows.of_batch).map(|(given, numbers)| {
            let Some(given) = given else { return Ok(None) };
            let picked: Vec<Place> = numbers
                .iter()
                .enumerate()
                .map(|(row, number)| {
                    let group = group_of.get(number).filter(|_| is_set(given, row));
                    let place = group.and_then(|group| places.get(*group));
                    place.copied().unwrap_or((1, 0))
                })
                .collect();
            Ok(Some(interleave(&[&joined, &nothing], &picked)?))
        });
        arrays.collect()
    }
}

/// Numbers the rows of the batches by their keys.
fn rows(schema: &TableSchema, batches: &[&Staged], erasures: &[(usize, Erasure)]) -> Result<Rows> {
    let erasures = erasures
        .iter()
        .filter(|(_, erasure)| erasure.schema().id == schema.id);
    let erasures = erasures
        .map(|(place, erasure)| Ok((*place, Erased::of(erasure)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut rows = Rows {
        numbers: HashMap::new(),
        of_batch: Vec::with_capacity(batches.len()),
        held: Vec::new(),
    };
    for batch in batches {
        let keys = keys_of(schema, &batch.columns)?;
        let mut numbers = Vec::with_capacity(keys.len());
        for key in keys.iter() {
            let before = erasures.iter().filter(|(place, _)| *place < batch.place);
            let deletes = before.filter(|(_, erased)| erased.covers(key)).count();
            let Rows {
                numbers: known,
                held,
                ..
            } = &mut rows;
            numbers.push(*known.entry((key.to_vec(), deletes)).or_insert_with(|| {
                held.push((deletes == 0).then(|| key.to_vec()));
                held.len() - 1
            }));
        }
        rows.of_batch.push(numbers);
    }
    Ok(rows)
}

/// What an erasure covers.
enum Erased<'a> {
    Keys(KeyBuffer),
    Ranges(&'a [activestore_types::KeyRange]),
}

impl<'a> Erased<'a> {
    fn of(erasure: &'a Erasure) -> Result<Self> {
        match erasure {
            Erasure::Ranges { ranges, .. } => Ok(Erased::Ranges(ranges)),
            Erasure::Rows { schema, keys } => {
                let keys = schema.key_columns().zip(keys.columns());
                let keys: Vec<_> = keys
                    .map(|(key, array)| (array.clone(), key.descending))
                    .collect();
                encode_keys(&keys).map(Erased::Keys)
            }
        }
    }

    fn covers(&self, key: &[u8]) -> bool {
        match self {
            Erased::Keys(keys) => keys.iter().any(|erased| erased == key),
            Erased::Ranges(ranges) => ranges.iter().any(|range| range.contains(key)),
        }
    }
}

fn is_set(column: &BatchColumn, row: usize) -> bool {
    let set = column.set.as_ref();
    set.is_none_or(|set| row < set.len() && set.value(row))
}
