//! Materialized views: they hold what their query says of their table, whatever is written, and nobody else writes them.

mod age;
mod aged;
mod ailing;
mod crashes;
mod edges;
mod hunts;
mod late;
mod late_tables;
mod model;
mod names;
mod reference;
mod refused;
mod sessions;
mod sessions_aged;
mod sessions_lost;

use activestore_env::SimEnv;

use super::flowing_down::adopt;
use super::reach::eventually;
use super::shipping::ship_sealed;
use super::*;

const BASE: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE TABLE plant.t (device TEXT, ts TIMESTAMP, v BIGINT, line TEXT, PRIMARY KEY ((device), ts))";
/// What most views here keep.
const QUERY: &str =
    "SELECT device, tumble(ts, '1 minute') AS w, count(*) AS n, sum(v) AS total, max(v) AS high
    FROM plant.t GROUP BY device, w";

/// When the clocks of these tests begin: with the year 2026.
const MIDNIGHT_MS: u64 = 1_767_225_600_000;

/// A database and the world that it lives in, whose clock goes on where it is told to.
fn opened(dir: &Path) -> (SimEnv, Db) {
    let world = SimEnv::seeded(7);
    world.clock.set_ms(MIDNIGHT_MS);
    let db = Db::open_in(DbOptions::new(dir, Role::Edge), world.env()).unwrap();
    (world, db)
}

/// A view of the query, and whether it holds what the query says, once it was brought up to date.
async fn agrees(db: &Db, view: &str, query: &str) {
    run(db, &format!("REFRESH MATERIALIZED VIEW {view}")).await;
    let mut held = rows(db, &format!("SELECT * FROM {view}")).await;
    let mut said = rows(db, query).await;
    held.sort();
    said.sort();
    assert_eq!(held, said, "{view}");
}

async fn told(db: &Db, sql: &str) -> String {
    let error = fails(db, sql).await;
    format!("{error} {}", error.hint().unwrap_or_default())
}

/// Ships everything, also what the thread of views notes meanwhile.
async fn seal_and_ship(edge: &Db, cloud: &Db) {
    let sealing = async {
        while edge.sync_status().unsealed_records > 0 {
            edge.seal().await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let sealed = tokio::time::timeout(Duration::from_secs(60), sealing).await;
    sealed.expect("sealed in time");
    // It may have noted something since.
    ship_sealed(edge, cloud);
}

#[test]
fn a_view_holds_what_its_query_says_whatever_is_written() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(
            &db,
            "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01T00:00:10', 1), ('a', '2026-01-01T00:00:50', 2),
               ('b', '2026-01-01T00:03:00', 4), ('b', '1970-01-01', 8)",
        )
        .await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v AS {QUERY}")).await;
        agrees(&db, "plant.v", QUERY).await;
        assert_eq!(rows(&db, "SELECT n, total FROM plant.v WHERE device = 'a'").await, ["2|3"]);
        for sql in [
            "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01T00:00:20', 16), ('c', '2030-01-01', 32)",
            "UPDATE plant.t SET v = 64 WHERE device = 'a' AND ts = '2026-01-01T00:00:10'",
            "UPDATE plant.t SET v = NULL WHERE device = 'b' AND ts = '1970-01-01'",
            "DELETE FROM plant.t WHERE device = 'c' AND ts = '2030-01-01'",
            "DELETE FROM plant.t WHERE device = 'a' AND ts < '2026-01-01T00:00:30'",
            "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01T00:00:25', 128)",
            "DELETE FROM plant.t WHERE device = 'b'",
        ] {
            run(&db, sql).await;
            agrees(&db, "plant.v", QUERY).await;
        }
        assert_eq!(rows(&db, "SELECT device, n, total FROM plant.v").await, ["a|2|130"]);
        // A range of all keys, and columns that come to the table.
        run(&db, "ALTER TABLE plant.t ADD COLUMN extra DOUBLE").await;
        run(&db, "INSERT INTO plant.t (device, ts, v, extra) VALUES ('d', '2026-01-02', 1, 0.5)").await;
        agrees(&db, "plant.v", QUERY).await;
        run(&db, "DELETE FROM plant.t").await;
        agrees(&db, "plant.v", QUERY).await;
        assert!(rows(&db, "SELECT * FROM plant.v").await.is_empty());
        db.shutdown().await.unwrap();
    });
}

