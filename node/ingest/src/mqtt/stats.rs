//! Counters of the MQTT side.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// How many rejected messages are kept with their reason.
const REJECTED_KEPT: usize = 100;

/// A message that was refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedMessage {
    /// Its topic.
    pub topic: String,
    /// Why.
    pub reason: String,
    /// When, in nanoseconds since 1970.
    pub at_ns: i64,
}

/// What has happened since the start.
#[derive(Clone, Debug, Default)]
pub struct MqttStats {
    /// Connections that are open.
    pub connections: u64,
    /// Connections accepted in all; for a client of a broker, how often it connected.
    pub connections_total: u64,
    /// Connections refused: too many, a wrong login, no MQTT.
    pub connections_refused: u64,
    /// Connections closed because of what the peer sent or did not take.
    pub connections_dropped: u64,
    /// Messages received.
    pub messages: u64,
    /// Messages whose rows are durable.
    pub written: u64,
    /// Rows that are durable.
    pub rows: u64,
    /// Messages that can never be written.
    pub rejected: u64,
    /// Messages whose topic no rule names.
    pub unmapped: u64,
    /// Messages that could not be written for now; they were not acknowledged.
    pub failed: u64,
    /// Messages handed to subscribers.
    pub delivered: u64,
    /// Messages that a subscriber was too slow for.
    pub undelivered: u64,
    /// The last rejected messages, oldest first.
    pub recent_rejected: Vec<RejectedMessage>,
}

/// The counters behind [`MqttStats`].
#[derive(Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) connections_total: AtomicU64,
    pub(super) connections_refused: AtomicU64,
    pub(super) connections_dropped: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) unmapped: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) undelivered: AtomicU64,
    recent: Mutex<VecDeque<RejectedMessage>>,
}

/// Reads what a listener or a client counts, also when it has ended.
#[derive(Clone)]
pub struct MqttCounts(pub(super) Arc<Counters>);

impl MqttCounts {
    /// As it is now.
    pub fn read(&self) -> MqttStats {
        self.0.snapshot()
    }
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Counters::default())
    }

    /// Counts, logs and keeps a message that was refused for good.
    pub(super) fn reject(&self, topic: &str, reason: String, at_ns: i64) {
        tracing::warn!(topic, reason, "an MQTT message was rejected");
        count(&self.rejected);
        let mut recent = self.recent.lock();
        if recent.len() >= REJECTED_KEPT {
            recent.pop_front();
        }
        recent.push_back(RejectedMessage {
            topic: topic.to_owned(),
            reason,
            at_ns,
        });
    }

    pub(super) fn snapshot(&self) -> MqttStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MqttStats {
            connections: get(&self.connections),
            connections_total: get(&self.connections_total),
            connections_refused: get(&self.connections_refused),
            connections_dropped: get(&self.connections_dropped),
            messages: get(&self.messages),
            written: get(&self.written),
            rows: get(&self.rows),
            rejected: get(&self.rejected),
            unmapped: get(&self.unmapped),
            failed: get(&self.failed),
            delivered: get(&self.delivered),
            undelivered: get(&self.undelivered),
            recent_rejected: self.recent.lock().iter().cloned().collect(),
        }
    }
}
