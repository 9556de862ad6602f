//! What the wire counts, for `GET /metrics`.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of a statement's time, in seconds.
const BUCKETS_S: [f64; 9] = [0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];

/// The counts of one listener.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(super) connections: AtomicU64,
    pub(super) connections_open: AtomicU64,
    pub(super) connections_refused: AtomicU64,
    pub(super) startups_failed: AtomicU64,
    pub(super) calls: AtomicU64,
    pub(super) calls_refused: AtomicU64,
    pub(super) calls_failed: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) timed_out: AtomicU64,
    pub(super) protocol_violations: AtomicU64,
    pub(super) given_up: AtomicU64,
    pub(super) prepared: AtomicU64,
    pub(super) prepared_forgotten: AtomicU64,
    pub(super) rows_sent: AtomicU64,
    pub(super) rows_ingested: AtomicU64,
    buckets: [AtomicU64; BUCKETS_S.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

/// One more.
pub(super) fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    /// A statement ended.
    pub(super) fn statement(&self, took: Duration) {
        one(&self.count);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        for (bound, bucket) in BUCKETS_S.iter().zip(&self.buckets) {
            if took.as_secs_f64() <= *bound {
                one(bucket);
            }
        }
    }

    /// In Prometheus' text format.
    pub(crate) fn page(&self) -> String {
        let counters = [
            (
                "connections_total",
                "Connections of Arrow Flight SQL clients that were taken.",
                &self.connections,
            ),
            (
                "connections_refused_total",
                "Connections of Arrow Flight SQL clients that were refused at the limit.",
                &self.connections_refused,
            ),
            (
                "startups_failed_total",
                "Connections that did not begin: no TLS, no HTTP/2, or too slow.",
                &self.startups_failed,
            ),
            (
                "calls_total",
                "Calls of Arrow Flight SQL clients.",
                &self.calls,
            ),
            (
                "calls_refused_total",
                "Calls that were turned away: no or a wrong login, or at the limit.",
                &self.calls_refused,
            ),
            (
                "calls_failed_total",
                "Calls that were answered with an error.",
                &self.calls_failed,
            ),
            (
                "statements_cancelled_total",
                "Statements that their client went away from.",
                &self.cancelled,
            ),
            (
                "statements_timed_out_total",
                "Statements that were stopped at their time limit.",
                &self.timed_out,
            ),
            (
                "protocol_violations_total",
                "Calls that were ended for what is not the protocol, is too large or stands still.",
                &self.protocol_violations,
            ),
            (
                "readers_given_up_total",
                "Statements that were ended since their client did not read.",
                &self.given_up,
            ),
            (
                "prepared_forgotten_total",
                "Prepared statements that were let go for others, or unused for long.",
                &self.prepared_forgotten,
            ),
            (
                "rows_sent_total",
                "Rows sent to Arrow Flight SQL clients.",
                &self.rows_sent,
            ),
            (
                "rows_ingested_total",
                "Rows stored by bulk ingest.",
                &self.rows_ingested,
            ),
        ];
        let gauges = [
            (
                "connections_open",
                "Connections of Arrow Flight SQL clients that are open.",
                &self.connections_open,
            ),
            (
                "prepared_open",
                "Prepared statements that are kept.",
                &self.prepared,
            ),
        ];
        let mut out = String::new();
        for (kind, figures) in [
            ("counter", counters.as_slice()),
            ("gauge", gauges.as_slice()),
        ] {
            for (name, help, counter) in figures {
                let name = format!("activestore_flight_{name}");
                let value = counter.load(Ordering::Relaxed);
                // Writing to a string cannot fail.
                let _ = writeln!(
                    out,
                    "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
                );
            }
        }
        let name = "activestore_flight_statement_seconds";
        let help = "Time that a call works on a statement, in seconds: planning it, or running it to the end of its answer.";
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        for (bound, bucket) in BUCKETS_S.iter().zip(&self.buckets) {
            let value = bucket.load(Ordering::Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {value}");
        }
        let count = self.count.load(Ordering::Relaxed);
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(
            out,
            "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {seconds}\n{name}_count {count}"
        );
        out
    }
}
