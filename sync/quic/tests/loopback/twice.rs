//! Alarms go twice where packets get lost, and count once.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_go_twice_where_packets_get_lost_and_count_once() {
    let cloud = Cloud::start();
    let relay = Relay::start(cloud.server.local_addr(), 10, 7).await;
    let edge = Edge::new(1, QUIC);
    let client = edge.start(relay.address, Some(cloud.token()));
    for n in 0..300_u32 {
        edge.host.seal(n.to_le_bytes().repeat(256));
    }
    until("live rows are acknowledged", || edge.host.acked() == 300).await;
    for n in 1..=60_u64 {
        edge.host.seal_alarm(n.to_le_bytes().to_vec());
        until("the alarm is acknowledged", || {
            edge.host.acked_alarms() == n
        })
        .await;
    }
    let repeated = || cloud.server.stats().segments_repeated;
    until("some came once more", || repeated() > 10).await;
    assert_eq!(cloud.inbox.applied(), 360, "each segment once");
    assert!(repeated() <= 60, "live rows went once");
    client.shutdown().await;
}
