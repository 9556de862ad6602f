//! Over TCP: where no UDP gets through, through cuts, and back to QUIC when it does again.

use std::time::Duration;

use activestore_sync_quic::{Reach, Transport};

use crate::crossing::Crossing;
use crate::{Cloud, Edge, error_of, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_behind_a_wall_against_udp_joins_and_ships_over_tcp_and_returns_to_quic() {
    let cloud = Cloud::start();
    let mut crossing = Crossing::start(cloud.server.local_addr()).await;
    let edge = Edge::new(1, Reach::Auto);
    edge.host.seal(b"row".to_vec());
    let mut options = edge.options(crossing.address, Some(cloud.token()));
    options.connect_timeout = Duration::from_millis(300);
    options.quic_again = Duration::from_millis(500);
    let client = Edge::client(options);
    until("the row is acknowledged over TCP", || {
        edge.host.acked() == 1
    })
    .await;
    until("the status says TCP", || {
        client.status().transport == Some(Transport::Tcp)
    })
    .await;
    until("the cloud says TCP", || {
        let peers = cloud.server.peers();
        peers
            .first()
            .is_some_and(|peer| peer.transport == Transport::Tcp && !peer.rtt.is_zero())
    })
    .await;
    assert!(
        cloud.server.stats().tcp_connections >= 2,
        "one to join, one to ship"
    );

    let _relay = crossing.open_udp();
    until("QUIC is back", || {
        client.status().transport == Some(Transport::Quic)
    })
    .await;
    edge.host.seal(b"another".to_vec());
    until("it ships on", || edge.host.acked() == 2).await;
    assert_eq!(cloud.inbox.applied(), 2);
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_segments_survive_cuts_of_tcp() {
    let cloud = Cloud::start();
    let crossing = Crossing::start(cloud.server.local_addr()).await;
    let edge = Edge::new(1, Reach::Only(Transport::Tcp));
    let client = edge.start(crossing.address, Some(cloud.token()));
    for cut in 1..=5_u64 {
        for n in 0..200_u32 {
            edge.host.seal(n.to_le_bytes().repeat(64));
        }
        let half = cut * 200 - 100;
        until("a part is acknowledged", || edge.host.acked() >= half).await;
        crossing.cut(true);
        until("the edge notices the cut", || {
            client.status().connected_to.is_none()
        })
        .await;
        crossing.cut(false);
    }
    until("everything is acknowledged", || edge.host.acked() == 1000).await;
    assert_eq!(cloud.inbox.applied(), 1000, "each segment exactly once");
    assert!(crossing.carried() >= 6);
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_swallows_everything_is_found_by_a_ping() {
    /// Far less than what silence alone takes to end a connection whose bytes are acknowledged.
    const FOUND_WITHIN: Duration = Duration::from_secs(60);
    let cloud = Cloud::start();
    let crossing = Crossing::start(cloud.server.local_addr()).await;
    let edge = Edge::new(1, Reach::Only(Transport::Tcp));
    let mut options = edge.options(crossing.address, Some(cloud.token()));
    // Both together are what a ping may take until its answer counts as missing: no more than over QUIC.
    options.transport.idle_timeout = Duration::from_secs(10);
    options.transport.keep_alive = Some(Duration::from_millis(500));
    let client = Edge::client(options);
    edge.host.seal(b"row".to_vec());
    until("the row is acknowledged", || edge.host.acked() == 1).await;
    let begun = std::time::Instant::now();
    crossing.swallow(true);
    edge.host.seal(b"lost".to_vec());
    error_of(&client, "the cloud fell silent").await;
    assert!(begun.elapsed() < FOUND_WITHIN, "{:?}", begun.elapsed());
    crossing.swallow(false);
    until("it ships again", || edge.host.acked() == 2).await;
    assert_eq!(cloud.inbox.applied(), 2);
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_over_tcp_does_no_harm() {
    use tokio::io::AsyncWriteExt;
    let cloud = Cloud::start();
    let address = cloud.server.local_addr();
    for n in 1..50_usize {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let noise: Vec<u8> = (0..n * 40).map(|i| (i * 31 + n * 17) as u8).collect();
        // It may close before all of it is written.
        let _ = stream.write_all(&noise).await;
    }
    until("they are refused", || cloud.server.stats().refused >= 49).await;
    let edge = Edge::new(1, Reach::Only(Transport::Tcp));
    edge.host.seal(b"row".to_vec());
    let client = edge.start(address, Some(cloud.token()));
    until("the edge is in", || edge.host.acked() == 1).await;
    client.shutdown().await;
    cloud.server.shutdown().await;
}
