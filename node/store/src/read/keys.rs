//! The keys of one vector, compared without being encoded: the partitions as runs of rows, each with
//! its encoded prefix, and inside a run the clustering column as the integer it is. Keys of another
//! shape are encoded once. Rows stand in key order; this reads keys and nothing else.

use std::ops::Range;
use std::sync::Arc;

use activestore_sst::{Codes, SequentialReader, Sst};
use activestore_types::key::push_text;
use activestore_types::{ColumnId, DataType, Error, KeyBuffer, Result, TableSchema, encode_keys};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType as ArrowType, Int64Type, TimeUnit, TimestampNanosecondType};

use crate::memtable::prefix::PrefixShape;

mod rows;

/// How a table's keys are read; shared by the vectors of a scan.
pub(crate) struct KeyShape {
    pub(crate) prefix: PrefixShape,
    partition: Vec<ColumnId>,
    clustering: Vec<(ColumnId, bool)>,
    /// Whether the clustering key is one BIGINT or TIMESTAMP.
    has_number: bool,
}

impl KeyShape {
    pub(crate) fn of(schema: &TableSchema) -> Self {
        let is_long = |id: ColumnId| {
            let column = schema.column_by_id(id);
            column.is_some_and(|column| {
                matches!(column.data_type, DataType::BigInt | DataType::Timestamp)
            })
        };
        KeyShape {
            has_number: match schema.clustering_key.as_slice() {
                [column] => is_long(column.id),
                _ => false,
            },
            prefix: PrefixShape::of(schema),
            partition: schema.partition_key.clone(),
            clustering: schema
                .clustering_key
                .iter()
                .map(|column| (column.id, column.descending))
                .collect(),
        }
    }

    fn prefix_of<'a>(&self, key: &'a [u8]) -> Option<&'a [u8]> {
        key.get(..self.prefix.prefix_len(key)?)
    }
}

/// The rows of one partition in a vector.
struct Run {
    /// The first row after it.
    end: usize,
    /// Where its prefix lies.
    prefix: Range<usize>,
}

/// The clustering part of the keys.
enum Clustering {
    /// The partition key is the whole key.
    None,
    /// One BIGINT or TIMESTAMP.
    Long {
        values: ScalarBuffer<i64>,
        descending: bool,
    },
    /// Anything else.
    Encoded(KeyBuffer),
}

/// The keys of a vector.
pub(crate) struct VectorKeys {
    rows: usize,
    runs: Vec<Run>,
    prefixes: Vec<u8>,
    clustering: Clustering,
}

/// A partition column of a vector.
enum PartitionColumn {
    /// By the file's dictionary, as the first row of each run of one code.
    Codes(Codes, Vec<(usize, u32)>),
    Encoded(KeyBuffer),
}

impl VectorKeys {
    /// Reads the keys of a vector; the partition columns only where it holds more than one.
    pub(crate) fn read(
        reader: &mut SequentialReader,
        shape: &KeyShape,
        vector: usize,
    ) -> Result<Self> {
        let sst = Arc::clone(reader.sst());
        let mut keys = VectorKeys {
            rows: sst.vector_rows(vector),
            runs: Vec::new(),
            prefixes: Vec::new(),
            clustering: Clustering::None,
        };
        let fence = sst.fence(vector)?;
        let first = shape.prefix_of(&fence);
        let next = sst.fence(vector + 1)?;
        let next = if vector + 1 < sst.vectors() {
            &*next
        } else {
            &sst.meta().last_key
        };
        match first {
            // What lies between two keys of one partition is of that partition.
            Some(prefix) if !shape.clustering.is_empty() && next.starts_with(prefix) => {
                keys.prefixes.extend_from_slice(prefix);
                keys.runs.push(Run {
                    end: keys.rows,
                    prefix: 0..prefix.len(),
                });
            }
            _ => keys.read_partitions(reader, shape, vector)?,
        }
        keys.clustering = read_clustering(reader, shape, vector, keys.rows)?;
        Ok(keys)
    }

