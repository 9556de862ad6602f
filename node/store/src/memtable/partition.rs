//! The index of a memtable: for each partition its rows in key order.
//!
//! Time series arrive in key order, and then an append is a push. A row that comes out of order
//! goes to the partition's tail, which is sorted in once it has grown; a reader looks through the
//! few rows of the tail.

use std::collections::HashMap;

use super::Chunks;

/// A tail is sorted in when it has this many rows …
const TAIL_ROWS_MIN: usize = 256;
/// … or this share of the sorted rows, whichever is more.
const TAIL_SHARE: usize = 16;
/// Memory of an empty partition's entry, about.
const PARTITION_BYTES: usize = 160;

#[derive(Default)]
pub(super) struct Partition {
    /// Row numbers by (key, row number).
    sorted: Vec<u32>,
    /// Row numbers that came out of order, by row number.
    tail: Vec<u32>,
    /// The clustering suffix of the last sorted row.
    last: Vec<u8>,
    /// The length of the partition's prefix.
    prefix_len: usize,
}

#[derive(Default)]
pub(super) struct Partitions {
    codes: HashMap<Box<[u8]>, u32>,
    list: Vec<Partition>,
    /// The partition of the row before: batches often hold runs of one.
    recent: Option<(Vec<u8>, u32)>,
    /// Partitions whose tail is due.
    due: Vec<u32>,
    prefix_bytes: usize,
}

impl Partitions {
    pub(super) fn append(&mut self, prefix: &[u8], suffix: &[u8], row: u32) {
        let code = self.code(prefix);
        let Some(partition) = self.list.get_mut(code as usize) else {
            return;
        };
        if partition.tail.is_empty()
            && (partition.sorted.is_empty() || suffix >= partition.last.as_slice())
        {
            partition.sorted.push(row);
            partition.last.clear();
            partition.last.extend_from_slice(suffix);
        } else {
            partition.tail.push(row);
            if partition.tail.len() == TAIL_ROWS_MIN.max(partition.sorted.len() / TAIL_SHARE) {
                self.due.push(code);
            }
        }
    }

    fn code(&mut self, prefix: &[u8]) -> u32 {
        if let Some((recent, code)) = &self.recent
            && recent.as_slice() == prefix
        {
            return *code;
        }
        let code = match self.codes.get(prefix) {
            Some(code) => *code,
            None => {
                // Rows are counted in 32 bits, and a partition has at least one.
                let code = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
                self.codes.insert(prefix.into(), code);
                self.list.push(Partition {
                    prefix_len: prefix.len(),
                    ..Partition::default()
                });
                self.prefix_bytes += prefix.len();
                code
            }
        };
        let (recent, recent_code) = self.recent.get_or_insert_with(Default::default);
        recent.clear();
        recent.extend_from_slice(prefix);
        *recent_code = code;
        code
    }

    /// Sorts in the tails that have grown. The rows of the last append are in `chunks` by now.
    pub(super) fn tidy(&mut self, chunks: &Chunks) {
        while let Some(code) = self.due.pop() {
            if let Some(partition) = self.list.get_mut(code as usize) {
                partition.sorted.append(&mut partition.tail);
                sort(&mut partition.sorted, chunks);
                if let Some(last) = partition.sorted.last() {
                    let key = chunks.key(*last);
                    partition.last.clear();
                    partition
                        .last
                        .extend_from_slice(key.get(partition.prefix_len..).unwrap_or(&[]));
                }
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.list.len() * PARTITION_BYTES + self.prefix_bytes
    }

    pub(super) fn get(&self, prefix: &[u8]) -> Option<&Partition> {
        self.list.get(*self.codes.get(prefix)? as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Partition)> {
        self.codes
            .iter()
            .filter_map(|(prefix, code)| Some((prefix.as_ref(), self.list.get(*code as usize)?)))
    }
}

impl Partition {
    /// Rows before `visible` whose key lies in `[start, end)` (an empty `end` is no bound), in key
    /// order, added to `out`. `chunks` holds every row of the index, visible or not.
    pub(super) fn select(
        &self,
        start: &[u8],
        end: &[u8],
        visible: u32,
        chunks: &Chunks,
        out: &mut Vec<u32>,
    ) {
        let low = self.sorted.partition_point(|row| chunks.key(*row) < start);
        let high = if end.is_empty() {
            self.sorted.len()
        } else {
            self.sorted.partition_point(|row| chunks.key(*row) < end)
        };
        let before = out.len();
        let inside = self.sorted.get(low..high).unwrap_or(&[]);
        out.extend(inside.iter().filter(|row| **row < visible));
        let sorted = out.len();
        out.extend(self.tail.iter().filter(|row| {
            let key = chunks.key(**row);
            **row < visible && start <= key && (end.is_empty() || key < end)
        }));
        if out.len() > sorted
            && let Some(added) = out.get_mut(before..)
        {
            sort(added, chunks);
        }
    }

    /// Every `step`-th row, tail and all; the rows are in no order.
    pub(super) fn sample(&self, step: usize) -> impl Iterator<Item = u32> {
        self.sorted
            .iter()
            .chain(&self.tail)
            .copied()
            .step_by(step.max(1))
    }

    pub(super) fn rows(&self) -> usize {
        self.sorted.len() + self.tail.len()
    }
}

fn sort(rows: &mut [u32], chunks: &Chunks) {
    rows.sort_by(|left, right| {
        chunks
            .key(*left)
            .cmp(chunks.key(*right))
            .then(left.cmp(right))
    });
}
