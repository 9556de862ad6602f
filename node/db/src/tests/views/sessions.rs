//! Views of sessions: a row may lengthen one, begin it earlier or join two, and without it one falls into two.

use super::*;

const VISITS: &str =
    "SELECT device, session(ts, '30 seconds') AS s, count(*) AS n, sum(v) AS total, max(ts) AS last
    FROM plant.t GROUP BY device, s";
const HELD: &str = "SELECT s, n, total FROM plant.visits WHERE device = 'a' ORDER BY s";

async fn insert(db: &Db, ts: &str, v: i64) {
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
        let looked_at = |db: &Db| {
            let all = db.counters();
            let of = |name: &str| all.iter().find(|one| one.name == name).unwrap().value;
            (of("activestore_view_recomputed_rows_total"), of("activestore_view_written_rows_total"))
        };
        let before = looked_at(&db);
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('d7', to_timestamp_nanos(40000000000000), 1)").await;
        run(&db, "DELETE FROM plant.t WHERE device = 'a' AND ts >= to_timestamp_nanos(40000000000000) AND ts < to_timestamp_nanos(40100000000000)").await;
        agrees(&db, "plant.visits", VISITS).await;
        assert_eq!(rows(&db, "SELECT n FROM plant.visits WHERE device = 'a' ORDER BY s").await, ["1999", "1996"]);
        let after = looked_at(&db);
        assert!(after.0 - before.0 < 100.0 && after.1 - before.1 < 10.0, "{before:?} {after:?}");
        db.shutdown().await.unwrap();
    });
}

#[test]
fn sessions_that_the_table_lost_a_part_of_stay_as_they_were() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let world = SimEnv::seeded(7);
        world.clock.set_ms(1_767_225_600_000);
        let db = Db::open_in(DbOptions::new(dir.path(), Role::Edge), world.env()).unwrap();
        run(&db, BASE).await;
        let make = format!("CREATE MATERIALIZED VIEW plant.visits WITH (ttl = 'none') AS {VISITS}");
        run(&db, "ALTER TABLE plant.t SET (ttl = '59 s')").await;
        let told = told(&db, &make).await;
        assert!(told.contains("for less than a window lasts"), "{told}");
        run(&db, "ALTER TABLE plant.t SET (ttl = '10 minutes')").await;
        run(&db, &make).await;
        // Of one that goes on for longer than the table keeps its rows, of one that is over, and of one that begins later.
        insert(&db, "00:00:00", 1).await;
        run(
            &db,
            "INSERT INTO plant.t (device, ts, v) VALUES ('b', '2026-01-01T00:00:00', 1)",
        )
        .await;
        world.clock.advance(Duration::from_secs(25));
        insert(&db, "00:00:25", 2).await;
        agrees(&db, "plant.visits", VISITS).await;
        world.clock.advance(Duration::from_secs(585));
        insert(&db, "00:00:45", 4).await;
        insert(&db, "00:10:00", 8).await;
        let refresh = "REFRESH MATERIALIZED VIEW plant.visits";
        run(&db, refresh).await;
        assert_eq!(
            rows(&db, HELD).await,
            ["2026-01-01T00:00:00|2|3", "2026-01-01T00:10:00|1|8"]
        );
        // Also where a range of another's rows makes all of it be looked at.
        run(&db, "DELETE FROM plant.t WHERE device = 'c'").await;
        run(&db, refresh).await;
        assert_eq!(
            rows(&db, HELD).await,
            ["2026-01-01T00:00:00|2|3", "2026-01-01T00:10:00|1|8"]
        );
        // One that is known goes on though the table no longer holds a gap before it.
        world.clock.advance(Duration::from_secs(590));
        insert(&db, "00:10:20", 16).await;
        run(&db, refresh).await;
        assert_eq!(
            rows(&db, HELD).await,
            ["2026-01-01T00:00:00|2|3", "2026-01-01T00:10:00|2|24"]
        );
        // Who deletes all of a device deletes what the view holds of it.
        run(&db, "DELETE FROM plant.t WHERE device = 'a'").await;
        run(&db, refresh).await;
        assert!(rows(&db, HELD).await.is_empty());
        assert_eq!(rows(&db, "SELECT n FROM plant.visits").await, ["1"]);
        db.shutdown().await.unwrap();
    });
}