    fn read_partitions(
        &mut self,
        reader: &mut SequentialReader,
        shape: &KeyShape,
        vector: usize,
    ) -> Result<()> {
        let sst = Arc::clone(reader.sst());
        let clustering = shape.clustering.iter().map(|(id, _)| *id);
        reader.fetch(vector, shape.partition.iter().copied().chain(clustering))?;
        let mut columns = Vec::with_capacity(shape.partition.len());
        for id in &shape.partition {
            columns.push(match reader.read_codes(vector, *id)? {
                Some(codes) => PartitionColumn::Codes(sst.codes(*id)?, codes),
                None => {
                    let array = read_key_column(reader, vector, *id)?;
                    let keys = encode_keys(&[(array, false)]);
                    PartitionColumn::Encoded(keys.map_err(|error| bad_keys(&sst, &error))?)
                }
            });
        }
        let mut starts = vec![0];
        for column in &columns {
            match column {
                PartitionColumn::Codes(_, runs) => {
                    starts.extend(runs.iter().skip(1).map(|(start, _)| *start));
                }
                PartitionColumn::Encoded(keys) => {
                    check_rows(&sst, keys.len(), self.rows)?;
                    let changes = |row: &usize| keys.key(row - 1) != keys.key(*row);
                    starts.extend((1..self.rows).filter(changes));
                }
            }
        }
        if columns.len() > 1 {
            starts.sort_unstable();
            starts.dedup();
        }
        for row in starts {
            if let Some(before) = self.runs.last_mut() {
                before.end = row;
            }
            let from = self.prefixes.len();
            for column in &columns {
                match column {
                    PartitionColumn::Codes(values, runs) => {
                        let behind = runs.partition_point(|(start, _)| *start <= row);
                        let run = behind.checked_sub(1).and_then(|run| runs.get(run));
                        let code = run.map_or(0, |(_, code)| *code);
                        push_text(values.value(code)?, &mut self.prefixes);
                    }
                    PartitionColumn::Encoded(keys) => {
                        self.prefixes.extend_from_slice(keys.key(row));
                    }
                }
            }
            self.runs.push(Run {
                end: self.rows,
                prefix: from..self.prefixes.len(),
            });
        }
        Ok(())
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the rows of a partition are told apart by one number.
    pub(crate) fn has_numbers(&self) -> bool {
        !matches!(self.clustering, Clustering::Encoded(_))
    }

    /// Appends the numbers of rows of one partition, which rise in the order that the rows come.
    pub(crate) fn push_numbers(&self, rows: Range<usize>, reverse: bool, out: &mut Vec<u64>) {
        match &self.clustering {
            Clustering::None => out.extend(rows.map(|_| 0)),
            Clustering::Long { values, descending } => {
                let values = values.get(rows).unwrap_or(&[]).iter();
                if reverse {
                    out.extend(values.rev().map(|value| !ordered(*value, *descending)));
                } else {
                    out.extend(values.map(|value| ordered(*value, *descending)));
                }
            }
            Clustering::Encoded(_) => {}
        }
    }

    /// How many partitions have rows in the vector.
    pub(crate) fn partitions(&self) -> usize {
        self.runs.len()
    }

    /// The encoded prefix of a partition, by its place; empty where there is no such partition.
    pub(crate) fn prefix(&self, partition: usize) -> &[u8] {
        self.runs
            .get(partition)
            .and_then(|run| self.prefixes.get(run.prefix.clone()))
            .unwrap_or(&[])
    }

    /// The rows of a partition, by its place.
    pub(crate) fn partition_rows(&self, partition: usize) -> Range<usize> {
        let start = partition
            .checked_sub(1)
            .and_then(|before| self.runs.get(before))
            .map_or(0, |run| run.end);
        let end = self.runs.get(partition).map_or(self.rows, |run| run.end);
        start..end.max(start)
    }

    /// The place of the partition that holds a row.
    pub(crate) fn partition_of(&self, row: usize) -> usize {
        self.runs.partition_point(|run| run.end <= row)
    }

    /// Appends a row's encoded key.
    pub(crate) fn push_key(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix(self.partition_of(row)));
        match &self.clustering {
            Clustering::None => {}
            Clustering::Long { values, descending } => {
                if let Some(value) = values.get(row) {
                    out.extend(ordered(*value, *descending).to_be_bytes());
                }
            }
            Clustering::Encoded(keys) => out.extend_from_slice(keys.key(row)),
        }
    }

