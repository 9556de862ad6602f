//! The groups seen so far, and the runs of a batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{cast, concat};
use arrow::datatypes::SchemaRef;
use datafusion::common::{HashMap, Result, internal_datafusion_err};

use super::grouped::Grouped;
use super::keys::Keys;

/// Rows of one group that lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) group: usize,
    pub(super) start: usize,
    pub(super) rows: usize,
}

/// A group.
struct Group {
    key: Arc<[u8]>,
    /// The group that came behind it last: series repeat themselves.
    next: usize,
}

/// Groups by what they are grouped by.
#[derive(Default)]
pub(super) struct Groups {
    numbers: HashMap<Arc<[u8]>, usize>,
    groups: Vec<Group>,
    /// The values of each group, as the batches had them in which groups came first.
    values: Vec<Vec<ArrayRef>>,
    last: usize,
    bytes: usize,
    key: Vec<u8>,
    /// Where runs end.
    ends: Vec<usize>,
}

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// About what the groups hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Finds the runs of a batch of so many rows. With `forget` a run is a group of its own, looked up nowhere.
    ///
    /// # Errors
    /// When the values cannot be kept.
    pub(super) fn runs(
        &mut self,
        columns: &[Grouped],
        rows: usize,
        forget: bool,
        runs: &mut Vec<Run>,
    ) -> Result<()> {
        let keys = columns.iter().map(Keys::of).collect::<Result<Vec<_>>>()?;
        let mut ends = std::mem::take(&mut self.ends);
        ends.clear();
        keys.iter().for_each(|key| key.changes(&mut ends));
        if !ends.is_sorted_by(|one, next| one < next) {
            ends.sort_unstable();
            ends.dedup();
        }
        ends.push(rows);
        runs.clear();
        let mut new: Vec<u32> = Vec::new();
        let mut start = 0;
        for end in ends.iter().copied().filter(|end| *end > 0) {
            self.key.clear();
            for key in &keys {
                key.push(start, &mut self.key);
            }
            let known = if forget { None } else { self.find() };
            let group = match known {
                Some(group) => group,
                None => {
                    new.push(u32::try_from(start).unwrap_or(u32::MAX));
                    self.add(forget)
                }
            };
            if let Some(last) = self.groups.get_mut(self.last) {
                last.next = group;
            }
            self.last = group;
            runs.push(Run {
                group,
                start,
                rows: end - start,
            });
            start = end;
        }
        self.ends = ends;
        if !new.is_empty() {
            let new = UInt32Array::from(new);
            let values = columns.iter().map(|column| column.values(&new));
            let values = values.collect::<Result<Vec<_>>>()?;
            let sizes = values.iter().map(|values| values.get_array_memory_size());
            self.bytes += sizes.sum::<usize>();
            self.values.push(values);
        }
        Ok(())
    }

    /// The group whose key is at hand.
    fn find(&self) -> Option<usize> {
        let guess = self.groups.get(self.last).map(|last| last.next)?;
        let guessed = self.groups.get(guess).map(|group| group.key.as_ref());
        if guessed == Some(self.key.as_slice()) {
            return Some(guess);
        }
        self.numbers.get(self.key.as_slice()).copied()
    }

    fn add(&mut self, forget: bool) -> usize {
        let number = self.groups.len();
        if forget {
            self.groups.push(Group {
                key: Arc::default(),
                next: number,
            });
            return number;
        }
        let key: Arc<[u8]> = Arc::from(self.key.as_slice());
        // The key, and its places in the table and the list.
        self.bytes += key.len() + 96;
        self.numbers.insert(key.clone(), number);
        self.groups.push(Group { key, next: number });
        number
    }

    /// The values of all groups, a column for each that is grouped by, of the types of the first fields of a
    /// schema; forgets the groups.
    ///
    /// # Errors
    /// When the values do not fit the schema.
    pub(super) fn take(&mut self, columns: usize, schema: &SchemaRef) -> Result<Vec<ArrayRef>> {
        let mut arrays = Vec::with_capacity(columns);
        for place in 0..columns {
            let wanted = schema.fields().get(place).map(|field| field.data_type());
            let wanted =
                wanted.ok_or_else(|| internal_datafusion_err!("a group without a field"))?;
            let pieces = self.values.iter().filter_map(|values| values.get(place));
            let pieces = pieces.map(|piece| cast(piece, wanted));
            let pieces = pieces.collect::<std::result::Result<Vec<_>, _>>()?;
            let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
            arrays.push(concat(&pieces)?);
        }
        *self = Groups::default();
        Ok(arrays)
    }
}

#[cfg(test)]
mod tests;
