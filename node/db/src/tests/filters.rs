//! What leaves an edge and what stays: conditions, columns, filters; and that nothing leaves unfiltered.

use activestore_types::ErrorKind;

use super::processors::component;
use super::shipping::ship;
use super::*;

const TRIPS: &str = "CREATE KEYSPACE fleet WITH (sync = 'up');
    CREATE TABLE fleet.trips (car TEXT, ts TIMESTAMP, speed DOUBLE, driver TEXT, notes TEXT,
      PRIMARY KEY ((car), ts))";

async fn pair(dirs: &[tempfile::TempDir; 2]) -> (Db, Db) {
    let (edge, cloud) = (
        open(dirs[0].path(), Role::Edge),
        open(dirs[1].path(), Role::Cloud),
    );
    run(&edge, TRIPS).await;
    run(&cloud, TRIPS).await;
    (edge, cloud)
}

fn dirs() -> [tempfile::TempDir; 2] {
    std::array::from_fn(|_| tempfile::tempdir().unwrap())
}

async fn read(db: &Db) -> Vec<String> {
    rows(
        db,
        "SELECT car, CAST(ts AS DATE) AS day, speed, driver, notes FROM fleet.trips ORDER BY car, ts",
    )
    .await
}

/// Rows seen, rows and cells held back.
async fn held(db: &Db) -> String {
    rows(
        db,
        "SELECT rows_seen, rows_held_back, cells_held_back FROM system.shared_tables",
    )
    .await
    .remove(0)
}

