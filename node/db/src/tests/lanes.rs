//! Rows of different classes: what is sealed when, what overtakes what, and both ends the same afterwards.

use activestore_sync_proto::{Outbox, OutboxChain};
use activestore_types::SyncClass;
use std::sync::Arc;

use super::shipping::{same, sealed, ship, ship_chain, waiting};
use super::*;

/// How often a test looks whether something is sealed, 2 ms apart.
const POLLS_MAX: usize = 10_000;

const TABLES: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, PRIMARY KEY ((device), ts));
    CREATE TABLE plant.alarms (device TEXT, ts TIMESTAMP, code BIGINT, PRIMARY KEY ((device), ts))
      WITH (sync_class = 'alarm')";

/// An edge whose live rows gather for longer than any test lasts.
fn slow(dir: &Path) -> Db {
    let mut options = DbOptions::new(dir, Role::Edge);
    options.seal_after = Duration::from_secs(3600);
    Db::open(options).unwrap()
}

/// Runs definitions and waits until rows are sealed by the classes that they declare: a row that is committed
/// before that may still go with the class of before.
async fn define(edge: &Db, sql: &str) {
    run(edge, sql).await;
    edge.seal().await.unwrap();
}

fn outbox(edge: &Db) -> Arc<dyn Outbox> {
    edge.sync_hosts().outbox.unwrap()
}

fn of_class(edge: &Db, class: SyncClass) -> Option<OutboxChain> {
    let chains = outbox(edge).chains();
    chains.into_iter().find(|chain| chain.class == class)
}

