//! Stamps: every row of a write gets a stamp of its own, in order, and an expiry where it has one.

use activestore_store::{Note, WriteSet};
use activestore_types::{OriginId, RowBatch};

use super::resolve::Staged;
use crate::db::Inner;

impl Inner {
    /// Turns staged batches into one write set under consecutive stamps.
    pub(crate) fn stamp(&self, staged: Vec<Staged>, notes: Vec<Note>) -> WriteSet {
        let wall_ms = self.wall_ms();
        let rows: u64 = staged.iter().map(|batch| batch.rows as u64).sum();
        let mut next = self.clock.reserve(wall_ms, rows);
        let batches = staged
            .into_iter()
            .map(|batch| {
                let mut stamped = RowBatch::upsert(
                    batch.schema.id,
                    batch.rows,
                    batch.columns,
                    next,
                    OriginId(0),
                );
                next = next.plus(batch.rows as u64);
                stamped.expiry_ms = batch.ttl_s.map(|ttl_s| {
                    let expiry = wall_ms.saturating_add(ttl_s.saturating_mul(1_000));
                    std::iter::repeat_n(expiry, batch.rows).collect()
                });
                stamped
            })
            .collect();
        WriteSet {
            batches,
            tombstones: Vec::new(),
            notes,
        }
    }
}
