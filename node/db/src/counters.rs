//! Counters and gauges for `/metrics`: names in Prometheus' manner, units last.

mod queries;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::db::Db;
use crate::outbox::Lag;
use crate::resident::resident_bytes;

/// Whether a figure only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterKind {
    /// It only rises until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A figure of a processor: name, meaning, and how it is read.
type Figure = (
    &'static str,
    &'static str,
    fn(&crate::write::processor::Runtime) -> f64,
);

/// A figure of what waits of a class: name, meaning, and how it is told at a moment.
type LagFigure = (&'static str, &'static str, fn(&Lag, u64) -> f64);

/// One figure.
#[derive(Clone, Debug)]
pub struct Counter {
    /// The metric's name.
    pub name: &'static str,
    /// What it means, in a sentence.
    pub help: &'static str,
    /// Whether it only rises.
    pub kind: CounterKind,
    /// Label names and values; empty for most.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: f64,
}

impl Db {
    /// Every figure of the database as it is now, those of one name beside each other.
    pub fn counters(&self) -> Vec<Counter> {
        let mut all = Figures::default();
        self.store_figures(&mut all);
        self.query_figures(&mut all);
        self.compaction_figures(&mut all);
        self.sync_figures(&mut all);
        self.plugin_figures(&mut all);
        self.inner.rollout_figures(&mut all);
        self.inner.auth_figures(&mut all);
        self.inner.subscribe_figures(&mut all);
        self.inner.view_figures(&mut all);
        all.0
    }

    fn store_figures(&self, all: &mut Figures) {
        let inner = &self.inner;
        let stats = inner.store.stats();
        let counts = &inner.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        all.gauge(
            "activestore_memory_resident_bytes",
            "Resident memory of the process.",
            resident_bytes() as f64,
        );
        all.gauge(
            "activestore_disk_used_bytes",
            "Space that the data directory takes.",
            inner.disk_bytes() as f64,
        );
        if let Some(limit) = inner.options.disk_bytes_max {
            all.gauge(
                "activestore_disk_limit_bytes",
                "Space that the data directory may take.",
                limit as f64,
            );
        }
        all.counter(
            "activestore_writes_total",
            "Writes that were made durable.",
            read(&counts.writes),
        );
        all.counter(
            "activestore_writes_refused_total",
            "Writes that were refused or failed.",
            read(&counts.writes_refused),
        );
        all.counter(
            "activestore_rows_written_total",
            "Rows written here, those of processors included.",
            read(&counts.rows_written),
        );
        all.counter(
            "activestore_statements_total",
            "SQL statements run.",
            read(&counts.statements),
        );
        all.counter(
            "activestore_statements_failed_total",
            "SQL statements that failed.",
            read(&counts.statements_failed),
        );
        all.counter(
            "activestore_wal_bytes_total",
            "Bytes appended to the log.",
            stats.wal_bytes as f64,
        );
        all.counter(
            "activestore_wal_syncs_total",
            "Syncs of the log.",
            stats.wal_syncs as f64,
        );
        all.counter(
            "activestore_wal_sync_seconds_total",
            "Time spent in syncs of the log.",
            stats.wal_sync_ns as f64 / 1e9,
        );
        all.gauge(
            "activestore_wal_segments",
            "Log segments in use.",
            stats.wal_segments as f64,
        );
        all.counter(
            "activestore_write_stalls_total",
            "Commits that waited for a flush.",
            stats.stalls as f64,
        );
        all.gauge(
            "activestore_memtable_bytes",
            "Memory of the active memtables.",
            stats.memtable_bytes as f64,
        );
        all.counter(
            "activestore_flushes_total",
            "Memtable flushes done.",
            stats.flushes as f64,
        );
        all.counter(
            "activestore_flush_errors_total",
            "Flushes that failed and are tried again.",
            stats.flush_errors as f64,
        );
        all.counter(
            "activestore_flush_bytes_total",
            "Bytes written by flushes.",
            stats.flush_bytes as f64,
        );
        all.counter(
            "activestore_compactions_total",
            "Compactions done.",
            stats.compactions as f64,
        );
        all.counter(
            "activestore_compaction_errors_total",
            "Compactions that failed and are tried again.",
            stats.compaction_errors as f64,
        );
        all.counter(
            "activestore_compaction_bytes_total",
            "Bytes written by compactions.",
            stats.compaction_bytes as f64,
        );
        all.gauge("activestore_sst_files", "SSTables.", stats.sst_files as f64);
        all.gauge(
            "activestore_sst_bytes",
            "Bytes of the SSTables.",
            stats.sst_bytes as f64,
        );
        all.gauge(
            "activestore_index_bytes",
            "Memory of the SSTables' indexes and dictionaries.",
            stats.index_bytes as f64,
        );
        all.gauge(
            "activestore_note_bytes",
            "Memory of processor state and sync progress.",
            stats.note_bytes as f64,
        );
    }

