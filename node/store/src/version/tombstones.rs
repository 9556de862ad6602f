//! Range tombstones cut into disjoint pieces, each with the highest stamp that covers it, as
//! RocksDB's fragmented range tombstones are: one binary search finds what shadows a key.

use std::collections::{BTreeMap, BTreeSet};

use activestore_types::{KeyRange, NodeId, OriginId, RangeTombstone};

/// The order of writes: the hybrid logical clock, ties by the writing node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// The clock's stamp.
    pub hlc: u64,
    /// The node that wrote.
    pub node: NodeId,
}

struct Piece {
    start: Vec<u8>,
    /// Empty means the table's end.
    end: Vec<u8>,
    stamp: Stamp,
}

/// Keys `[start, end)` that one stamp covers, or none; an empty `end` is the table's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch<'a> {
    /// The first key.
    pub start: &'a [u8],
    /// The first key after it.
    pub end: &'a [u8],
    /// The highest stamp that shadows its keys.
    pub stamp: Option<Stamp>,
}

/// The range tombstones of one table, ready to be asked.
#[derive(Default)]
pub struct TombstoneMap {
    /// Disjoint, in key order.
    pieces: Vec<Piece>,
}

impl TombstoneMap {
    /// From tombstones in any order; empty and inverted ranges cover nothing.
    pub fn build(tombstones: &[RangeTombstone], node_of: &dyn Fn(OriginId) -> NodeId) -> Self {
        // At each boundary: the stamps that begin and those that end.
        let mut edges: BTreeMap<&[u8], (Vec<Stamp>, Vec<Stamp>)> = BTreeMap::new();
        let mut live: BTreeMap<Stamp, usize> = BTreeMap::new();
        for tombstone in tombstones {
            if !tombstone.end.is_empty() && tombstone.start >= tombstone.end {
                continue;
            }
            let stamp = Stamp {
                hlc: tombstone.hlc.0,
                node: node_of(tombstone.origin),
            };
            edges.entry(&tombstone.start).or_default().0.push(stamp);
            if !tombstone.end.is_empty() {
                edges.entry(&tombstone.end).or_default().1.push(stamp);
            }
        }
        let boundaries: Vec<&[u8]> = edges.keys().copied().collect();
        let mut pieces: Vec<Piece> = Vec::new();
        for (index, (start, (begins, ends))) in edges.iter().enumerate() {
            for stamp in begins {
                *live.entry(*stamp).or_default() += 1;
            }
            for stamp in ends {
                if let Some(count) = live.get_mut(stamp) {
                    *count -= 1;
                    if *count == 0 {
                        live.remove(stamp);
                    }
                }
            }
            let Some((stamp, _)) = live.last_key_value() else {
                continue;
            };
            let end = boundaries.get(index + 1).copied().unwrap_or(&[]);
            match pieces.last_mut() {
                Some(last) if last.stamp == *stamp && last.end == *start => last.end = end.to_vec(),
                _ => pieces.push(Piece {
                    start: start.to_vec(),
                    end: end.to_vec(),
                    stamp: *stamp,
                }),
            }
        }
        TombstoneMap { pieces }
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The highest stamp that shadows this key.
    pub fn covering(&self, key: &[u8]) -> Option<Stamp> {
        let after = self
            .pieces
            .partition_point(|piece| piece.start.as_slice() <= key);
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        (piece.end.is_empty() || key < piece.end.as_slice()).then_some(piece.stamp)
    }

    /// What covers this key, and how far around it the same holds.
    pub fn stretch(&self, key: &[u8]) -> Stretch<'_> {
        let after = self
            .pieces
            .partition_point(|piece| piece.start.as_slice() <= key);
        let before = after.checked_sub(1).and_then(|at| self.pieces.get(at));
        match before {
            Some(piece) if piece.end.is_empty() || key < piece.end.as_slice() => Stretch {
                start: &piece.start,
                end: &piece.end,
                stamp: Some(piece.stamp),
            },
            _ => Stretch {
                start: before.map_or(&[], |piece| &piece.end),
                end: self.pieces.get(after).map_or(&[], |piece| &piece.start),
                stamp: None,
            },
        }
    }

    /// Whether any key of the closed range `[first, last]` is covered.
    pub fn overlaps(&self, first: &[u8], last: &[u8]) -> bool {
        let before = self
            .pieces
            .partition_point(|piece| !piece.end.is_empty() && piece.end.as_slice() <= first);
        self.pieces
            .get(before)
            .is_some_and(|piece| piece.start.as_slice() <= last)
    }

    /// Whether any key of the range is covered.
    pub fn overlaps_range(&self, range: &KeyRange) -> bool {
        self.pieces.iter().any(|piece| {
            (range.end.is_empty() || piece.start < range.end)
                && (piece.end.is_empty() || range.start < piece.end)
        })
    }

    /// The distinct stamps in use, for tests and statistics.
    pub fn stamps(&self) -> usize {
        self.pieces
            .iter()
            .map(|piece| piece.stamp)
            .collect::<BTreeSet<_>>()
            .len()
    }
}

#[cfg(test)]
mod tests;