#[test]
fn windows_hop_and_follow_the_calendar_and_groups_may_be_of_any_column() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        let views = [
            ("plant.hops", "SELECT hop(ts, '1 minute', '150 seconds') AS w, device, sum(v) AS total, count(*) AS n FROM plant.t GROUP BY w, device"),
            ("plant.months", "SELECT time_bucket('1 month', ts, 'Europe/Berlin') AS m, count(*) AS n FROM plant.t GROUP BY m"),
            ("plant.lines", "SELECT line, tumble(ts, '1 minute') AS w, count(*) AS n FROM plant.t WHERE line IS NOT NULL GROUP BY line, w"),
            ("plant.busy", "SELECT device, tumble(ts, '1 minute') AS w, count(*) AS n FROM plant.t WHERE v > 0 GROUP BY device, w HAVING count(*) > 1"),
        ];
        for (name, query) in views {
            run(&db, &format!("CREATE MATERIALIZED VIEW {name} AS {query}")).await;
        }
        for sql in [
            "INSERT INTO plant.t (device, ts, v, line) VALUES ('a', '2026-01-31T22:59:59', 1, 'x'), ('a', '2026-01-31T23:00:00', 2, 'x'),
               ('b', '2026-01-31T23:00:01', 3, 'y'), ('a', '2026-01-31T23:00:02', 4, NULL)",
            // A row goes from group to group, and out of a condition.
            "UPDATE plant.t SET line = 'y' WHERE device = 'a' AND ts = '2026-01-31T23:00:00'",
            "UPDATE plant.t SET line = 'z', v = -1 WHERE device = 'a' AND ts = '2026-01-31T23:00:00'",
            "DELETE FROM plant.t WHERE device = 'b' AND ts >= '2026-01-31' AND ts < '2026-02-01'",
            "DELETE FROM plant.t WHERE device = 'a' AND ts = '2026-01-31T22:59:59'",
        ] {
            run(&db, sql).await;
            for (name, query) in views {
                agrees(&db, name, query).await;
            }
        }
        assert_eq!(rows(&db, "SELECT line, n FROM plant.lines").await, ["z|1"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn views_stand_on_views_and_go_in_their_order() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        let hours = "SELECT device, tumble(w, '1 hour') AS h, sum(n) AS n, max(high) AS high FROM plant.v GROUP BY device, h";
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v AS {QUERY}")).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.hours AS {hours}")).await;
        for minute in 0..130 {
            run(&db, &format!("INSERT INTO plant.t (device, ts, v) VALUES ('a', to_timestamp_nanos({minute} * 60000000000), {minute})")).await;
        }
        run(&db, "DELETE FROM plant.t WHERE device = 'a' AND ts < '1970-01-01T00:30:00'").await;
        agrees(&db, "plant.v", QUERY).await;
        agrees(&db, "plant.hours", hours).await;
        assert_eq!(rows(&db, "SELECT n FROM plant.hours ORDER BY h").await, ["30", "60", "10"]);
        for (sql, says) in [
            ("DROP TABLE plant.t", "DROP MATERIALIZED VIEW plant.v"),
            ("DROP MATERIALIZED VIEW plant.v", "DROP MATERIALIZED VIEW plant.hours"),
            ("DROP TABLE plant.hours", "is a materialized view and no table"),
            ("DROP MATERIALIZED VIEW plant.t", "is a table and no materialized view"),
            ("REFRESH MATERIALIZED VIEW plant.t", "is a table and no materialized view"),
            ("DROP MATERIALIZED VIEW plant.hour", "did you mean 'plant.hours'"),
            ("CREATE MATERIALIZED VIEW plant.v AS SELECT device, tumble(ts, '1 s') AS w FROM plant.t GROUP BY device, w", "exists already"),
        ] {
            let told = told(&db, sql).await;
            assert!(told.contains(says), "{sql}: {told}");
        }
        run(&db, "DROP MATERIALIZED VIEW IF EXISTS plant.nothing").await;
        run(&db, "DROP MATERIALIZED VIEW plant.hours; DROP MATERIALIZED VIEW plant.v; DROP TABLE plant.t").await;
        assert!(rows(&db, "SELECT * FROM system.views").await.is_empty());
        // Their places are forgotten a little later.
        until(async || db.inner.store.notes(b"view/").is_empty()).await;
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_view_is_refreshed_with_all_that_it_stands_on() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        for (view, base, time, start, width) in [("c", "t", "ts", "s", "second"), ("b", "c", "s", "m", "minute"), ("a", "b", "m", "h", "hour")] {
            let sum = if base == "t" { "v" } else { "total" };
            run(&db, &format!("CREATE MATERIALIZED VIEW plant.{view} WITH (refresh = '1 h') AS SELECT device, tumble({time}, '1 {width}') AS {start}, sum({sum}) AS total FROM plant.{base} GROUP BY device, {start}")).await;
        }
        for round in 1..=10 {
            run(&db, &format!("INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01T00:00:{round:02}', 1)")).await;
            run(&db, "REFRESH MATERIALIZED VIEW plant.a").await;
            assert_eq!(rows(&db, "SELECT total FROM plant.a").await, [round.to_string()]);
        }
        db.shutdown().await.unwrap();
    });
}

