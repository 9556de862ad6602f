//! Rows from a cloud's stream to its edges: reference tables and shared tables reach every edge, once in
//! effect and without loops; who was away for too long fetches the tables; deletes do not come back.

use std::sync::Arc;

use super::shipping::{sealed, ship};
use super::*;
use activestore_sync_proto::{Follow, FollowAnswer, Inbox, Replica};
use activestore_types::ErrorKind;

/// How often a test looks whether the stream is sealed, 2 ms apart.
pub(super) const SEALED_POLLS_MAX: usize = 10_000;

pub(super) const REFERENCE: &str = "CREATE KEYSPACE ref WITH (sync = 'down');
    CREATE TABLE ref.limits (device TEXT PRIMARY KEY, high DOUBLE, low DOUBLE)";
pub(super) const SHARED: &str = "CREATE KEYSPACE shop WITH (sync = 'both');
    CREATE TABLE shop.prices (item TEXT, region TEXT, price DOUBLE, note TEXT,
      PRIMARY KEY ((item), region))";

/// What a round of following came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Trip {
    pub(super) started_over: u64,
    pub(super) pieces: u64,
    pub(super) segments: u64,
}

pub(super) fn hosts(edge: &Db, cloud: &Db) -> (Arc<dyn Replica>, Arc<dyn Inbox>) {
    (edge.sync_hosts().replica, cloud.sync_hosts().inbox)
}

/// The definitions' way down, with what they need.
pub(super) fn adopt(edge: &Db, cloud: &Db) {
    try_adopt(edge, cloud).unwrap();
}

/// As [`adopt`], where the edge may refuse.
pub(super) fn try_adopt(edge: &Db, cloud: &Db) -> Result<()> {
    let (replica, inbox) = hosts(edge, cloud);
    let (version, bundle) = inbox.catalog_bundle(edge.node_id()).unwrap();
    for sha256 in replica.missing_blobs(&bundle).unwrap() {
        let bytes = inbox.blob(sha256).unwrap().unwrap();
        replica.put_blob(sha256, bytes.to_vec()).unwrap();
    }
    if replica.catalog_version() != version {
        replica.adopt_catalog(version, &bundle)?;
    }
    Ok(())
}

