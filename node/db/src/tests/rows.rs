//! Statements on one node: what is written is read, what is wrong is refused, and a restart changes
//! nothing.

use super::*;
use activestore_catalog::Change;
use activestore_types::{ErrorKind, TableName};

#[test]
fn rows_are_upserted_by_key_and_survive_a_restart() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, PLANT).await;
        let written = run(
            &db,
            "INSERT INTO plant.readings (device, ts, temp, status) VALUES
             ('p1', '2026-01-01 00:00:00', 20.5, 'ok'), ('p1', '2026-01-01 00:00:10', 21, NULL),
             ('p2', '2026-01-01 00:00:00', 19.0, 'ok')",
        )
        .await;
        assert_eq!(written, 3);
        run(
            &db,
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('p1', '2026-01-01', 25.0)",
        )
        .await;
        let all = "SELECT device, ts, temp, status FROM plant.readings ORDER BY device, ts";
        let expected = [
            "p1|2026-01-01T00:00:00|25.0|ok",
            "p1|2026-01-01T00:00:10|21.0|",
            "p2|2026-01-01T00:00:00|19.0|ok",
        ];
        assert_eq!(rows(&db, all).await, expected);
        db.shutdown().await.unwrap();
        drop(db);
        let db = open(dir.path(), Role::Edge);
        assert_eq!(rows(&db, all).await, expected);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn update_and_delete_touch_what_their_filter_names() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, PLANT).await;
        for device in ["a", "b"] {
            for minute in 0..5 {
                run(&db, &format!(
                    "INSERT INTO plant.readings (device, ts, temp) VALUES ('{device}', '2026-01-01 00:0{minute}:00', {minute})"
                )).await;
            }
        }
        let updated = run(&db, "UPDATE plant.readings SET status = 'warm', temp = temp + 100 WHERE temp >= 3 AND device = 'a'").await;
        assert_eq!(updated, 2);
        run(&db, "DELETE FROM plant.readings WHERE device = 'a' AND ts < '2026-01-01 00:02:00'").await;
        run(&db, "DELETE FROM plant.readings WHERE temp = 4").await;
        assert_eq!(
            rows(&db, "SELECT device, temp, status FROM plant.readings ORDER BY device, ts").await,
            ["a|2.0|", "a|103.0|warm", "a|104.0|warm", "b|0.0|", "b|1.0|", "b|2.0|", "b|3.0|"]
        );
        run(&db, "DELETE FROM plant.readings WHERE device = 'b'").await;
        assert_eq!(rows(&db, "SELECT count(*) FROM plant.readings").await, ["3"]);
        run(&db, "DELETE FROM plant.readings").await;
        assert_eq!(rows(&db, "SELECT count(*) FROM plant.readings").await, ["0"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, PLANT).await;
        for (sql, kind, word) in [
            (
                "INSERT INTO plant.readings (device, ts, pressure) VALUES ('a', now(), 1)",
                ErrorKind::NotFound,
                "pressure",
            ),
            (
                "INSERT INTO plant.readings (device, temp) VALUES ('a', 1)",
                ErrorKind::Invalid,
                "ts",
            ),
            (
                "INSERT INTO plant.readings (device, ts) VALUES (NULL, now())",
                ErrorKind::Invalid,
                "device",
            ),
            (
                "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', now(), 'warm')",
                ErrorKind::Invalid,
                "temp",
            ),
            (
                "INSERT INTO plant.nothing (a) VALUES (1)",
                ErrorKind::NotFound,
                "nothing",
            ),
            (
                "UPDATE plant.readings SET device = 'b'",
                ErrorKind::Invalid,
                "device",
            ),
            (
                "SELECT missing FROM plant.readings",
                ErrorKind::NotFound,
                "missing",
            ),
            (
                "CREATE TABLE plant.readings (a INT, PRIMARY KEY ((a)))",
                ErrorKind::Conflict,
                "readings",
            ),
            (
                "CREATE MATERIALIZED VIEW plant.v AS SELECT 1",
                ErrorKind::Invalid,
                "view",
            ),
        ] {
            let error = fails(&db, sql).await;
            assert!(
                error.to_string().to_lowercase().contains(word),
                "{sql}: {error}"
            );
            assert_eq!(error.kind(), kind, "{sql}: {error}");
        }
        assert_eq!(
            rows(&db, "SELECT count(*) FROM plant.readings").await,
            ["0"]
        );
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_flexible_table_grows_and_keeps_its_types() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, "CREATE KEYSPACE k; CREATE TABLE k.t (d TEXT, PRIMARY KEY ((d))) WITH (flexible = true)").await;
        run(&db, "INSERT INTO k.t (d, n) VALUES ('a', 1)").await;
        run(&db, "INSERT INTO k.t (d, note) VALUES ('b', 'hello')").await;
        let error = fails(&db, "INSERT INTO k.t (d, n) VALUES ('c', 'text')").await;
        assert!(error.to_string().contains("'n'"), "{error}");
        assert_eq!(
            rows(&db, "SELECT d, n, note FROM k.t ORDER BY d").await,
            ["a|1|", "b||hello"]
        );
        assert_eq!(rows(&db, "DESCRIBE k.t").await.len(), 3);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn parameters_and_system_tables_answer() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Cloud);
        run(&db, PLANT).await;
        let text = serde_json::json!("x");
        let outcome = db
            .sql(
                "INSERT INTO plant.readings (device, ts, temp) VALUES ($1, '2026-01-01', $2)",
                &[text.clone(), serde_json::json!(1.5)],
            )
            .await
            .unwrap();
        assert!(matches!(outcome[0], SqlOutcome::Done { affected: 1, .. }));
        for table in crate::system::NAMES {
            rows(&db, &format!("SELECT * FROM system.{table}")).await;
        }
        assert_eq!(
            rows(
                &db,
                "SELECT name, partition_key, clustering_key, sync FROM system.tables"
            )
            .await,
            ["readings|device|ts|up"]
        );
        assert!(rows(&db, "SHOW TABLES").await.len() == 1);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_dropped_table_is_gone_and_its_name_is_free() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, PLANT).await;
        run(
            &db,
            "INSERT INTO plant.readings (device, ts) VALUES ('a', now())",
        )
        .await;
        run(&db, "DROP TABLE plant.readings").await;
        fails(&db, "SELECT * FROM plant.readings").await;
        run(
            &db,
            "CREATE TABLE plant.readings (n INT, PRIMARY KEY ((n)))",
        )
        .await;
        assert_eq!(
            rows(&db, "SELECT count(*) FROM plant.readings").await,
            ["0"]
        );
        db.shutdown().await.unwrap();
    });
}

