//! `GET /metrics`: the database's counters and this gateway's own, in Prometheus' text format.
//! Values are read when asked for; nothing is collected in the background.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use activestore_db::{Counter, CounterKind};
use parking_lot::Mutex;

use crate::first_bytes::FirstBytes;
use crate::histogram::Histogram;

/// Different (method, route, status) triples that are told apart; routes are a fixed list, so this
/// is only ever reached by a defect.
const SERIES_MAX: usize = 512;

/// No label.
const UNLABELLED: [(&str, String); 0] = [];

/// What is counted where the client closed the connection before its answer, as nginx does.
const STATUS_CLIENT_GONE: u16 = 499;

/// Requests seen by this gateway.
#[derive(Default)]
pub struct HttpMetrics {
    requests: Mutex<BTreeMap<(String, String, u16), u64>>,
    times: Histogram,
    refused: AtomicU64,
    in_flight: AtomicU64,
}

impl HttpMetrics {
    fn end(&self, method: &str, route: &str, status: u16, took: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.times.add(took);
        let mut requests = self.requests.lock();
        let key = (method.to_owned(), route.to_owned(), status);
        if requests.len() < SERIES_MAX || requests.contains_key(&key) {
            *requests.entry(key).or_default() += 1;
        }
    }

    /// A request was turned away because the node was at its limit.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn write(&self, out: &mut String) {
        head(
            out,
            "activestore_http_requests_total",
            "HTTP requests answered.",
            "counter",
        );
        for ((method, route, status), value) in &*self.requests.lock() {
            let labels = [
                ("method".to_owned(), method.clone()),
                ("route".to_owned(), route.clone()),
                ("status".to_owned(), status.to_string()),
            ];
            sample(
                out,
                "activestore_http_requests_total",
                &labels,
                *value as f64,
            );
        }
        head(
            out,
            "activestore_http_refused_total",
            "HTTP requests turned away at the concurrency limit.",
            "counter",
        );
        let refused = self.refused.load(Ordering::Relaxed);
        sample(
            out,
            "activestore_http_refused_total",
            &UNLABELLED,
            refused as f64,
        );
        head(
            out,
            "activestore_http_requests_in_flight",
            "HTTP requests being answered now.",
            "gauge",
        );
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        sample(
            out,
            "activestore_http_requests_in_flight",
            &UNLABELLED,
            in_flight as f64,
        );
        let name = "activestore_http_request_seconds";
        head(
            out,
            name,
            "Time from a request's head to its answer's head, in seconds.",
            "histogram",
        );
        self.times.write(name, "", out);
    }
}

/// One request on its way; counted when it is dropped, also when the client went away first.
pub struct Watch<'a> {
    metrics: &'a HttpMetrics,
    method: String,
    route: String,
    started: Instant,
    status: u16,
}

impl<'a> Watch<'a> {
    /// A request came in; `route` is the route's pattern, never the raw path.
    pub fn new(metrics: &'a HttpMetrics, method: String, route: String) -> Self {
        metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        Watch {
            metrics,
            method,
            route,
            started: Instant::now(),
            status: STATUS_CLIENT_GONE,
        }
    }

    /// Its answer is ready to go out.
    pub fn answered(&mut self, status: u16) {
        self.status = status;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.metrics
            .end(&self.method, &self.route, self.status, took);
    }
}

/// The whole page. Counters of one name are written together under one HELP and TYPE, as the
/// format demands, in whatever order they come.
pub fn page(http: &HttpMetrics, first_bytes: &FirstBytes, counters: &[Counter]) -> String {
    let mut out = String::new();
    let mut families: BTreeMap<&str, Vec<&Counter>> = BTreeMap::new();
    for counter in counters {
        families.entry(counter.name).or_default().push(counter);
    }
    for (name, members) in families {
        let Some(first) = members.first() else {
            continue;
        };
        let kind = match first.kind {
            CounterKind::Counter => "counter",
            CounterKind::Gauge => "gauge",
        };
        head(&mut out, name, first.help, kind);
        for member in &members {
            sample(&mut out, name, &member.labels, member.value);
        }
    }
    http.write(&mut out);
    first_bytes.write(&mut out);
    out
}

pub(crate) fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(out: &mut String, name: &str, labels: &[(impl AsRef<str>, String)], value: f64) {
    out.push_str(name);
    for (index, (label, text)) in labels.iter().enumerate() {
        out.push(if index == 0 { '{' } else { ',' });
        let text = text
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let _ = write!(out, "{}=\"{text}\"", label.as_ref());
    }
    if !labels.is_empty() {
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}
