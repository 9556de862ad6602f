//! What happens to the sync is told, at both ends, and is there after a start.

use std::time::Duration;

use activestore_sync_proto::{Health, PeerStatus};
use activestore_types::Epoch;

use super::flowing_down::{adopt, ends, follow, hosts};
use super::shipping::another_epoch;
use super::*;

const TOLD: &str = "SELECT kind, text FROM system.sync_events ORDER BY number";

async fn kinds(db: &Db) -> Vec<String> {
    rows(db, "SELECT kind FROM system.sync_events ORDER BY number").await
}

pub(super) fn seen(edge: &Db, connected: bool) -> PeerStatus {
    PeerStatus {
        node: edge.node_id(),
        name: "west".to_owned(),
        epoch: Epoch(1),
        connected,
        transport: Some("quic"),
        durable_seq: 0,
        last_sealed: 0,
        follows: true,
        lanes: Vec::new(),
        catalog_version: 0,
        seen_wall_ms: 1,
        refused_definitions: None,
        last_error: None,
    }
}

#[test]
fn an_edge_tells_of_its_cloud_and_keeps_it_through_a_start() {
    runtime().block_on(async {
        let (dirs, edge, cloud) = ends();
        run(&cloud, "CREATE KEYSPACE shop WITH (sync = 'both')").await;
        run(
            &cloud,
            "CREATE TABLE shop.prices (item TEXT PRIMARY KEY, price DOUBLE)",
        )
        .await;
        edge.cloud_connected(None, "10.0.0.1:7490", "quic");
        adopt(&edge, &cloud);
        follow(&edge, &cloud);
        another_epoch(&edge);
        let (replica, _) = hosts(&edge, &cloud);
        let ahead = edge.inner.env.clock.wall_ms() + 10_000;
        for _ in 0..3 {
            replica.observe_clock(ahead, Duration::ZERO);
        }
        edge.cloud_lost(None, "the link is down");
        let told = [
            "connected",
            "definitions",
            "fetch_begun",
            "fetch_done",
            "epoch_set_aside",
            "clock_offset",
            "disconnected",
        ];
        assert_eq!(kinds(&edge).await, told);
        let before = rows(&edge, TOLD).await;
        assert_eq!(
            before[0],
            "connected|connected to the cloud at 10.0.0.1:7490 over quic"
        );
        edge.shutdown().await.unwrap();
        drop((edge, replica));
        let edge = open(dirs[0].path(), Role::Edge);
        assert_eq!(rows(&edge, TOLD).await, before);
        edge.cloud_lost(None, "again");
        let read = edge.sync_events(0).events[6].number;
        let after = edge.sync_events(read);
        assert_eq!((after.events.len(), after.gap), (1, false));
        assert_eq!(after.events[0].text, "not connected to the cloud: again");
        let later = edge.sync_events(after.last);
        assert!(later.events.is_empty() && !later.gap);
        // A reader of what a crash took along is told so.
        assert!(edge.sync_events(read + 1).gap);
        for db in [&edge, &cloud] {
            db.shutdown().await.unwrap();
        }
    });
}

#[test]
fn a_cloud_tells_of_edges_that_come_and_go_and_of_their_clocks() {
    runtime().block_on(async {
        let (_dirs, edge, cloud) = ends();
        let (_, inbox) = hosts(&edge, &cloud);
        inbox.peer_seen(seen(&edge, true));
        inbox.peer_seen(seen(&edge, true));
        for clock_offset_ms in [0, -5_000, -5_000] {
            let health = Health {
                clock_offset_ms,
                ..Health::default()
            };
            inbox.health(edge.node_id(), health);
        }
        inbox.peer_seen(PeerStatus {
            last_error: Some("epoch set aside: another hash".to_owned()),
            ..seen(&edge, true)
        });
        inbox.peer_seen(PeerStatus {
            last_error: Some("nothing was heard".to_owned()),
            ..seen(&edge, false)
        });
        let told = [
            "connected",
            "clock_offset",
            "epoch_set_aside",
            "disconnected",
        ];
        assert_eq!(kinds(&cloud).await, told);
        let texts = rows(&cloud, TOLD).await;
        assert_eq!(texts[0], "connected|edge west connected over quic");
        assert!(
            texts[1].contains("5000 ms ahead of this node's"),
            "{}",
            texts[1]
        );
        assert!(texts[3].ends_with("nothing was heard"), "{}", texts[3]);
        let offset = "SELECT clock_offset_ms FROM system.sync_peers";
        assert_eq!(rows(&cloud, offset).await, ["-5000"]);
        for db in [&edge, &cloud] {
            db.shutdown().await.unwrap();
        }
    });
}
