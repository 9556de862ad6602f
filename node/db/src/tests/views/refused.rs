//! What is refused of views, and to whom, with a sentence that says what to do.

use activestore_types::ErrorKind;

use super::*;
use crate::tests::auth::role;

#[test]
fn nobody_but_its_query_writes_a_view() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, &format!("CREATE MATERIALIZED VIEW plant.v WITH (refresh = '10 ms') AS {QUERY}")).await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 1)").await;
        agrees(&db, "plant.v", QUERY).await;
        for sql in [
            "INSERT INTO plant.v (device, w, n) VALUES ('a', '2026-01-01', 7)",
            "INSERT INTO plant.v (device, w, n) VALUES ('a', '2027-01-01', 7) IF NOT EXISTS",
            // Also where it lacks a part of the key, or names what is not there.
            "INSERT INTO plant.v (device, n) VALUES ('a', 7)",
            "INSERT INTO plant.v (w, n) VALUES ('2026-01-01', 7) IF NOT EXISTS",
            "UPDATE plant.v SET n = 7 WHERE device = 'a'",
            "DELETE FROM plant.v",
            "DELETE FROM plant.v WHERE n = 1",
            "BEGIN BATCH INSERT INTO plant.v (device, w, n) VALUES ('a', '2026-01-01', 7); APPLY BATCH",
        ] {
            let told = told(&db, sql).await;
            assert!(told.contains("nobody but its query writes it") && told.contains("plant.t"), "{sql}: {told}");
        }
        for (sql, says) in [
            ("ALTER TABLE plant.v ADD COLUMN x INT", "its columns are those of its query"),
            ("ALTER TABLE plant.v SET (flexible = true)", "only its ttl, sync and compaction"),
            ("ALTER TABLE plant.v SET (sync = 'both')", "one writer"),
            // Here the rows of a table that comes down are the cloud's alone.
            ("ALTER TABLE plant.v SET (sync = 'down')", "made here"),
        ] {
            let told = told(&db, sql).await;
            assert!(told.contains(says), "{sql}: {told}");
        }
        run(&db, "ALTER TABLE plant.v SET (ttl = '10 d')").await;
        agrees(&db, "plant.v", QUERY).await;
        for (sql, wanted) in [
            ("SELECT table_type FROM information_schema.tables WHERE table_name = 'v'", "VIEW"),
            ("SELECT relkind FROM pg_catalog.pg_class WHERE relname = 'v'", "m"),
            ("SELECT matviewname FROM pg_catalog.pg_matviews", "v"),
            ("SELECT count(*) FROM pg_catalog.pg_tables WHERE tablename = 'v'", "0"),
            ("SELECT state, last_error, base FROM system.views WHERE name = 'v'", "current||plant.t"),
        ] {
            assert_eq!(rows(&db, sql).await, [wanted], "{sql}");
        }
        db.shutdown().await.unwrap();
    });
}

