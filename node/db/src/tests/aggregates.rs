//! Aggregates of plugins in SQL: over groups, over everything, over windows; and what is refused.

use activestore_types::ErrorKind;

use super::processors::{component, with_plugin};
use super::*;

async fn statistics(dir: &Path) -> Db {
    let db = with_plugin(dir, "statistics").await;
    for name in ["rms", "circular_mean", "time_weighted_mean"] {
        run(
            &db,
            &format!("CREATE AGGREGATE {name} USING PLUGIN 'statistics'"),
        )
        .await;
    }
    db
}

#[test]
fn groups_windows_and_whole_tables_are_aggregated() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = statistics(dir.path()).await;
        assert_eq!(rows(&db, "SELECT rms(temp) FROM plant.readings").await, [""]);
        assert!(rows(&db, "SELECT device, rms(temp) FROM plant.readings GROUP BY device").await.is_empty());
        run(&db, "INSERT INTO plant.readings (device, ts, temp) VALUES
            ('a', '2024-05-01T00:00:00Z', 10), ('a', '2024-05-01T00:00:08Z', 20), ('a', '2024-05-01T00:00:10Z', 99),
            ('b', '2024-05-01T00:00:00Z', -3), ('b', '2024-05-01T00:00:01Z', NULL)").await;
        assert_eq!(
            rows(&db, "SELECT device, time_weighted_mean(temp, ts), rms(temp) FILTER (WHERE temp < 15) FROM plant.readings GROUP BY device ORDER BY device").await,
            ["a|12.0|10.0", "b|-3.0|3.0"]
        );
        // Over all rows, beside an aggregate of SQL, with an argument that is cast.
        assert_eq!(
            rows(&db, "SELECT count(*), rms(CAST(temp AS INT) - 10), circular_mean(45) FROM plant.readings WHERE device = 'a' AND temp < 50").await,
            ["2|7.0710678118654755|45.0"]
        );
        assert_eq!(rows(&db, "SELECT rms(DISTINCT abs(temp)) FROM plant.readings WHERE device = 'b'").await, ["3.0"]);
        assert_eq!(
            rows(&db, "SELECT rms(temp) OVER (PARTITION BY device ORDER BY ts) FROM plant.readings WHERE device = 'b' ORDER BY ts").await,
            ["3.0", "3.0"]
        );
        let wrong = fails(&db, "SELECT time_weighted_mean(temp, ts) OVER (ORDER BY ts ROWS 1 PRECEDING) FROM plant.readings").await;
        assert!(wrong.message().contains("UNBOUNDED PRECEDING"), "{wrong}");
        let wrong = fails(&db, "SELECT rms(temp, 1) FROM plant.readings").await;
        assert!(wrong.message().contains("rms(DOUBLE) takes 1 arguments, 2 are given"), "{wrong}");
        let wrong = fails(&db, "SELECT rms(DISTINCT temp), count(DISTINCT device) FROM plant.readings").await;
        assert!(wrong.message().contains("DISTINCT"), "{wrong}");
        db.shutdown().await.unwrap();
    });
}

/// So many groups that rows are passed on without being grouped first, in two partitions at once.
#[test]
fn every_row_a_group_of_its_own() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = statistics(dir.path()).await;
        run(&db, "CREATE TABLE plant.many (n BIGINT, v DOUBLE, PRIMARY KEY ((n)))").await;
        let numbers = "SELECT value AS n, CAST(value AS DOUBLE) AS v FROM generate_series(1, 250000)";
        run(&db, &format!("INSERT INTO plant.many (n, v) {numbers}")).await;
        assert_eq!(
            rows(&db, "SELECT count(*), sum(CASE WHEN x = v THEN 1 ELSE 0 END) FROM (SELECT n, max(v) AS v, rms(v) AS x FROM plant.many GROUP BY n)").await,
            ["250000|250000"]
        );
        db.shutdown().await.unwrap();
    });
}

/// Many windows at once share the memory of a few.
#[test]
fn each_partition_of_a_window_has_a_group_of_its_own() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = statistics(dir.path()).await;
        run(&db, "CREATE TABLE plant.many (n BIGINT, m BIGINT, v DOUBLE, PRIMARY KEY ((n), m))").await;
        let numbers = "SELECT value / 3 AS n, value % 3 AS m, CAST(value AS DOUBLE) AS v FROM generate_series(0, 5999)";
        run(&db, &format!("INSERT INTO plant.many (n, m, v) {numbers}")).await;
        let squares = "sqrt(avg(v * v) OVER (PARTITION BY n ORDER BY m))";
        assert_eq!(
            rows(&db, &format!("SELECT count(*), max(abs(x - y)) < 1e-9 FROM (SELECT rms(v) OVER (PARTITION BY n ORDER BY m) AS x, {squares} AS y FROM plant.many)")).await,
            ["6000|true"]
        );
        db.shutdown().await.unwrap();
    });
}