#[test]
fn rows_behind_the_watermark_are_counted_and_dropped_where_that_is_said() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.strict WITH (late = 'drop', allowed_lateness = '1 minute') AS {QUERY}")).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.open AS {QUERY}")).await;
        let refresh = "REFRESH MATERIALIZED VIEW plant.strict; REFRESH MATERIALIZED VIEW plant.open";
        run(&db, refresh).await;
        for (ts, v) in [("00:00:00", 1), ("00:01:30", 2), ("00:03:00", 4)] {
            run(&db, &format!("INSERT INTO plant.t (device, ts, v) VALUES ('a', '2020-01-01T{ts}', {v})")).await;
            run(&db, refresh).await;
        }
        // The watermark is at 00:02:00 now: the first window is closed, and so is the second.
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2020-01-01T00:00:30', 8), ('a', '2020-01-01T00:02:10', 16)").await;
        run(&db, refresh).await;
        assert_eq!(rows(&db, "SELECT total FROM plant.strict ORDER BY w").await, ["1", "2", "16", "4"]);
        agrees(&db, "plant.open", QUERY).await;
        let late = "SELECT name, late_rows, watermark FROM system.views ORDER BY name";
        assert_eq!(rows(&db, late).await, ["open|2|2020-01-01T00:03:00", "strict|1|2020-01-01T00:02:00"]);
        // A delete is never late, and tells nothing of how far time is.
        run(&db, "DELETE FROM plant.t WHERE device = 'a' AND ts = '2020-01-01T00:00:00'; DELETE FROM plant.t WHERE device = 'a' AND ts = '2020-01-01T00:09:00'").await;
        run(&db, refresh).await;
        assert_eq!(rows(&db, "SELECT total FROM plant.strict ORDER BY w").await, ["8", "2", "16", "4"]);
        assert_eq!(rows(&db, late).await, ["open|2|2020-01-01T00:03:00", "strict|1|2020-01-01T00:02:00"]);
        // A clock that is ahead closes nothing.
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('b', '2200-01-01', 1), ('b', '2020-01-01T00:02:20', 1)").await;
        run(&db, refresh).await;
        assert_eq!(rows(&db, "SELECT count(*) FROM plant.strict WHERE device = 'b'").await, ["2"]);
        // A range that is deleted is gone from closed windows as well.
        run(&db, "DELETE FROM plant.t WHERE device = 'a'").await;
        run(&db, refresh).await;
        assert!(rows(&db, "SELECT * FROM plant.strict WHERE device = 'a'").await.is_empty());
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_view_keeps_what_its_table_has_lost_to_its_age() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (world, db) = opened(dir.path());
        run(&db, BASE).await;
        run(&db, "ALTER TABLE plant.t SET (ttl = '1 h')").await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v WITH (ttl = 'none') AS {QUERY}")).await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01T00:00:00', 1), ('a', '2026-01-01T00:00:01', 2)").await;
        agrees(&db, "plant.v", QUERY).await;
        world.clock.advance(Duration::from_secs(2 * 3600));
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01T00:00:02', 4), ('a', '2026-01-01T01:59:00', 8)").await;
        run(&db, "REFRESH MATERIALIZED VIEW plant.v").await;
        assert_eq!(rows(&db, "SELECT n, total FROM plant.v ORDER BY w").await, ["2|3", "1|8"]);
        assert_eq!(rows(&db, "SELECT late_rows FROM system.views").await, ["1"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_view_that_fails_says_so_holds_no_other_and_comes_back() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        let broken = "SELECT device, tumble(ts, '1 minute') AS w, 100 / min(v) AS share FROM plant.t GROUP BY device, w";
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.broken AS {broken}")).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v AS {QUERY}")).await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 0), ('b', '2026-01-01', 4)").await;
        agrees(&db, "plant.v", QUERY).await;
        let error = fails(&db, "REFRESH MATERIALIZED VIEW plant.broken").await;
        assert!(error.to_string().contains("zero"), "{error}");
        let stands = rows(&db, "SELECT state, last_error IS NOT NULL FROM system.views ORDER BY name").await;
        assert_eq!(stands, ["failing|true", "current|false"]);
        run(&db, "UPDATE plant.t SET v = 50 WHERE device = 'a' AND ts = '2026-01-01'").await;
        agrees(&db, "plant.broken", broken).await;
        let figure = db.counters().into_iter().find(|one| {
            one.name == "activestore_view_failures_total" && one.labels[0].1 == "plant.broken"
        });
        assert!(figure.unwrap().value >= 1.0);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_view_at_the_cloud_holds_rows_that_came_by_sync_and_one_at_an_edge_travels() {
    runtime().block_on(async {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let cloud = open(dirs[0].path(), Role::Cloud);
        let edge = open(dirs[1].path(), Role::Edge);
        run(&cloud, BASE).await;
        run(&cloud, &format!("CREATE MATERIALIZED VIEW plant.v AS {QUERY}")).await;
        adopt(&edge, &cloud);
        assert!(fails(&edge, "SELECT * FROM plant.v").await.to_string().contains("plant.v"));
        let mine = "SELECT device, tumble(ts, '1 hour') AS h, count(*) AS n FROM plant.t GROUP BY device, h";
        run(&edge, &format!("CREATE MATERIALIZED VIEW plant.mine AS {mine}")).await;
        run(&edge, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 1), ('a', '2026-01-01T00:00:01', 2)").await;
        agrees(&edge, "plant.mine", mine).await;
        seal_and_ship(&edge, &cloud).await;
        agrees(&cloud, "plant.v", QUERY).await;
        assert_eq!(rows(&cloud, "SELECT n, total FROM plant.v").await, ["2|3"]);
        assert_eq!(rows(&cloud, "SELECT device, n FROM plant.mine").await, ["a|2"]);
        // What the edge deletes goes from both, and the cloud's definitions leave the edge's view alone.
        run(&edge, "DELETE FROM plant.t WHERE device = 'a' AND ts = '2026-01-01'").await;
        agrees(&edge, "plant.mine", mine).await;
        seal_and_ship(&edge, &cloud).await;
        agrees(&cloud, "plant.v", QUERY).await;
        assert_eq!(rows(&cloud, "SELECT n, total FROM plant.v").await, ["1|2"]);
        assert_eq!(rows(&cloud, "SELECT n FROM plant.mine").await, ["1"]);
        adopt(&edge, &cloud);
        agrees(&edge, "plant.mine", mine).await;
        cloud.shutdown().await.unwrap();
        edge.shutdown().await.unwrap();
    });
}

