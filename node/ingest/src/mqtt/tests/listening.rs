//! The listener: acknowledgement after durability, order, poison, redelivery, pub/sub, limits.

use std::collections::BTreeMap;

use activestore_types::Error;
use arrow::array::AsArray;
use rumqttc::{Incoming, LastWill, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::*;
use crate::mqtt::{MqttListener, MqttOptions};
use crate::mqtt_config::{MqttConfig, MqttLogin};

const TOPIC: &str = "plant/p1/readings";

#[tokio::test]
async fn qos1_is_acknowledged_only_after_the_write() {
    let sink = GatedSink::new(0, None);
    let listener = listener(sink.clone()).await;
    let mut peer = Peer::connect(&listener, "a").await;
    peer.client
        .publish(TOPIC, QoS::AtLeastOnce, false, "{\"temp\":1.5}")
        .await
        .unwrap();
    // The write has come to the gate and stands there: no PUBACK may come.
    peer.silent_during(sink.arrived.acquire())
        .await
        .unwrap()
        .forget();
    assert_eq!(sink.rows(), 0);
    peer.client
        .publish(TOPIC, QoS::AtLeastOnce, false, "{\"temp\":2}")
        .await
        .unwrap();
    peer.silent_during(until(&listener, |stats| stats.messages == 2))
        .await;
    sink.gate.add_permits(1);
    let Incoming::PubAck(ack) = peer.incoming().await else {
        panic!()
    };
    assert_eq!(ack.pkid, 1);
    assert_eq!(sink.rows(), 1);
    sink.gate.add_permits(1);
    let Incoming::PubAck(ack) = peer.incoming().await else {
        panic!()
    };
    assert_eq!(ack.pkid, 2);
    let batch = sink.written.lock()[0].clone();
    assert_eq!(batch.table.to_string(), "plant.readings");
    let device = batch.column("device").unwrap().array.clone();
    assert_eq!(device.as_string::<i32>().value(0), "p1");
    listener.shutdown().await;
}

#[tokio::test]
async fn messages_that_gather_go_out_as_one_write() {
    let sink = GatedSink::new(0, None);
    let listener = listener(sink.clone()).await;
    let mut peer = Peer::connect(&listener, "a").await;
    for row in 0..50 {
        peer.client
            .publish(
                TOPIC,
                QoS::AtLeastOnce,
                false,
                format!("{{\"temp\":{row}.5}}"),
            )
            .await
            .unwrap();
    }
    peer.silent_during(until(&listener, |stats| stats.messages == 50))
        .await;
    sink.gate.add_permits(1_000);
    for pkid in 1..=50 {
        let Incoming::PubAck(ack) = peer.incoming().await else {
            panic!()
        };
        assert_eq!(ack.pkid, pkid, "acknowledgements keep the order");
    }
    assert_eq!(sink.rows(), 50);
    assert!(
        sink.arrived.available_permits() <= 3,
        "one write per gathering"
    );
    assert_eq!(listener.stats().rows, 50);
}

#[tokio::test]
async fn a_poison_message_is_acknowledged_counted_and_kept() {
    let sink = GatedSink::new(0, Some("bad"));
    let listener = listener(sink.clone()).await;
    let mut peer = Peer::connect(&listener, "a").await;
    let payloads = [
        "{\"s\":\"ok\"}",
        "{\"s\":\"bad\"}",
        "not json",
        "{\"s\":\"ok\"}",
    ];
    for payload in payloads {
        peer.client
            .publish(TOPIC, QoS::AtLeastOnce, false, payload)
            .await
            .unwrap();
    }
    peer.silent_during(until(&listener, |stats| stats.messages == 4))
        .await;
    sink.gate.add_permits(1_000);
    for pkid in 1..=4 {
        let Incoming::PubAck(ack) = peer.incoming().await else {
            panic!()
        };
        assert_eq!(ack.pkid, pkid);
    }
    let stats = listener.stats();
    assert_eq!((stats.written, stats.rejected), (2, 2));
    assert_eq!(sink.rows(), 2);
    let reasons: Vec<_> = stats
        .recent_rejected
        .iter()
        .map(|one| one.reason.clone())
        .collect();
    assert!(
        reasons.iter().any(|reason| reason.contains("poison")),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|reason| reason.contains("line 1")),
        "{reasons:?}"
    );
    assert!(
        stats
            .recent_rejected
            .iter()
            .all(|one| one.topic == TOPIC && one.at_ns == 7)
    );
}