/// Groups of sorted input are finished one after the other, while others go on.
#[test]
fn groups_of_sorted_rows_are_finished_as_they_end() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = statistics(dir.path()).await;
        run(&db, "CREATE TABLE plant.many (n BIGINT, m BIGINT, v DOUBLE, PRIMARY KEY ((n), m))").await;
        let numbers = "SELECT value / 3 AS n, value % 3 AS m, CAST(value AS DOUBLE) AS v FROM generate_series(0, 59999)";
        run(&db, &format!("INSERT INTO plant.many (n, m, v) {numbers}")).await;
        assert_eq!(
            rows(&db, "SELECT count(*), max(abs(x - y)) < 1e-6 FROM (SELECT n, rms(v) AS x, sqrt(avg(v * v)) AS y FROM (SELECT * FROM plant.many ORDER BY n) GROUP BY n)").await,
            ["20000|true"]
        );
        db.shutdown().await.unwrap();
    });
}

#[test]
fn statements_say_what_the_plugin_is_and_names_are_shared() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_plugin(dir.path(), "statistics").await;
        let wrong = fails(&db, "CREATE FUNCTION rms USING PLUGIN 'statistics'").await;
        assert!(wrong.to_string().contains("CREATE AGGREGATE"), "{wrong}");
        let wrong = fails(&db, "CREATE AGGREGATE quartile USING PLUGIN 'statistics'").await;
        assert_eq!(wrong.kind(), ErrorKind::NotFound);
        let wrong = fails(&db, "CREATE AGGREGATE sum USING PLUGIN 'statistics' WITH (function = 'rms')").await;
        assert!(wrong.message().contains("SQL has a function 'sum' already"), "{wrong}");

        run(&db, "CREATE AGGREGATE loudness USING PLUGIN 'statistics' WITH (function = 'rms')").await;
        assert_eq!(rows(&db, "SELECT loudness(3)").await, ["3.0"]);
        assert_eq!(rows(&db, "SELECT name, kind FROM system.functions").await, ["loudness|aggregate"]);
        db.put_plugin("units", Some("1"), component("units")).await.unwrap();
        let wrong = fails(&db, "CREATE AGGREGATE f USING PLUGIN 'units' WITH (function = 'f_to_c')").await;
        assert!(wrong.to_string().contains("CREATE FUNCTION"), "{wrong}");
        // A function takes the place of an aggregate of its name.
        run(&db, "CREATE OR REPLACE FUNCTION loudness USING PLUGIN 'units' WITH (function = 'f_to_c')").await;
        assert_eq!(rows(&db, "SELECT loudness(212)").await, ["100.0"]);
        run(&db, "CREATE OR REPLACE AGGREGATE loudness USING PLUGIN 'statistics' WITH (function = 'rms')").await;
        db.shutdown().await.unwrap();
        drop(db);

        let db = with_plugin(dir.path(), "statistics").await;
        assert_eq!(rows(&db, "SELECT loudness(x) FROM (VALUES (3), (-3)) AS t (x)").await, ["3.0"]);
        run(&db, "DROP AGGREGATE loudness").await;
        assert!(fails(&db, "SELECT loudness(3)").await.message().contains("loudness"));
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_query_with_a_hostile_aggregate_fails_and_the_node_goes_on() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_plugin(dir.path(), "hostile-aggregate").await;
        run(
            &db,
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', now(), 1), ('b', now(), 2)",
        )
        .await;
        for mode in [
            "good",
            "spin",
            "panics",
            "hoard",
            "short",
            "wrong_type",
            "few_states",
            "validity",
        ] {
            run(
                &db,
                &format!("CREATE AGGREGATE {mode} USING PLUGIN 'hostile-aggregate'"),
            )
            .await;
        }
        for mode in ["spin", "panics", "hoard", "short", "wrong_type", "validity"] {
            for sql in [
                format!("SELECT {mode}(temp) FROM plant.readings"),
                format!("SELECT device, {mode}(temp) FROM plant.readings GROUP BY device"),
            ] {
                let error = fails(&db, &sql).await;
                assert!(
                    error.message().contains("plugin 'hostile-aggregate'"),
                    "{sql}: {error}"
                );
            }
            assert_eq!(
                rows(&db, "SELECT count(*) FROM plant.readings").await,
                ["2"]
            );
            assert_eq!(
                rows(&db, "SELECT good(temp) > 0 FROM plant.readings").await,
                ["true"],
                "after {mode}"
            );
        }
        db.shutdown().await.unwrap();
    });
}
