//! How connections are kept: found dead, moved with their edge, and looked at again when they are resumed.

use std::time::Duration;

use activestore_sync_quic::{SyncClient, TransportOptions};

use crate::relay::Relay;
use crate::{Cloud, Edge, QUIC, error_of, until};

/// An edge behind a relay, connected, with a row acknowledged.
async fn connected(cloud: &Cloud, wire: TransportOptions) -> (Relay, Edge, SyncClient) {
    let relay = Relay::start(cloud.server.local_addr(), 0, 1).await;
    let edge = Edge::new(1, QUIC);
    edge.host.seal(b"row".to_vec());
    let mut options = edge.options(relay.address, Some(cloud.token()));
    options.transport = wire.checked().unwrap();
    let client = Edge::client(options);
    until("the row is acknowledged", || edge.host.acked() == 1).await;
    (relay, edge, client)
}

/// Kept for longer than any machine stands still.
fn patient() -> TransportOptions {
    TransportOptions {
        keep_alive: Some(Duration::from_millis(500)),
        idle_timeout: Duration::from_secs(120),
        ..TransportOptions::quick()
    }
}

fn patient_cloud(migration: bool) -> Cloud {
    Cloud::start_with(|options| {
        options.transport = TransportOptions {
            keep_alive: None,
            migration,
            ..patient()
        };
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_fell_silent_is_found_within_seven_seconds() {
    let cloud = Cloud::start_with(|options| {
        options.transport.idle_timeout = Duration::from_secs(60);
    });
    let wire = TransportOptions {
        keep_alive: Some(Duration::from_secs(2)),
        idle_timeout: Duration::from_secs(5),
        ..TransportOptions::default()
    };
    assert!(wire.dead_link_found_within().unwrap() <= Duration::from_secs(7));
    let (relay, _edge, client) = connected(&cloud, wire).await;
    // Nothing is written: only its own signs of life can tell it.
    relay.cut(true);
    until("the edge notices", || {
        client.status().connected_to.is_none()
    })
    .await;
    error_of(&client, "does not answer").await;
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_moves_with_its_edge_to_another_address() {
    let cloud = patient_cloud(true);
    let (relay, edge, client) = connected(&cloud, patient()).await;
    let address = || cloud.server.peers().first().map(|peer| peer.address);
    until("the cloud's list shows the edge", || address().is_some()).await;
    for moves in 1..=3 {
        let before = address();
        relay.move_everybody();
        edge.host.seal(vec![moves; 10]);
        let rows = 1 + u64::from(moves);
        until("its row arrives", || edge.host.acked() == rows).await;
        until("the cloud knows the address", || address() != before).await;
    }
    assert_eq!(client.status().connections, 1);
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_stays_where_it_is_if_it_is_told_to() {
    let cloud = patient_cloud(false);
    let wire = TransportOptions {
        idle_timeout: Duration::from_secs(2),
        ..patient()
    };
    let (relay, edge, client) = connected(&cloud, wire).await;
    relay.move_everybody();
    edge.host.seal(b"another".to_vec());
    until("its row arrives", || edge.host.acked() == 2).await;
    assert!(
        client.status().connections >= 2,
        "by a connection of its own"
    );
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_turned_away_cannot_resume_its_session() {
    let cloud = Cloud::start();
    let (relay, edge, client) = connected(&cloud, TransportOptions::quick()).await;
    let id = cloud.tokens.list().unwrap()[0].id.clone();
    cloud.tokens.revoke(&id).unwrap();
    // The same client, with what it kept of its session, comes again.
    relay.cut(true);
    until("the edge notices the cut", || {
        client.status().connected_to.is_none()
    })
    .await;
    edge.host.seal(b"more".to_vec());
    relay.cut(false);
    error_of(&client, "was turned away").await;
    assert_eq!(cloud.inbox.applied(), 1);
    client.shutdown().await;
}
