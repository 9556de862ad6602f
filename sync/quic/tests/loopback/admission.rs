//! Many edges at once at a cloud that bears few.

use std::time::Duration;

use activestore_sync_quic::{AdmissionOptions, SyncClient};

use crate::{Cloud, Edge, QUIC, TCP, until};

const EDGES: u8 = 24;

/// Few and slow, so that most are turned away.
const FEW: AdmissionOptions = AdmissionOptions {
    handshakes: 2,
    per_second: 20,
    waiting: 3,
    patience: Duration::from_millis(100),
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_edges_of_a_storm_get_in_and_one_that_is_in_is_not_disturbed() {
    let cloud = Cloud::start_with(|options| options.admission = FEW);
    let first = Edge::new(1, QUIC);
    first.host.seal(b"row".to_vec());
    let connected = first.start(cloud.server.local_addr(), Some(cloud.token()));
    until("the first is in", || first.host.acked() == 1).await;
    let before = connected.status().connections;

    let edges: Vec<Edge> = (2..2 + EDGES)
        .map(|n| Edge::new(n, if n % 4 == 0 { TCP } else { QUIC }))
        .collect();
    let mut clients: Vec<SyncClient> = Vec::new();
    for edge in &edges {
        edge.host.seal(b"row".to_vec());
        clients.push(edge.start(cloud.server.local_addr(), Some(cloud.token())));
    }
    for row in 2..=20 {
        first.host.seal(b"another".to_vec());
        until("a row of the first", || first.host.acked() == row).await;
    }
    for edge in &edges {
        until("everybody is in", || edge.host.acked() == 1).await;
    }
    assert_eq!(connected.status().connections, before);
    let stats = cloud.server.stats();
    assert!(stats.turned_away > 0, "{stats:?}");
    until("nobody is on the way any more", || {
        let stats = cloud.server.stats();
        stats.waiting == 0 && stats.under_way == 0
    })
    .await;
    for client in clients {
        client.shutdown().await;
    }
    connected.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_never_go_on_keep_nobody_out() {
    let cloud = Cloud::start_with(|options| {
        options.admission = AdmissionOptions {
            handshakes: 2,
            ..AdmissionOptions::default()
        };
    });
    let address = cloud.server.local_addr();
    // Sockets that say nothing, for as long as this lasts: more than may be on their way at once.
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let edge = Edge::new(1, QUIC);
    edge.host.seal(b"row".to_vec());
    let client = edge.start(address, Some(cloud.token()));
    until("the edge is in", || edge.host.acked() == 1).await;
    client.shutdown().await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_that_stops_asks_its_edges_to_come_again_one_after_the_other() {
    let cloud = Cloud::start_with(|options| {
        options.admission.per_second = 20;
        options.admission.patience = Duration::from_secs(60);
    });
    let edges: Vec<Edge> = (1..5)
        .map(|n| Edge::new(n, if n == 4 { TCP } else { QUIC }))
        .collect();
    let hours = Duration::from_secs(7200);
    let clients: Vec<SyncClient> = edges
        .iter()
        .map(|edge| {
            edge.host.seal(b"row".to_vec());
            let mut options = edge.options(cloud.server.local_addr(), Some(cloud.token()));
            // What it is told stays to be seen.
            options.backoff.first = hours;
            options.backoff.cap = hours;
            options.backoff.eager_cap = hours;
            Edge::client(options)
        })
        .collect();
    for edge in &edges {
        until("everybody is in", || edge.host.acked() == 1).await;
    }
    cloud.server.shutdown().await;
    let mut pauses: Vec<u64> = Vec::new();
    for client in &clients {
        until("it is told", || client.status().last_error.is_some()).await;
        let said = client.status().last_error.unwrap();
        let (_, pause) = said.split_once("; come again in ").expect(&said);
        pauses.push(pause.strip_suffix(" ms").expect(&said).parse().unwrap());
    }
    pauses.sort_unstable();
    assert_eq!(pauses, [0, 50, 100, 150]);
    for client in clients {
        client.shutdown().await;
    }
}
