//! The client of a broker, against the listener as the broker.

use activestore_types::Error;
use rumqttc::{Incoming, QoS};

use super::support::*;
use crate::mqtt::{Mapping, MqttClient};
use crate::mqtt_config::BrokerConfig;

fn broker(listener: &crate::mqtt::MqttListener) -> BrokerConfig {
    BrokerConfig {
        address: listener.local_addr().to_string(),
        client_id: "edge".to_owned(),
        login: None,
        keep_alive_s: 30,
        packet_bytes_max: 1 << 20,
    }
}

async fn until_client(client: &MqttClient, wanted: impl Fn(&crate::mqtt::MqttStats) -> bool) {
    let wait = async {
        while !wanted(&client.stats()) {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(LONG, wait).await.is_ok(),
        "{:?}",
        client.stats()
    );
}

/// Publishes until the subscription stands, so that no test waits for a fixed time.
async fn publish_until_heard(peer: &mut Peer, client: &MqttClient, payload: &str) {
    while client.stats().messages == 0 {
        peer.client
            .publish("plant/p1/readings", QoS::AtLeastOnce, false, payload)
            .await
            .unwrap();
        assert!(matches!(peer.incoming().await, Incoming::PubAck(_)));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn messages_of_a_broker_are_written_and_bad_ones_counted() {
    let listener = listener_with(GatedSink::open(), |options| {
        options.mapping = Mapping::default()
    })
    .await;
    let sink = GatedSink::open();
    let client = MqttClient::start(&broker(&listener), readings(), sink.clone()).unwrap();
    let mut peer = Peer::connect(&listener, "device").await;
    publish_until_heard(&mut peer, &client, "{\"temp\":1}").await;
    peer.client
        .publish("plant/p1/readings", QoS::AtLeastOnce, false, "broken")
        .await
        .unwrap();
    assert!(matches!(peer.incoming().await, Incoming::PubAck(_)));
    until_client(&client, |stats| stats.rejected == 1 && stats.written >= 1).await;
    assert_eq!(client.stats().connections, 1);
    client.shutdown().await;
}

#[tokio::test]
async fn a_write_that_fails_for_now_is_tried_again() {
    let listener = listener_with(GatedSink::open(), |options| {
        options.mapping = Mapping::default()
    })
    .await;
    let sink = GatedSink::open();
    sink.errors.lock().push(Error::overloaded("later"));
    sink.errors.lock().push(Error::disk_full("later"));
    let client = MqttClient::start(&broker(&listener), readings(), sink.clone()).unwrap();
    let mut peer = Peer::connect(&listener, "device").await;
    publish_until_heard(&mut peer, &client, "{\"temp\":1}").await;
    until_client(&client, |stats| stats.written == stats.messages).await;
    assert_eq!(sink.rows() as u64, client.stats().messages);
    assert!(client.stats().failed >= 1);
    client.shutdown().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused() {
    let config = BrokerConfig {
        address: "host:port".to_owned(),
        client_id: "x".to_owned(),
        login: None,
        keep_alive_s: 30,
        packet_bytes_max: 1 << 20,
    };
    let start =
        |config: &BrokerConfig, mapping| MqttClient::start(config, mapping, GatedSink::open());
    assert!(start(&config, readings()).is_err());
    let good = BrokerConfig {
        address: "host".to_owned(),
        ..config.clone()
    };
    assert!(start(&good, Mapping::default()).is_err());
    assert!(
        start(
            &BrokerConfig {
                client_id: String::new(),
                ..good
            },
            readings()
        )
        .is_err()
    );
}