    fn sync_figures(&self, all: &mut Figures) {
        self.inner.down_figures(all);
        self.inner.outbox_limit_figures(all);
        self.inner.receipt_figures(all);
        self.inner.eviction_figures(all);
        self.inner.reconcile_figures(all);
        self.inner.conflict_figures(all);
        self.inner.table_lag_figures(all);
        self.inner.set_aside_figures(all);
        self.inner.relay_figures(all);
        self.inner.cloud_figures(all);
        let counts = &self.inner.counts;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        all.counter(
            "activestore_sync_rows_received_total",
            "Rows applied from edges.",
            read(&counts.rows_received),
        );
        all.counter(
            "activestore_sync_stamps_ahead_total",
            "Segments with stamps too far ahead of this node's clock.",
            read(&counts.stamps_ahead),
        );
        all.counter(
            "activestore_merge_rows_total",
            "Rows written here because rows of others came that a merge function joins with what was here.",
            read(&counts.rows_joined),
        );
        if let Some(outbox) = &self.inner.outbox {
            let mut held = crate::outbox::filter::HeldBack::default();
            for (table, _) in self.filtered_tables() {
                let of_table = outbox.held_back(&table);
                held.rows += of_table.rows;
                held.cells += of_table.cells;
            }
            all.counter(
                "activestore_sync_rows_held_back_total",
                "Rows that conditions and sync filters kept on this node.",
                held.rows as f64,
            );
            all.counter(
                "activestore_sync_cells_held_back_total",
                "Cells that sync filters and lists of columns kept here of rows that left.",
                held.cells as f64,
            );
            let live = outbox.live();
            self.lag_figures(all, &outbox.lags());
            all.counter(
                "activestore_sync_sealed_total",
                "Segments of live rows sealed in this epoch.",
                live.last_sealed as f64,
            );
            all.counter(
                "activestore_sync_acknowledged_total",
                "Segments of live rows acknowledged in this epoch.",
                live.acknowledged as f64,
            );
            all.counter(
                "activestore_sync_seal_failures_total",
                "Failed attempts to seal.",
                outbox.failures() as f64,
            );
        }
    }

    /// What waits, of all rows and by class.
    fn lag_figures(&self, all: &mut Figures, lags: &[Lag]) {
        all.gauge(
            "activestore_sync_pending_rows",
            "Rows sealed and not acknowledged.",
            lags.iter().map(|lag| lag.rows).sum::<u64>() as f64,
        );
        all.gauge(
            "activestore_sync_pending_bytes",
            "Bytes sealed and not acknowledged.",
            lags.iter().map(|lag| lag.bytes).sum::<u64>() as f64,
        );
        let now_ms = self.inner.wall_ms();
        let each: [LagFigure; 3] = [
            (
                "activestore_sync_class_rows",
                "Rows of a class sealed and not acknowledged.",
                |lag, _| lag.rows as f64,
            ),
            (
                "activestore_sync_class_bytes",
                "Bytes of a class sealed and not acknowledged.",
                |lag, _| lag.bytes as f64,
            ),
            (
                "activestore_sync_class_oldest_seconds",
                "Age of the oldest row of a class that is sealed and not acknowledged.",
                |lag, now_ms| lag.age_s(now_ms).unwrap_or(0.0),
            ),
        ];
        for (name, help, value) in each {
            for lag in lags {
                let label = ("class", lag.class.name().to_owned());
                all.labelled(name, help, label, value(lag, now_ms));
            }
        }
    }

    fn plugin_figures(&self, all: &mut Figures) {
        let loaded = self.inner.plugins.current();
        let processors: Vec<_> = loaded.all_processors().collect();
        let each: [Figure; 5] = [
            (
                "activestore_processor_rows_total",
                "Rows that a processor saw.",
                |r| r.rows.load(Ordering::Relaxed) as f64,
            ),
            (
                "activestore_processor_rows_sent_total",
                "Rows that a processor sent.",
                |r| r.rows_sent.load(Ordering::Relaxed) as f64,
            ),
            (
                "activestore_processor_rows_rejected_total",
                "Rows that a processor refused.",
                |r| r.rows_rejected.load(Ordering::Relaxed) as f64,
            ),
            (
                "activestore_processor_failures_total",
                "Calls of a processor that failed.",
                |r| r.failures.load(Ordering::Relaxed) as f64,
            ),
            (
                "activestore_processor_busy_seconds_total",
                "Time spent in a processor.",
                |r| r.busy_ns.load(Ordering::Relaxed) as f64 / 1e9,
            ),
        ];
        for (name, help, value) in each {
            for runtime in &processors {
                let label = ("processor", runtime.def.name.clone());
                all.push(
                    name,
                    help,
                    CounterKind::Counter,
                    vec![label],
                    value(runtime),
                );
            }
        }
        self.inner.outgoing.count(all);
        let plugins = self.plugins();
        for info in &plugins {
            all.push(
                "activestore_plugin_calls_total",
                "Calls into a plugin.",
                CounterKind::Counter,
                vec![("plugin", info.name.clone())],
                info.calls as f64,
            );
        }
        for info in &plugins {
            all.push(
                "activestore_plugin_traps_total",
                "Calls that were stopped or failed inside the sandbox.",
                CounterKind::Counter,
                vec![("plugin", info.name.clone())],
                info.traps as f64,
            );
        }
        all.gauge(
            "activestore_definitions_failed",
            "Functions, models and processors that could not be loaded.",
            loaded.failed.len() as f64,
        );
    }
}

/// The figures gathered so far.
#[derive(Default)]
pub(crate) struct Figures(Vec<Counter>);

impl Figures {
    pub(crate) fn counter(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.push(name, help, CounterKind::Counter, Vec::new(), value);
    }

    pub(crate) fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.push(name, help, CounterKind::Gauge, Vec::new(), value);
    }

    pub(crate) fn labelled(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: (&'static str, String),
        value: f64,
    ) {
        self.push(name, help, CounterKind::Gauge, vec![label], value);
    }

    pub(crate) fn push(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: CounterKind,
        labels: Vec<(&'static str, String)>,
        value: f64,
    ) {
        self.0.push(Counter {
            name,
            help,
            kind,
            labels,
            value,
        });
    }
}