#[tokio::test]
async fn a_write_that_fails_for_now_is_not_acknowledged_and_comes_again() {
    let sink = GatedSink::open();
    sink.errors.lock().push(Error::overloaded("later"));
    let listener = listener(sink.clone()).await;
    let mut peer = Peer::dial(&listener, "a", |options| {
        options.set_clean_session(false);
    });
    assert!(matches!(peer.incoming().await, Incoming::ConnAck(_)));
    peer.client
        .publish(TOPIC, QoS::AtLeastOnce, false, "{\"temp\":1}")
        .await
        .unwrap();
    // The listener closes without PUBACK …
    assert!(peer.try_incoming().await.is_err());
    assert_eq!(sink.rows(), 0);
    // … and the client, once it is back, sends the message again.
    assert!(matches!(peer.incoming().await, Incoming::ConnAck(_)));
    assert!(matches!(peer.incoming().await, Incoming::PubAck(_)));
    assert_eq!(sink.rows(), 1);
    assert_eq!(listener.stats().failed, 1);
}

#[tokio::test]
async fn a_lost_connection_redelivers_what_was_not_acknowledged() {
    let sink = GatedSink::new(0, None);
    let listener = listener(sink.clone()).await;
    let mut peer = Peer::dial(&listener, "a", |options| {
        options.set_clean_session(false);
    });
    assert!(matches!(peer.incoming().await, Incoming::ConnAck(_)));
    peer.client
        .publish(TOPIC, QoS::AtLeastOnce, false, "{\"temp\":1}")
        .await
        .unwrap();
    peer.silent_during(sink.arrived.acquire())
        .await
        .unwrap()
        .forget();
    // Another connection of the same name takes over: the first is closed.
    let mut other = Peer::dial(&listener, "a", |options| {
        options.set_clean_session(false);
    });
    assert!(matches!(other.incoming().await, Incoming::ConnAck(_)));
    assert!(peer.try_incoming().await.is_err());
    drop(other);
    sink.gate.add_permits(1_000);
    assert!(matches!(peer.incoming().await, Incoming::ConnAck(_)));
    assert!(matches!(peer.incoming().await, Incoming::PubAck(_)));
    // Written at least once; the same key makes it one row in the table.
    assert!((1..=2).contains(&sink.rows()));
}

#[tokio::test]
async fn qos2_is_written_once_and_released() {
    let sink = GatedSink::open();
    let listener = listener(sink.clone()).await;
    let mut peer = Peer::connect(&listener, "a").await;
    peer.client
        .publish(TOPIC, QoS::ExactlyOnce, false, "{\"temp\":1}")
        .await
        .unwrap();
    assert!(matches!(peer.incoming().await, Incoming::PubRec(_)));
    assert!(matches!(peer.incoming().await, Incoming::PubComp(_)));
    assert_eq!(sink.rows(), 1);
}

#[tokio::test]
async fn clients_of_the_listener_hear_each_other() {
    let sink = GatedSink::open();
    let listener = listener(sink.clone()).await;
    let mut ear = Peer::connect(&listener, "ear").await;
    ear.client
        .subscribe("plant/#", QoS::ExactlyOnce)
        .await
        .unwrap();
    let Incoming::SubAck(granted) = ear.incoming().await else {
        panic!()
    };
    assert_eq!(
        granted.return_codes,
        [rumqttc::SubscribeReasonCode::Success(QoS::AtLeastOnce)]
    );
    let mut mouth = Peer::connect(&listener, "mouth").await;
    mouth
        .client
        .publish("plant/x", QoS::AtLeastOnce, true, "hi")
        .await
        .unwrap();
    assert!(matches!(mouth.incoming().await, Incoming::PubAck(_)));
    let Incoming::Publish(heard) = ear.incoming().await else {
        panic!()
    };
    assert_eq!(
        (heard.topic.as_str(), &heard.payload[..], heard.retain),
        ("plant/x", &b"hi"[..], false)
    );
    assert_eq!(heard.qos, QoS::AtLeastOnce);
    // A late subscriber gets the retained message; one who left gets nothing.
    mouth
        .client
        .subscribe("plant/+", QoS::AtMostOnce)
        .await
        .unwrap();
    let (mut granted, mut retained) = (false, false);
    while !(granted && retained) {
        match mouth.incoming().await {
            Incoming::SubAck(_) => granted = true,
            Incoming::Publish(heard) => retained = heard.retain,
            other => panic!("{other:?}"),
        }
    }
    mouth.client.unsubscribe("plant/+").await.unwrap();
    assert!(matches!(mouth.incoming().await, Incoming::UnsubAck(_)));
    mouth
        .client
        .publish("plant/x", QoS::AtLeastOnce, false, "again")
        .await
        .unwrap();
    assert!(matches!(mouth.incoming().await, Incoming::PubAck(_)));
    assert!(matches!(ear.incoming().await, Incoming::Publish(_)));
    assert_eq!(sink.rows(), 0);
    assert_eq!(listener.stats().unmapped, 2);
}

