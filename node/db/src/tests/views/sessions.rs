//! Views of sessions: a row may lengthen one, begin it earlier or join two, and without it one falls into two.

use super::reference::figure;
use super::*;

pub(super) const VISITS: &str =
    "SELECT device, session(ts, '30 seconds') AS s, count(*) AS n, sum(v) AS total, max(ts) AS last
    FROM plant.t GROUP BY device, s";
pub(super) const HELD: &str = "SELECT s, n, total FROM plant.visits WHERE device = 'a' ORDER BY s";

pub(super) async fn insert(db: &Db, ts: &str, v: i64) {
    run(
        db,
        &format!("INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01T{ts}', {v})"),
    )
    .await;
}

#[test]
fn sessions_grow_begin_earlier_meet_and_part() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('b', '2025-12-31T23:59:59', 1), ('b', '2026-01-01T00:00:29', 1)").await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.visits AS {VISITS}")).await;
        let looks = async |wanted: &[&str]| {
            agrees(&db, "plant.visits", VISITS).await;
            assert_eq!(rows(&db, HELD).await, wanted);
        };
        // Rows that are a gap apart are in two.
        assert_eq!(
            { agrees(&db, "plant.visits", VISITS).await; rows(&db, "SELECT n FROM plant.visits WHERE device = 'b'").await },
            ["1", "1"]
        );
        for (ts, v) in [("00:01:00", 1), ("00:01:20", 2), ("00:02:00", 4)] {
            insert(&db, ts, v).await;
        }
        looks(&["2026-01-01T00:01:00|2|3", "2026-01-01T00:02:00|1|4"]).await;
        // Longer, and earlier.
        insert(&db, "00:02:29", 8).await;
        insert(&db, "00:00:31", 16).await;
        looks(&["2026-01-01T00:00:31|3|19", "2026-01-01T00:02:00|2|12"]).await;
        // One of two, and two of one.
        insert(&db, "00:01:45", 32).await;
        looks(&["2026-01-01T00:00:31|6|63"]).await;
        run(&db, "DELETE FROM plant.t WHERE device = 'a' AND ts = '2026-01-01T00:01:20'").await;
        looks(&["2026-01-01T00:00:31|2|17", "2026-01-01T00:01:45|3|44"]).await;
        run(&db, "DELETE FROM plant.t WHERE device = 'a' AND ts = '2026-01-01T00:00:31'").await;
        looks(&["2026-01-01T00:01:00|1|1", "2026-01-01T00:01:45|3|44"]).await;
        run(&db, "DELETE FROM plant.t WHERE device = 'a' AND ts >= '2026-01-01T00:01:50' AND ts < '2026-01-01T00:02:10'").await;
        looks(&["2026-01-01T00:01:00|1|1", "2026-01-01T00:01:45|1|32", "2026-01-01T00:02:29|1|8"]).await;
        run(&db, "UPDATE plant.t SET v = 64 WHERE device = 'a' AND ts = '2026-01-01T00:02:29'").await;
        looks(&["2026-01-01T00:01:00|1|1", "2026-01-01T00:01:45|1|32", "2026-01-01T00:02:29|1|64"]).await;
        run(&db, "DELETE FROM plant.t WHERE device = 'a'").await;
        looks(&[]).await;
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_session_that_lasts_long_is_followed_over_pages_and_its_neighbours_are_left() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        // One device sends all day, and two hundred come and go.
        run(&db, "INSERT INTO plant.t (device, ts, v) SELECT 'a', to_timestamp_nanos(i * 20000000000), i FROM generate_series(1, 4000) AS s(i)").await;
        run(&db, "INSERT INTO plant.t (device, ts, v) SELECT concat('d', i % 200), to_timestamp_nanos(i * 20000000000), i FROM generate_series(1, 4000) AS s(i)").await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.visits AS {VISITS}")).await;
        agrees(&db, "plant.visits", VISITS).await;
        assert_eq!(rows(&db, HELD).await, ["1970-01-01T00:00:20|4000|8002000"]);
        let looked_at = || {
            let of = |name: &str| figure(&db, name, "plant.visits");
            (
                of("activestore_view_recomputed_rows_total"),
                of("activestore_view_written_rows_total"),
                of("activestore_view_read_rows_total"),
            )
        };
        let before = looked_at();
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('d7', to_timestamp_nanos(40000000000000), 1)").await;
        run(&db, "DELETE FROM plant.t WHERE device = 'a' AND ts >= to_timestamp_nanos(40000000000000) AND ts < to_timestamp_nanos(40100000000000)").await;
        agrees(&db, "plant.visits", VISITS).await;
        assert_eq!(rows(&db, "SELECT n FROM plant.visits WHERE device = 'a' ORDER BY s").await, ["1999", "1996"]);
        let after = looked_at();
        assert!(after.0 - before.0 < 100.0 && after.1 - before.1 < 10.0, "{before:?} {after:?}");
        // The long one is read to be found and to be computed, and of the others what is near to a change.
        assert!(after.2 - before.2 < 9_500.0, "{before:?} {after:?}");
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_region_reads_a_session_that_never_pauses_a_few_times_however_many_steps_it_takes() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (_world, db) = opened(dir.path());
        run(&db, BASE).await;
        run(&db, "INSERT INTO plant.t (device, ts, v) SELECT 'a', to_timestamp_nanos(i * 20000000000), i FROM generate_series(1, 6000) AS s(i)").await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.visits AS {VISITS}")).await;
        agrees(&db, "plant.visits", VISITS).await;
        assert_eq!(rows(&db, "SELECT n FROM plant.visits").await, ["6000"]);
        // A step looks for what begins in it, twice; the first finds the session's end and computes it.
        let read = || figure(&db, "activestore_view_read_rows_total", "plant.visits");
        assert!(read() < 6.0 * 6_000.0, "{}", read());
        let before = read();
        run(&db, "DELETE FROM plant.t WHERE device = 'b'; DELETE FROM plant.t WHERE device = 'a' AND ts > to_timestamp_nanos(119990000000000)").await;
        agrees(&db, "plant.visits", VISITS).await;
        assert_eq!(rows(&db, "SELECT n FROM plant.visits").await, ["5999"]);
        assert!(read() - before < 4.0 * 6_000.0, "{before} {}", read());
        db.shutdown().await.unwrap();
    });
}

#[test]
fn as_many_groups_as_are_compared_at_once_may_each_have_sessions_on_both_sides() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        let lines = "SELECT line, session(ts, '30 seconds') AS s, count(*) AS n FROM plant.t GROUP BY line, s";
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.visits AS {lines}")).await;
        agrees(&db, "plant.visits", lines).await;
        // Of many groups: sessions that are a gap and a second apart, so that each touched stretch meets three.
        run(&db, "INSERT INTO plant.t (device, ts, line) SELECT concat('d', i), to_timestamp_nanos(29000000000 + (i % 3) * 31000000000), concat('l', i / 3) FROM generate_series(0, 5699) AS s(i)").await;
        agrees(&db, "plant.visits", lines).await;
        run(&db, "INSERT INTO plant.t (device, ts, line) SELECT concat('d', i), to_timestamp_nanos(60000000001), concat('l', i) FROM generate_series(0, 1899) AS s(i)").await;
        agrees(&db, "plant.visits", lines).await;
        // The same as a region.
        run(&db, "DROP MATERIALIZED VIEW plant.visits").await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.visits AS {lines}")).await;
        agrees(&db, "plant.visits", lines).await;
        db.shutdown().await.unwrap();
    });
}
