//! Rows that the cloud has go from the edge, and no others.

use std::collections::BTreeSet;

use activestore_sync_proto::{Signer, Statement};
use proptest::prelude::*;

use super::receipts::{Secret, attested, pair, ship_with_receipt};
use super::shipping::{another_epoch, sealed, ship};
use super::*;

const KEPT: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, status TEXT,
      PRIMARY KEY ((device), ts)) WITH (keep_local = '1h')";
const ALL: &str = "SELECT device, ts, temp FROM plant.readings ORDER BY device, ts";
const COUNT: &str = "SELECT count(*) FROM plant.readings";

/// Rows of a time long past.
async fn insert_old(db: &Db, device: &str, minutes: std::ops::Range<u32>) {
    for minute in minutes {
        let (hour, in_hour) = (minute / 60, minute % 60);
        let sql = format!(
            "INSERT INTO plant.readings (device, ts, temp) VALUES \
             ('{device}', '2020-01-01T{hour:02}:{in_hour:02}:00', {minute})"
        );
        run(db, &sql).await;
    }
}

async fn insert_now(db: &Db, device: &str, temp: u32) {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let now = chrono::DateTime::from_timestamp(since.as_secs() as i64, 0).unwrap();
    let sql = format!(
        "INSERT INTO plant.readings (device, ts, temp) VALUES ('{device}', '{}', {temp})",
        now.format("%Y-%m-%dT%H:%M:%S")
    );
    run(db, &sql).await;
}

/// Drops what may go, with nothing in memory and everything sealed.
fn evict_all(edge: &Db) {
    edge.inner.store.flush().unwrap();
    // The thread may write notes meanwhile, which are to be looked at too.
    for _ in 0..2 {
        sealed(edge);
        edge.inner.evict_all();
    }
}

async fn evicted(db: &Db) -> Vec<String> {
    let sql = "SELECT evicted_rows, evicted_before IS NOT NULL, eviction_waits FROM system.tables \
               WHERE name = 'readings'";
    rows(db, sql).await
}

#[test]
fn old_rows_go_when_a_receipt_covers_them_and_stay_at_the_cloud() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = pair(edge_dir.path(), cloud_dir.path());
        run(&edge, KEPT).await;
        insert_old(&edge, "a", 0..10).await;
        insert_now(&edge, "a", 1).await;
        edge.inner.evict_all();
        assert_eq!(rows(&edge, COUNT).await, ["11"], "nothing was shipped");
        ship(&edge, &cloud);
        edge.inner.evict_all();
        assert_eq!(
            rows(&edge, COUNT).await,
            ["11"],
            "acknowledged, but not signed for"
        );
        let before = evicted(&edge).await;
        assert!(before[0].contains("wait for a receipt"), "{before:?}");

        assert!(ship_with_receipt(&edge, &cloud));
        edge.inner.evict_all();
        assert_eq!(rows(&edge, COUNT).await, ["1"]);
        assert_eq!(rows(&cloud, COUNT).await, ["11"]);
        assert_eq!(evicted(&edge).await, ["10|true|"]);
        let table = "plant.readings".parse().unwrap();
        assert!(edge.evicted_before(&table).is_some());
        assert_eq!(cloud.evicted_before(&table), None);

        // Late: shipped first.
        insert_old(&edge, "a", 3..5).await;
        edge.inner.evict_all();
        assert_eq!(rows(&edge, COUNT).await, ["3"]);
        edge.shutdown().await.unwrap();
        drop(edge);
        let edge = open(edge_dir.path(), Role::Edge);
        edge.check_receipts_with(Secret::new(7));
        assert_eq!(
            rows(&edge, COUNT).await,
            ["3"],
            "what went does not come back"
        );
        edge.inner.evict_all();
        assert_eq!(rows(&edge, COUNT).await, ["3"]);
        assert!(ship_with_receipt(&edge, &cloud));
        edge.inner.evict_all();
        assert_eq!(rows(&edge, COUNT).await, ["1"]);
        assert_eq!(
            rows(&cloud, COUNT).await,
            ["11"],
            "an eviction is no delete"
        );
        // Nothing of it waits to be shipped.
        assert!(sealed(&edge).is_empty());
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_cloud_takes_the_option_for_its_edges_and_drops_nothing() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let cloud = open(dir.path(), Role::Cloud);
        run(&cloud, KEPT).await;
        insert_old(&cloud, "a", 0..3).await;
        cloud.inner.evict_all();
        assert_eq!(rows(&cloud, COUNT).await, ["3"]);
        let said = "SELECT keep_local_s, evict_after_receipt, evicted_rows FROM system.tables \
                    WHERE name = 'readings'";
        assert_eq!(rows(&cloud, said).await, ["3600|true|0"]);
        let error = fails(&cloud, "ALTER TABLE plant.readings SET (sync = 'both')").await;
        assert!(error.message().contains("keep_local"), "{error}");
        cloud.shutdown().await.unwrap();
    });
}

