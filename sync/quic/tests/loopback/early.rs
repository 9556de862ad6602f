//! Sessions that are resumed with data in their first packet.

use std::time::Duration;

use activestore_sync_quic::{ServerOptions, SyncServer};

use crate::relay::Relay;
use crate::{Cloud, Edge, QUIC, error_of, until};

/// Outages are tried until one ends as is wanted; more than enough, since each may end otherwise on a busy machine.
const OUTAGES: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_resumed_with_rows_in_its_first_packet_and_none_counts_twice() {
    let cloud = Cloud::start();
    let relay = Relay::start(cloud.server.local_addr(), 0, 1).await;
    let edge = Edge::new(1, QUIC);
    edge.host.seal(b"row".to_vec());
    let client = edge.start(relay.address, Some(cloud.token()));
    until("the row is acknowledged", || edge.host.acked() == 1).await;
    let mut rows = 1;
    while cloud.server.stats().early_connections < 3 {
        assert!(rows < OUTAGES, "nothing came early");
        relay.cut(true);
        until("the edge notices the cut", || {
            client.status().connected_to.is_none()
        })
        .await;
        relay.cut(false);
        edge.host.seal(vec![rows as u8; 100]);
        rows += 1;
        until("the row is acknowledged", || edge.host.acked() == rows).await;
    }
    assert_eq!(cloud.inbox.applied(), rows);
    assert_eq!(cloud.inbox.payloads(edge.host.node).len() as u64, rows);
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_that_forgot_its_sessions_is_told_the_same_again() {
    for forgets in [false, true] {
        let cloud = Cloud::start();
        let address = cloud.server.local_addr();
        let options = |early| {
            let mut options = ServerOptions::new(
                address,
                cloud.identity.clone(),
                cloud.inbox.clone(),
                cloud.tokens.clone(),
            );
            options.transport.early_data = early;
            options
        };
        let edge = Edge::new(1, QUIC);
        edge.host.seal(b"row".to_vec());
        let client = edge.start(address, Some(cloud.token()));
        until("the row is acknowledged", || edge.host.acked() == 1).await;
        cloud.server.shutdown().await;
        edge.host.seal(b"while it was away".to_vec());
        // The port is free again once the last of the sockets is gone.
        let mut again = None;
        for _ in 0..200 {
            again = SyncServer::start(options(forgets)).ok();
            if again.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let again = again.expect("the cloud starts again");
        until("the row is acknowledged", || edge.host.acked() == 2).await;
        // The first one cannot have been; others may follow where the machine is busy.
        let stats = again.stats();
        assert!(stats.early_connections < stats.connections, "{stats:?}");
        assert_eq!(cloud.inbox.applied(), 2);
        client.shutdown().await;
        again.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_data_of_a_node_that_was_turned_away_is_not_taken() {
    let cloud = Cloud::start();
    let relay = Relay::start(cloud.server.local_addr(), 0, 1).await;
    let edge = Edge::new(1, QUIC);
    let client = edge.start(relay.address, Some(cloud.token()));
    let mut rows = 0;
    // Until it is known that resuming works here.
    while cloud.server.stats().early_connections == 0 {
        assert!(rows < OUTAGES, "nothing came early");
        edge.host.seal(vec![rows as u8; 100]);
        rows += 1;
        until("the row is acknowledged", || edge.host.acked() == rows).await;
        relay.cut(true);
        until("the edge notices the cut", || {
            client.status().connected_to.is_none()
        })
        .await;
        relay.cut(false);
        until("it is back", || client.status().connected_to.is_some()).await;
    }
    let id = cloud.tokens.list().unwrap()[0].id.clone();
    cloud.tokens.revoke(&id).unwrap();
    relay.cut(true);
    until("the edge notices the cut", || {
        client.status().connected_to.is_none()
    })
    .await;
    edge.host.seal(b"secret".to_vec());
    relay.cut(false);
    error_of(&client, "was turned away").await;
    assert_eq!(cloud.inbox.applied(), rows);
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_data_that_somebody_kept_back_does_not_take_the_place_of_the_real_connection() {
    let cloud = Cloud::start();
    let relay = Relay::start(cloud.server.local_addr(), 0, 1).await;
    let edge = Edge::new(1, QUIC);
    let client = edge.start(relay.address, Some(cloud.token()));
    until("it is in", || client.status().connected_to.is_some()).await;
    let mut rows = 0;
    let early = || cloud.server.stats().early_connections;
    loop {
        assert!(rows < OUTAGES, "nothing that was kept back was taken");
        relay.cut(true);
        until("the edge notices the cut", || {
            client.status().connected_to.is_none()
        })
        .await;
        // What is kept back from here on are attempts, the first of which resumes the session.
        relay.forget_held();
        edge.host.seal(vec![rows as u8; 100]);
        rows += 1;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        relay.cut(false);
        until("the row is acknowledged", || edge.host.acked() == rows).await;
        let (before, connections) = (early(), client.status().connections);
        assert!(relay.replay().await > 0, "the edge tried nothing");
        // It is taken at once, or not at all.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let replayed = early() > before;
        edge.host.seal(vec![rows as u8; 100]);
        rows += 1;
        until("the row is acknowledged", || edge.host.acked() == rows).await;
        if replayed {
            assert_eq!(client.status().connections, connections, "it was put out");
            break;
        }
    }
    assert_eq!(cloud.inbox.applied(), rows);
    client.shutdown().await;
}
