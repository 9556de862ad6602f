//! Edges below a gateway below a cloud, in one process: every row goes up once and is its writer's, definitions and
//! rows come down, receipts mean the cloud, and nothing goes round in circles.

use activestore_sync_proto::Receipt;
use activestore_types::{ErrorKind, SyncClass};

use super::flowing_down::{LIMITS, REFERENCE, SHARED, adopt, close, folder, follow};
use super::receipts::Secret;
use super::shipping::{another_epoch, same, sealed, ship};
use super::*;

const INSERT: &str = "INSERT INTO plant.readings (device, ts, temp) VALUES";
const READINGS: &str = "SELECT device, temp FROM plant.readings ORDER BY device, ts";

/// Says at `cloud` that `node` joined as a gateway.
pub(super) fn let_in(node: &Db, cloud: &Db) {
    let labels = "role=gateway".parse().unwrap();
    cloud.sync_hosts().inbox.member(node.node_id(), &labels);
}

/// The three levels, each in a folder of its own.
struct Levels {
    dirs: [tempfile::TempDir; 3],
    edge: Db,
    gateway: Db,
    cloud: Db,
}

impl Levels {
    fn new() -> Levels {
        let dirs = [folder(), folder(), folder()];
        let levels = Levels {
            edge: open(dirs[0].path(), Role::Edge),
            gateway: open(dirs[1].path(), Role::Gateway),
            cloud: open(dirs[2].path(), Role::Cloud),
            dirs,
        };
        let_in(&levels.gateway, &levels.cloud);
        levels
    }

    fn up(&self) {
        ship(&self.edge, &self.gateway);
        ship(&self.gateway, &self.cloud);
    }

    fn down(&self) {
        adopt(&self.gateway, &self.cloud);
        follow(&self.gateway, &self.cloud);
        adopt(&self.edge, &self.gateway);
        follow(&self.edge, &self.gateway);
    }

    async fn close(self) {
        close(&[&self.edge, &self.gateway, &self.cloud]).await;
    }
}

#[test]
fn rows_and_deletes_of_edges_arrive_in_the_cloud_once_and_stay_their_writers() {
    runtime().block_on(async {
        let mut all = Levels::new();
        let other_dir = folder();
        let other = open(other_dir.path(), Role::Edge);
        for node in [&all.edge, &other] {
            run(node, PLANT).await;
        }
        run(
            &all.edge,
            &format!(
                "{INSERT} ('a', '2026-01-01', 1), ('a', '2026-01-02', 2), ('x', '2026-01-01', 3)"
            ),
        )
        .await;
        run(&other, &format!("{INSERT} ('b', '2026-01-01', 5)")).await;
        ship(&other, &all.gateway);
        all.up();
        run(&all.gateway, &format!("{INSERT} ('g', '2026-01-01', 7)")).await;
        run(&all.edge, "DELETE FROM plant.readings WHERE device = 'x'").await;
        run(&all.edge, "DELETE FROM plant.readings WHERE temp = 2").await;
        // The gateway is stopped with rows that it has not shipped.
        ship(&all.edge, &all.gateway);
        all.gateway.shutdown().await.unwrap();
        let Levels {
            dirs,
            edge,
            gateway,
            cloud,
        } = all;
        drop(gateway);
        all = Levels {
            gateway: open(dirs[1].path(), Role::Gateway),
            dirs,
            edge,
            cloud,
        };
        all.up();
        for node in [&all.gateway, &all.cloud] {
            assert_eq!(rows(node, READINGS).await, ["a|1.0", "b|5.0", "g|7.0"]);
            same(&all.edge, node).await;
            same(&other, node).await;
        }
        same(&all.gateway, &all.cloud).await;
        assert!(sealed(&all.gateway).is_empty(), "nothing is shipped again");
        let through = "SELECT node, via FROM system.sync_peers WHERE via IS NOT NULL ORDER BY node";
        let mut expected: Vec<String> = [&all.edge, &other]
            .map(|edge| format!("{}|{}", edge.node_id(), all.gateway.node_id()))
            .to_vec();
        expected.sort_unstable();
        assert_eq!(rows(&all.cloud, through).await, expected);
        assert!(rows(&all.gateway, through).await.is_empty());
        other.shutdown().await.unwrap();
        all.close().await;
    });
}