    /// The first row of the range whose key is not below `target`; the range's end if none.
    pub(crate) fn lower_bound(&self, rows: Range<usize>, target: &[u8]) -> usize {
        let below = |partition: usize| {
            let prefix = self.prefix(partition);
            prefix < target && !target.starts_with(prefix)
        };
        let partition = lower_bound(self.runs.len(), below);
        let inside = self.partition_rows(partition);
        let clamp = |row: usize| row.clamp(rows.start, rows.end.max(rows.start));
        let Some(suffix) = target.strip_prefix(self.prefix(partition)) else {
            return clamp(inside.start);
        };
        if partition >= self.runs.len() {
            return clamp(self.rows);
        }
        let from = inside.start.max(rows.start);
        let to = inside.end.min(rows.end);
        if from >= to {
            return clamp(inside.start.max(from.min(inside.end)));
        }
        from + self.suffix_bound(from, to - from, suffix)
    }

    /// How many of the rows from `from` on, all of one partition, have a clustering part below.
    fn suffix_bound(&self, from: usize, rows: usize, suffix: &[u8]) -> usize {
        match &self.clustering {
            // A longer target lies above the key that it begins with.
            Clustering::None if suffix.is_empty() => 0,
            Clustering::None => rows,
            Clustering::Encoded(keys) => lower_bound(rows, |row| keys.key(from + row) < suffix),
            Clustering::Long { values, descending } => {
                let mut bytes = [0; 8];
                for (byte, wanted) in bytes.iter_mut().zip(suffix) {
                    *byte = *wanted;
                }
                let wanted = u64::from_be_bytes(bytes);
                // A longer target lies above the key that it begins with.
                let also_equal = suffix.len() > bytes.len();
                lower_bound(rows, |row| {
                    values.get(from + row).is_some_and(|value| {
                        let value = ordered(*value, *descending);
                        value < wanted || (also_equal && value == wanted)
                    })
                })
            }
        }
    }

    /// The rows, ascending, that have the same key as the row after them.
    pub(crate) fn repeats(&self) -> Vec<usize> {
        let mut repeats = Vec::new();
        for partition in 0..self.runs.len() {
            let rows = self.partition_rows(partition);
            let pairs = rows.start..rows.end.saturating_sub(1);
            match &self.clustering {
                Clustering::None => repeats.extend(pairs),
                Clustering::Long { values, .. } => {
                    repeats.extend(pairs.filter(|row| values.get(*row) == values.get(row + 1)));
                }
                Clustering::Encoded(keys) => {
                    repeats.extend(pairs.filter(|row| keys.key(*row) == keys.key(row + 1)));
                }
            }
        }
        repeats
    }