#[test]
fn rows_that_fulfil_a_condition_leave_with_the_columns_that_may() {
    runtime().block_on(async {
        let dirs = dirs();
        let (edge, cloud) = pair(&dirs).await;
        run(&edge, "ALTER TABLE fleet.trips SET (sync_where = 'speed > 50', sync_columns = 'speed, driver')").await;
        run(&edge, "INSERT INTO fleet.trips VALUES ('a', '2026-01-01', 80, 'jane', 'late'), ('a', '2026-01-02', 20, 'joe', 'slow'),
            ('b', '2026-01-01', NULL, 'jim', 'no signal')").await;
        ship(&edge, &cloud);
        assert_eq!(read(&cloud).await, ["a|2026-01-01|80.0|jane|"]);
        assert_eq!(read(&edge).await.len(), 3);
        // A write that does not name the speed is judged by the row's.
        run(&edge, "UPDATE fleet.trips SET driver = 'ann' WHERE car = 'a'").await;
        ship(&edge, &cloud);
        assert_eq!(read(&cloud).await, ["a|2026-01-01|80.0|ann|"]);
        assert_eq!(held(&edge).await, "5|3|1");
        // Deletes always travel, of rows and of ranges.
        run(&edge, "INSERT INTO fleet.trips (car, ts, speed) VALUES ('c', '2026-01-01', 99)").await;
        ship(&edge, &cloud);
        run(&edge, "DELETE FROM fleet.trips WHERE driver = 'ann'; DELETE FROM fleet.trips WHERE car = 'c'").await;
        ship(&edge, &cloud);
        assert!(read(&cloud).await.is_empty());
        // Such a table is not compared.
        assert!(edge.digests(Some(edge.node_id())).await.unwrap().is_empty());
        assert_eq!(edge.filtered_tables()[0].1, "sync_where");
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_filter_changes_what_leaves_and_nothing_here() {
    runtime().block_on(async {
        let dirs = dirs();
        let (edge, cloud) = pair(&dirs).await;
        for name in ["redact-filter", "downsample-filter"] {
            edge.put_plugin(name, Some("1"), component(name)).await.unwrap();
        }
        run(&edge, "CREATE FILTER pseudonyms USING PLUGIN 'redact-filter' WITH (mask = 'driver', keep = '1', withhold = 'notes');
            ALTER TABLE fleet.trips SET (sync_filter = 'pseudonyms')").await;
        run(&edge, "INSERT INTO fleet.trips VALUES ('a', '2026-01-01', 80, 'jane', 'late')").await;
        run(&edge, "INSERT INTO fleet.trips (car, ts, speed) VALUES ('a', '2026-01-01', 81)").await;
        ship(&edge, &cloud);
        // The second write did not name the driver, so it does not change there what the first one said.
        assert_eq!(read(&cloud).await, ["a|2026-01-01|81.0|***e|"]);
        assert_eq!(read(&edge).await, ["a|2026-01-01|81.0|jane|late"]);
        assert_eq!(edge.filtered_tables()[0].1, "filter 'pseudonyms'");
        for (sql, kind, words) in [
            ("DROP FILTER pseudonyms", ErrorKind::Conflict, "is used by table 'fleet.trips'"),
            ("CREATE OR REPLACE FILTER pseudonyms USING PLUGIN 'redact-filter' WITH (mask = 'car')", ErrorKind::Invalid, "primary key"),
            ("CREATE FILTER f USING PLUGIN 'nobody'", ErrorKind::NotFound, "no plugin"),
            ("CREATE FILTER f USING PLUGIN 'redact-filter' WITH (nonsense = '1')", ErrorKind::Invalid, "nonsense"),
            ("CREATE FILTER f USING PLUGIN 'redact-filter' WITH (mask = 'driver', keep = 'some')", ErrorKind::Invalid, "keep"),
            ("ALTER FILTER nobody SET (keep = '2')", ErrorKind::NotFound, "no filter 'nobody'"),
            ("ALTER FILTER pseudonyms SET (nonsense = '1')", ErrorKind::Invalid, "nonsense"),
            ("ALTER FILTER pseudonyms SET (mask = 'car')", ErrorKind::Invalid, "primary key"),
            ("ALTER FILTER pseudonyms RESET (salt)", ErrorKind::NotFound, "is not set"),
            ("ALTER TABLE fleet.trips SET (sync_filter = 'nobody')", ErrorKind::NotFound, "no filter 'nobody'"),
            ("ALTER TABLE fleet.trips SET (sync_columns = 'nobody')", ErrorKind::NotFound, "no column 'nobody'"),
            ("ALTER TABLE fleet.trips SET (sync_where = 'speed')", ErrorKind::Invalid, "no predicate"),
            ("ALTER TABLE fleet.trips SET (sync_where = 'random() > 0.5')", ErrorKind::Invalid, "another time"),
            ("ALTER TABLE fleet.trips SET (sync_where = 'speed > 1; DROP TABLE x')", ErrorKind::Invalid, "goes on"),
            ("ALTER TABLE fleet.trips SET (sync_where = 'nobody > 1')", ErrorKind::NotFound, "nobody"),
            ("ALTER TABLE fleet.trips SET (sync = 'none')", ErrorKind::Invalid, "nothing of it leaves"),
        ] {
            let error = fails(&edge, sql).await;
            assert_eq!(error.kind(), kind, "{sql}: {error}");
            assert!(error.message().contains(words), "{sql}: {error}");
        }
        // Columns that no table has yet are no reason to refuse a filter.
        run(&edge, "CREATE FILTER later USING PLUGIN 'redact-filter' WITH (mask = 'plate', round = 'lat'); DROP FILTER later").await;
        run(&edge, "ALTER FILTER pseudonyms SET (keep = '2') RESET (withhold)").await;
        run(&edge, "INSERT INTO fleet.trips VALUES ('a', '2026-01-01', 81, 'jane', 'late')").await;
        ship(&edge, &cloud);
        assert_eq!(read(&cloud).await, ["a|2026-01-01|81.0|**ne|late"]);
        run(&edge, "CREATE FILTER days USING PLUGIN 'downsample-filter' WITH (bucket = '1d', figure = 'max');
            ALTER TABLE fleet.trips SET (sync_filter = 'days')").await;
        run(&edge, "INSERT INTO fleet.trips (car, ts, speed) VALUES ('b', '2026-01-01 08:00:00', 90), ('b', '2026-01-01 09:00:00', 10),
            ('b', '2026-01-02', 5)").await;
        ship(&edge, &cloud);
        assert_eq!(
            rows(&cloud, "SELECT CAST(ts AS TEXT) AS at, speed FROM fleet.trips WHERE car = 'b' ORDER BY ts").await,
            ["2026-01-01T09:00:00|90.0", "2026-01-02T00:00:00|5.0"]
        );
        assert_eq!(rows(&edge, "SHOW FILTERS").await.len(), 2);
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn nothing_leaves_while_a_condition_cannot_be_computed() {
    runtime().block_on(async {
        let dirs = dirs();
        let (edge, cloud) = pair(&dirs).await;
        run(
            &edge,
            "CREATE TABLE fleet.cars (car TEXT PRIMARY KEY, wheels BIGINT)",
        )
        .await;
        run(
            &edge,
            "ALTER TABLE fleet.cars SET (sync_where = '12 / wheels < 4')",
        )
        .await;
        run(&edge, "INSERT INTO fleet.cars VALUES ('a', 4), ('b', 0)").await;
        run(
            &edge,
            "INSERT INTO fleet.trips (car, ts, speed) VALUES ('a', '2026-01-01', 80)",
        )
        .await;
        let mut blocked = None;
        for _ in 0..2000 {
            blocked = edge.sync_status().blocked;
            if blocked.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let blocked = blocked.unwrap();
        assert!(
            blocked.contains("nothing of table fleet.cars can leave"),
            "{blocked}"
        );
        assert_eq!(edge.sync_status().last_sealed, 0);
        let told = rows(&edge, "SELECT blocked, error FROM system.shared_tables").await;
        assert!(told[0].starts_with("true|"), "{told:?}");
        // Once it can be computed, what waited leaves.
        run(
            &edge,
            "ALTER TABLE fleet.cars SET (sync_where = 'wheels > 3')",
        )
        .await;
        ship(&edge, &cloud);
        assert_eq!(rows(&cloud, "SELECT car FROM fleet.cars").await, ["a"]);
        assert_eq!(read(&cloud).await.len(), 1);
        assert!(edge.sync_status().blocked.is_none());
        edge.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}
