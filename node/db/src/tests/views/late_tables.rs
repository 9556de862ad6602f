//! Tables for late rows: which ones are taken, what may become of them, and what becomes of rows that they do not take.

use activestore_store::WriteSet;

use super::late::{LATE, STRICT, agrees_without, insert};
use super::*;

const COLUMNS: &str = "device TEXT, ts TIMESTAMP, v BIGINT, line TEXT";
const KEY: &str = "PRIMARY KEY ((device), ts)";

async fn made(db: &Db, options: &str) {
    run(db, BASE).await;
    run(
        db,
        &format!("CREATE MATERIALIZED VIEW plant.v WITH ({options}) AS {STRICT}"),
    )
    .await;
    for (ts, v) in [("00:00:00", 1), ("00:01:30", 2), ("00:03:00", 4)] {
        insert(db, ts, v).await;
        run(db, "REFRESH MATERIALIZED VIEW plant.v").await;
    }
}

#[test]
fn what_is_in_the_table_is_left_out_whenever_it_comes_and_goes() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        made(&db, LATE).await;
        let held = "SELECT total FROM plant.v ORDER BY w";
        // A late write to a row that came in time: with it the row leaves the view.
        insert(&db, "00:00:00", 8).await;
        agrees_without(&db).await;
        assert_eq!(rows(&db, held).await, ["2", "4"]);
        // Whoever takes it out of the table, as a row or with others, gives it to the view, and whoever puts one there
        // takes it away.
        run(&db, "DELETE FROM plant.t_late WHERE device = 'a' AND ts = '2020-01-01T00:00:00'").await;
        agrees_without(&db).await;
        assert_eq!(rows(&db, held).await, ["8", "2", "4"]);
        run(&db, "INSERT INTO plant.t_late (device, ts) VALUES ('a', '2020-01-01T00:01:30'), ('a', '2020-01-01T00:00:00')").await;
        agrees_without(&db).await;
        assert_eq!(rows(&db, held).await, ["4"]);
        run(&db, "DELETE FROM plant.t_late WHERE device = 'a' AND ts < '2020-01-01T00:01:00'").await;
        agrees_without(&db).await;
        assert_eq!(rows(&db, held).await, ["8", "4"]);
        run(&db, "DELETE FROM plant.t_late").await;
        agrees_without(&db).await;
        assert_eq!(rows(&db, held).await, ["8", "2", "4"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn late_rows_that_cannot_be_written_hold_no_other_view_and_are_counted_in_at_last() {
    runtime().block_on(async {
        let (dir, cloud_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut options = DbOptions::new(dir.path(), Role::Edge);
        options.seal_after = Duration::ZERO;
        options.outbox_bytes_max = Some(1);
        let db = Db::open(options).unwrap();
        let cloud = open(cloud_dir.path(), Role::Cloud);
        run(&db, "CREATE KEYSPACE plant; CREATE KEYSPACE out WITH (sync = 'up'); CREATE TABLE out.sent (n BIGINT PRIMARY KEY)").await;
        run(&db, &format!("CREATE TABLE plant.t ({COLUMNS}, {KEY}); CREATE TABLE out.late ({COLUMNS}, {KEY})")).await;
        let strict = "late = 'table', late_table = 'out.late', allowed_lateness = '1 minute'";
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v WITH ({strict}) AS {STRICT}; CREATE MATERIALIZED VIEW plant.other AS {STRICT}")).await;
        for (ts, v) in [("00:00:00", 1), ("00:01:30", 2), ("00:03:00", 4)] {
            insert(&db, ts, v).await;
            run(&db, "REFRESH MATERIALIZED VIEW plant.v").await;
        }
        // The outbox is full.
        run(&db, "INSERT INTO out.sent (n) VALUES (1)").await;
        super::super::shipping::sealed(&db);
        insert(&db, "00:00:10", 8).await;
        let error = fails(&db, "REFRESH MATERIALIZED VIEW plant.v").await;
        assert!(error.to_string().contains("sync.outbox_bytes"), "{error}");
        agrees(&db, "plant.other", STRICT).await;
        // More than is remembered.
        run(&db, "INSERT INTO plant.t (device, ts, line) SELECT 'b', to_timestamp_nanos(1577836800000000000 + i), repeat('x', 1000000) FROM generate_series(1, 9) AS s(i)").await;
        let others = tokio::time::timeout(Duration::from_secs(300), agrees(&db, "plant.other", STRICT));
        others.await.expect("the other view goes on");
        let mut view = Vec::new();
        until(async || {
            let refreshed = db.sql("REFRESH MATERIALIZED VIEW plant.v", &[]).await;
            view = rows(&db, "SELECT count(*), sum(n), sum(total) FROM plant.v").await;
            refreshed.is_ok()
        })
        .await;
        assert_eq!(view, ["4|13|15"]);
        assert_eq!(rows(&db, "SELECT late_rows_lost, late_error LIKE '10 late rows%sync.outbox_bytes%', last_error FROM system.views WHERE name = 'v'").await, ["10|true|"]);
        assert_eq!(rows(&db, "SELECT count(*) FROM system.sync_events WHERE kind = 'late_rows_lost'").await, ["1"]);
        assert!(rows(&db, "SELECT * FROM out.late").await.is_empty());
        // And it takes late rows again.
        super::super::shipping::ship(&db, &cloud);
        insert(&db, "00:00:20", 16).await;
        run(&db, "REFRESH MATERIALIZED VIEW plant.v").await;
        assert_eq!(rows(&db, "SELECT v FROM out.late").await, ["16"]);
        assert_eq!(rows(&db, "SELECT sum(n), sum(total) FROM plant.v").await, ["13|15"]);
        db.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn late_rows_travel_one_way() {
    runtime().block_on(async {
        for (role, syncs) in [
            (Role::Edge, ["up", "none", "up", "none"]),
            (Role::Gateway, ["up", "none", "up", "none"]),
            (Role::Cloud, ["down", "down", "up", "none"]),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let db = open(dir.path(), role);
            run(&db, "CREATE KEYSPACE plant").await;
            for (keyspace, sync) in ["both", "down", "up", "none"].iter().zip(syncs) {
                run(&db, &format!("CREATE KEYSPACE k_{keyspace} WITH (sync = '{keyspace}')")).await;
                run(&db, &format!("CREATE TABLE k_{keyspace}.t ({COLUMNS}, {KEY})")).await;
                let query = STRICT.replace("plant.t", &format!("k_{keyspace}.t"));
                run(&db, &format!("CREATE MATERIALIZED VIEW plant.{keyspace} WITH (late = 'table', late_table = 'k_{keyspace}.late') AS {query}")).await;
                let told = format!("SELECT sync FROM system.tables WHERE keyspace = 'k_{keyspace}' AND name = 'late'");
                assert_eq!(rows(&db, &told).await, [sync], "{role:?} {keyspace}");
            }
            // They go no further than the rows that came in time, whatever goes from their keyspace.
            run(&db, &format!("CREATE TABLE k_up.kept ({COLUMNS}, {KEY}) WITH (sync = 'none'); CREATE TABLE k_up.some ({COLUMNS}, {KEY}) WITH (sync_where = 'v > 5')")).await;
            for base in ["kept", "some"] {
                let query = STRICT.replace("plant.t", &format!("k_up.{base}"));
                run(&db, &format!("CREATE MATERIALIZED VIEW plant.v_{base} WITH (late = 'table', late_table = 'k_up.{base}_late') AS {query}")).await;
                let told = format!("SELECT sync FROM system.tables WHERE keyspace = 'k_up' AND name = '{base}_late'");
                assert_eq!(rows(&db, &told).await, ["none"], "{role:?} {base}");
            }
            db.shutdown().await.unwrap();
        }
    });
}

#[test]
fn what_a_table_of_late_rows_could_not_go_on_with_is_refused() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        made(&db, LATE).await;
        let takes = |table: &str| format!("CREATE MATERIALIZED VIEW plant.w WITH (late = 'table', late_table = '{table}') AS {STRICT}");
        for (name, options) in [("from_above", "sync = 'down'"), ("brief", "ttl = '1 h'"), ("kept", "keep_local = '1 h'")] {
            run(&db, &format!("CREATE TABLE plant.{name} ({COLUMNS}, {KEY}) WITH ({options})")).await;
        }
        let over = STRICT.replace("plant.t", "plant.t_late");
        // Late rows of each would be late rows of the other.
        let round = told(&db, &format!("CREATE MATERIALIZED VIEW plant.w WITH (late = 'table', late_table = 'plant.t') AS {over}")).await;
        assert!(round.contains("come back"), "{round}");
        run(&db, "ALTER TABLE plant.t_late ADD COLUMN seen BOOLEAN").await;
        for (sql, says) in [
            (takes("plant.from_above"), "cannot come down"),
            (takes("plant.brief"), "less time than plant.t"),
            (takes("plant.kept"), "less time than plant.t"),
            ("ALTER TABLE plant.t_late SET (sync = 'down')".to_owned(), "plant.v: late rows are made here"),
            ("ALTER TABLE plant.t_late SET (ttl = '1 d')".to_owned(), "less time than plant.t"),
            ("ALTER TABLE plant.t_late SET (keep_local = '1 d')".to_owned(), "less time than plant.t"),
            ("ALTER TABLE plant.t ADD COLUMN seen DOUBLE".to_owned(), "column 'seen' is BOOLEAN there and DOUBLE here"),
        ] {
            let told = told(&db, &sql).await;
            assert!(told.contains(says), "{sql}: {told}");
        }
        // A column that both have is no matter, and one that the base has and late rows did not bring yet is kept free.
        run(&db, "ALTER TABLE plant.t ADD COLUMN seen BOOLEAN; ALTER TABLE plant.t ADD COLUMN more BIGINT").await;
        let other = told(&db, "ALTER TABLE plant.t_late ADD COLUMN more TEXT").await;
        assert!(other.contains("column 'more' is TEXT there and BIGINT here"), "{other}");
        run(&db, "INSERT INTO plant.t (device, ts, seen, more) VALUES ('b', '2020-01-01', true, 3)").await;
        agrees_without(&db).await;
        assert_eq!(rows(&db, "SELECT device, seen, more FROM plant.t_late").await, ["b|true|3"]);
        // Both as long kept, one after the other.
        run(&db, "ALTER TABLE plant.t SET (ttl = '2 d'); ALTER TABLE plant.t_late SET (ttl = '2 d')").await;
        let told = told(&db, "ALTER TABLE plant.t SET (ttl = '3 d')").await;
        assert!(told.contains("plant.t_late keeps its rows for less time"), "{told}");
        // Late rows can be counted as any others.
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.w WITH (late = 'table', late_table = 'plant.later') AS {over}")).await;
        db.shutdown().await.unwrap();
    });
}

#[test]
fn late_rows_keep_a_life_of_their_own() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (world, db) = opened(dir.path());
        run(&db, BASE).await;
        run(&db, "ALTER TABLE plant.t SET (ttl = '1 h')").await;
        run(&db, &format!("CREATE TABLE plant.t_late ({COLUMNS}, {KEY}) WITH (ttl = '2 h')")).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v WITH (late = 'table', late_table = 'plant.t_late', allowed_lateness = '1 minute') AS {STRICT}")).await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 1)").await;
        run(&db, "REFRESH MATERIALIZED VIEW plant.v").await;
        world.clock.advance(Duration::from_secs(600));
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01T00:10:00', 1)").await;
        run(&db, "REFRESH MATERIALIZED VIEW plant.v").await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('b', '2026-01-01', 1)").await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('c', '2026-01-01', 1) USING TTL 60").await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('d', '2026-01-01', 1) USING TTL 14400").await;
        run(&db, "REFRESH MATERIALIZED VIEW plant.v").await;
        let late = "SELECT device FROM plant.t_late ORDER BY device";
        assert_eq!(rows(&db, late).await, ["b", "c", "d"]);
        for (seconds, left) in [(61, &["b", "d"][..]), (3_600, &["b", "d"]), (3_600, &["d"]), (7_200, &[])] {
            world.clock.advance(Duration::from_secs(seconds));
            assert_eq!(rows(&db, late).await, left, "{seconds}");
        }
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_place_in_another_log_says_nothing_of_late_rows() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Cloud);
        made(&db, LATE).await;
        let id = db
            .inner
            .catalog
            .state()
            .table(&"plant.v".parse().unwrap())
            .unwrap()
            .id;
        db.shutdown().await.unwrap();
        drop(db);
        let mut options = DbOptions::new(dir.path(), Role::Cloud);
        options.evicts = false;
        let db = Db::open(options).unwrap();
        let far = db.inner.store.last_lsn().0 + 1_000_000;
        let regions: Vec<u8> = Vec::new();
        let minutes = 1_577_836_800_000_000_000_i64 + 180_000_000_000;
        let value = postcard::to_stdvec(&(2_u8, far, regions, minutes, 0_u64, far)).unwrap();
        let note = activestore_store::Note {
            key: format!("view/{}", id.0).into_bytes(),
            value: Some(value),
        };
        db.inner
            .store
            .commit(WriteSet {
                notes: vec![note],
                ..WriteSet::default()
            })
            .unwrap();
        db.shutdown().await.unwrap();
        drop(db);
        let db = open(dir.path(), Role::Cloud);
        run(&db, "REFRESH MATERIALIZED VIEW plant.v").await;
        insert(&db, "00:00:10", 8).await;
        agrees_without(&db).await;
        assert_eq!(rows(&db, "SELECT v FROM plant.t_late").await, ["8"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn who_names_a_table_for_late_rows_may_change_read_and_write_it() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, &format!("CREATE TABLE plant.late ({COLUMNS}, {KEY}); CREATE KEYSPACE other")).await;
        run(&db, "CREATE ROLE admin WITH LOGIN SUPERUSER PASSWORD 'open sesame'; CREATE ROLE maker WITH LOGIN; GRANT CREATE ON KEYSPACE plant TO maker; GRANT SELECT ON plant.t TO maker").await;
        let maker = super::super::auth::role(&db, "maker");
        let takes = |table: &str| format!("CREATE MATERIALIZED VIEW plant.v WITH (late = 'table', late_table = '{table}') AS {STRICT}");
        for missing in ["ALTER", "SELECT", "INSERT"] {
            let error = fails(&maker, &takes("plant.late")).await;
            assert!(error.to_string().contains(missing), "{error}");
            run(&db, &format!("GRANT {missing} ON plant.late TO maker")).await;
        }
        run(&maker, &takes("plant.late")).await;
        run(&db, "DROP MATERIALIZED VIEW plant.v").await;
        let error = fails(&maker, &takes("other.late")).await;
        assert!(error.to_string().contains("CREATE"), "{error}");
        assert!(!db.inner.catalog.state().tables.contains_key(&"other.late".parse().unwrap()));
        run(&db, "GRANT CREATE ON KEYSPACE other TO maker").await;
        run(&maker, &takes("other.late")).await;
        db.shutdown().await.unwrap();
    });
}
