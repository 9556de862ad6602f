//! Stamps: every row of a write gets a stamp of its own, in order, and an expiry where it has one.

use activestore_store::{Note, WriteSet};
use activestore_types::{BatchColumn, Hlc, OriginId, RangeTombstone, RowBatch};
use arrow::buffer::BooleanBuffer;

use super::effect::Erasure;
use super::resolve::Staged;
use crate::db::Inner;

/// One part of a write.
enum Part {
    Rows(Staged),
    Erased(Erasure),
}

impl Inner {
    /// Turns staged batches and erasures (each with the place of its statement) into one write set
    /// under consecutive stamps, later statements after earlier ones.
    pub(crate) fn stamp(
        &self,
        staged: Vec<Staged>,
        erasures: Vec<(usize, Erasure)>,
        notes: Vec<Note>,
    ) -> WriteSet {
        let wall_ms = self.wall_ms();
        let rows = staged.iter().map(|batch| batch.rows as u64).sum::<u64>();
        let erased = erasures.iter().map(|(_, part)| part.stamps()).sum::<u64>();
        let mut next = self.clock.reserve(wall_ms, rows + erased);
        let staged = staged
            .into_iter()
            .map(|batch| (batch.place, Part::Rows(batch)));
        let erasures = erasures
            .into_iter()
            .map(|(place, part)| (place, Part::Erased(part)));
        let mut parts: Vec<(usize, Part)> = staged.chain(erasures).collect();
        parts.sort_by_key(|(place, _)| *place);
        let mut set = WriteSet {
            notes,
            ..WriteSet::default()
        };
        for (_, part) in parts {
            let first = next;
            match part {
                Part::Rows(batch) => {
                    next = next.plus(batch.rows as u64);
                    set.batches.push(upsert(batch, first, wall_ms));
                }
                Part::Erased(erasure) => {
                    next = next.plus(erasure.stamps());
                    erase(erasure, first, &mut set);
                }
            }
        }
        set
    }
}

fn upsert(batch: Staged, first: Hlc, wall_ms: u64) -> RowBatch {
    let rows = batch.rows;
    let mut stamped = RowBatch::upsert(batch.schema.id, rows, batch.columns, first, OriginId(0));
    let by_ttl = batch.ttl_s.map(|ttl_s| {
        let expiry = wall_ms.saturating_add(ttl_s.saturating_mul(1_000));
        std::iter::repeat_n(expiry, rows).collect()
    });
    stamped.expiry_ms = batch.expiry_ms.or(by_ttl);
    stamped
}

fn erase(erasure: Erasure, first: Hlc, set: &mut WriteSet) {
    match erasure {
        Erasure::Rows { schema, keys } => {
            let rows = keys.num_rows();
            let columns = schema
                .key_columns()
                .zip(keys.columns())
                .map(|(key, array)| BatchColumn {
                    id: key.id,
                    array: array.clone(),
                    set: None,
                })
                .collect();
            let mut batch = RowBatch::upsert(schema.id, rows, columns, first, OriginId(0));
            batch.tombstone = Some(BooleanBuffer::new_set(rows));
            set.batches.push(batch);
        }
        Erasure::Ranges { schema, ranges } => {
            let numbered = (0_u64..).zip(ranges);
            set.tombstones
                .extend(numbered.map(|(number, range)| RangeTombstone {
                    table: schema.id,
                    start: range.start,
                    end: range.end,
                    hlc: first.plus(number),
                    origin: OriginId(0),
                }));
        }
    }
}
