//! MQTT of a node: the listener, and the subscriptions at existing brokers.

use std::net::SocketAddr;
use std::sync::Arc;

use activestore_db::Db;
use activestore_ingest::RowSink;
use activestore_ingest::mqtt::{Mapping, MqttClient, MqttListener, MqttOptions};
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