#[test]
fn definitions_that_the_store_has_not_followed_yet_are_waited_for() {
    use activestore_catalog::{Change, ColumnDefinition, TableDefinition};
    use activestore_types::{DataType, TableName};
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Edge);
        run(&db, "CREATE KEYSPACE plant WITH (sync = 'up')").await;
        // What a change of the definitions does first.
        let mut definition = TableDefinition::named(TableName::new("plant", "lines"));
        definition
            .columns
            .push(ColumnDefinition::new("line", DataType::Text));
        definition.partition_key.push("line".to_owned());
        let change = Change::CreateTable {
            definition,
            if_not_exists: false,
        };
        let state = db.inner.catalog.apply(change).unwrap();
        assert_eq!(
            rows(&db, "SELECT name, row_fragments FROM system.tables").await,
            ["lines|0"]
        );
        assert_eq!(rows(&db, "SELECT count(*) FROM plant.lines").await, ["0"]);
        assert_eq!(db.digests(None).await.unwrap().len(), 1);
        // A table that goes while someone still has it in hand is not made again.
        let schema = state.tables.values().next().unwrap().clone();
        run(&db, "DROP TABLE plant.lines").await;
        assert!(db.inner.snapshot_of(&schema).unwrap().is_none());
        assert!(db.inner.store.snapshot(schema.id).is_err());
    });
}