    /// How many rows from the first of these on (back from the last, in reverse), all of one partition,
    /// have the keys of the other vector's rows.
    pub(crate) fn common(
        &self,
        rows: Range<usize>,
        other: &VectorKeys,
        other_rows: Range<usize>,
        reverse: bool,
    ) -> usize {
        let within = |keys: &VectorKeys, rows: Range<usize>| {
            let head = if reverse {
                rows.end.saturating_sub(1)
            } else {
                rows.start
            };
            let partition = keys.partition_of(head);
            let inside = keys.partition_rows(partition);
            let rows = rows.start.max(inside.start)..rows.end.min(inside.end);
            (partition, rows)
        };
        let (left, rows) = within(self, rows);
        let (right, other_rows) = within(other, other_rows);
        if rows.is_empty() || other_rows.is_empty() || self.prefix(left) != other.prefix(right) {
            return 0;
        }
        let most = rows.len().min(other_rows.len());
        let pair = |place: usize| {
            if reverse {
                (rows.end - 1 - place, other_rows.end - 1 - place)
            } else {
                (rows.start + place, other_rows.start + place)
            }
        };
        let equal = |place: &usize| {
            let (row, other_row) = pair(*place);
            match (&self.clustering, &other.clustering) {
                (Clustering::None, Clustering::None) => true,
                (Clustering::Long { values, .. }, Clustering::Long { values: others, .. }) => {
                    values.get(row) == others.get(other_row)
                }
                (Clustering::Encoded(keys), Clustering::Encoded(others)) => {
                    keys.key(row) == others.key(other_row)
                }
                _ => false,
            }
        };
        (0..most).take_while(equal).count()
    }

    /// Whether two rows have the same key.
    pub(crate) fn equal(&self, left: usize, right: usize) -> bool {
        if self.partition_of(left) != self.partition_of(right) {
            return false;
        }
        match &self.clustering {
            Clustering::None => true,
            Clustering::Long { values, .. } => values.get(left) == values.get(right),
            Clustering::Encoded(keys) => keys.key(left) == keys.key(right),
        }
    }
}

/// A BIGINT or TIMESTAMP as an unsigned integer that sorts as its encoding does.
fn ordered(value: i64, descending: bool) -> u64 {
    let value = value.cast_unsigned() ^ (1 << 63);
    if descending { !value } else { value }
}

fn read_key_column(reader: &mut SequentialReader, vector: usize, id: ColumnId) -> Result<ArrayRef> {
    let batch = reader.read(vector, &[id])?;
    let column = batch.columns.into_iter().next();
    let column = column.filter(|column| column.set.is_none());
    let column = column.ok_or_else(|| {
        let sst = reader.sst();
        bad_keys(sst, &Error::corrupt("a key column is missing or unset"))
    })?;
    Ok(column.array)
}

fn read_clustering(
    reader: &mut SequentialReader,
    shape: &KeyShape,
    vector: usize,
    rows: usize,
) -> Result<Clustering> {
    let mut columns = Vec::with_capacity(shape.clustering.len());
    for (id, descending) in &shape.clustering {
        columns.push((read_key_column(reader, vector, *id)?, *descending));
    }
    let Some((first, descending)) = columns.first() else {
        return Ok(Clustering::None);
    };
    check_rows(reader.sst(), first.len(), rows)?;
    let long = (columns.len() == 1 && first.null_count() == 0).then(|| longs(first));
    if let Some(values) = long.flatten() {
        return Ok(Clustering::Long {
            values,
            descending: *descending,
        });
    }
    let keys = encode_keys(&columns).map_err(|error| bad_keys(reader.sst(), &error))?;
    Ok(Clustering::Encoded(keys))
}

fn longs(array: &ArrayRef) -> Option<ScalarBuffer<i64>> {
    match array.data_type() {
        ArrowType::Int64 => Some(array.as_primitive::<Int64Type>().values().clone()),
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => Some(
            array
                .as_primitive::<TimestampNanosecondType>()
                .values()
                .clone(),
        ),
        _ => None,
    }
}

fn check_rows(sst: &Sst, found: usize, rows: usize) -> Result<()> {
    if found == rows {
        return Ok(());
    }
    let error = Error::corrupt(format!("{found} keys for {rows} rows"));
    Err(bad_keys(sst, &error))
}

/// Keys that cannot be encoded were checked when they were written: the bytes have changed since.
pub(crate) fn bad_keys(sst: &Sst, error: &Error) -> Error {
    Error::corrupt(format!(
        "the keys of {} cannot be read: {}",
        sst.path(),
        error.message()
    ))
}

/// The first of `rows` rows that does not lie below.
pub(crate) fn lower_bound(rows: usize, mut below: impl FnMut(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if below(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests;