#[tokio::test]
async fn a_kept_session_gets_what_was_published_meanwhile() {
    let listener = listener(GatedSink::open()).await;
    let keep = |options: &mut rumqttc::MqttOptions| {
        options.set_clean_session(false);
        options.set_manual_acks(true);
    };
    let mut ear = Peer::dial(&listener, "ear", keep);
    let Incoming::ConnAck(first) = ear.incoming().await else {
        panic!()
    };
    assert!(!first.session_present);
    ear.client
        .subscribe("news/#", QoS::AtLeastOnce)
        .await
        .unwrap();
    assert!(matches!(ear.incoming().await, Incoming::SubAck(_)));
    let mut mouth = Peer::connect(&listener, "mouth").await;
    let say = async |mouth: &mut Peer, text: &'static str| {
        let sent = mouth
            .client
            .publish("news/x", QoS::AtLeastOnce, false, text);
        sent.await.unwrap();
        assert!(matches!(mouth.incoming().await, Incoming::PubAck(_)));
    };
    say(&mut mouth, "one").await;
    // Received, but never acknowledged.
    assert!(matches!(ear.incoming().await, Incoming::Publish(_)));
    drop(ear);
    until(&listener, |stats| stats.connections == 1).await;
    say(&mut mouth, "two").await;
    let mut ear = Peer::dial(&listener, "ear", keep);
    let Incoming::ConnAck(second) = ear.incoming().await else {
        panic!()
    };
    assert!(second.session_present);
    for (text, dup) in [("one", true), ("two", false)] {
        let Incoming::Publish(heard) = ear.incoming().await else {
            panic!()
        };
        assert_eq!((&heard.payload[..], heard.dup), (text.as_bytes(), dup));
    }
    // A clean start ends it.
    drop(ear);
    until(&listener, |stats| stats.connections == 1).await;
    let mut ear = Peer::dial(&listener, "ear", |_| {});
    let Incoming::ConnAck(third) = ear.incoming().await else {
        panic!()
    };
    assert!(!third.session_present);
}

#[tokio::test]
async fn the_will_of_a_lost_client_is_published_and_stored() {
    let sink = GatedSink::open();
    let listener = listener(sink.clone()).await;
    let peer = {
        let mut peer = Peer::dial(&listener, "a", |options| {
            options.set_last_will(LastWill::new(
                TOPIC,
                "{\"gone\":true}",
                QoS::AtLeastOnce,
                false,
            ));
        });
        assert!(matches!(peer.incoming().await, Incoming::ConnAck(_)));
        peer
    };
    drop(peer);
    until(&listener, |stats| stats.rows == 1).await;
    assert!(sink.written.lock()[0].column("gone").is_some());
}

#[tokio::test]
async fn a_wrong_login_or_one_connection_too_many_is_refused() {
    let sink = GatedSink::open();
    let listener = listener_with(sink, |options| {
        options.connections_max = 1;
        options.login = Some(MqttLogin {
            username: "u".to_owned(),
            password: "p".to_owned(),
        });
    })
    .await;
    let mut stranger = Peer::dial(&listener, "a", |options| {
        options.set_credentials("u", "wrong");
    });
    let error = stranger.try_incoming().await.unwrap_err();
    assert!(
        format!("{error:?}").contains("BadUserNamePassword"),
        "{error:?}"
    );
    drop(stranger);
    until(&listener, |stats| stats.connections == 0).await;
    let login = |options: &mut rumqttc::MqttOptions| {
        options.set_credentials("u", "p");
    };
    let mut first = Peer::dial(&listener, "b", login);
    assert!(matches!(first.incoming().await, Incoming::ConnAck(_)));
    let error = Peer::dial(&listener, "c", login)
        .try_incoming()
        .await
        .unwrap_err();
    assert!(
        format!("{error:?}").contains("ServiceUnavailable"),
        "{error:?}"
    );
    assert_eq!(listener.stats().connections_refused, 2);
}