/// A machine that believes in a year to come drops nothing by it before somebody tells it the time.
#[test]
fn the_clouds_clock_says_what_is_old() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = pair(edge_dir.path(), cloud_dir.path());
        run(&edge, KEPT).await;
        insert_old(&edge, "a", 0..4).await;
        ship(&edge, &cloud);
        let (hosts, truth) = (
            edge.sync_hosts(),
            attested(&edge, &cloud).unwrap().statement,
        );
        // Signed an hour before the rows are old enough.
        let at_2020_ms = 1_577_836_800_000;
        let early = Statement {
            issued_ms: at_2020_ms,
            ..truth
        };
        let early = Secret::new(7).sign(&early).unwrap();
        assert!(hosts.replica.receipt(&early).unwrap());
        evict_all(&edge);
        assert_eq!(rows(&edge, COUNT).await, ["4"]);
        let now_ms = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_millis() as u64;
        hosts.replica.observe_clock(now_ms, Duration::ZERO);
        evict_all(&edge);
        assert_eq!(rows(&edge, COUNT).await, ["0"]);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

/// What did not leave cannot be covered, whatever is said of the table later.
#[test]
fn rows_from_before_everything_left_stay() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = pair(edge_dir.path(), cloud_dir.path());
        run(&edge, KEPT).await;
        run(
            &edge,
            "ALTER TABLE plant.readings SET (sync_where = 'temp > 100')",
        )
        .await;
        insert_old(&edge, "held", 0..4).await;
        insert_now(&edge, "hot", 200).await;
        assert!(ship_with_receipt(&edge, &cloud));
        evict_all(&edge);
        assert_eq!(
            rows(
                &edge,
                "SELECT count(*) FROM plant.readings WHERE device = 'held'"
            )
            .await,
            ["4"]
        );
        let waits = evicted(&edge).await;
        assert!(
            waits[0].contains("not everything of it leaves"),
            "{waits:?}"
        );

        run(&edge, "ALTER TABLE plant.readings SET (sync_where = '')").await;
        insert_old(&edge, "sent", 0..4).await;
        assert!(ship_with_receipt(&edge, &cloud));
        evict_all(&edge);
        let left = "SELECT device, count(*) FROM plant.readings GROUP BY device ORDER BY device";
        assert_eq!(rows(&edge, left).await, ["held|4", "hot|1"]);
        // Said so, they go all the same.
        run(
            &edge,
            "ALTER TABLE plant.readings SET (evict_after_receipt = false)",
        )
        .await;
        edge.inner.evict_all();
        assert_eq!(rows(&edge, COUNT).await, ["1"], "the one of now");
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

