//! What is counted of comparisons.

use std::sync::atomic::{AtomicU64, Ordering};

use activestore_sync_proto::reconcile::Outcome;

use crate::counters::Figures;
use crate::db::Inner;

impl Inner {
    pub(crate) fn reconcile_figures(&self, all: &mut Figures) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let state = &self.reconcile;
        all.counter(
            "activestore_verifications_total",
            "Comparisons with other nodes that were done.",
            count(&state.comparisons),
        );
        all.counter(
            "activestore_repair_rows_shipped_total",
            "Row fragments that were shipped again, for the other end had lost them.",
            count(&state.rows_shipped),
        );
        all.counter(
            "activestore_repair_rows_taken_total",
            "Row fragments of its own that this node got back.",
            count(&state.rows_taken),
        );
        all.counter(
            "activestore_verify_days_read_total",
            "Days of tables that were read to compare them; those that did not change are not.",
            count(&state.days_read),
        );
        let left: u64 = state.outcomes.lock().values().map(Outcome::left).sum();
        all.gauge(
            "activestore_verify_differences",
            "Rows that differed in the last comparisons and were not mended.",
            left as f64,
        );
    }
}