#[tokio::test]
async fn hostile_bytes_drop_their_connection_only() {
    let sink = GatedSink::open();
    let listener = listener(sink.clone()).await;
    let mut good = Peer::connect(&listener, "good").await;
    let connect = [
        0x10, 0x0d, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, b'x',
    ];
    let hostile: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x10, 0xff, 0xff, 0xff, 0xff, 0xff],
        // A packet far over the limit.
        &[0x10, 0xff, 0xff, 0xff, 0x7f],
        &[0x30, 0x02, 0x00, 0x00],
        // After a good CONNECT: a second one, a broken SUBSCRIBE, a topic with a wildcard.
        &connect,
        &[0x82, 0x05, 0, 1, 0, 99, b'a'],
        &[0x30, 0x04, 0, 1, b'#', b'x'],
    ];
    for (index, bytes) in hostile.iter().enumerate() {
        let mut socket = TcpStream::connect(listener.local_addr()).await.unwrap();
        if index >= 4 {
            socket.write_all(&connect).await.unwrap();
            let mut ack = [0; 4];
            socket.read_exact(&mut ack).await.unwrap();
            assert_eq!(ack, [0x20, 2, 0, 0]);
        }
        socket.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(LONG, socket.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "case {index} was not closed");
    }
    good.client
        .publish(TOPIC, QoS::AtLeastOnce, false, "{\"temp\":1}")
        .await
        .unwrap();
    assert!(matches!(good.incoming().await, Incoming::PubAck(_)));
    let stats = listener.stats();
    assert_eq!(
        (stats.connections_refused, stats.connections_dropped),
        (4, 3),
        "{stats:?}"
    );
}

#[tokio::test]
async fn a_silent_client_is_closed_after_its_keep_alive() {
    let sink = GatedSink::open();
    let listener = listener(sink).await;
    let mut socket = TcpStream::connect(listener.local_addr()).await.unwrap();
    let connect = [
        0x10, 0x0d, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 1, 0, 1, b'x',
    ];
    socket.write_all(&connect).await.unwrap();
    let mut all = Vec::new();
    tokio::time::timeout(LONG, socket.read_to_end(&mut all))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(all, [0x20, 2, 0, 0]);
}

#[tokio::test]
async fn mqtt_5_works_the_same() {
    use rumqttc::v5;
    let sink = GatedSink::open();
    let listener = listener(sink.clone()).await;
    let mut options = v5::MqttOptions::new("five", "127.0.0.1", listener.local_addr().port());
    options.set_keep_alive(std::time::Duration::from_secs(60));
    let (client, mut events) = v5::AsyncClient::new(options, 10);
    let mut acknowledged = BTreeMap::new();
    client
        .subscribe("plant/#", v5::mqttbytes::QoS::AtLeastOnce)
        .await
        .unwrap();
    client
        .publish(
            TOPIC,
            v5::mqttbytes::QoS::AtLeastOnce,
            false,
            "{\"temp\":1}",
        )
        .await
        .unwrap();
    let wait = async {
        while acknowledged.len() < 4 {
            if let v5::Event::Incoming(packet) = events.poll().await.unwrap() {
                let name = match packet {
                    v5::Incoming::ConnAck(_) => "connack",
                    v5::Incoming::SubAck(_) => "suback",
                    v5::Incoming::PubAck(_) => "puback",
                    v5::Incoming::Publish(_) => "publish",
                    other => panic!("{other:?}"),
                };
                acknowledged.insert(name, ());
            }
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap();
    assert_eq!(sink.rows(), 1);
}

#[tokio::test]
async fn shutdown_sends_the_last_acknowledgements() {
    let sink = GatedSink::new(0, None);
    let listener = listener(sink.clone()).await;
    let mut socket = TcpStream::connect(listener.local_addr()).await.unwrap();
    let mut bytes = vec![
        0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 1, b'x',
    ];
    // PUBLISH with QoS 1 and packet id 9.
    bytes.extend([0x32, u8::try_from(TOPIC.len() + 5 + 10).unwrap()]);
    bytes.extend([0, u8::try_from(TOPIC.len()).unwrap()]);
    bytes.extend(TOPIC.as_bytes());
    bytes.extend([0, 9, 0]);
    bytes.extend(b"{\"temp\":1}");
    socket.write_all(&bytes).await.unwrap();
    sink.arrived.acquire().await.unwrap().forget();
    let shutdown = tokio::spawn(listener.shutdown());
    sink.gate.add_permits(1);
    let mut all = Vec::new();
    let read = tokio::time::timeout(LONG, socket.read_to_end(&mut all));
    read.await.unwrap().unwrap();
    shutdown.await.unwrap();
    assert_eq!(all[0], 0x20);
    let rest = &all[2 + usize::from(all[1])..];
    // PUBACK of 9, then DISCONNECT with the reason "server shutting down".
    assert_eq!(rest[..4], [0x40, 2, 0, 9]);
    assert_eq!((rest[4], rest[6]), (0xe0, 0x8b));
}

#[tokio::test]
async fn a_port_in_use_is_a_clear_error() {
    let listener = listener(GatedSink::open()).await;
    let address = listener.local_addr().to_string();
    let options = MqttOptions::new(address.clone(), &MqttConfig::default()).unwrap();
    let error = MqttListener::start(options, GatedSink::open())
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), activestore_types::ErrorKind::Conflict);
    assert!(error.to_string().contains(&address), "{error}");
}
