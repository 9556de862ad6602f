//! What scans of a plan did, as EXPLAIN ANALYZE shows it.

use activestore_store::ScanStats;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};

#[derive(Clone)]
pub(super) struct Counters {
    pub(super) rows: Count,
    pub(super) vectors_read: Count,
    vectors_covered: Count,
    vectors_pruned: Count,
    keys_merged: Count,
    rows_filtered: Count,
    bytes_decoded: Count,
}

impl Counters {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let counter = |name| MetricBuilder::new(metrics).counter(name, partition);
        Counters {
            rows: counter("rows_scanned"),
            vectors_read: counter("vectors_read"),
            vectors_covered: counter("vectors_covered"),
            vectors_pruned: counter("vectors_pruned"),
            keys_merged: counter("keys_merged"),
            rows_filtered: counter("rows_filtered"),
            bytes_decoded: counter("bytes_decoded"),
        }
    }

    /// Adds what was done between two looks.
    pub(super) fn add(&self, before: &ScanStats, now: &ScanStats) {
        let of = |stats: &ScanStats| {
            [
                stats.rows,
                stats.vectors_read,
                stats.vectors_covered,
                stats.vectors_pruned,
                stats.keys_merged,
                stats.rows_filtered,
                stats.bytes_decoded,
            ]
        };
        let counts = [
            &self.rows,
            &self.vectors_read,
            &self.vectors_covered,
            &self.vectors_pruned,
            &self.keys_merged,
            &self.rows_filtered,
            &self.bytes_decoded,
        ];
        for (count, (before, now)) in counts.into_iter().zip(of(before).into_iter().zip(of(now))) {
            count.add(usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX));
        }
    }
}
