//! The link is back: by which of the ways, to which of the addresses, and what does not wait for its turn.

use std::time::Duration;

use activestore_sync_quic::{Reach, Transport};

use crate::relay::Relay;
use crate::{Cloud, Edge, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_ends_a_wait_of_an_hour() {
    let cloud = Cloud::start();
    let relay = Relay::start(cloud.server.local_addr(), 0, 1).await;
    let edge = Edge::new(1, Reach::Only(Transport::Quic));
    edge.host.seal(b"row".to_vec());
    let mut options = edge.options(relay.address, Some(cloud.token()));
    let hour = Duration::from_secs(3600);
    options.backoff.first = 2 * hour;
    options.backoff.cap = 2 * hour;
    options.backoff.eager_cap = 2 * hour;
    relay.cut(true);
    let client = Edge::client(options);
    until("an attempt failed", || client.status().last_error.is_some()).await;
    relay.cut(false);
    edge.host.seal_alarm(b"fire".to_vec());
    until("the alarm is acknowledged", || {
        edge.host.acked_alarms() == 1
    })
    .await;
    until("and so is the row", || edge.host.acked() == 1).await;
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_dead_costs_no_attempt() {
    let cloud = Cloud::start();
    let edge = Edge::new(1, Reach::Auto);
    edge.host.seal(b"row".to_vec());
    let mut options = edge.options(cloud.server.local_addr(), Some(cloud.token()));
    // Where the name stands for ::1 too, nobody listens there.
    let port = cloud.server.local_addr().port();
    options.peers = vec![format!("localhost:{port}")];
    options.backoff.first = Duration::from_secs(7200);
    options.backoff.cap = options.backoff.first;
    options.backoff.eager_cap = options.backoff.first;
    // A round is all that there is: to join, and to connect.
    options.connect_timeout = Duration::from_secs(60);
    options.eager_timeout = options.connect_timeout;
    let client = Edge::client(options);
    until("the row is acknowledged", || edge.host.acked() == 1).await;
    assert_eq!(client.status().last_error, None);
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_many_short_outages_arrive_once_and_by_quic() {
    let cloud = Cloud::start();
    let relay = Relay::start(cloud.server.local_addr(), 5, 3).await;
    let edge = Edge::new(1, Reach::Auto);
    let client = edge.start(relay.address, Some(cloud.token()));
    for outage in 1..=4 {
        edge.host.seal(vec![outage; 100]);
        let rows = u64::from(outage);
        until("the row is acknowledged", || edge.host.acked() == rows).await;
        until("it is there by QUIC", || {
            client.status().transport == Some(Transport::Quic)
        })
        .await;
        relay.cut(true);
        until("the edge notices the cut", || {
            client.status().connected_to.is_none()
        })
        .await;
        relay.cut(false);
    }
    assert_eq!(cloud.inbox.applied(), 4);
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_whose_first_address_is_dead_is_reached_by_its_second_without_a_time_out() {
    let cloud = Cloud::start();
    let edge = Edge::new(1, Reach::Only(Transport::Quic));
    edge.host.seal(b"row".to_vec());
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut options = edge.options(silent.local_addr().unwrap(), Some(cloud.token()));
    options.peers.push(cloud.server.local_addr().to_string());
    // One after the other they would take longer than a test does.
    options.connect_timeout = Duration::from_secs(3600);
    options.eager_timeout = options.connect_timeout;
    let client = Edge::client(options);
    until("the row is acknowledged", || edge.host.acked() == 1).await;
    assert_eq!(client.status().connections, 1);
    client.shutdown().await;
}
