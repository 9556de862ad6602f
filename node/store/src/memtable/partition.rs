//! The index of a memtable: for each partition its rows in key order.
//!
//! Time series arrive in key order, and then an append is a push. A row that comes out of order
//! goes to the partition's tail, which is sorted in once it has grown; a reader looks through the
//! few rows of the tail.
//!
//! Partitions are found by a hash of their prefix with a seed that is drawn at random once a
//! process, so that no writer can choose keys that collide.

use std::cmp::Ordering;

use activestore_types::{Error, KeyBuffer, Result};
use hashbrown::HashTable;

use super::Chunks;

/// A tail is sorted in when it has this many rows …
const TAIL_ROWS_MIN: usize = 256;
/// … or this share of the sorted rows, whichever is more.
const TAIL_SHARE: usize = 16;
/// Memory of an empty partition's entry, about.
const PARTITION_BYTES: usize = size_of::<Partition>() + 32;

#[derive(Default)]
pub(super) struct Partition {
    /// Row numbers by (key, row number).
    sorted: Vec<u32>,
    /// Row numbers that came out of order, by row number: each of a key below that of a sorted row before it. Rows
    /// in order go on to be sorted beside them, so that writers that take turns leave a tail of what was late alone.
    tail: Vec<u32>,
    /// The clustering suffix of the last sorted row.
    last: Suffix,
    /// The length of the partition's prefix.
    prefix_len: u32,
    /// Whether two rows have one key; never forgotten, and known of late rows once they are sorted in.
    repeats: bool,
}

/// A clustering suffix: its first bytes as a number, which is all there is to a timestamp, and the
/// rest. No suffix of a table is the beginning of another, so the zeros that fill a short one decide
/// nothing.
#[derive(Default)]
struct Suffix {
    head: u64,
    rest: Vec<u8>,
}

impl Suffix {
    fn compare(&self, head: u64, rest: &[u8]) -> Ordering {
        let heads = self.head.cmp(&head);
        heads.then_with(|| self.rest.as_slice().cmp(rest))
    }

    fn set(&mut self, head: u64, rest: &[u8]) {
        self.head = head;
        if !rest.is_empty() || !self.rest.is_empty() {
            self.rest.clear();
            self.rest.extend_from_slice(rest);
        }
    }
}

fn split_suffix(suffix: &[u8]) -> (u64, &[u8]) {
    if let Some((head, rest)) = suffix.split_first_chunk::<8>() {
        return (u64::from_be_bytes(*head), rest);
    }
    let mut head = [0; 8];
    for (to, from) in head.iter_mut().zip(suffix) {
        *to = *from;
    }
    (u64::from_be_bytes(head), &[])
}

#[derive(Default)]
pub(super) struct Partitions {
    /// Places in `list` by the hash of the prefix.
    codes: HashTable<u32>,
    list: Vec<Partition>,
    /// The prefix of each partition of the list, and its hash.
    prefixes: KeyBuffer,
    hashes: Vec<u64>,
    /// The partition of the row before: batches often hold runs of one.
    recent: u32,
    /// Partitions whose tail is due.
    due: Vec<u32>,
}

impl Partitions {
    /// Whether the prefixes of these keys would fit, were they all new.
    ///
    /// # Errors
    /// `Overloaded` where they would not.
    pub(super) fn admit(&self, keys: &KeyBuffer) -> Result<()> {
        let bytes = self.prefixes.memory_bytes() + keys.memory_bytes();
        u32::try_from(bytes)
            .map(|_| ())
            .map_err(|_| Error::overloaded("a memtable holds 4 GiB of partition keys"))
    }

    /// Adds a row; `hash` is [`super::prefix::hash`] of the prefix.
    ///
    /// # Errors
    /// `Invalid` beyond 4 GiB of prefixes; nothing is added then.
    pub(super) fn append(
        &mut self,
        hash: u64,
        prefix: &[u8],
        suffix: &[u8],
        row: u32,
    ) -> Result<()> {
        let code = self.code(hash, prefix)?;
        let Some(partition) = self.list.get_mut(code as usize) else {
            return Ok(());
        };
        let (head, rest) = split_suffix(suffix);
        let against = match partition.sorted.is_empty() {
            true => Ordering::Less,
            false => partition.last.compare(head, rest),
        };
        let in_order = against.is_le();
        partition.repeats |= in_order && against.is_eq();
        if in_order {
            partition.sorted.push(row);
            partition.last.set(head, rest);
        } else {
            partition.tail.push(row);
            if partition.tail.len() == TAIL_ROWS_MIN.max(partition.sorted.len() / TAIL_SHARE) {
                self.due.push(code);
            }
        }
        Ok(())
    }

    fn code(&mut self, hash: u64, prefix: &[u8]) -> Result<u32> {
        let is = |code: u32| {
            self.hashes.get(code as usize) == Some(&hash)
                && self.prefixes.key(code as usize) == prefix
        };
        if is(self.recent) {
            return Ok(self.recent);
        }
        let known = self.codes.find(hash, |code| is(*code)).copied();
        let code = match known {
            Some(code) => code,
            None => self.add(hash, prefix)?,
        };
        self.recent = code;
        Ok(code)
    }

    #[cold]
    fn add(&mut self, hash: u64, prefix: &[u8]) -> Result<u32> {
        self.prefixes.push(prefix)?;
        // Rows are counted in 32 bits, and a partition has at least one.
        let code = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.hashes.push(hash);
        self.list.push(Partition {
            prefix_len: u32::try_from(prefix.len()).unwrap_or(u32::MAX),
            ..Partition::default()
        });
        let hashes = &self.hashes;
        self.codes.insert_unique(hash, code, |code| {
            hashes.get(*code as usize).copied().unwrap_or(0)
        });
        Ok(code)
    }

