//! Rollouts over a cloud and edges in one process: the definitions' way down, what edges say of their plugins,
//! and a version that goes on or back by it.

use activestore_sync_proto::PeerStatus;
use activestore_types::{Epoch, ErrorKind, Labels};

use super::flowing_down::{adopt, hosts, try_adopt};
use super::processors::component;
use super::*;
use crate::{RolloutAct, RolloutPlan};

const WATCHED: &str =
    "CREATE PROCESSOR watch ON plant.readings USING PLUGIN 'hostile' WITH (on_error = 'keep')";
/// How often something is looked at, and how many times at the most.
const POLL: Duration = Duration::from_millis(5);
const POLLS_MAX: usize = 6000;

/// An edge and its end of the sync, played by hand.
struct Edge {
    _dir: tempfile::TempDir,
    db: Db,
}

impl Edge {
    /// A member with these labels, connected and in agreement with the cloud.
    fn joined(cloud: &Db, labels: &str) -> Edge {
        let dir = tempfile::tempdir().unwrap();
        let edge = Edge {
            db: open(dir.path(), Role::Edge),
            _dir: dir,
        };
        let labels: Labels = labels.parse().unwrap();
        cloud.sync_hosts().inbox.member(edge.db.node_id(), &labels);
        edge.sync(cloud);
        edge
    }

    /// Takes what it is to have now, and says how it is.
    fn sync(&self, cloud: &Db) {
        adopt(&self.db, cloud);
        self.tell(cloud, None);
    }

    fn tell(&self, cloud: &Db, refused: Option<(u64, String)>) {
        let (replica, inbox) = hosts(&self.db, cloud);
        inbox.health(self.db.node_id(), replica.health());
        inbox.peer_seen(PeerStatus {
            node: self.db.node_id(),
            name: "edge".to_owned(),
            epoch: Epoch(1),
            connected: true,
            transport: None,
            durable_seq: 0,
            last_sealed: 0,
            follows: true,
            lanes: Vec::new(),
            catalog_version: replica.catalog_version(),
            seen_wall_ms: 1,
            refused_definitions: refused,
            last_error: None,
        });
    }

    fn version(&self) -> String {
        let plugins = self.db.plugins();
        plugins[0].version.clone()
    }

    async fn write(&self, n: usize) {
        for n in 0..n {
            let sql = format!(
                "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-0{}', 1.0)",
                n + 1
            );
            // What becomes of a row whose processor fails is not what is asked here.
            let _written = self.db.sql(&sql, &[]).await;
        }
    }
}

async fn cloud(dir: &Path) -> Db {
    let cloud = open(dir, Role::Cloud);
    cloud
        .put_plugin("hostile", Some("1"), component("hostile"))
        .await
        .unwrap();
    run(&cloud, PLANT).await;
    run(&cloud, WATCHED).await;
    cloud
}

async fn roll_out(cloud: &Db, name: &str, plan: RolloutPlan) -> Result<crate::RolloutInfo> {
    let wasm = component(name);
    cloud
        .roll_out_plugin("hostile", Some("2"), None, wasm, plan)
        .await
}

fn plan(waves: &[&str], soak: &str) -> RolloutPlan {
    RolloutPlan::parse(waves.iter().copied(), Some(soak), Some("1%")).unwrap()
}

/// Waits until the rollout is in a state, at a wave; the edges say how they are all the while.
fn until(cloud: &Db, edges: &[&Edge], state: &str, wave: u32) -> crate::RolloutInfo {
    for _ in 0..POLLS_MAX {
        let info = cloud.rollouts().remove(0);
        if info.state == state && info.wave == wave {
            return info;
        }
        edges.iter().for_each(|edge| edge.tell(cloud, None));
        std::thread::sleep(POLL);
    }
    panic!("not {state} {wave} in time: {:?}", cloud.rollouts());
}

#[test]
fn a_version_reaches_the_canary_first_then_all_then_the_cloud() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let cloud = cloud(dir.path()).await;
        let canary = Edge::joined(&cloud, "ring=canary");
        let other = Edge::joined(&cloud, "");
        assert_eq!(
            (canary.version(), other.version()),
            ("1".into(), "1".into())
        );
        roll_out(&cloud, "units", plan(&["ring=canary", "all"], "0s"))
            .await
            .unwrap_err();
        let info = roll_out(&cloud, "hostile-later", plan(&["ring=canary", "all"], "0s"))
            .await
            .unwrap();
        assert_eq!((info.state.as_str(), info.wave), ("running", 1));
        // It waits for the canary, which has not said that it has it.
        other.sync(&cloud);
        assert_eq!(other.version(), "1");
        canary.sync(&cloud);
        assert_eq!(canary.version(), "2");
        until(&cloud, &[&canary, &other], "running", 2);
        assert_eq!(cloud.plugins()[0].version, "1");
        other.sync(&cloud);
        assert_eq!(other.version(), "2");
        let info = until(&cloud, &[&canary, &other], "done", 2);
        assert_eq!((info.edges, info.edges_with_new), (2, 2));
        assert_eq!(cloud.plugins()[0].version, "2");
        assert_eq!(
            rows(
                &cloud,
                "SELECT from_version, to_version, state, wave FROM system.rollouts"
            )
            .await,
            ["1|2|done|2"]
        );
        assert_eq!(
            rows(
                &cloud,
                "SELECT version, wanted_version, failures FROM system.edge_plugins"
            )
            .await,
            ["2|2|0", "2|2|0"]
        );
        let figure = |name: &str| {
            let figures = cloud.counters();
            figures.iter().find(|one| one.name == name).unwrap().value
        };
        // Counted right after it is done.
        let counted = (0..POLLS_MAX).any(|_| {
            std::thread::sleep(POLL);
            figure("activestore_rollouts_done_total") == 1.0
        });
        assert!(counted);
        assert_eq!(figure("activestore_rollout_waves_passed_total"), 2.0);
        assert_eq!(figure("activestore_edge_plugins_behind"), 0.0);
    });
}

