//! What the settings say of connections between nodes: how they are kept, and how fast a cloud lets edges in.

use std::time::Duration;

use activestore_db::{Counter, CounterKind};
use activestore_sync_quic::{AdmissionOptions, ConnectionStatus, ServerStats, TransportOptions};
use activestore_types::{Error, Result};
use serde_json::{Value, json};

use crate::config::{LinkSetting, Span, Sync};

/// Edges that a cloud serves at once unless told otherwise.
const EDGES: usize = 10_000;

/// How connections are kept.
///
/// # Errors
/// `Invalid` for settings that do not fit each other.
pub(super) fn kept(sync: &Sync) -> Result<TransportOptions> {
    let mut options = match sync.link.unwrap_or_default() {
        LinkSetting::Frugal => TransportOptions::default(),
        LinkSetting::Quick => TransportOptions::quick(),
    };
    if let Some(Span(every)) = sync.keep_alive {
        options.keep_alive = (!every.is_zero()).then_some(every);
    }
    if let Some(Span(silence)) = sync.idle_timeout {
        options.idle_timeout = silence;
        if sync.keep_alive.is_none() {
            let usual = options.keep_alive;
            options.keep_alive = usual.map(|every| every.min(silence / 3).max(KEEP_ALIVE_MIN));
        }
    }
    if let Some(bytes) = sync.packet_max {
        options.packet_max = bytes;
    }
    if let Some(moves) = sync.migration {
        options.migration = moves;
    }
    if let Some(early) = sync.early_data {
        options.early_data = early;
    }
    options.checked().map_err(|error| {
        error.with_hint(
            "see [sync] keep_alive, idle_timeout and packet_max, as in keep_alive = \"25s\", idle_timeout = \"60s\"",
        )
    })
}

/// The shortest pause between signs of life that follows from a short silence.
const KEEP_ALIVE_MIN: Duration = Duration::from_millis(100);

/// How fast edges are let in.
///
/// # Errors
/// `Invalid` where none would be.
pub(super) fn let_in(sync: &Sync) -> Result<AdmissionOptions> {
    let mut options = AdmissionOptions::default();
    if let Some(per_second) = sync.edges_per_second {
        options.per_second = per_second;
        // What waits is what is let in within the patience.
        let waiting = f64::from(per_second) * options.patience.as_secs_f64();
        options.waiting = (waiting as usize).max(1);
    }
    if let Some(handshakes) = sync.handshakes {
        options.handshakes = handshakes;
    }
    if options.per_second == 0 || options.handshakes == 0 {
        return Err(no_edge("edges_per_second and sync.handshakes"));
    }
    Ok(options)
}

/// Edges that are served at once.
///
/// # Errors
/// `Invalid` where none would be.
pub(super) fn served(sync: &Sync) -> Result<usize> {
    match sync.edges.unwrap_or(EDGES) {
        0 => Err(no_edge("edges")),
        edges => Ok(edges),
    }
}

fn no_edge(names: &str) -> Error {
    Error::invalid(format!(
        "with sync.{names} of 0 no edge would ever be let in"
    ))
    .with_hint("write 1 or more, or leave it away")
}

/// What `sync status` shows of edges that come.
pub(super) fn admission(stats: &ServerStats) -> Value {
    json!({
        "connected": stats.connections,
        "resumed_early": stats.early_connections,
        "on_their_way": stats.under_way,
        "waiting": stats.waiting,
        "turned_away": stats.turned_away,
        "asked_for_proof": stats.asked_for_proof,
        "refused": stats.refused,
    })
}

