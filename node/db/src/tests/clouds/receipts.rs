//! What each cloud signs, and which of them have to before rows are covered.

use super::super::receipts::{Secret, ship_with_receipt};
use super::super::relays::let_in;
use super::*;

/// Ships to a further cloud and brings its receipt; whether it was kept.
fn signed_by(edge: &Db, name: &str, cloud: &Db) -> bool {
    ship_to(edge, name, cloud);
    let hosts = further(edge, name);
    let (node, _, epoch) = hosts.outbox.identity();
    let receipt = cloud.sync_hosts().inbox.attest(node, epoch).unwrap();
    hosts.replica.receipt(&receipt.unwrap()).unwrap()
}

#[test]
fn receipts_are_each_clouds_own_and_rows_may_wait_for_all() {
    const OLD: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
        CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE,
          PRIMARY KEY ((device), ts)) WITH (keep_local = '1h')";
    let insert = |device: &str| {
        format!("INSERT INTO plant.readings VALUES ('{device}', '2020-01-01T00:00:00', 1)")
    };
    runtime().block_on(async {
        for all in [false, true] {
            let (e, o, c) = (folder(), folder(), folder());
            let mut options = DbOptions::new(e.path(), Role::Edge);
            options.seal_after = Duration::from_secs(3600);
            options.also = Some(vec![dr()]);
            options.receipts_of_all = all;
            let edge = Db::open(options).unwrap();
            let (own, copy) = (open(o.path(), Role::Cloud), open(c.path(), Role::Cloud));
            let (ours, theirs) = (Secret::new(7), Secret::new(8));
            edge.check_receipts_with(ours.clone());
            edge.check_receipts_of("dr", theirs.clone());
            own.sign_receipts_with(ours);
            copy.sign_receipts_with(theirs);
            run(&edge, OLD).await;
            run(&edge, &insert("a")).await;
            let evict = || {
                edge.inner.store.flush().unwrap();
                for _ in 0..2 {
                    edge.inner
                        .outboxes()
                        .for_each(|outbox| outbox.seal().unwrap());
                    edge.inner.evict_all();
                }
            };
            ship_own(&edge, &own);
            assert!(ship_with_receipt(&edge, &own));
            evict();
            let count = "SELECT count(*) FROM plant.readings";
            assert_eq!(rows(&edge, count).await, [if all { "1" } else { "0" }]);
            assert!(signed_by(&edge, "dr", &copy));
            evict();
            assert_eq!(rows(&edge, count).await, ["0"], "all: {all}");
            let shown =
                "SELECT cloud, verified FROM system.sync_receipts ORDER BY cloud NULLS FIRST";
            assert_eq!(rows(&edge, shown).await, ["|true", "dr|true"]);
            assert_eq!(edge.receipts(Some("dr")).unwrap().len(), 1);
            assert!(edge.receipts(Some("nobody")).is_err());
            // A receipt of the one is none of the other.
            run(&edge, &insert("b")).await;
            ship_to(&edge, "dr", &copy);
            let (node, _, epoch) = further(&edge, "dr").outbox.identity();
            let receipt = copy
                .sync_hosts()
                .inbox
                .attest(node, epoch)
                .unwrap()
                .unwrap();
            assert!(edge.sync_hosts().replica.receipt(&receipt).is_err());
            let status = edge.sync_status();
            assert!(status.receipt_refused.is_some());
            assert!(status.also[0].receipt_refused.is_none());
            assert_eq!(status.receipt.unwrap().cloud, None);
            close_all(vec![edge, own, copy]).await;
        }
    });
}

#[test]
fn rows_of_before_a_cloud_was_named_are_not_covered_by_it() {
    runtime().block_on(async {
        let e = folder();
        let open_it = |also| {
            let mut options = DbOptions::new(e.path(), Role::Edge);
            options.seal_after = Duration::from_secs(3600);
            options.also = Some(also);
            options.receipts_of_all = true;
            Db::open(options).unwrap()
        };
        let edge = open_it(Vec::new());
        run(&edge, PLANT).await;
        run(
            &edge,
            "INSERT INTO plant.readings (device, ts) VALUES ('a', '2020-01-01')",
        )
        .await;
        let table = "plant.readings".parse().unwrap();
        let schema = edge.table_schema(&table).unwrap();
        let before = edge.inner.whole_since(&schema).unwrap();
        assert_eq!(before, edge.inner.whole_since(&schema).unwrap());
        edge.shutdown().await.unwrap();
        drop(edge);
        let edge = open_it(vec![dr()]);
        let after = edge.inner.whole_since(&schema).unwrap();
        assert!(after > before, "{after:?} {before:?}");
        // Nor are those that were written while it took other tables.
        run(
            &edge,
            "INSERT INTO plant.readings (device, ts) VALUES ('a', '2020-01-02')",
        )
        .await;
        edge.shutdown().await.unwrap();
        drop(edge);
        for tables in ["plant.others", "*"] {
            let tables = vec![tables.to_owned()];
            let edge = open_it(vec![FurtherCloud { tables, ..dr() }]);
            edge.shutdown().await.unwrap();
        }
        let edge = open_it(vec![dr()]);
        let later = edge.inner.whole_since(&schema).unwrap();
        assert!(later > after, "{later:?} {after:?}");
        close_all(vec![edge]).await;
    });
}

#[test]
fn a_gateway_ships_its_edges_rows_to_each_cloud_and_signs_when_all_have() {
    runtime().block_on(async {
        let (e, g, o, c) = (folder(), folder(), folder(), folder());
        let mut options = DbOptions::new(g.path(), Role::Gateway);
        options.seal_after = Duration::from_secs(3600);
        options.also = Some(vec![dr()]);
        options.receipts_of_all = true;
        let gateway = Db::open(options).unwrap();
        let edge = open(e.path(), Role::Edge);
        let (own, copy) = (open(o.path(), Role::Cloud), open(c.path(), Role::Cloud));
        for (number, cloud) in [(7, &own), (8, &copy)] {
            let_in(&gateway, cloud);
            cloud.sign_receipts_with(Secret::new(number));
        }
        gateway.check_receipts_with(Secret::new(7));
        gateway.check_receipts_of("dr", Secret::new(8));
        gateway.sign_receipts_with(Secret::new(9));
        run(&edge, TABLES).await;
        write(&edge, 0..20).await;
        ship(&edge, &gateway);
        let (node, _, epoch) = edge.sync_hosts().outbox.unwrap().identity();
        let signs = || gateway.sync_hosts().inbox.attest(node, epoch);
        ship_own(&gateway, &own);
        assert!(ship_with_receipt(&gateway, &own));
        assert!(signs().is_err(), "one cloud has not signed yet");
        assert!(signed_by(&gateway, "dr", &copy));
        assert!(signs().unwrap().is_some());
        for cloud in [&own, &copy] {
            assert_eq!(numbers(cloud).await, (0..20).collect::<Vec<_>>());
            let through = "SELECT count(*) FROM system.sync_peers WHERE via IS NOT NULL";
            assert_eq!(rows(cloud, through).await, ["1"]);
        }
        close_all(vec![edge, gateway, own, copy]).await;
    });
}
