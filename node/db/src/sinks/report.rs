//! How sinks stand: `system.sinks`, and metrics. No address is shown beyond its host, and no option that may be secret.

use std::sync::Arc;

use activestore_catalog::SinkDef;
use activestore_types::{Lsn, Result};
use arrow::array::{ArrayRef, Float64Array, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;

use super::Sinks;
use super::saved::{Counts, Saved};
use crate::counters::{CounterKind, Figures};
use crate::db::Inner;
use crate::plugins::ms_to_ns;
use crate::system::{batch, count, optional, text};
use crate::tables::Relations;

/// How one sink stands.
#[derive(Clone, Debug)]
pub(super) struct SinkReport {
    pub(super) state: &'static str,
    /// The first record that is not behind it.
    pub(super) needs: Lsn,
    /// Bytes of the log that are held for it, in whole segments.
    pub(super) held_bytes: u64,
    /// Events that were read and are not delivered.
    pub(super) waiting: u64,
    /// When the first of them was written, in milliseconds since 1970.
    pub(super) first_ms: Option<u64>,
    /// Failures in a row.
    pub(super) tries: u32,
    pub(super) counts: Counts,
    pub(super) error: Option<String>,
    pub(super) next_try_ms: Option<u64>,
}

impl SinkReport {
    fn lag_records(&self, last: Lsn) -> u64 {
        (last.0 + 1).saturating_sub(self.needs.0)
    }

    fn lag_s(&self, now_ms: u64) -> f64 {
        let first = self.first_ms.map(|first| now_ms.saturating_sub(first));
        first.map_or(0.0, |ms| ms as f64 / 1e3)
    }
}

/// The sinks of this node.
pub(crate) fn sinks(relations: &Relations) -> Result<RecordBatch> {
    let state = relations.catalog.state();
    let last = relations.store.last_lsn();
    let database = relations.database();
    let now_ms = database.as_ref().map_or(0, |inner| inner.wall_ms());
    let all: Vec<(&SinkDef, Counts, Option<SinkReport>)> = state
        .sinks
        .values()
        .map(|def| {
            let report = database
                .as_ref()
                .and_then(|inner| inner.sinks.report(def.id));
            let saved = || Saved::read(&relations.store, &def.name, def.id);
            let counts = report.as_ref().map(|report| report.counts);
            let counts = counts.or_else(|| Some(saved()?.counts));
            (def, counts.unwrap_or_default(), report)
        })
        .collect();
    let counted = |read: &dyn Fn(&Counts) -> u64| {
        count(all.iter().map(|(_, c, _)| read(c)).collect::<Vec<_>>())
    };
    let told = |read: &dyn Fn(&SinkReport) -> u64| {
        let figures = all
            .iter()
            .map(|(.., report)| report.as_ref().map_or(0, read));
        count(figures.collect::<Vec<_>>())
    };
    let to = |def: &SinkDef| {
        def.parsed()
            .map_or_else(|_| String::new(), |(to, _)| to.to_string())
    };
    batch(vec![
        ("name", text(all.iter().map(|(def, ..)| def.name.as_str()))),
        (
            "base",
            text(all.iter().map(|(def, ..)| def.base.to_string())),
        ),
        ("target", text(all.iter().map(|(def, ..)| to(def)))),
        (
            "state",
            text(all.iter().map(|(def, _, report)| match report {
                Some(report) => report.state,
                None if def.paused => "paused",
                None => "waiting",
            })),
        ),
        ("lag_records", told(&|report| report.lag_records(last))),
        (
            "lag_s",
            Arc::new(Float64Array::from_iter_values(all.iter().map(
                |(.., report)| report.as_ref().map_or(0.0, |report| report.lag_s(now_ms)),
            ))) as ArrayRef,
        ),
        ("waiting", told(&|report| report.waiting)),
        ("held_bytes", told(&|report| report.held_bytes)),
        ("sent", counted(&|counts| counts.sent)),
        ("retried", counted(&|counts| counts.retried)),
        ("refused", counted(&|counts| counts.refused)),
        ("skipped", counted(&|counts| counts.skipped)),
        ("tries", told(&|report| u64::from(report.tries))),
        (
            "last_error",
            optional(
                all.iter()
                    .map(|(.., report)| report.as_ref()?.error.clone()),
            ),
        ),
        (
            "next_try",
            Arc::new(
                all.iter()
                    .map(|(.., report)| report.as_ref()?.next_try_ms.map(ms_to_ns))
                    .collect::<TimestampNanosecondArray>(),
            ),
        ),
        (
            "definition",
            text(all.iter().map(|(def, ..)| def.query.as_str())),
        ),
    ])
}

/// A figure of a sink: name, meaning, kind, and how it is read.
type Figure = (
    &'static str,
    &'static str,
    CounterKind,
    fn(&SinkReport, Lsn, u64) -> f64,
);

const FIGURES: [Figure; 9] = [
    (
        "activestore_sink_events_sent_total",
        "Events of a sink that its receiver has taken, since the sink was made.",
        CounterKind::Counter,
        |sink, _, _| sink.counts.sent as f64,
    ),
    (
        "activestore_sink_retries_total",
        "Attempts of a sink that failed and were, or are, made again.",
        CounterKind::Counter,
        |sink, _, _| sink.counts.retried as f64,
    ),
    (
        "activestore_sink_events_refused_total",
        "Events of a sink that its receiver did not want and that were left out.",
        CounterKind::Counter,
        |sink, _, _| sink.counts.refused as f64,
    ),
    (
        "activestore_sink_events_skipped_total",
        "Events of a sink that were left out because it was too far behind.",
        CounterKind::Counter,
        |sink, _, _| sink.counts.skipped as f64,
    ),
    (
        "activestore_sink_failing",
        "1 where the last attempt of a sink failed, 0 otherwise.",
        CounterKind::Gauge,
        |sink, _, _| f64::from(u8::from(sink.tries > 0)),
    ),
    (
        "activestore_sink_lag_records",
        "Records of the log that are not behind a sink yet.",
        CounterKind::Gauge,
        |sink, last, _| sink.lag_records(last) as f64,
    ),
    (
        "activestore_sink_lag_seconds",
        "Age of the oldest event that a sink has read and not delivered.",
        CounterKind::Gauge,
        |sink, _, now_ms| sink.lag_s(now_ms),
    ),
    (
        "activestore_sink_waiting_events",
        "Events that a sink has read and not delivered.",
        CounterKind::Gauge,
        |sink, _, _| sink.waiting as f64,
    ),
    (
        "activestore_sink_held_log_bytes",
        "Bytes of the log that are held for a sink, in whole segments.",
        CounterKind::Gauge,
        |sink, _, _| sink.held_bytes as f64,
    ),
];

impl Sinks {
    /// The figures of the sinks that run.
    pub(crate) fn count(&self, inner: &Inner, all: &mut Figures) {
        let reports: Vec<(String, SinkReport)> = {
            let state = self.state.lock();
            let sinks = state.all.values();
            sinks
                .filter_map(|sink| Some((sink.name.clone(), sink.report.clone()?)))
                .collect()
        };
        let (last, now_ms) = (inner.store.last_lsn(), inner.wall_ms());
        for (name, help, kind, value) in FIGURES {
            for (sink, report) in &reports {
                let label = vec![("sink", sink.clone())];
                all.push(name, help, kind, label, value(report, last, now_ms));
            }
        }
    }
}