/// The same as metrics.
pub(super) fn figures(stats: &ServerStats) -> Vec<Counter> {
    let figure = |name, help, kind, value: u64| Counter {
        name,
        help,
        kind,
        labels: Vec::new(),
        value: value as f64,
    };
    vec![
        figure(
            "activestore_edges_let_in_total",
            "Connections of edges that were let in.",
            CounterKind::Counter,
            stats.connections,
        ),
        figure(
            "activestore_edges_resumed_early_total",
            "Of these, that resumed a session and were served from their first packet on.",
            CounterKind::Counter,
            stats.early_connections,
        ),
        figure(
            "activestore_edges_turned_away_total",
            "Edges that were told without a handshake to come again, since too many came at once or are there.",
            CounterKind::Counter,
            stats.turned_away,
        ),
        figure(
            "activestore_edges_asked_for_proof_total",
            "Edges that had to prove their address first, since many waited.",
            CounterKind::Counter,
            stats.asked_for_proof,
        ),
        figure(
            "activestore_edges_refused_total",
            "Connections that were refused, whatever the reason.",
            CounterKind::Counter,
            stats.refused,
        ),
        figure(
            "activestore_edges_waiting",
            "Edges that wait to be let in.",
            CounterKind::Gauge,
            stats.waiting,
        ),
        figure(
            "activestore_edges_on_their_way",
            "Edges between their first packet and the answer to their greeting.",
            CounterKind::Gauge,
            stats.under_way,
        ),
    ]
}

/// What `/metrics` says of the connection to the cloud, or to a further one.
pub(super) fn link_figures(further: Option<&str>, status: &ConnectionStatus) -> Vec<Counter> {
    let label = further.map(|name| ("cloud", name.to_owned()));
    let figure = |name, help, kind, value: f64| Counter {
        name,
        help,
        kind,
        labels: label.iter().cloned().collect(),
        value,
    };
    let mut all = vec![
        figure(
            "activestore_sync_link_connected",
            "1 while the cloud is connected.",
            CounterKind::Gauge,
            f64::from(u8::from(status.connected_to.is_some())),
        ),
        figure(
            "activestore_sync_link_sent_bytes_total",
            "Payload bytes of UDP or TCP sent to the cloud since the start.",
            CounterKind::Counter,
            status.bytes_sent as f64,
        ),
        figure(
            "activestore_sync_link_received_bytes_total",
            "Payload bytes of UDP or TCP received from the cloud since the start.",
            CounterKind::Counter,
            status.bytes_received as f64,
        ),
        figure(
            "activestore_sync_waits",
            "1 while rows are not sent because of sync.schedule or sync.monthly_bytes.",
            CounterKind::Gauge,
            f64::from(u8::from(status.waits.is_some())),
        ),
    ];
    if let Some(budget) = status.budget {
        all.push(figure(
            "activestore_sync_month_bytes",
            "Bytes that may cross the link to the cloud this month.",
            CounterKind::Gauge,
            budget.bytes as f64,
        ));
        all.push(figure(
            "activestore_sync_month_used_bytes",
            "Bytes that crossed the link to the cloud this month, with their headers.",
            CounterKind::Gauge,
            budget.used as f64,
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    //! What the settings mean, and what they cannot.
    use super::*;

    #[test]
    fn a_short_silence_brings_signs_of_life_with_it() {
        let sync = |text: &str| {
            crate::config::Config::parse(&format!("[sync]\n{text}"), "edge.toml")
                .expect("a configuration")
                .sync
        };
        let usual = kept(&sync("")).expect("the usual settings");
        assert_eq!(usual.keep_alive, Some(Duration::from_secs(25)));
        let short = kept(&sync("idle_timeout = \"6s\"")).expect("a short silence");
        assert_eq!(short.keep_alive, Some(Duration::from_secs(2)));
        let never = kept(&sync(
            "keep_alive = \"0s\"\nmigration = false\nearly_data = false",
        ))
        .expect("no signs of life");
        assert!(never.keep_alive.is_none() && !never.migration && !never.early_data);
        for bad in [
            "keep_alive = \"60s\"",
            "idle_timeout = \"0s\"",
            "packet_max = 100",
        ] {
            assert!(kept(&sync(bad)).is_err(), "{bad}");
        }
        let slow = let_in(&sync("edges_per_second = 20")).expect("a slow cloud");
        assert_eq!((slow.per_second, slow.waiting), (20, 15));
        for bad in ["edges_per_second = 0", "handshakes = 0"] {
            assert!(let_in(&sync(bad)).is_err(), "{bad}");
        }
        assert!(served(&sync("edges = 0")).is_err());
    }
}
