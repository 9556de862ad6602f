//! What a listener counts, for `GET /metrics`.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::histogram::Histogram;

/// The counts of one listener.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(super) connections: AtomicU64,
    pub(super) connections_open: AtomicU64,
    pub(super) connections_refused: AtomicU64,
    pub(super) startups_failed: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) timed_out: AtomicU64,
    pub(super) protocol_violations: AtomicU64,
    pub(super) given_up: AtomicU64,
    pub(super) rows_sent: AtomicU64,
    pub(super) rows_copied_in: AtomicU64,
    times: Histogram,
}

/// One more.
pub(super) fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    /// A statement ended.
    pub(super) fn statement(&self, took: Duration) {
        self.times.add(took);
    }

    /// In Prometheus' text format.
    pub(crate) fn page(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        let figures = [
            (
                "activestore_pg_connections_total",
                "Connections of PostgreSQL clients that were taken.",
                "counter",
                &self.connections,
            ),
            (
                "activestore_pg_connections_open",
                "Connections of PostgreSQL clients that are open.",
                "gauge",
                &self.connections_open,
            ),
            (
                "activestore_pg_connections_refused_total",
                "Connections of PostgreSQL clients that were refused at the limit.",
                "counter",
                &self.connections_refused,
            ),
            (
                "activestore_pg_startups_failed_total",
                "Connections that ended before a session began: no or a wrong login, no protocol, or too slow.",
                "counter",
                &self.startups_failed,
            ),
            (
                "activestore_pg_statements_failed_total",
                "Statements of PostgreSQL clients that were answered with an error.",
                "counter",
                &self.failed,
            ),
            (
                "activestore_pg_statements_cancelled_total",
                "Statements that their client cancelled or went away from.",
                "counter",
                &self.cancelled,
            ),
            (
                "activestore_pg_statements_timed_out_total",
                "Statements that were stopped at their time limit.",
                "counter",
                &self.timed_out,
            ),
            (
                "activestore_pg_protocol_violations_total",
                "Connections that were closed for what is not the protocol, or is too large.",
                "counter",
                &self.protocol_violations,
            ),
            (
                "activestore_pg_readers_given_up_total",
                "Connections that were closed since their client did not read.",
                "counter",
                &self.given_up,
            ),
            (
                "activestore_pg_rows_sent_total",
                "Rows sent to PostgreSQL clients.",
                "counter",
                &self.rows_sent,
            ),
            (
                "activestore_pg_rows_copied_in_total",
                "Rows stored by COPY … FROM STDIN.",
                "counter",
                &self.rows_copied_in,
            ),
        ];
        // Writing to a string cannot fail.
        for (name, help, kind, counter) in figures {
            let value = counter.load(Ordering::Relaxed);
            let _ = writeln!(
                out,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
        }
        let name = "activestore_pg_statement_seconds";
        let help = "Time from a statement to the end of its answer, in seconds.";
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        self.times.write(name, "", out);
    }
}