pub(super) fn wait_for_stream(cloud: &Db) {
    for _ in 0..SEALED_POLLS_MAX {
        let down = cloud.sync_status().down;
        if down.is_none_or(|down| down.unsealed_records == 0) {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("the stream was not sealed in time");
}

pub(super) fn asks(edge: &Db) -> Follow {
    let position = edge.sync_hosts().replica.down_position().unwrap();
    Follow {
        id: 1,
        epoch: position.epoch,
        seq: position.progress.seq,
        hash: position.progress.hash,
        fetching: position.cursor.is_some(),
    }
}

/// Fetches one piece, twice; whether there are more.
fn fetch(edge: &Db, cloud: &Db) -> bool {
    let (replica, inbox) = hosts(edge, cloud);
    let position = replica.down_position().unwrap();
    let from = position.cursor.unwrap();
    let (payload, next) = inbox.down_rows(&from).unwrap();
    replica
        .apply_rows(position.epoch, &from, &payload, next.as_deref())
        .unwrap();
    let again = replica.apply_rows(position.epoch, &from, &payload, next.as_deref());
    assert!(
        again.is_err() || next.as_ref() == Some(&from),
        "a piece was taken twice"
    );
    next.is_some()
}

/// Everything that is sealed, every segment twice.
pub(super) fn follow(edge: &Db, cloud: &Db) -> Trip {
    wait_for_stream(cloud);
    let (replica, inbox) = hosts(edge, cloud);
    let node = edge.node_id();
    let mut trip = Trip::default();
    loop {
        let question = asks(edge);
        match inbox.follow(node, &question).unwrap() {
            FollowAnswer::Nothing => return trip,
            FollowAnswer::StartOver(start) => {
                replica.start_over(&start).unwrap();
                trip.started_over += 1;
            }
            FollowAnswer::Fits { .. } if question.fetching => {
                trip.pieces += 1;
                while fetch(edge, cloud) {
                    trip.pieces += 1;
                }
            }
            FollowAnswer::Fits { last_sealed } => {
                for seq in question.seq + 1..=last_sealed {
                    let segment = inbox.down_segment(question.epoch, seq).unwrap().unwrap();
                    assert!(segment.verify(cloud.node_id(), question.epoch));
                    for _ in 0..2 {
                        replica
                            .apply_down(cloud.node_id(), question.epoch, &segment)
                            .unwrap();
                    }
                    inbox.down_acknowledged(node, question.epoch, seq).unwrap();
                    trip.segments += 1;
                }
                return trip;
            }
        }
    }
}

pub(super) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// An edge and a cloud in folders of their own.
pub(super) fn ends() -> ([tempfile::TempDir; 2], Db, Db) {
    let dirs = [folder(), folder()];
    let (edge, cloud) = (
        open(dirs[0].path(), Role::Edge),
        open(dirs[1].path(), Role::Cloud),
    );
    (dirs, edge, cloud)
}

pub(super) async fn close(nodes: &[&Db]) {
    for node in nodes {
        node.shutdown().await.unwrap();
    }
}

pub(super) const LIMITS: &str = "SELECT device, high, low FROM ref.limits ORDER BY device";
const PRICES: &str = "SELECT item, region, price, note FROM shop.prices ORDER BY item, region";

#[test]
fn a_reference_table_reaches_every_edge_and_is_the_clouds_alone() {
    runtime().block_on(async {
        let (a, b, c) = (folder(), folder(), folder());
        let cloud = open(c.path(), Role::Cloud);
        let edge = open(a.path(), Role::Edge);
        assert_eq!(cloud.sync_status().down.map(|down| down.seq), None);
        run(&cloud, REFERENCE).await;
        run(
            &cloud,
            "INSERT INTO ref.limits (device, high, low) VALUES ('p1', 9, 1), ('p2', 8, 2)",
        )
        .await;
        adopt(&edge, &cloud);
        let first = follow(&edge, &cloud);
        assert_eq!(first.started_over, 1);
        assert_eq!(rows(&edge, LIMITS).await, ["p1|9.0|1.0", "p2|8.0|2.0"]);
        // A change of one cell, a delete of a row and one of a range.
        run(
            &cloud,
            "UPDATE ref.limits SET high = 10 WHERE device = 'p1'",
        )
        .await;
        run(&cloud, "DELETE FROM ref.limits WHERE high = 8").await;
        let second = follow(&edge, &cloud);
        assert_eq!((second.started_over, second.pieces), (0, 0));
        assert!(second.segments > 0);
        assert_eq!(rows(&edge, LIMITS).await, ["p1|10.0|1.0"]);
        for refused in [
            "INSERT INTO ref.limits (device, high) VALUES ('p1', 0)",
            "UPDATE ref.limits SET high = 0 WHERE device = 'p1'",
            "DELETE FROM ref.limits WHERE device = 'p1'",
        ] {
            let error = fails(&edge, refused).await;
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            assert!(error.to_string().contains("sync = 'down'"), "{error}");
        }
        // Another edge starts over; restarts of both ends change nothing.
        let other = open(b.path(), Role::Edge);
        adopt(&other, &cloud);
        assert_eq!(follow(&other, &cloud).started_over, 1);
        assert_eq!(rows(&other, LIMITS).await, ["p1|10.0|1.0"]);
        close(&[&edge, &cloud]).await;
        drop((edge, cloud));
        let (edge, cloud) = (open(a.path(), Role::Edge), open(c.path(), Role::Cloud));
        assert_eq!(follow(&edge, &cloud), Trip::default());
        run(
            &cloud,
            "INSERT INTO ref.limits (device, high, low) VALUES ('p3', 7, 3)",
        )
        .await;
        assert_eq!(follow(&edge, &cloud).segments, 1);
        assert_eq!(rows(&edge, LIMITS).await, ["p1|10.0|1.0", "p3|7.0|3.0"]);
        let peers = rows(
            &cloud,
            "SELECT down_behind FROM system.sync_peers ORDER BY down_behind",
        )
        .await;
        assert_eq!(peers, ["0", "1"]);
        // An edge ships none of what came from above.
        assert!(sealed(&edge).is_empty());
        close(&[&edge, &other, &cloud]).await;
    });
}

#[test]
fn a_shared_table_is_the_same_everywhere_and_nothing_goes_round_in_circles() {
    runtime().block_on(async {
        let (a, b, c) = (folder(), folder(), folder());
        let cloud = open(c.path(), Role::Cloud);
        let (one, two) = (open(a.path(), Role::Edge), open(b.path(), Role::Edge));
        run(&cloud, SHARED).await;
        adopt(&one, &cloud);
        adopt(&two, &cloud);
        follow(&one, &cloud);
        follow(&two, &cloud);
        run(&cloud, "INSERT INTO shop.prices (item, region, price) VALUES ('tea', 'north', 1)").await;
        run(&one, "INSERT INTO shop.prices (item, region, price) VALUES ('tea', 'south', 2), ('nut', 'north', 3)").await;
        run(&two, "INSERT INTO shop.prices (item, region, note) VALUES ('tea', 'south', 'fresh'), ('oil', 'north', 'old')").await;
        run(&one, "DELETE FROM shop.prices WHERE item = 'nut'").await;
        let round = || {
            for edge in [&one, &two] {
                ship(edge, &cloud);
            }
            let trips = [&one, &two].map(|edge| follow(edge, &cloud));
            trips.iter().map(|trip| trip.segments).sum::<u64>()
        };
        assert!(round() > 0);
        let all = ["oil|north||old", "tea|north|1.0|", "tea|south|2.0|fresh"];
        for node in [&cloud, &one, &two] {
            assert_eq!(rows(node, PRICES).await, all);
        }
        let shipped = |edge: &Db| edge.sync_hosts().outbox.unwrap().position().last_sealed;
        let before = (shipped(&one), shipped(&two), cloud.sync_status().down.unwrap().seq);
        for _ in 0..3 {
            assert_eq!(round(), 0, "rows go round in circles");
        }
        let after = (shipped(&one), shipped(&two), cloud.sync_status().down.unwrap().seq);
        assert_eq!(before, after);
        // The last write wins, wherever it is made.
        run(&two, "UPDATE shop.prices SET price = 5 WHERE item = 'tea' AND region = 'north'").await;
        round();
        let here = cloud.digests(None).await.unwrap();
        for node in [&one, &two] {
            assert_eq!(node.digests(None).await.unwrap(), here);
            assert_eq!(rows(node, "SELECT price FROM shop.prices WHERE item = 'tea' AND region = 'north'").await, ["5.0"]);
        }
        close(&[&one, &two, &cloud]).await;
    });
}

#[test]
fn what_was_deleted_while_an_edge_was_away_is_deleted_there() {
    runtime().block_on(async {
        let (_dirs, edge, cloud) = ends();
        run(&cloud, SHARED).await;
        run(&cloud, "INSERT INTO shop.prices (item, region, price) VALUES ('tea', 'north', 1), ('tea', 'south', 2), ('oil', 'north', 3), ('nut', 'north', 4)").await;
        adopt(&edge, &cloud);
        follow(&edge, &cloud);
        run(&edge, "INSERT INTO shop.prices (item, region, price) VALUES ('own', 'north', 9)").await;
        ship(&edge, &cloud);
        run(&cloud, "DELETE FROM shop.prices WHERE item = 'tea'").await;
        run(&cloud, "DELETE FROM shop.prices WHERE price = 3").await;
        run(&cloud, "DELETE FROM shop.prices WHERE price = 9").await;
        // Compaction, flushes, and a stream that keeps nothing of it.
        run(&cloud, "ALTER TABLE shop.prices COMPACT").await;
        let trip = follow(&edge, &cloud);
        assert_eq!(trip.started_over, 1);
        for node in [&cloud, &edge] {
            assert_eq!(rows(node, PRICES).await, ["nut|north|4.0|"]);
        }
        assert!(sealed(&edge).is_empty());
        close(&[&edge, &cloud]).await;
    });
}

#[test]
fn the_fetching_goes_on_where_it_stood_when_either_end_restarts() {
    runtime().block_on(async {
        let (a, c) = (folder(), folder());
        let cloud = open(c.path(), Role::Cloud);
        let edge = open(a.path(), Role::Edge);
        run(&cloud, SHARED).await;
        run(&cloud, REFERENCE).await;
        run(
            &cloud,
            "INSERT INTO shop.prices (item, region, price, note)
             SELECT 'i' || (value % 500) AS a, CAST(value AS TEXT) AS b, value AS c, CAST(random() AS TEXT) AS d
             FROM generate_series(1, 30000)",
        )
        .await;
        run(
            &cloud,
            "INSERT INTO ref.limits (device, high) VALUES ('p1', 1)",
        )
        .await;
        wait_for_stream(&cloud);
        adopt(&edge, &cloud);
        let (replica, inbox) = hosts(&edge, &cloud);
        let FollowAnswer::StartOver(start) = inbox.follow(edge.node_id(), &asks(&edge)).unwrap()
        else {
            panic!("a new edge can follow");
        };
        replica.start_over(&start).unwrap();
        assert!(fetch(&edge, &cloud) && fetch(&edge, &cloud));
        // Written while the tables are fetched: before the cursor and behind it.
        run(
            &cloud,
            "INSERT INTO shop.prices (item, region, price) VALUES ('a', 'x', 1), ('z', 'x', 2)",
        )
        .await;
        run(
            &cloud,
            "INSERT INTO ref.limits (device, high) VALUES ('p0', 2)",
        )
        .await;
        drop((replica, inbox));
        close(&[&edge, &cloud]).await;
        drop((edge, cloud));
        let (edge, cloud) = (open(a.path(), Role::Edge), open(c.path(), Role::Cloud));
        let cursor = edge.sync_hosts().replica.down_position().unwrap().cursor;
        assert!(cursor.is_some_and(|cursor| !cursor.is_empty()));
        let trip = follow(&edge, &cloud);
        assert_eq!(trip.started_over, 0);
        assert!(trip.pieces >= 2, "{trip:?}");
        assert_eq!(
            edge.digests(None).await.unwrap(),
            cloud.digests(None).await.unwrap()
        );
        assert_eq!(rows(&edge, LIMITS).await, ["p0|2.0|", "p1|1.0|"]);
        close(&[&edge, &cloud]).await;
    });
}

#[test]
fn rows_of_a_table_that_begins_to_travel_reach_the_edges() {
    runtime().block_on(async {
        let (_dirs, edge, cloud) = ends();
        run(&cloud, REFERENCE).await;
        run(
            &cloud,
            "CREATE KEYSPACE old; CREATE TABLE old.t (k TEXT PRIMARY KEY, v BIGINT)",
        )
        .await;
        run(&cloud, "INSERT INTO old.t (k, v) VALUES ('a', 1)").await;
        adopt(&edge, &cloud);
        follow(&edge, &cloud);
        assert_eq!(rows(&edge, "SELECT count(*) FROM old.t").await, ["0"]);
        run(&cloud, "ALTER TABLE old.t SET (sync = 'both')").await;
        run(&cloud, "INSERT INTO old.t (k, v) VALUES ('b', 2)").await;
        adopt(&edge, &cloud);
        assert_eq!(follow(&edge, &cloud).started_over, 1);
        assert_eq!(
            rows(&edge, "SELECT k FROM old.t ORDER BY k").await,
            ["a", "b"]
        );
        // A table that is new needs nobody to start over.
        run(&cloud, "CREATE TABLE ref.more (k TEXT PRIMARY KEY)").await;
        run(&cloud, "INSERT INTO ref.more (k) VALUES ('x')").await;
        adopt(&edge, &cloud);
        assert_eq!(follow(&edge, &cloud).started_over, 0);
        assert_eq!(rows(&edge, "SELECT k FROM ref.more").await, ["x"]);
        close(&[&edge, &cloud]).await;
    });
}