/// Waits until so many segments of a class wait.
fn until_waits(edge: &Db, class: SyncClass, segments: u64) {
    let waits = || of_class(edge, class).map_or(0, |chain| chain.behind()) >= segments;
    for _ in 0..POLLS_MAX {
        if waits() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("no {} segment was sealed in time", class.name());
}

fn rows_waiting(edge: &Db) -> u64 {
    let outbox = outbox(edge);
    let chains = outbox.chains();
    let segments = chains.iter().flat_map(|chain| waiting(&*outbox, chain));
    segments.map(|segment| segment.rows).sum()
}

async fn reading(edge: &Db, day: u32) {
    let sql = format!("INSERT INTO plant.readings VALUES ('a', '2026-01-{day:02}', {day})");
    run(edge, &sql).await;
}

async fn alarm(edge: &Db, day: u32) {
    let sql = format!("INSERT INTO plant.alarms VALUES ('a', '2026-01-{day:02}', {day})");
    run(edge, &sql).await;
}

#[test]
fn an_alarm_waits_for_no_live_row_and_is_sealed_once() {
    runtime().block_on(async {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = (slow(here.path()), open(there.path(), Role::Cloud));
        define(&edge, TABLES).await;
        reading(&edge, 1).await;
        alarm(&edge, 1).await;
        until_waits(&edge, SyncClass::Alarm, 1);
        reading(&edge, 2).await;
        alarm(&edge, 2).await;
        until_waits(&edge, SyncClass::Alarm, 2);
        assert_eq!(of_class(&edge, SyncClass::Live).unwrap().behind(), 0);
        // The alarms go first; the live rows are sealed when the cloud is there.
        ship_chain(&edge, &cloud, &of_class(&edge, SyncClass::Alarm).unwrap());
        assert_eq!(
            rows(&cloud, "SELECT count(*) FROM plant.alarms").await,
            ["2"]
        );
        assert_eq!(edge.sync_status().pending_rows, 0);
        outbox(&edge).connection(Some(3));
        sealed(&edge);
        assert_eq!(rows_waiting(&edge), 2);
        let live = edge
            .sync_status()
            .classes
            .into_iter()
            .find(|one| one.class == "live")
            .unwrap();
        assert_eq!((live.rows, live.segments), (2, 1));
        assert!(live.oldest_s.unwrap() >= 0.0);
        ship(&edge, &cloud);
        same(&edge, &cloud).await;
        assert_eq!(
            rows(&cloud, "SELECT sum(temp) FROM plant.readings").await,
            ["3.0"]
        );
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn live_rows_overtake_what_an_outage_held_up_and_deletes_stay_deletes() {
    runtime().block_on(async {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = (
            open(here.path(), Role::Edge),
            open(there.path(), Role::Cloud),
        );
        define(&edge, TABLES).await;
        for day in 1..=6 {
            reading(&edge, day).await;
            sealed(&edge);
        }
        let before = outbox(&edge).identity().2;
        outbox(&edge).connection(Some(3));
        let chains = outbox(&edge).chains();
        assert_ne!(chains[0].epoch, before);
        let backlog = of_class(&edge, SyncClass::Backlog).unwrap();
        assert_eq!((backlog.epoch, backlog.behind()), (before, 6));
        // What overtakes: a row, an erased range that covers rows of the backlog, and a new column.
        reading(&edge, 20).await;
        run(
            &edge,
            "DELETE FROM plant.readings WHERE device = 'a' AND ts < '2026-01-04'",
        )
        .await;
        run(&edge, "ALTER TABLE plant.readings ADD COLUMN note TEXT").await;
        run(
            &edge,
            "INSERT INTO plant.readings (device, ts, note) VALUES ('a', '2026-01-05', 'seen')",
        )
        .await;
        sealed(&edge);
        ship_chain(&edge, &cloud, &outbox(&edge).chains()[0]);
        let arrived = "SELECT temp, note FROM plant.readings ORDER BY ts";
        assert_eq!(rows(&cloud, arrived).await, ["|seen", "20.0|"]);
        ship(&edge, &cloud);
        assert_eq!(
            rows(&cloud, arrived).await,
            ["4.0|", "5.0|seen", "6.0|", "20.0|"]
        );
        assert_eq!(rows(&edge, arrived).await, rows(&cloud, arrived).await);
        same(&edge, &cloud).await;
        // A backlog that is done is gone; a short outage makes none.
        assert!(of_class(&edge, SyncClass::Backlog).is_none());
        reading(&edge, 21).await;
        sealed(&edge);
        outbox(&edge).connection(None);
        outbox(&edge).connection(Some(3));
        assert!(of_class(&edge, SyncClass::Backlog).is_none());
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_table_that_changes_its_class_loses_and_doubles_nothing() {
    runtime().block_on(async {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (edge, cloud) = (slow(here.path()), open(there.path(), Role::Cloud));
        define(&edge, TABLES).await;
        reading(&edge, 1).await;
        alarm(&edge, 1).await;
        until_waits(&edge, SyncClass::Alarm, 1);
        reading(&edge, 2).await;
        // Between the two passes: one table becomes live, the other an alarm.
        run(&edge, "ALTER TABLE plant.alarms SET (sync_class = 'live')").await;
        define(
            &edge,
            "ALTER TABLE plant.readings SET (sync_class = 'control')",
        )
        .await;
        alarm(&edge, 2).await;
        reading(&edge, 3).await;
        until_waits(&edge, SyncClass::Control, 1);
        // A cloud of before knows one chain: what is urgent goes with the live rows.
        outbox(&edge).connection(Some(2));
        edge.seal().await.unwrap();
        reading(&edge, 4).await;
        outbox(&edge).connection(Some(2));
        sealed(&edge);
        assert_eq!(rows_waiting(&edge), 6);
        assert_eq!(of_class(&edge, SyncClass::Control).unwrap().behind(), 1);
        assert!(of_class(&edge, SyncClass::Backlog).is_none());
        ship(&edge, &cloud);
        same(&edge, &cloud).await;
        assert_eq!(
            rows(&cloud, "SELECT sum(temp) FROM plant.readings").await,
            ["10.0"]
        );
        assert_eq!(
            rows(&cloud, "SELECT sum(code) FROM plant.alarms").await,
            ["3"]
        );
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_crash_between_the_two_passes_seals_nothing_twice() {
    runtime().block_on(async {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (file, kept) = (
            here.path().join("outbox.redb"),
            there.path().join("kept.redb"),
        );
        let edge = slow(here.path());
        define(&edge, TABLES).await;
        for day in 1..=3 {
            reading(&edge, day).await;
            alarm(&edge, day).await;
        }
        until_waits(&edge, SyncClass::Alarm, 1);
        let chain = of_class(&edge, SyncClass::Alarm).unwrap();
        let before = waiting(&*outbox(&edge), &chain);
        std::fs::copy(&file, &kept).unwrap();
        edge.shutdown().await.unwrap();
        drop(edge);
        std::fs::copy(&kept, &file).unwrap();
        let edge = open(here.path(), Role::Edge);
        sealed(&edge);
        assert_eq!(rows_waiting(&edge), 6);
        // What was handed out stays what it is.
        let chain = of_class(&edge, SyncClass::Alarm).unwrap();
        let after = waiting(&*outbox(&edge), &chain);
        assert_eq!(after[..before.len()], before[..]);
        let cloud = open(&there.path().join("data"), Role::Cloud);
        ship(&edge, &cloud);
        same(&edge, &cloud).await;
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn every_class_shows_in_tables_status_and_figures() {
    runtime().block_on(async {
        let here = tempfile::tempdir().unwrap();
        let edge = open(here.path(), Role::Edge);
        define(&edge, TABLES).await;
        let classes =
            "SELECT name, sync_class FROM system.tables WHERE keyspace = 'plant' ORDER BY name";
        assert_eq!(
            rows(&edge, classes).await,
            ["alarms|alarm", "readings|live"]
        );
        reading(&edge, 1).await;
        alarm(&edge, 1).await;
        sealed(&edge);
        let status = edge.sync_status();
        assert_eq!((status.pending_rows, status.classes.len()), (2, 4));
        let counters = edge.counters();
        let of = |class: &str| {
            let label = vec![("class", class.to_owned())];
            let mut all = counters.iter();
            let found =
                all.find(|one| one.name == "activestore_sync_class_rows" && one.labels == label);
            found.unwrap().value
        };
        assert_eq!((of("alarm"), of("live"), of("backlog")), (1.0, 1.0, 0.0));
        let refused = fails(&edge, "ALTER TABLE plant.alarms SET (sync_class = 'soon')").await;
        assert!(refused.to_string().contains("'alarm', 'control' or 'live'"));
        edge.shutdown().await.unwrap();
    });
}