#[test]
fn a_view_whose_place_the_log_does_not_reach_is_computed_anew() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Cloud);
        run(&db, BASE).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v AS {QUERY}")).await;
        run(
            &db,
            "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 1)",
        )
        .await;
        agrees(&db, "plant.v", QUERY).await;
        db.shutdown().await.unwrap();
        drop(db);
        // A tool that keeps no views still holds the log for them.
        let mut options = DbOptions::new(dir.path(), Role::Cloud);
        options.evicts = false;
        let db = Db::open(options.clone()).unwrap();
        run(
            &db,
            "INSERT INTO plant.t (device, ts, v) VALUES ('b', '2026-01-02', 2)",
        )
        .await;
        let held = db.inner.store.first_log_lsn();
        // Somebody lets go of it all the same, and the log goes on in another segment.
        db.inner.hold.hold_for_views(None);
        run(&db, "DELETE FROM plant.t WHERE device = 'a'").await;
        run(
            &db,
            "INSERT INTO plant.t (device, ts, v) VALUES ('c', '2026-01-03', 4)",
        )
        .await;
        run(&db, "ALTER TABLE plant.t COMPACT").await;
        assert!(
            held < db.inner.store.first_log_lsn(),
            "the log is still there"
        );
        db.shutdown().await.unwrap();
        drop(db);
        let db = open(dir.path(), Role::Cloud);
        agrees(&db, "plant.v", QUERY).await;
        let rebuilds = db.counters().into_iter();
        let mut rebuilds = rebuilds.filter(|one| one.name == "activestore_view_rebuilds_total");
        assert!(rebuilds.next().unwrap().value >= 1.0);
        db.shutdown().await.unwrap();
    });
}