#[test]
fn who_did_not_join_as_a_gateway_brings_rows_of_its_own_alone() {
    runtime().block_on(async {
        let all = Levels::new();
        let inbox = all.cloud.sync_hosts().inbox;
        let node = all.gateway.node_id();
        inbox.member(node, &"site=north".parse().unwrap());
        run(&all.gateway, PLANT).await;
        run(&all.gateway, &format!("{INSERT} ('g', '2026-01-01', 7)")).await;
        ship(&all.gateway, &all.cloud);
        run(&all.edge, PLANT).await;
        run(&all.edge, &format!("{INSERT} ('a', '2026-01-01', 1)")).await;
        ship(&all.edge, &all.gateway);
        let segments = sealed(&all.gateway);
        let (_, _, epoch) = all.gateway.sync_hosts().outbox.unwrap().identity();
        let before = inbox.progress(node, epoch).unwrap();
        let error = inbox.apply(node, epoch, &segments[0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("role=gateway"), "{error}");
        assert_eq!(inbox.progress(node, epoch).unwrap(), before);
        assert_eq!(rows(&all.cloud, READINGS).await, ["g|7.0"]);
        let_in(&all.gateway, &all.cloud);
        ship(&all.gateway, &all.cloud);
        assert_eq!(rows(&all.cloud, READINGS).await, ["a|1.0", "g|7.0"]);
        all.close().await;
    });
}

#[test]
fn an_edge_that_goes_on_at_the_cloud_itself_doubles_and_loses_nothing() {
    runtime().block_on(async {
        let all = Levels::new();
        run(&all.edge, PLANT).await;
        run(&all.edge, &format!("{INSERT} ('a', '2026-01-01', 1)")).await;
        ship(&all.edge, &all.gateway);
        run(&all.edge, &format!("{INSERT} ('a', '2026-01-02', 2)")).await;
        // The gateway has it, and the edge does not hear that; the cloud knows nothing of the chain.
        let (node, _, epoch) = all.edge.sync_hosts().outbox.unwrap().identity();
        for segment in sealed(&all.edge) {
            let inbox = all.gateway.sync_hosts().inbox;
            inbox.apply(node, epoch, &segment).unwrap();
        }
        another_epoch(&all.edge);
        ship(&all.edge, &all.cloud);
        run(&all.edge, &format!("{INSERT} ('a', '2026-01-01', 3)")).await;
        ship(&all.edge, &all.cloud);
        assert_eq!(rows(&all.cloud, READINGS).await, ["a|3.0", "a|2.0"]);
        // What the gateway still had comes late, and changes nothing.
        ship(&all.gateway, &all.cloud);
        assert_eq!(rows(&all.cloud, READINGS).await, ["a|3.0", "a|2.0"]);
        same(&all.edge, &all.cloud).await;
        all.close().await;
    });
}

#[test]
fn rows_that_come_back_to_a_gateway_go_no_further() {
    runtime().block_on(async {
        let (a_dir, b_dir, c_dir) = (folder(), folder(), folder());
        let edge = open(c_dir.path(), Role::Edge);
        let (a, b) = (
            open(a_dir.path(), Role::Gateway),
            open(b_dir.path(), Role::Gateway),
        );
        // By mistake each is the other's cloud.
        let_in(&a, &b);
        let_in(&b, &a);
        run(&edge, PLANT).await;
        run(&edge, &format!("{INSERT} ('e', '2026-01-01', 1)")).await;
        ship(&edge, &a);
        run(&a, &format!("{INSERT} ('a', '2026-01-01', 2)")).await;
        run(&edge, "DELETE FROM plant.readings WHERE device = 'none'").await;
        ship(&edge, &a);
        for _ in 0..4 {
            ship(&a, &b);
            ship(&b, &a);
        }
        assert!(
            sealed(&a).is_empty() && sealed(&b).is_empty(),
            "rows go round"
        );
        for node in [&a, &b] {
            assert_eq!(rows(node, READINGS).await, ["a|2.0", "e|1.0"]);
            same(&edge, node).await;
        }
        let figures = a.counters();
        let loops = figures
            .iter()
            .find(|one| one.name == "activestore_relay_loops_total");
        assert!(loops.unwrap().value > 0.0);
        close(&[&edge, &a, &b]).await;
    });
}

#[test]
fn definitions_and_rows_come_down_through_a_gateway_and_shared_ones_go_up() {
    runtime().block_on(async {
        let all = Levels::new();
        let limit = |device: &str, high: u32| {
            format!("INSERT INTO ref.limits (device, high, low) VALUES ('{device}', {high}, 1)")
        };
        run(&all.cloud, REFERENCE).await;
        run(&all.cloud, SHARED).await;
        run(&all.cloud, &limit("p1", 9)).await;
        run(&all.cloud, &limit("p2", 8)).await;
        all.down();
        assert_eq!(rows(&all.edge, LIMITS).await, ["p1|9.0|1.0", "p2|8.0|1.0"]);
        run(&all.cloud, "DELETE FROM ref.limits WHERE device = 'p2'").await;
        run(&all.cloud, &limit("p3", 7)).await;
        run(&all.cloud, "ALTER TABLE shop.prices ADD COLUMN tax DOUBLE").await;
        run(
            &all.edge,
            "INSERT INTO shop.prices (item, region, price) VALUES ('tea', 'eu', 3)",
        )
        .await;
        run(
            &all.gateway,
            "INSERT INTO shop.prices (item, region, price) VALUES ('rum', 'eu', 4)",
        )
        .await;
        all.up();
        run(
            &all.cloud,
            "INSERT INTO shop.prices (item, region, tax) VALUES ('tea', 'eu', 0.2)",
        )
        .await;
        all.down();
        let prices = "SELECT item, price, tax FROM shop.prices ORDER BY item";
        for node in [&all.edge, &all.gateway, &all.cloud] {
            assert_eq!(rows(node, LIMITS).await, ["p1|9.0|1.0", "p3|7.0|1.0"]);
            assert_eq!(rows(node, prices).await, ["rum|4.0|", "tea|3.0|0.2"]);
        }
        let error = fails(&all.gateway, "DELETE FROM ref.limits WHERE device = 'p1'").await;
        assert!(error.to_string().contains("a gateway"), "{error}");
        // What came down is not shipped up again, through restarts of the gateway too.
        assert!(sealed(&all.edge).is_empty() && sealed(&all.gateway).is_empty());
        all.gateway.shutdown().await.unwrap();
        let Levels {
            dirs,
            edge,
            gateway,
            cloud,
        } = all;
        drop(gateway);
        let all = Levels {
            gateway: open(dirs[1].path(), Role::Gateway),
            dirs,
            edge,
            cloud,
        };
        assert_eq!(
            follow(&all.edge, &all.gateway).started_over,
            0,
            "it goes on where it was"
        );
        run(&all.cloud, &limit("p1", 5)).await;
        all.down();
        assert_eq!(rows(&all.edge, LIMITS).await, ["p1|5.0|1.0", "p3|7.0|1.0"]);
        all.close().await;
    });
}

/// A gateway that is behind its cloud may not tell an edge that what it lacks is gone.
#[test]
fn an_edge_that_comes_to_a_gateway_which_is_behind_keeps_what_it_has() {
    runtime().block_on(async {
        let all = Levels::new();
        run(&all.cloud, REFERENCE).await;
        all.down();
        run(
            &all.cloud,
            "INSERT INTO ref.limits (device, high, low) VALUES ('p1', 9, 1)",
        )
        .await;
        // From the cloud itself, before the gateway has it.
        adopt(&all.edge, &all.cloud);
        follow(&all.edge, &all.cloud);
        assert_eq!(rows(&all.edge, LIMITS).await, ["p1|9.0|1.0"]);
        // By its clock everything of that time has settled long ago.
        let ahead = &all.gateway.inner.clock_offset_ms;
        ahead.store(600_000, std::sync::atomic::Ordering::Relaxed);
        adopt(&all.edge, &all.gateway);
        assert_eq!(follow(&all.edge, &all.gateway).started_over, 1);
        assert_eq!(rows(&all.edge, LIMITS).await, ["p1|9.0|1.0"]);
        all.down();
        assert_eq!(rows(&all.edge, LIMITS).await, ["p1|9.0|1.0"]);
        all.close().await;
    });
}

/// What a node signs now of another one's chain of live rows, or why it does not.
fn signed(of: &Db, by: &Db) -> Result<Option<Receipt>> {
    let (node, _, epoch) = of.sync_hosts().outbox.unwrap().identity();
    by.sync_hosts().inbox.attest(node, epoch)
}

#[test]
fn a_gateway_signs_for_what_its_cloud_has_signed_for() {
    runtime().block_on(async {
        let all = Levels::new();
        let (low, high) = (Secret::new(1), Secret::new(2));
        all.edge.check_receipts_with(low.clone());
        all.gateway.sign_receipts_with(low);
        all.gateway.check_receipts_with(high.clone());
        all.cloud.sign_receipts_with(high);
        let bring = || {
            let receipt = signed(&all.gateway, &all.cloud).unwrap().unwrap();
            all.gateway.sync_hosts().replica.receipt(&receipt).unwrap();
            sealed(&all.gateway);
        };
        run(&all.edge, PLANT).await;
        assert!(signed(&all.edge, &all.gateway).unwrap().is_none());
        for day in 1..4 {
            run(
                &all.edge,
                &format!("{INSERT} ('a', '2026-01-{day:02}', {day})"),
            )
            .await;
            ship(&all.edge, &all.gateway);
            let waits = signed(&all.edge, &all.gateway);
            match day {
                1 => assert_eq!(waits.unwrap_err().kind(), ErrorKind::Overloaded),
                // Of what is covered, and no more.
                _ => assert_eq!(waits.unwrap().unwrap().statement.seq, day - 1),
            }
            ship(&all.gateway, &all.cloud);
            bring();
            let receipt = signed(&all.edge, &all.gateway).unwrap().unwrap();
            assert_eq!((receipt.statement.seq, receipt.statement.rows), (day, day));
            assert_eq!(receipt.statement.cloud, all.gateway.node_id());
            assert!(all.edge.sync_hosts().replica.receipt(&receipt).unwrap());
        }
        all.close().await;
    });
}

#[test]
fn alarms_stay_alarms_and_a_full_outbox_holds_edges_up() {
    runtime().block_on(async {
        let dirs = [folder(), folder(), folder()];
        let mut options = DbOptions::new(dirs[1].path(), Role::Gateway);
        options.seal_after = Duration::ZERO;
        options.outbox_bytes_max = Some(1);
        let all = Levels {
            edge: open(dirs[0].path(), Role::Edge),
            gateway: Db::open(options).unwrap(),
            cloud: open(dirs[2].path(), Role::Cloud),
            dirs,
        };
        let_in(&all.gateway, &all.cloud);
        run(&all.cloud, PLANT).await;
        run(&all.cloud, "CREATE TABLE plant.alarms (device TEXT, n BIGINT, PRIMARY KEY ((device), n)) WITH (sync_class = 'alarm')").await;
        all.down();
        run(&all.edge, "INSERT INTO plant.alarms VALUES ('a', 1)").await;
        ship(&all.edge, &all.gateway);
        sealed(&all.gateway);
        let chains = all.gateway.sync_hosts().outbox.unwrap().chains();
        let waits = |class| chains.iter().any(|chain| chain.class == class && chain.behind() > 0);
        assert!(waits(SyncClass::Alarm) && !waits(SyncClass::Live), "{chains:?}");
        run(&all.edge, &format!("{INSERT} ('a', '2026-01-01', 1)")).await;
        let segments = sealed(&all.edge);
        let (node, _, epoch) = all.edge.sync_hosts().outbox.unwrap().identity();
        let inbox = all.gateway.sync_hosts().inbox;
        let error = inbox.apply(node, epoch, &segments[0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
        ship(&all.gateway, &all.cloud);
        all.up();
        assert_eq!(rows(&all.cloud, READINGS).await, ["a|1.0"]);
        assert_eq!(rows(&all.cloud, "SELECT device, n FROM plant.alarms").await, ["a|1"]);
        all.close().await;
    });
}