    /// Sorts in the tails that have grown. The rows of the last append are in `chunks` by now.
    pub(super) fn tidy(&mut self, chunks: &Chunks) {
        while let Some(code) = self.due.pop() {
            if let Some(partition) = self.list.get_mut(code as usize) {
                sort(&mut partition.tail, chunks);
                let mut all = Vec::with_capacity(partition.rows());
                partition.repeats |= merge(&partition.sorted, &partition.tail, chunks, &mut all);
                partition.sorted = all;
                partition.tail = Vec::new();
                if let Some(last) = partition.sorted.last() {
                    let suffix = chunks.key(*last).get(partition.prefix_len as usize..);
                    let (head, rest) = split_suffix(suffix.unwrap_or(&[]));
                    partition.last.set(head, rest);
                }
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.list.len() * PARTITION_BYTES + self.prefixes.memory_bytes()
    }

    pub(super) fn get(&self, hash: u64, prefix: &[u8]) -> Option<&Partition> {
        let code = self
            .codes
            .find(hash, |code| self.prefixes.key(*code as usize) == prefix)?;
        self.list.get(*code as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Partition)> {
        self.prefixes.iter().zip(&self.list)
    }
}

impl Partition {
    /// Rows before `visible` whose key lies in `[start, end)` (an empty `end` is no bound), in key
    /// order, added to `out`; whether two of them may have one key. `chunks` holds every row of the index, visible or
    /// not.
    pub(super) fn select(
        &self,
        start: &[u8],
        end: &[u8],
        visible: u32,
        chunks: &Chunks,
        out: &mut Vec<u32>,
    ) -> bool {
        let low = if start.is_empty() {
            0
        } else {
            self.sorted.partition_point(|row| chunks.key(*row) < start)
        };
        let high = if end.is_empty() {
            self.sorted.len()
        } else {
            self.sorted.partition_point(|row| chunks.key(*row) < end)
        };
        let inside = self.sorted.get(low..high).unwrap_or(&[]);
        let all_visible = chunks.rows() <= visible;
        let whole = start.is_empty() && end.is_empty();
        let inside_too = |row: u32| {
            let key = chunks.key(row);
            start <= key && (end.is_empty() || key < end)
        };
        let added = |row: &u32| *row < visible && (whole || inside_too(*row));
        let mut late: Vec<u32> = self.tail.iter().copied().filter(added).collect();
        sort(&mut late, chunks);
        let meets = if all_visible {
            merge(inside, &late, chunks, out)
        } else {
            let seen = inside.iter().copied().filter(|row| *row < visible);
            merge(&seen.collect::<Vec<_>>(), &late, chunks, out)
        };
        self.repeats || meets
    }

    /// The row before `visible` with the greatest key (or the least, without `last`), and whether it
    /// is the only one with that key.
    pub(super) fn end(&self, last: bool, visible: u32, chunks: &Chunks) -> Option<(u32, bool)> {
        let seen = |row: &&u32| **row < visible;
        let (mut ahead, mut behind);
        let sorted: &mut dyn Iterator<Item = &u32> = if last {
            behind = self.sorted.iter().rev().filter(seen);
            &mut behind
        } else {
            ahead = self.sorted.iter().filter(seen);
            &mut ahead
        };
        let first = sorted.next().copied();
        let mut best = first;
        let mut alone = match (first, sorted.next()) {
            (Some(row), Some(next)) => chunks.key(row) != chunks.key(*next),
            _ => true,
        };
        for row in self.tail.iter().filter(seen) {
            let order = best.map_or(Ordering::Greater, |best| {
                chunks.key(*row).cmp(chunks.key(best))
            });
            let beyond = if last {
                Ordering::Greater
            } else {
                Ordering::Less
            };
            if order == Ordering::Equal {
                alone = false;
            } else if best.is_none() || order == beyond {
                (best, alone) = (Some(*row), true);
            }
        }
        best.map(|row| (row, alone))
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

/// Adds the rows of both lists to `out`, by (key, row number), as each list is; whether a late one has the key of
/// another row. The late ones are few, and mostly stretches that belong together between two rows of the others: only
/// what is near them is looked at.
fn merge(sorted: &[u32], late: &[u32], chunks: &Chunks, out: &mut Vec<u32>) -> bool {
    out.reserve(sorted.len() + late.len());
    let (mut rest, mut meets) = (sorted, false);
    let mut last_key: Option<&[u8]> = None;
    for row in late {
        let key = chunks.key(*row);
        let before = |other: &u32| (chunks.key(*other), *other) < (key, *row);
        let mut step = 1;
        while rest.get(step - 1).is_some_and(before) {
            step *= 2;
        }
        // The row before `step / 2` is before this one; that at `step - 1` is not, or is not there.
        let from = step / 2;
        let near = rest.get(from..rest.len().min(step)).unwrap_or(&[]);
        let place = from + near.partition_point(before);
        let (passed, behind) = rest.split_at_checked(place).unwrap_or((rest, &[]));
        out.extend_from_slice(passed);
        out.push(*row);
        let mut neighbours = [passed.last(), behind.first()].into_iter().flatten();
        meets |= last_key == Some(key) || neighbours.any(|other| chunks.key(*other) == key);
        last_key = Some(key);
        rest = behind;
    }
    out.extend_from_slice(rest);
    meets
}
