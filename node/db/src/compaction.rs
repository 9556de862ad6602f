//! Compaction as seen from outside the store: `system.compactions`, the figures of each table, and
//! the pause. When and what to merge is the store's own affair.

use std::sync::Arc;

use activestore_store::{CompactionInfo, PauseReason};
use activestore_types::Result;
use arrow::array::{ArrayRef, Int64Array, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;

use crate::counters::Figures;
use crate::db::Db;
use crate::system::{batch, count, optional, text};
use crate::tables::Relations;

impl Db {
    /// Asks compaction to rest, for one more reason; it goes on all the same where files pile up.
    pub fn pause_compaction(&self, reason: PauseReason) {
        self.inner.store.pause_compaction(reason);
    }

    /// Takes a reason back; compaction goes on when none is left.
    pub fn resume_compaction(&self, reason: PauseReason) {
        self.inner.store.resume_compaction(reason);
    }

    pub(crate) fn compaction_figures(&self, all: &mut Figures) {
        let store = &self.inner.store;
        let stats = store.stats();
        all.counter(
            "activestore_compaction_read_bytes_total",
            "Bytes of the files that compactions replaced.",
            stats.compaction_read_bytes as f64,
        );
        all.counter(
            "activestore_compaction_seconds_total",
            "Time that compactions took, without waits.",
            stats.compaction_ns as f64 / 1e9,
        );
        all.counter(
            "activestore_compaction_wait_seconds_total",
            "Time that compactions waited for their rate limit or the end of a pause.",
            stats.compaction_wait_ns as f64 / 1e9,
        );
        for reason in PauseReason::ALL {
            let paused = stats.compaction_paused.contains(&reason);
            all.labelled(
                "activestore_compaction_paused",
                "Whether compaction is asked to rest, by reason.",
                ("reason", reason.name().to_owned()),
                f64::from(u8::from(paused)),
            );
        }
        all.gauge(
            "activestore_pending_compaction_bytes",
            "Bytes that the merges that are due would read.",
            stats.pending_compaction_bytes as f64,
        );
        all.gauge(
            "activestore_write_amplification",
            "Bytes of SSTables written for each byte flushed, the log apart.",
            stats.write_amplification(),
        );
        all.gauge(
            "activestore_space_amplification",
            "Bytes of SSTables for each byte that reads could show, estimated.",
            stats.space_amplification(),
        );
        let tables = store.table_stats();
        type Of = fn(&activestore_store::TableStats) -> f64;
        let each: [(&'static str, &'static str, Of); 4] = [
            (
                "activestore_table_write_amplification",
                "Bytes of SSTables written for each byte flushed, by table.",
                activestore_store::TableStats::write_amplification,
            ),
            (
                "activestore_table_space_amplification",
                "Bytes of SSTables for each byte that reads could show, estimated, by table.",
                activestore_store::TableStats::space_amplification,
            ),
            (
                "activestore_table_pending_compaction_bytes",
                "Bytes that the next merge would read, by table.",
                |table| table.pending_compaction_bytes as f64,
            ),
            (
                "activestore_table_sst_files",
                "SSTables, by table.",
                |table| table.groups.iter().map(|group| group.files).sum::<u64>() as f64,
            ),
        ];
        for (name, help, of) in each {
            for table in &tables {
                all.labelled(name, help, ("table", table.name.to_string()), of(table));
            }
        }
    }
}

/// `system.compactions`: the running merge and the latest ones, newest first.
pub(crate) fn compactions(relations: &Relations) -> Result<RecordBatch> {
    let all = relations.store.compactions();
    let numbers = |of: fn(&CompactionInfo) -> &[u64]| {
        text(all.iter().map(move |info| {
            let names: Vec<String> = of(info).iter().map(u64::to_string).collect();
            names.join(" ")
        }))
    };
    let state = |info: &CompactionInfo| match (&info.error, info.duration_ms) {
        (Some(_), _) => "failed",
        (None, Some(_)) => "finished",
        (None, None) => "running",
    };
    let started = all.iter().map(|info| {
        let ms = i64::try_from(info.started_ms).unwrap_or(i64::MAX);
        ms.saturating_mul(1_000_000)
    });
    let durations: Int64Array = all
        .iter()
        .map(|info| info.duration_ms.and_then(|ms| i64::try_from(ms).ok()))
        .collect();
    batch(vec![
        ("table", text(all.iter().map(|info| info.name.to_string()))),
        ("policy", text(all.iter().map(|info| info.policy))),
        ("reason", text(all.iter().map(|info| info.reason))),
        ("state", text(all.iter().map(state))),
        ("level", count(all.iter().map(|info| u64::from(info.level)))),
        ("inputs", numbers(|info| info.inputs.as_slice())),
        ("outputs", numbers(|info| info.outputs.as_slice())),
        ("bytes_in", count(all.iter().map(|info| info.bytes_in))),
        ("bytes_out", count(all.iter().map(|info| info.bytes_out))),
        ("rows_in", count(all.iter().map(|info| info.rows_in))),
        ("rows_out", count(all.iter().map(|info| info.rows_out))),
        (
            "started",
            Arc::new(TimestampNanosecondArray::from_iter_values(started)) as ArrayRef,
        ),
        ("duration_ms", Arc::new(durations) as ArrayRef),
        ("error", optional(all.iter().map(|info| info.error.clone()))),
    ])
}