#[test]
fn a_version_that_fails_is_taken_back_before_others_see_it() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let cloud = cloud(dir.path()).await;
        let canary = Edge::joined(&cloud, "ring=canary");
        let other = Edge::joined(&cloud, "ring=early");
        roll_out(
            &cloud,
            "hostile-later",
            plan(&["ring=canary", "ring=early", "all"], "1h"),
        )
        .await
        .unwrap();
        canary.sync(&cloud);
        canary.write(2).await;
        let info = until(&cloud, &[&canary], "stopped", 1);
        let reason = info.reason.unwrap();
        assert!(
            reason.contains("calls failed, more than the 1 % "),
            "{reason}"
        );
        other.sync(&cloud);
        canary.sync(&cloud);
        assert_eq!(
            (canary.version(), other.version()),
            ("1".into(), "1".into())
        );
        until(&cloud, &[&canary, &other], "rolled back", 1);
        // The old one works as before.
        run(
            &canary.db,
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('b', '2026-01-01', 1.0)",
        )
        .await;
        assert_eq!(cloud.plugins()[0].version, "1");
        // And the next try may begin.
        roll_out(&cloud, "hostile-later", plan(&["all"], "1h"))
            .await
            .unwrap();
    });
}

#[test]
fn an_edge_keeps_what_works_and_its_refusal_stops_the_rollout() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let cloud = cloud(dir.path()).await;
        let canary = Edge::joined(&cloud, "ring=canary");
        roll_out(&cloud, "hostile-later", plan(&["ring=canary", "all"], "0s"))
            .await
            .unwrap();
        // The component is not whole there.
        let (replica, inbox) = hosts(&canary.db, &cloud);
        let (version, bundle) = inbox.catalog_bundle(canary.db.node_id()).unwrap();
        assert_eq!(replica.missing_blobs(&bundle).unwrap().len(), 1);
        let error = replica.adopt_catalog(version, &bundle).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(
            error
                .message()
                .contains("processor 'watch' would stop working"),
            "{error}"
        );
        assert_eq!(canary.version(), "1");
        run(
            &canary.db,
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('b', '2026-01-01', 1.0)",
        )
        .await;
        canary.tell(&cloud, Some((version, error.to_string())));
        let info = until(&cloud, &[], "rolled back", 1);
        assert!(info.reason.unwrap().contains("edge 'edge' refused it"));
        try_adopt(&canary.db, &cloud).unwrap();
        assert_eq!(canary.version(), "1");
    });
}

#[test]
fn a_rollout_is_held_and_taken_back_by_hand_and_outlives_the_cloud() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let cloud = cloud(dir.path()).await;
        let canary = Edge::joined(&cloud, "ring=canary");
        roll_out(&cloud, "hostile-later", plan(&["ring=canary", "all"], "1h"))
            .await
            .unwrap();
        for (change, words) in [
            (
                cloud
                    .put_plugin("hostile", Some("3"), component("units"))
                    .await
                    .err(),
                "is being rolled out",
            ),
            (
                cloud.roll_back_plugin("hostile", None).await.err(),
                "no such earlier version",
            ),
            (cloud.remove_plugin("hostile").await.err(), "is used by"),
        ] {
            let error = change.unwrap();
            assert!(error.message().contains(words), "{error}");
        }
        let paused = cloud
            .act_on_rollout("hostile", RolloutAct::Pause)
            .await
            .unwrap();
        assert_eq!(paused.state, "paused");
        let twice = cloud
            .act_on_rollout("hostile", RolloutAct::Pause)
            .await
            .unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::Conflict);
        canary.sync(&cloud);
        cloud.shutdown().await.unwrap();
        drop(cloud);
        let cloud = open(dir.path(), Role::Cloud);
        assert_eq!(cloud.rollouts()[0].state, "paused");
        cloud
            .act_on_rollout("hostile", RolloutAct::Resume)
            .await
            .unwrap();
        // Nobody is connected: it waits, and says so.
        let waits = (0..POLLS_MAX).any(|_| {
            std::thread::sleep(POLL);
            cloud.rollouts()[0].waiting.is_some()
        });
        assert!(waits, "it does not say that it waits");
        let labels: Labels = "ring=canary".parse().unwrap();
        cloud
            .sync_hosts()
            .inbox
            .member(canary.db.node_id(), &labels);
        canary.sync(&cloud);
        assert_eq!(canary.version(), "2");
        let stopped = cloud
            .act_on_rollout("hostile", RolloutAct::Abort)
            .await
            .unwrap();
        assert_eq!(stopped.reason.as_deref(), Some("it was aborted by hand"));
        canary.sync(&cloud);
        assert_eq!(canary.version(), "1");
        until(&cloud, &[&canary], "rolled back", 1);
        let nobody = cloud
            .act_on_rollout("nobody", RolloutAct::Pause)
            .await
            .unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::NotFound);
        let edge = roll_out(&canary.db, "hostile-later", plan(&["all"], "0s"))
            .await
            .unwrap_err();
        assert!(edge.message().contains("no edges"), "{edge}");
    });
}
