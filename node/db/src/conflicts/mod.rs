//! Conflicts: two nodes wrote the same cell, neither having seen what the other wrote. Stamps decide which value
//! stands, as ever; here it is counted, and on wish kept, that another one lost.
//!
//! A stamp says which of two writes is the later one and not what its writer knew. The order of arrival says the
//! rest: **a value that arrives for the first time and is older than one that is here, of another writer, lost a
//! conflict.** Who wrote the one that is here had it written before the older one got to this node; rows go from
//! node to node by way of this one, or of the cloud whose stream this one follows, so it cannot have got to that
//! writer earlier. The other way round nothing is certain, since a newer value that arrives may be an ordinary
//! change by somebody who saw the older one. So each conflict is seen where the value that stands was written,
//! once the other gets there, and by all to whom they come in that order; a cloud misses those whose winner came last.
//!
//! Equal values are no conflict, nor are columns with a merge function, which lose nothing. What an edge fetches when it
//! starts over may have been here before: nothing is counted of it, nor against it.

mod contest;
mod kept;

use activestore_store::Note;
use activestore_types::{Hlc, Result, RowBatch, SyncMode};
use parking_lot::{Mutex, MutexGuard};

use crate::counters::Figures;
use crate::db::Inner;
use crate::merging::keys_of;
use contest::Contest;

pub(crate) use contest::Found;
#[cfg(test)]
pub(crate) use kept::CONFLICTS_KEPT_MAX;
pub(crate) use kept::KeptConflict;

/// The highest stamp among the rows that this edge fetched when it started over.
const FETCHED_NOTE: &[u8] = b"conflict/fetched";

/// What a database holds for its conflicts.
#[derive(Default)]
pub(crate) struct Conflicts {
    /// From reading the counts until the record that changes them is committed.
    turn: Mutex<()>,
}

impl Conflicts {
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }
}

impl Inner {
    /// The conflicts that rows lost which are about to be applied and were not here before. What cannot be told,
    /// since a file is damaged, holds up no row.
    pub(crate) fn conflicts_in(&self, batches: &[RowBatch]) -> Found {
        let mut found = Found::default();
        if let Err(error) = self.contest(batches, &mut found) {
            tracing::warn!(%error, "conflicts of the rows that came are not counted");
        }
        found
    }

    fn contest(&self, batches: &[RowBatch], found: &mut Found) -> Result<()> {
        let state = self.catalog.state();
        let now_ms = self.wall_ms();
        let fetched = self.fetched();
        for batch in batches {
            let Some(schema) = state.table_by_id(batch.table) else {
                continue;
            };
            if schema.sync != SyncMode::Both {
                continue;
            }
            let snapshot = self.store.snapshot(batch.table)?;
            let newest = snapshot.newest();
            if batch.hlc.iter().all(|hlc| *hlc >= newest.0) {
                continue; // nothing here is newer than any of them
            }
            let merges = state.sharing.get(&schema.name);
            let merged = |name: &str| merges.is_some_and(|said| said.merges.contains_key(name));
            let contest = Contest {
                schema,
                batch,
                columns: schema
                    .columns
                    .iter()
                    .filter(|column| !schema.is_key(column.id) && !merged(&column.name))
                    .collect(),
                snapshot: &snapshot,
                // What is written down here could not be erased with a partition's key.
                keep: state.keep_conflicts.contains(&schema.name)
                    && self.store.own_keys(schema.id).is_empty(),
                fetched,
                at_ns: self.env.clock.wall_ns(),
                now_ms,
                node: &|origin| self.store.origin_node(origin).unwrap_or(self.node),
            };
            let keys = keys_of(schema, &batch.columns)?;
            for row in 0..batch.rows {
                if batch.hlc.get(row).is_some_and(|hlc| *hlc < newest.0) {
                    contest.row(row, keys.key(row), found)?;
                }
            }
        }
        Ok(())
    }

    fn fetched(&self) -> Hlc {
        let kept = self.store.note(FETCHED_NOTE);
        let kept = kept.and_then(|bytes| bytes.try_into().ok());
        Hlc(kept.map_or(0, u64::from_le_bytes))
    }

    /// What is to be noted beside rows that were fetched.
    pub(crate) fn fetched_note(&self, batches: &[RowBatch]) -> Option<Note> {
        let newest = batches.iter().map(RowBatch::max_hlc).max()?;
        (newest > self.fetched()).then(|| Note {
            key: FETCHED_NOTE.to_vec(),
            value: Some(newest.0.to_le_bytes().to_vec()),
        })
    }

    pub(crate) fn conflict_figures(&self, all: &mut Figures) {
        let counts = self.conflict_counts();
        all.counter(
            "activestore_sync_conflicts_total",
            "Values that arrived and lost against newer ones whose writers had not seen them; system.shared_tables has them by table.",
            counts.values().sum::<u64>() as f64,
        );
        all.counter(
            "activestore_sync_conflicts_let_go_total",
            "Conflicts that are in system.conflicts no more, or never were, for want of room.",
            self.conflicts_let_go() as f64,
        );
    }
}
