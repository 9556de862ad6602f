//! MQTT of a node: the listener, and the subscriptions at existing brokers.

use std::net::SocketAddr;
use std::sync::Arc;

use activestore_db::{Counter, CounterKind, Db};
use activestore_ingest::RowSink;
use activestore_ingest::mqtt::{
    Mapping, MqttClient, MqttCounts, MqttListener, MqttOptions, MqttStats,
};
use activestore_types::{Error, Result};

use super::settings::Settings;
use super::sink::DbSink;

/// What runs of it.
#[derive(Default)]
pub struct Mqtt {
    listener: Option<MqttListener>,
    clients: Vec<MqttClient>,
}

impl Mqtt {
    /// Starts what the settings ask for.
    ///
    /// # Errors
    /// `Conflict` when the address is in use, `Invalid` for a broken rule.
    pub async fn start(settings: &Settings, db: &Db) -> Result<Mqtt> {
        let config = &settings.mqtt;
        if settings.mqtt_listen.is_none() && config.brokers.is_empty() {
            return Ok(Mqtt::default());
        }
        if config.topics.is_empty() {
            return Err(Error::invalid("MQTT is on, but no topic goes to a table")
                .with_hint("add [[mqtt.topics]] with topic and table to the configuration file"));
        }
        let sink: Arc<dyn RowSink> = Arc::new(DbSink(db.clone()));
        let mut running = Mqtt::default();
        if let Some(address) = settings.mqtt_listen {
            let options = MqttOptions::new(address.to_string(), config)?;
            running.listener = Some(MqttListener::start(options, sink.clone()).await?);
        }
        for broker in &config.brokers {
            let mapping = Mapping::new(&config.topics)?;
            let client = MqttClient::start(broker, mapping, sink.clone())
                .map_err(|error| error.context(format!("MQTT broker {}", broker.address)))?;
            running.clients.push(client);
        }
        Ok(running)
    }

    /// What its parts count.
    pub fn counts(&self) -> Vec<MqttCounts> {
        let listener = self.listener.iter().map(MqttListener::counts);
        let clients = self.clients.iter().map(MqttClient::counts);
        listener.chain(clients).collect()
    }

    /// Where the listener listens.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(MqttListener::local_addr)
    }

    /// Acknowledges what is durable and ends the connections.
    pub async fn shutdown(self) {
        for client in self.clients {
            client.shutdown().await;
        }
        if let Some(listener) = self.listener {
            listener.shutdown().await;
        }
    }
}

/// A figure: its name, meaning and kind, and where it is read.
type Figure = (
    &'static str,
    &'static str,
    CounterKind,
    fn(&MqttStats) -> u64,
);

const FIGURES: [Figure; 11] = [
    (
        "activestore_mqtt_connections_open",
        "Connections of MQTT clients, and to brokers, that are open.",
        CounterKind::Gauge,
        |stats| stats.connections,
    ),
    (
        "activestore_mqtt_connections_total",
        "Connections of MQTT clients that were accepted, and connections that were made to brokers.",
        CounterKind::Counter,
        |stats| stats.connections_total,
    ),
    (
        "activestore_mqtt_connections_refused_total",
        "Connections of MQTT clients that were refused: too many, a wrong login, or no MQTT.",
        CounterKind::Counter,
        |stats| stats.connections_refused,
    ),
    (
        "activestore_mqtt_connections_dropped_total",
        "Connections that were closed because of what the peer sent or did not take.",
        CounterKind::Counter,
        |stats| stats.connections_dropped,
    ),
    (
        "activestore_mqtt_messages_total",
        "MQTT messages received.",
        CounterKind::Counter,
        |stats| stats.messages,
    ),
    (
        "activestore_mqtt_messages_written_total",
        "MQTT messages whose rows are durable.",
        CounterKind::Counter,
        |stats| stats.written,
    ),
    (
        "activestore_mqtt_messages_rejected_total",
        "MQTT messages that can never be written.",
        CounterKind::Counter,
        |stats| stats.rejected,
    ),
    (
        "activestore_mqtt_messages_unmapped_total",
        "MQTT messages whose topic no rule names.",
        CounterKind::Counter,
        |stats| stats.unmapped,
    ),
    (
        "activestore_mqtt_messages_failed_total",
        "MQTT messages that could not be written for now, and were not acknowledged.",
        CounterKind::Counter,
        |stats| stats.failed,
    ),
    (
        "activestore_mqtt_messages_undelivered_total",
        "MQTT messages that a subscriber was too slow for.",
        CounterKind::Counter,
        |stats| stats.undelivered,
    ),
    (
        "activestore_mqtt_rows_total",
        "Rows that are durable and came by MQTT.",
        CounterKind::Counter,
        |stats| stats.rows,
    ),
];

/// The sums over a node's listener and its clients of brokers, also while it has none.
pub fn figures(counts: &[MqttCounts]) -> Vec<Counter> {
    let all: Vec<MqttStats> = counts.iter().map(MqttCounts::read).collect();
    let figures = FIGURES.iter();
    figures
        .map(|(name, help, kind, read)| Counter {
            name,
            help,
            kind: *kind,
            labels: Vec::new(),
            value: all.iter().map(read).sum::<u64>() as f64,
        })
        .collect()
}
