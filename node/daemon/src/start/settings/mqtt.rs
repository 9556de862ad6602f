//! MQTT, as settings and flags of a program without it have it.

use std::net::SocketAddr;

use activestore_ingest::mqtt_config::MqttConfig;
use activestore_types::{Error, Result};

/// Refuses what asks for it. Rules of topics alone ask for nothing.
///
/// # Errors
/// `Invalid` where anything does.
pub(super) fn refuse(listen: Option<SocketAddr>, config: &MqttConfig) -> Result<()> {
    if listen.is_none() && config.brokers.is_empty() {
        return Ok(());
    }
    Err(Error::invalid("this build has no MQTT").with_hint(
        "leave out --mqtt, the key mqtt of [listen] and [[mqtt.brokers]], and use HTTP: POST /v1/tables/KEYSPACE/TABLE/rows",
    ))
}
