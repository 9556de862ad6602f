//! The `[mqtt]` section of the configuration file. Parsing and defaults only; the mapping checks
//! its rules when it is built. A program without MQTT reads it too, to say that it has none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::precision::Precision;

/// The `[mqtt]` section.
///
/// ```toml
/// [mqtt]
/// connections_max = 200
///
/// [[mqtt.topics]]
/// topic = "plant/+/readings"
/// table = "plant.readings"
/// format = "json"
/// columns = { device = "$1" }
///
/// [[mqtt.brokers]]
/// address = "broker.local:1883"
/// client_id = "edge-7"
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MqttConfig {
    /// Which topics go to which table; the first rule that matches a topic counts.
    pub topics: Vec<TopicRule>,
    /// Existing brokers to subscribe to.
    pub brokers: Vec<BrokerConfig>,
    /// Name and password that clients of the listener must give; none means anybody.
    pub login: Option<MqttLogin>,
    /// Connections to the listener at a time.
    pub connections_max: usize,
    /// The largest packet in bytes.
    pub packet_bytes_max: usize,
    /// Messages of one connection that may wait for their write.
    pub inflight_max: usize,
    /// Seconds that a new connection has for its CONNECT.
    pub connect_timeout_s: u64,
    /// Seconds that a peer may take to accept what is sent to it.
    pub send_timeout_s: u64,
}

impl Default for MqttConfig {
    fn default() -> Self {
        MqttConfig {
            topics: Vec::new(),
            brokers: Vec::new(),
            login: None,
            connections_max: 256,
            packet_bytes_max: 1 << 20,
            inflight_max: 256,
            connect_timeout_s: 10,
            send_timeout_s: 10,
        }
    }
}

/// A name and a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttLogin {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for MqttLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttLogin")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// What payloads hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PayloadFormat {
    /// A JSON object, an array of objects, or NDJSON.
    #[default]
    #[serde(rename = "json")]
    Json,
    /// Line protocol.
    #[serde(rename = "lp", alias = "line_protocol")]
    LineProtocol,
}

/// One rule from topics to a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicRule {
    /// A topic filter; `+` and `#` are captured as `$1`, `$2`, ….
    pub topic: String,
    /// `KEYSPACE.TABLE`; for line protocol also a keyspace alone, whose tables the measurements are.
    pub table: String,
    /// What the payload holds.
    #[serde(default)]
    pub format: PayloadFormat,
    /// Columns that the payload does not hold: a text in which `$n` stands for the n-th wildcard's
    /// part of the topic, `$topic` for the topic, or exactly `$now` for the time of receipt (used
    /// only in rows that do not name that column themselves). For line protocol they are tags.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Types (as in SQL) of JSON columns that the table does not have yet.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
    /// Unit of timestamps given as numbers: ns for line protocol, guessed by size for JSON if unset.
    #[serde(default)]
    pub precision: Option<Precision>,
}

/// An existing broker to subscribe to with the topics of the rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerConfig {
    /// `HOST:PORT`; the port is 1883 if left out.
    pub address: String,
    /// The client's id; the broker keeps the session under it, so it must be the same each time.
    pub client_id: String,
    /// Name and password, if the broker asks for them.
    #[serde(default)]
    pub login: Option<MqttLogin>,
    /// Seconds between signs of life.
    #[serde(default = "keep_alive_s")]
    pub keep_alive_s: u64,
    /// The largest packet in bytes.
    #[serde(default = "packet_bytes_max")]
    pub packet_bytes_max: usize,
}

fn keep_alive_s() -> u64 {
    30
}

fn packet_bytes_max() -> usize {
    1 << 20
}
