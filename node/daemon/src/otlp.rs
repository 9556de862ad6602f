//! Spans for a collector, by OTLP over HTTP as JSON: what the node was doing for which statement, write or segment,
//! and how long each part took. Nothing here holds anybody up: spans wait in a queue with a bound, a thread sends
//! them, and what does not fit is counted and let go.
//!
//! The library for this brings six crates and changes features of two that wasmtime and DataFusion are built with;
//! what is sent is one JSON document, and a client of hosts outside is here already.

mod layer;
mod message;
mod queue;
mod sender;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use activestore_db::{Counter, CounterKind};
use activestore_types::{Error, Result};

pub use layer::SpanLayer;
use queue::Queue;

/// Where a collector takes spans, unless the address says another path.
const PATH: &str = "/v1/traces";

/// How long the end of the process waits for the last spans.
const FINISH_MAX: Duration = Duration::from_secs(2);

/// The queue of this process.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// The address that spans are sent to, of the one that was set.
///
/// # Errors
/// `Invalid` for what is no address of a collector.
pub fn address(set: &str) -> Result<String> {
    let wrong = || {
        Error::invalid(format!("'{set}' is not the address of a collector")).with_hint(
            "telemetry.otlp is such as http://127.0.0.1:4318, whose port is that of OTLP over HTTP",
        )
    };
    let rest = set
        .strip_prefix("http://")
        .or_else(|| set.strip_prefix("https://"))
        .ok_or_else(wrong)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() || set.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok(match path {
        "" => format!("{}{PATH}", set.trim_end_matches('/')),
        _ => set.to_owned(),
    })
}

/// Begins to send spans, and gives what collects them; the first call in a process counts.
///
/// # Errors
/// `Internal` where the system has no thread for it.
pub fn start(address: String, name: &str) -> Result<SpanLayer> {
    let queue = QUEUE.get_or_init(Arc::default).clone();
    sender::start(queue.clone(), address, name.to_owned())?;
    Ok(SpanLayer::new(queue))
}

/// The process ends: what waits is sent, if that does not take long.
pub fn finish() {
    if let Some(queue) = QUEUE.get() {
        queue.close(FINISH_MAX);
    }
}

/// What became of spans, where they are sent.
pub fn counters() -> Vec<Counter> {
    let Some(queue) = QUEUE.get() else {
        return Vec::new();
    };
    let (sent, dropped) = queue.counts();
    let counter = |name, help, value: u64| Counter {
        name,
        help,
        kind: CounterKind::Counter,
        labels: Vec::new(),
        value: value as f64,
    };
    vec![
        counter(
            "activestore_trace_spans_sent_total",
            "Spans that a collector took.",
            sent,
        ),
        counter(
            "activestore_trace_spans_dropped_total",
            "Spans let go, since the collector was away, refused them or did not keep up.",
            dropped,
        ),
    ]
}

#[cfg(test)]
mod tests;
