//! Sessions of a table that loses rows to their age: those that it lost a part of stay as they were, and no others.

use super::sessions::{HELD, VISITS, insert};
use super::*;

const REFRESH: &str = "REFRESH MATERIALIZED VIEW plant.visits";

/// A table that keeps its rows for ten minutes, and a view of it that keeps its own.
async fn kept_for_ten_minutes(dir: &Path, options: &str) -> (SimEnv, Db) {
    let (world, db) = opened(dir);
    run(&db, BASE).await;
    run(&db, "ALTER TABLE plant.t SET (ttl = '10 minutes')").await;
    let make =
        format!("CREATE MATERIALIZED VIEW plant.visits WITH (ttl = 'none'{options}) AS {VISITS}");
    run(&db, &make).await;
    run(&db, REFRESH).await;
    (world, db)
}

/// A row every twenty seconds, each when its time comes, from one moment up to another, in seconds.
async fn goes_on(world: &SimEnv, db: &Db, from: u64, to: u64) {
    for second in (from..to).step_by(20) {
        world.clock.set_ms(MIDNIGHT_MS + second * 1_000);
        let ts = format!("00:{:02}:{:02}", second / 60, second % 60);
        insert(db, &ts, 1).await;
        run(db, REFRESH).await;
    }
}

async fn late_rows(db: &Db) -> String {
    rows(db, "SELECT late_rows FROM system.views")
        .await
        .remove(0)
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
        world.clock.advance(Duration::from_secs(10));
        insert(&db, "00:10:20", 16).await;
        run(&db, refresh).await;
        world.clock.advance(Duration::from_secs(575));
        insert(&db, "00:10:45", 32).await;
        run(&db, refresh).await;
        assert_eq!(
            rows(&db, HELD).await,
            ["2026-01-01T00:00:00|2|3", "2026-01-01T00:10:00|3|56"]
        );
        // Who deletes all of a device deletes what the view holds of it.
        run(&db, "DELETE FROM plant.t WHERE device = 'a'").await;
        run(&db, refresh).await;
        assert!(rows(&db, HELD).await.is_empty());
        assert_eq!(rows(&db, "SELECT n FROM plant.visits").await, ["1"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_late_row_near_what_the_table_lost_takes_no_session_out_that_goes_on() {
    runtime().block_on(async {
        for (moment, early) in [(580, "23:59:35"), (565, "23:59:40")] {
            let dir = tempfile::tempdir().unwrap();
            let (world, db) = kept_for_ten_minutes(dir.path(), "").await;
            goes_on(&world, &db, 0, 580).await;
            let so_far = rows(&db, "SELECT n FROM plant.visits").await;
            assert_eq!(so_far, ["29"]);
            // Behind the moment since which the table has all, and less than a gap before it.
            world.clock.set_ms(MIDNIGHT_MS + moment * 1_000);
            run(
                &db,
                &format!(
                    "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2025-12-31T{early}', 1)"
                ),
            )
            .await;
            run(&db, REFRESH).await;
            assert_eq!(late_rows(&db).await, "1");
            world.clock.set_ms(MIDNIGHT_MS + 580_000);
            insert(&db, "00:09:40", 1).await;
            run(&db, REFRESH).await;
            let held = rows(&db, "SELECT n, last FROM plant.visits").await;
            let counted = if moment == 580 { 30 } else { 31 };
            assert_eq!(held, [format!("{counted}|2026-01-01T00:09:40")], "{moment}");
            db.shutdown().await.unwrap();
        }
    });
}

#[test]
fn a_late_row_near_what_the_table_lost_goes_into_its_table() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let options =
            ", late = 'table', late_table = 'plant.t_late', allowed_lateness = '9 minutes'";
        let (world, db) = kept_for_ten_minutes(dir.path(), options).await;
        goes_on(&world, &db, 0, 560).await;
        world.clock.set_ms(MIDNIGHT_MS + 570_000);
        for (device, ts) in [("a", "23:59:40"), ("b", "23:59:45")] {
            run(
                &db,
                &format!(
                    "INSERT INTO plant.t (device, ts, v) VALUES ('{device}', '2025-12-31T{ts}', 1)"
                ),
            )
            .await;
        }
        insert(&db, "00:09:20", 1).await;
        run(&db, REFRESH).await;
        assert_eq!(
            rows(&db, "SELECT device, ts FROM plant.t_late ORDER BY device").await,
            ["a|2025-12-31T23:59:40", "b|2025-12-31T23:59:45"]
        );
        assert_eq!(rows(&db, HELD).await, ["2026-01-01T00:00:00|29|29"]);
        assert_eq!(rows(&db, "SELECT device FROM plant.visits").await, ["a"]);
        assert_eq!(late_rows(&db).await, "2");
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_delete_of_one_row_leaves_a_session_that_goes_on_and_that_nobody_can_compute() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (world, db) = kept_for_ten_minutes(dir.path(), "").await;
        run(
            &db,
            "INSERT INTO plant.t (device, ts, v) VALUES ('b', '2026-01-01T00:00:00', 1)",
        )
        .await;
        goes_on(&world, &db, 0, 600).await;
        world.clock.set_ms(MIDNIGHT_MS + 650_000);
        // It goes on, which nobody can add to it.
        insert(&db, "00:10:05", 1).await;
        run(&db, REFRESH).await;
        assert_eq!(rows(&db, HELD).await, ["2026-01-01T00:00:00|30|30"]);
        assert_eq!(late_rows(&db).await, "1");
        for ts in ["00:00:20", "00:00:00"] {
            run(
                &db,
                &format!("DELETE FROM plant.t WHERE device = 'a' AND ts = '2026-01-01T{ts}'"),
            )
            .await;
            run(&db, REFRESH).await;
            assert_eq!(rows(&db, HELD).await, ["2026-01-01T00:00:00|30|30"], "{ts}");
        }
        run(
            &db,
            "DELETE FROM plant.t WHERE device = 'a' AND ts < '2026-01-01T00:00:30'",
        )
        .await;
        run(&db, REFRESH).await;
        assert_eq!(rows(&db, HELD).await, ["2026-01-01T00:00:00|30|30"]);
        // Nothing is left of this one.
        run(
            &db,
            "DELETE FROM plant.t WHERE device = 'b' AND ts = '2026-01-01T00:00:00'",
        )
        .await;
        run(&db, REFRESH).await;
        assert_eq!(rows(&db, "SELECT device FROM plant.visits").await, ["a"]);
        run(&db, "DELETE FROM plant.t WHERE device = 'a'").await;
        run(&db, REFRESH).await;
        assert!(rows(&db, "SELECT * FROM plant.visits").await.is_empty());
        db.shutdown().await.unwrap();
    });
}

#[test]
fn deletes_of_neighbours_leave_what_lies_between_them() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (world, db) = kept_for_ten_minutes(dir.path(), ", refresh = '1 minute'").await;
        for ts in ["00:00:00", "00:00:35", "00:01:10"] {
            insert(&db, ts, 1).await;
        }
        run(&db, REFRESH).await;
        world.clock.advance(Duration::from_secs(900));
        run(&db, "DELETE FROM plant.t WHERE device = 'a' AND ts < '2026-01-01T00:00:10'; DELETE FROM plant.t WHERE device = 'a' AND ts >= '2026-01-01T00:00:38'").await;
        run(&db, REFRESH).await;
        assert_eq!(rows(&db, HELD).await, ["2026-01-01T00:00:35|1|1"]);
        db.shutdown().await.unwrap();
    });
}