/// Rows of several files that alternate come in order where order is asked for, and once everywhere.
#[test]
fn alternating_files_are_read_in_order_where_that_is_asked_for() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let mut options = DbOptions::new(dir.path(), Role::Cloud);
        options.query_partitions = 3;
        let db = Db::open(options).unwrap();
        run(&db, "CREATE KEYSPACE k; CREATE TABLE k.t (a BIGINT, b BIGINT, v BIGINT, PRIMARY KEY ((a), b))").await;
        for file in 0..3 {
            // Every third row of 20 partitions of 3,000 rows.
            run(&db, &format!("INSERT INTO k.t (a, b, v) SELECT value / 1000 AS a, value % 1000 * 3 + {file} AS b, value AS v FROM generate_series(0, 19999)")).await;
            db.inner.store.flush().unwrap();
        }
        let keys = |sql: &'static str| {
            let db = &db;
            async move { rows(db, sql).await }
        };
        let all: Vec<String> = (0..20).flat_map(|a| (0..3000).map(move |b| format!("{a}|{b}"))).collect();
        assert_eq!(keys("SELECT a, b FROM k.t ORDER BY a, b").await, all);
        let mut reverse = all.clone();
        reverse.reverse();
        assert_eq!(keys("SELECT a, b FROM k.t ORDER BY a DESC, b DESC").await, reverse);
        assert_eq!(keys("SELECT a, b FROM k.t ORDER BY a, b LIMIT 7").await, all[..7]);
        assert_eq!(keys("SELECT a, b FROM k.t WHERE a = 4 ORDER BY b LIMIT 7 OFFSET 1000").await, all[13_000..13_007]);
        let mut any = keys("SELECT a, b FROM k.t").await;
        any.sort_unstable_by_key(|key| {
            let (a, b) = key.split_once('|').unwrap();
            (a.parse::<u32>().unwrap(), b.parse::<u32>().unwrap())
        });
        assert_eq!(any, all);
        let lasts: Vec<String> = (0..20).map(|a| format!("{a}|2999")).collect();
        assert_eq!(keys("SELECT DISTINCT ON (a) a, b FROM k.t ORDER BY a, b DESC").await, lasts);
        assert_eq!(keys("SELECT a, last_value(b ORDER BY b) FROM k.t GROUP BY a ORDER BY a").await, lasts);
        assert_eq!(
            keys("SELECT count(*), sum(v), min(b), max(b), count(DISTINCT a * 10000 + b) FROM k.t").await,
            ["60000|599970000|0|2999|60000"]
        );
        assert_eq!(
            keys("SELECT count(*) FROM (SELECT b - lag(b) OVER (PARTITION BY a ORDER BY b) AS step FROM k.t) WHERE step = 1").await,
            ["59980"]
        );
        db.shutdown().await.unwrap();
    });
}

/// A crash between the end of a definition and that of its rows.
#[test]
fn a_drop_that_was_cut_off_ends_at_the_next_start() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Cloud);
        run(&db, "CREATE KEYSPACE k; CREATE TABLE k.a (n INT PRIMARY KEY); CREATE TABLE k.b (n INT PRIMARY KEY)").await;
        run(&db, "INSERT INTO k.a (n) VALUES (1); INSERT INTO k.b (n) VALUES (2)").await;
        db.inner.store.flush().unwrap();
        let files = |db: &Db| db.inner.store.sstables().len();
        assert_eq!((db.inner.store.tables().len(), files(&db)), (2, 2));
        let name = TableName::new("k", "a");
        let dropped = Change::DropTable { name, if_exists: false };
        db.inner.catalog.apply(dropped).unwrap();
        db.shutdown().await.unwrap();
        drop(db);

        let db = open(dir.path(), Role::Cloud);
        assert_eq!((db.inner.store.tables().len(), files(&db)), (1, 1));
        assert_eq!(rows(&db, "SELECT n FROM k.b").await, ["2"]);
        db.shutdown().await.unwrap();
        drop(db);

        // Definitions that are lost take no rows with them.
        std::fs::remove_file(dir.path().join("catalog.redb")).unwrap();
        let db = open(dir.path(), Role::Cloud);
        assert_eq!(files(&db), 1);
        db.shutdown().await.unwrap();
    });
}
