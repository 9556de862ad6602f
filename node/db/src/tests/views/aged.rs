//! What a view holds of windows that its table has lost to its age stays, whatever else is computed.

use super::*;

const TABLE: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE TABLE plant.i (device BIGINT, ts TIMESTAMP, v BIGINT, PRIMARY KEY ((device), ts)) WITH (ttl = '1 h')";
const BY_DEVICE: &str =
    "SELECT device, tumble(ts, '1 minute') AS w, sum(v) AS total FROM plant.i GROUP BY device, w";

#[test]
fn a_delete_touches_no_old_windows_but_those_it_names() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (world, db) = opened(dir.path());
        run(&db, TABLE).await;
        let views = [
            ("plant.devices", BY_DEVICE),
            ("plant.totals", "SELECT tumble(ts, '1 minute') AS w, sum(v) AS total FROM plant.i GROUP BY w"),
            ("plant.hops", "SELECT device, hop(ts, '10 minutes', '1 hour') AS w, sum(v) AS total FROM plant.i GROUP BY device, w"),
        ];
        for (name, query) in views {
            run(&db, &format!("CREATE MATERIALIZED VIEW {name} WITH (ttl = 'none') AS {query}")).await;
        }
        run(&db, "INSERT INTO plant.i (device, ts, v) VALUES (1, '2026-01-01', 1), (2, '2026-01-01', 2), (3, '2026-01-01', 4)").await;
        for (name, query) in views {
            agrees(&db, name, query).await;
        }
        world.clock.advance(Duration::from_secs(90 * 60));
        assert!(rows(&db, "SELECT * FROM plant.i").await.is_empty());
        // Windows that hop begin before the moment since which the table has all.
        run(&db, "INSERT INTO plant.i (device, ts, v) VALUES (3, '2026-01-01T00:35:00', 8)").await;
        let refresh = "REFRESH MATERIALIZED VIEW plant.devices; REFRESH MATERIALIZED VIEW plant.totals; REFRESH MATERIALIZED VIEW plant.hops";
        run(&db, refresh).await;
        let hops = "SELECT count(*), min(total), max(total), max(w) FROM plant.hops WHERE device = 3";
        assert_eq!(rows(&db, hops).await, ["7|4|8|2026-01-01T00:30:00"]);
        // A key whose end reads as the next key.
        run(&db, "DELETE FROM plant.i WHERE device = 1").await;
        run(&db, refresh).await;
        let devices = "SELECT device, total FROM plant.devices ORDER BY device, w";
        assert_eq!(rows(&db, devices).await, ["2|2", "3|4", "3|8"]);
        assert_eq!(rows(&db, "SELECT count(*) FROM plant.hops WHERE device = 2").await, ["6"]);
        // Nobody deleted all that was in the window of all devices.
        let totals = "SELECT total FROM plant.totals ORDER BY w";
        assert_eq!(rows(&db, totals).await, ["7", "8"]);
        // A row, and a stretch of time.
        run(&db, "DELETE FROM plant.i WHERE device = 2 AND ts = '2026-01-01'").await;
        run(&db, "DELETE FROM plant.i WHERE device = 3 AND ts < '2026-01-01T00:00:30'").await;
        run(&db, refresh).await;
        assert_eq!(rows(&db, devices).await, ["3|8"]);
        run(&db, "DELETE FROM plant.i").await;
        run(&db, refresh).await;
        for (name, _) in views {
            assert!(rows(&db, &format!("SELECT * FROM {name}")).await.is_empty(), "{name}");
        }
        db.shutdown().await.unwrap();
    });
}

#[test]
fn what_was_in_time_and_is_computed_too_late_changes_nothing() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (world, db) = opened(dir.path());
        run(&db, TABLE).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.devices WITH (ttl = 'none', refresh = '1 d') AS {BY_DEVICE}")).await;
        run(&db, "INSERT INTO plant.i (device, ts, v) VALUES (1, '2026-01-01', 1)").await;
        agrees(&db, "plant.devices", BY_DEVICE).await;
        world.clock.advance(Duration::from_secs(50 * 60));
        // What is left of the hurry of a refresh may compute a row at once, and no second one.
        let held = async || rows(&db, "SELECT total FROM plant.devices").await;
        let mut total = held().await;
        let mut waits = false;
        for second in 30..33 {
            run(&db, &format!("INSERT INTO plant.i (device, ts, v) VALUES (1, '2026-01-01T00:00:{second}', 4)")).await;
            let seen = async || {
                waits = db.inner.views.reports().iter().any(|view| view.dirty > 0);
                world.clock.advance(Duration::from_millis(10));
                waits || held().await != total
            };
            until(seen).await;
            if waits {
                break;
            }
            total = held().await;
        }
        assert!(waits, "it was computed at once, though it is a day till then");
        world.clock.advance(Duration::from_secs(30 * 60));
        run(&db, "REFRESH MATERIALIZED VIEW plant.devices").await;
        assert_eq!(held().await, total);
        assert_eq!(rows(&db, "SELECT late_rows FROM system.views").await, ["1"]);
        db.shutdown().await.unwrap();
    });
}
