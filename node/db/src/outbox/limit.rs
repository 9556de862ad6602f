//! What may wait for the cloud: where the outbox is full, writes to tables that travel up are refused, and
//! nothing that was taken is lost. Tables that say so with `sync_at_limit` make room instead, see `room.rs`.

use std::sync::atomic::Ordering;

use activestore_catalog::AtLimit;
use activestore_store::WriteSet;
use activestore_types::{Error, Result, RowBatch, SyncMode, TableName};
use serde::Serialize;

use super::{Gone, Sealer};
use crate::counters::{CounterKind, Figures};
use crate::db::Inner;
use crate::events::Kind;
use crate::options::Role;

/// Rows of a table that will not be shipped.
#[derive(Clone, Debug, Serialize)]
pub struct LetGoReport {
    /// The table.
    pub table: String,
    /// How many rows, since the outbox was made.
    pub rows: u64,
    /// When the oldest of them was written, in milliseconds since 1970.
    pub first_ms: u64,
    /// When the newest was.
    pub last_ms: u64,
}

impl LetGoReport {
    /// What an outbox that was full let go.
    pub(crate) fn all_of(outbox: &Sealer) -> Vec<LetGoReport> {
        let let_go = outbox.let_go().into_iter();
        let report = |(table, gone): (TableName, Gone)| LetGoReport {
            table: table.to_string(),
            rows: gone.rows,
            first_ms: gone.first_ms,
            last_ms: gone.last_ms,
        };
        let_go.map(report).collect()
    }
}

/// Whether a batch holds nothing but deletes, for which there is always room.
pub(super) fn only_erases(batch: &RowBatch) -> bool {
    let deletes = batch.tombstone.as_ref();
    deletes.is_some_and(|rows| rows.count_set_bits() == rows.len())
}

impl Inner {
    /// Refuses rows that would have to wait in an outbox that is full. What only erases may pass.
    pub(crate) fn admit_to_outbox(&self, set: &WriteSet) -> Result<()> {
        let (Some(outbox), Some(limit)) = (&self.outbox, self.options.outbox_bytes_max) else {
            return Ok(());
        };
        if outbox.pending_bytes() < limit {
            return Ok(());
        }
        let state = self.catalog.state();
        // A gateway's outbox holds rows that its edges have let go of their own queues.
        let may_go = self.options.role == Role::Edge;
        let waits = set.batches.iter().any(|batch| {
            let up = |sync| matches!(sync, SyncMode::Up | SyncMode::Both);
            let schema = state.table_by_id(batch.table);
            // The oldest rows of these make room for new ones, as soon as they are sealed.
            let goes = |name| may_go && state.at_limit.get(name) == Some(&AtLimit::DropOldest);
            !only_erases(batch)
                && schema.is_some_and(|schema| up(schema.sync) && !goes(&schema.name))
        });
        if !waits {
            return Ok(());
        }
        if may_go && !state.at_limit.is_empty() {
            outbox.make_room();
        }
        let waiting = outbox.pending_bytes();
        if waiting < limit {
            return Ok(());
        }
        self.counts.outbox_refused.fetch_add(1, Ordering::Relaxed);
        let text = format!("a write was refused: {waiting} bytes of rows wait for the cloud");
        self.events.tell(Kind::OutboxFull, None, text);
        Err(Error::overloaded(format!(
            "{waiting} bytes of rows wait for the cloud, and sync.outbox_bytes allows {limit}"
        ))
        .with_hint(
            "see `activestore sync status` for why they wait, raise sync.outbox_bytes, or have rows that matter less \
             let go with sync_at_limit = 'drop_oldest'; tables that do not travel take writes, and reading goes on",
        ))
    }

    pub(crate) fn outbox_limit_figures(&self, all: &mut Figures) {
        let Some(limit) = self.options.outbox_bytes_max else {
            return;
        };
        all.gauge(
            "activestore_sync_outbox_limit_bytes",
            "Bytes of rows that may wait for the cloud.",
            limit as f64,
        );
        all.counter(
            "activestore_sync_outbox_refused_total",
            "Writes that were refused because the outbox was full.",
            self.counts.outbox_refused.load(Ordering::Relaxed) as f64,
        );
        let let_go = self.outbox.as_ref().map(|outbox| outbox.let_go());
        for (table, gone) in let_go.unwrap_or_default() {
            all.push(
                "activestore_sync_rows_let_go_total",
                "Rows that will not be shipped, because the outbox was full and sync_at_limit says so.",
                CounterKind::Counter,
                vec![("table", table.to_string())],
                gone.rows as f64,
            );
        }
    }
}