#[test]
fn what_no_view_can_keep_is_refused_with_what_to_write() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, "CREATE TABLE plant.u (id INT PRIMARY KEY, ts TIMESTAMP)").await;
        for (query, says) in [
            ("SELECT device, ts FROM plant.t", "no GROUP BY"),
            ("SELECT device, count(*) AS n FROM plant.t GROUP BY device", "no window of time"),
            ("SELECT tumble(ts, '1 s') AS w, count(*) AS n FROM plant.u GROUP BY w", "does not belong to the primary key"),
            ("SELECT count(*) AS n, tumble(ts, '1 s') AS w FROM plant.t GROUP BY device, w", "does not give it"),
            ("SELECT tumble(ts, '1 s') AS w, count(*) AS n FROM plant.t WHERE ts > now() GROUP BY w", "another value each time"),
            ("SELECT tumble(ts, '1 s') AS w, count(*) AS n FROM plant.t GROUP BY w ORDER BY w", "ORDER BY"),
            ("SELECT tumble(ts, '1 s') AS w, count(*) AS n FROM plant.t GROUP BY w LIMIT 1", "LIMIT"),
            ("SELECT tumble(t.ts, '1 s') AS w, count(*) AS n FROM plant.t JOIN plant.u ON t.v = u.id GROUP BY w", "of the same type"),
            ("SELECT tumble(ts, '1 s') AS w, count(*) AS n FROM system.tables, plant.t GROUP BY w", "made when it is asked for"),
            ("SELECT tumble(ts, '1 s') AS w, avg(v), avg(v) FROM plant.t GROUP BY w", "name"),
            ("SELECT tumble(ts, '1 s') AS w, count(*) AS n FROM plant.t WHERE v IN (SELECT id FROM plant.u) GROUP BY w", "a query inside"),
            ("SELECT tumble(ts, '1 s') AS w, count(*) AS n FROM plant.nothing GROUP BY w", "plant.nothing"),
        ] {
            let told = told(&db, &format!("CREATE MATERIALIZED VIEW plant.v AS {query}")).await;
            assert!(told.contains(says), "{query}: {told}");
        }
        // As the contract has it: no name for the aggregate, options behind.
        run(&db, "CREATE MATERIALIZED VIEW plant.minutely AS SELECT device, tumble(ts, '1 minute') AS w, avg(v) FROM plant.t GROUP BY device, w WITH (watermark = '10 s')").await;
        run(&db, "INSERT INTO plant.t (device, ts, v) VALUES ('a', '2026-01-01', 3)").await;
        run(&db, "REFRESH MATERIALIZED VIEW plant.minutely").await;
        assert_eq!(rows(&db, "SELECT avg FROM plant.minutely").await, ["3.0"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn who_makes_a_view_may_read_its_table_and_make_tables() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, BASE).await;
        run(&db, "CREATE KEYSPACE mine; CREATE ROLE admin WITH LOGIN SUPERUSER PASSWORD 'open sesame'; CREATE ROLE maker WITH LOGIN PASSWORD 'a long secret'; CREATE ROLE reader WITH LOGIN PASSWORD 'another secret'").await;
        let (maker, reader) = (role(&db, "maker"), role(&db, "reader"));
        let make = format!("CREATE MATERIALIZED VIEW mine.v AS {QUERY}");
        let denied = async |who: &Db, sql: &str| {
            let error = fails(who, sql).await;
            assert_eq!(error.kind(), ErrorKind::Denied, "{sql}: {error}");
        };
        denied(&maker, &make).await;
        run(&db, "GRANT CREATE ON KEYSPACE mine TO maker").await;
        denied(&maker, &make).await;
        run(&db, "GRANT SELECT ON plant.t TO maker").await;
        run(&maker, &make).await;
        // In the place of a table only who may drop that.
        run(&db, "CREATE TABLE mine.old (device TEXT, w TIMESTAMP, n BIGINT, total BIGINT, high BIGINT, PRIMARY KEY ((device), w))").await;
        let instead = format!("CREATE MATERIALIZED VIEW mine.old AS {QUERY}");
        denied(&maker, &instead).await;
        run(&db, "GRANT DROP ON mine.old TO maker").await;
        run(&maker, &instead).await;
        denied(&maker, "DROP MATERIALIZED VIEW mine.v").await;
        denied(&reader, "SELECT * FROM mine.v").await;
        denied(&reader, "REFRESH MATERIALIZED VIEW mine.v").await;
        // Its grants are its own: who reads the view need not read the table.
        run(&db, "GRANT SELECT ON mine.v TO reader").await;
        run(&db, "REFRESH MATERIALIZED VIEW mine.v").await;
        assert!(rows(&reader, "SELECT * FROM mine.v").await.is_empty());
        denied(&reader, "SELECT * FROM plant.t").await;
        db.shutdown().await.unwrap();
    });
}
