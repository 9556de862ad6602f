//! What may wait for the cloud: where the outbox is full, writes to tables that travel up are refused, and
//! nothing that was taken is lost.

use std::sync::atomic::Ordering;

use activestore_store::WriteSet;
use activestore_types::{Error, Result, SyncMode};

use crate::counters::Figures;
use crate::db::Inner;
use crate::events::Kind;

impl Inner {
    /// Refuses rows that would have to wait in an outbox that is full. What only erases may pass.
    pub(crate) fn admit_to_outbox(&self, set: &WriteSet) -> Result<()> {
        let (Some(outbox), Some(limit)) = (&self.outbox, self.options.outbox_bytes_max) else {
            return Ok(());
        };
        let chains = outbox.standing().chains;
        let waiting = chains.iter().map(|chain| chain.pending_bytes).sum::<u64>();
        if waiting < limit {
            return Ok(());
        }
        let state = self.catalog.state();
        let leaves = set.batches.iter().any(|batch| {
            let schema = state.table_by_id(batch.table);
            let up = |sync| matches!(sync, SyncMode::Up | SyncMode::Both);
            batch.tombstone.is_none() && schema.is_some_and(|schema| up(schema.sync))
        });
        if !leaves {
            return Ok(());
        }
        self.counts.outbox_refused.fetch_add(1, Ordering::Relaxed);
        let text = format!("a write was refused: {waiting} bytes of rows wait for the cloud");
        self.events.tell(Kind::OutboxFull, None, text);
        Err(Error::overloaded(format!(
            "{waiting} bytes of rows wait for the cloud, and sync.outbox_bytes allows {limit}"
        ))
        .with_hint(
            "see `activestore sync status` for why they wait, or raise sync.outbox_bytes; tables that do not \
             travel take writes, and reading goes on",
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
    }
}
