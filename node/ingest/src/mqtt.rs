//! MQTT in: a listener inside the node ([`MqttListener`]) and a client of an existing broker
//! ([`MqttClient`]), both with the same mapping from topics to tables.
//!
//! What an acknowledgement means: a QoS 1 PUBACK (QoS 2: PUBREC) is sent only after
//! [`crate::RowSink::write`] has returned `Ok`. A payload that can never be written (not JSON, a
//! column of the wrong type) is acknowledged too, so that one poison message does not block its
//! session for ever; it is counted, logged, and kept with its reason in [`MqttStats`]. Where the
//! node cannot write for now, the listener closes the connection without acknowledging, and the
//! client of a broker keeps the message and tries again.
//!
//! The listener runs its own session loop over rumqttc's packet codec: the broker crates that were
//! looked at acknowledge before their consumers have seen the message, or bring a second
//! asynchronous runtime. It speaks MQTT 3.1.1 and 5. Sessions, the messages that wait for
//! subscribers, and retained messages live in memory, bounded, and end with the node; deliveries go
//! out with QoS 1 at most.

mod admission;
mod client;
mod codec;
mod committer;
mod connection;
mod filter;
mod hub;
mod listener;
mod mapping;
mod merge;
mod stats;

pub use client::MqttClient;
pub use listener::{MqttListener, MqttOptions};
pub use mapping::Mapping;
pub use stats::{MqttCounts, MqttStats, RejectedMessage};

#[cfg(test)]
mod tests;