/// The cloud that the new epoch is shipped to may never have seen what the old one held.
#[test]
fn rows_of_an_epoch_that_was_set_aside_stay() {
    runtime().block_on(async {
        let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = pair(edge_dir.path(), cloud_dir.path());
        run(&edge, KEPT).await;
        // The thread may evict what a receipt covers right when it comes, before there is another epoch.
        let keep = "ALTER TABLE plant.readings SET (keep_local = '100000d')";
        run(&edge, keep).await;
        insert_old(&edge, "a", 0..4).await;
        assert!(ship_with_receipt(&edge, &cloud));
        another_epoch(&edge);
        insert_old(&edge, "b", 0..4).await;
        let let_go = "ALTER TABLE plant.readings SET (keep_local = '1h')";
        run(&edge, let_go).await;
        evict_all(&edge);
        assert_eq!(rows(&edge, COUNT).await, ["8"]);
        insert_old(&edge, "c", 0..4).await;
        assert!(ship_with_receipt(&edge, &cloud));
        evict_all(&edge);
        let left = rows(
            &edge,
            "SELECT DISTINCT device FROM plant.readings ORDER BY device",
        )
        .await;
        // Whether the thread saw the epoch end before "b" was written decides about "b".
        assert!(left == ["a"] || left == ["a", "b"], "{left:?}");
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[derive(Clone, Debug)]
enum Step {
    Write(u8, u32),
    /// Ships the first so many of what waits.
    Ship(usize),
    Receipt,
    Evict,
    Flush,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u8, 0..300_u32).prop_map(|(device, minute)| Step::Write(device, minute)),
        3 => (1..6_usize).prop_map(Step::Ship),
        3 => Just(Step::Receipt),
        3 => Just(Step::Evict),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ]
}

fn ship_some(edge: &Db, cloud: &Db, most: usize) {
    let outbox = edge.sync_hosts().outbox.unwrap();
    let inbox = cloud.sync_hosts().inbox;
    let (node, _, epoch) = outbox.identity();
    for segment in sealed(edge).into_iter().take(most) {
        inbox.apply(node, epoch, &segment).unwrap();
        outbox.acknowledged(epoch, segment.seq).unwrap();
    }
}

async fn all(db: &Db) -> BTreeSet<String> {
    rows(db, ALL).await.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever is missing at the edge was at the cloud when it signed.
    #[test]
    fn nothing_goes_that_the_cloud_has_not_signed_for(steps in proptest::collection::vec(step(), 1..40)) {
        runtime().block_on(async {
            let (edge_dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let (mut edge, cloud) = pair(edge_dir.path(), cloud_dir.path());
            run(&edge, KEPT).await;
            run(&cloud, KEPT).await;
            let (mut written, mut signed) = (BTreeSet::new(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Write(device, minute) => {
                        let device = format!("d{device}");
                        insert_old(&edge, &device, minute..minute + 1).await;
                        written = all(&edge).await.union(&written).cloned().collect();
                    }
                    Step::Ship(most) => ship_some(&edge, &cloud, most),
                    Step::Receipt => {
                        if let Some(receipt) = attested(&edge, &cloud) {
                            edge.sync_hosts().replica.receipt(&receipt).unwrap();
                            signed = all(&cloud).await;
                        }
                    }
                    Step::Evict => edge.inner.evict_all(),
                    Step::Flush => edge.inner.store.flush().unwrap(),
                    Step::Restart => {
                        edge.shutdown().await.unwrap();
                        drop(edge);
                        edge = open(edge_dir.path(), Role::Edge);
                        edge.check_receipts_with(Secret::new(7));
                    }
                }
                let here = all(&edge).await;
                let missing: Vec<_> = written.difference(&here).collect();
                assert!(missing.iter().all(|row| signed.contains(*row)), "{missing:?}");
            }
            // In the end all of it can go.
            ship(&edge, &cloud);
            if let Some(receipt) = attested(&edge, &cloud) {
                edge.sync_hosts().replica.receipt(&receipt).unwrap();
                evict_all(&edge);
                assert_eq!(all(&edge).await, BTreeSet::new());
            }
            assert_eq!(all(&cloud).await, written);
            edge.shutdown().await.unwrap();
            cloud.shutdown().await.unwrap();
        });
    }
}
