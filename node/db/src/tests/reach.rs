//! Timers, several outputs, grants and table functions of plugins, through SQL.

use super::processors::component;
use super::*;
use activestore_types::ErrorKind;
use serde_json::json;

async fn with(dir: &Path, plugins: &[(&str, &[&str])]) -> Db {
    let db = Db::open(DbOptions::new(dir, Role::Edge)).unwrap();
    if db.plugins().is_empty() {
        run(&db, PLANT).await;
        for (name, grants) in plugins {
            let grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
            db.put_granted_plugin(name, Some("1"), Some(grants), component(name))
                .await
                .unwrap();
        }
    }
    db
}

/// Asks until the answer is this, for half a minute at most.
pub(super) async fn eventually(db: &Db, sql: &str, wanted: &[&str]) {
    let mut found = Vec::new();
    for _ in 0..600 {
        found = rows(db, sql).await;
        if found == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("'{sql}' gives {found:?}, not {wanted:?}");
}

const INSERT: &str = "INSERT INTO plant.readings (device, ts, temp) VALUES ";

#[test]
fn a_timer_goes_off_once_also_after_a_restart() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with(dir.path(), &[("watchdog", &[])]).await;
        run(&db, "CREATE PROCESSOR silence ON plant.readings USING PLUGIN 'watchdog' WITH (after = '200ms') INTO plant.silences").await;
        run(&db, &format!("{INSERT} ('a', now(), 1), ('b', now(), 2)")).await;
        let silences = "SELECT device, event FROM plant.silences ORDER BY device, at";
        eventually(&db, silences, &["a|silent", "b|silent"]).await;
        assert_eq!(rows(&db, "SELECT timers, timers_fired FROM system.processors").await, ["0|2"]);
        run(&db, &format!("{INSERT} ('b', now(), 3)")).await;
        assert_eq!(rows(&db, silences).await, ["a|silent", "b|silent", "b|back"]);
        // The node is off when the timer is due.
        db.shutdown().await.unwrap();
        drop(db);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let db = with(dir.path(), &[]).await;
        eventually(&db, silences, &["a|silent", "b|silent", "b|back", "b|silent"]).await;
        // What it knew goes with it.
        run(&db, "DROP PROCESSOR silence").await;
        assert!(db.inner.store.notes(b"processor/").is_empty());
        assert!(db.inner.store.notes(b"timer/").is_empty());
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_processor_sends_to_several_tables_and_reads_another_by_grant() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with(dir.path(), &[("limits", &["read:plant.limits"])]).await;
        run(&db, "CREATE TABLE plant.limits (device TEXT, field TEXT, low DOUBLE, high DOUBLE, PRIMARY KEY ((device), field));
            INSERT INTO plant.limits (device, field, high) VALUES ('a', 'temp', 80)").await;
        let create = "CREATE PROCESSOR watch ON plant.readings USING PLUGIN 'limits' WITH (table = 'plant.limits', on_error = 'fail')";
        let error = fails(&db, &format!("{create} INTO plant.x, plant.y, plant.z")).await;
        assert!(error.to_string().contains("alarms, cleared"), "{error}");
        let error = fails(&db, &format!("{create} INTO plant.x, plant.x")).await;
        assert!(error.to_string().contains("two outputs"), "{error}");
        run(&db, &format!("{create} INTO plant.alarms, plant.cleared")).await;
        for (device, temp) in [("a", 79), ("a", 81), ("a", 82), ("b", 1000), ("a", 80), ("a", 90)] {
            run(&db, &format!("{INSERT} ('{device}', now(), {temp})")).await;
        }
        assert_eq!(
            rows(&db, "SELECT device, \"column\", value, \"limit\" FROM plant.alarms ORDER BY ts").await,
            ["a|temp|81.0|80.0", "a|temp|90.0|80.0"]
        );
        assert_eq!(rows(&db, "SELECT device, value, \"limit\" FROM plant.cleared").await, ["a|80.0|"]);
        assert_eq!(
            rows(&db, "SELECT \"into\" FROM system.processors").await,
            ["plant.alarms, plant.cleared"]
        );
        // Another version asks for the same and keeps it; one without a grant is refused.
        let wasm = component("limits");
        assert_eq!(db.put_plugin("limits", Some("2"), wasm.clone()).await.unwrap().grants, ["read:plant.limits"]);
        let error = db.put_granted_plugin("limits", Some("3"), Some(Vec::new()), wasm).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        let error = db.put_plugin("limits2", None, component("limits")).await.unwrap_err();
        assert!(error.to_string().contains("--grant read:"), "{error}");
        db.shutdown().await.unwrap();
    });
}

#[test]
fn table_functions_are_read_like_tables() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with(dir.path(), &[("calendar", &[]), ("units", &[])]).await;
        run(&db, "CREATE TABLE FUNCTION ticks USING PLUGIN 'calendar'").await;
        run(&db, "CREATE TABLE FUNCTION turns USING PLUGIN 'calendar' WITH (function = 'shifts')").await;
        let ticks = "ticks(TIMESTAMP '2026-01-01 00:00:00', TIMESTAMP '2026-01-01 06:00:00', 3600)";
        assert_eq!(rows(&db, &format!("SELECT count(*), max(n) FROM {ticks}")).await, ["6|5"]);
        assert_eq!(
            rows(&db, &format!("SELECT n FROM {ticks} WHERE ts >= '2026-01-01 04:00:00' ORDER BY n")).await,
            ["4", "5"]
        );
        run(&db, &format!("{INSERT} ('a', '2026-01-01 03:30:00', 1), ('a', '2026-01-01 13:59:59', 5)")).await;
        assert_eq!(
            rows(
                &db,
                "SELECT s.shift, avg(r.temp) FROM turns(TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-02', '06:00,14:00,22:00') s
                 JOIN plant.readings r ON r.ts >= s.start_ts AND r.ts < s.end_ts GROUP BY s.shift ORDER BY 1"
            )
            .await,
            ["1|5.0", "3|1.0"]
        );
        assert_eq!(
            rows(&db, "SELECT kind, usage FROM system.functions WHERE name = 'ticks'").await,
            ["table-function|ticks(first TIMESTAMP, last TIMESTAMP, seconds DOUBLE) → TABLE (n BIGINT, ts TIMESTAMP)"]
        );
        for (sql, message) in [
            ("SELECT * FROM ticks(now(), now())", "takes 3 arguments"),
            ("SELECT * FROM ticks(now(), now(), 0)", "not above zero"),
            ("SELECT * FROM ticks(now(), now(), 'soon')", "soon"),
            ("SELECT * FROM plant.readings r, ticks(r.ts, r.ts, 1)", "ts"),
            ("CREATE FUNCTION ticks2 USING PLUGIN 'calendar' WITH (function = 'ticks')", "CREATE TABLE FUNCTION"),
            ("CREATE TABLE FUNCTION f USING PLUGIN 'units' WITH (function = 'f_to_c')", "CREATE FUNCTION"),
        ] {
            let error = fails(&db, sql).await;
            assert!(error.to_string().contains(message), "{sql}: {error}");
        }
        let counted = async |sql: &str, params: &[serde_json::Value]| {
            let mut outcome = db.sql(sql, params).await?;
            let Some(SqlOutcome::Rows(rows)) = outcome.pop() else {
                panic!("'{sql}' answered without rows");
            };
            let batches: Vec<RecordBatch> = rows.stream.try_collect().await?;
            Ok::<usize, Error>(batches.iter().map(RecordBatch::num_rows).sum())
        };
        let span = [json!("2026-01-01 00:00:00"), json!("2026-01-01 06:00:00"), json!(3600)];
        for (sql, params, count) in [
            ("SELECT * FROM ticks($1, $2, $3)", &span[..], 6),
            ("SELECT * FROM ticks($1, $2, $3 / 2) WHERE n < $3", &span, 12),
            ("SELECT * FROM ticks(seconds => $3, first => $1, last => $2)", &span, 6),
            ("SELECT * FROM ticks($1, seconds => 7200, last => $2)", &span, 3),
            ("WITH t AS (SELECT * FROM ticks($1, $2, -1 * -3600)) SELECT * FROM t", &span, 6),
        ] {
            assert_eq!(counted(sql, params).await.unwrap(), count, "{sql}");
        }
        for (sql, params, words) in [
            ("SELECT * FROM ticks($1, $2, $4)", &span[..], "uses $4, but 3 parameters"),
            ("SELECT * FROM ticks($1, $2, $3)", &[], "uses $1, but 0 parameters"),
            ("SELECT * FROM ticks($1, $2, step => 1)", &span, "no argument 'step'"),
            ("SELECT * FROM ticks($1, first => $1, last => $2)", &span, "'first' twice"),
            ("SELECT * FROM ticks($1, last => $2)", &span, "not given its argument 'seconds'"),
            ("SELECT * FROM ticks(first => $1, $2, $3)", &span, "without a name after"),
        ] {
            let error = counted(sql, params).await.unwrap_err();
            assert!(error.message().contains(words), "{sql}: {error}");
        }
        run(&db, "DROP TABLE FUNCTION ticks").await;
        assert!(fails(&db, &format!("SELECT * FROM {ticks}")).await.to_string().contains("ticks"));
        db.shutdown().await.unwrap();
    });
}

#[test]
fn overloads_names_and_moving_windows() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let grants: &[&str] = &["clock", "random", "read:plant.readings"];
        let db = with(dir.path(), &[("probe", grants), ("statistics", &[])]).await;
        for sql in [
            "CREATE FUNCTION twice USING PLUGIN 'probe'",
            "CREATE FUNCTION less USING PLUGIN 'probe'",
            "CREATE FUNCTION moment USING PLUGIN 'probe'",
            "CREATE AGGREGATE rms USING PLUGIN 'statistics'",
            "CREATE AGGREGATE geometric_mean USING PLUGIN 'statistics'",
        ] {
            run(&db, sql).await;
        }
        assert_eq!(
            rows(&db, "SELECT twice(2), twice(2.5), twice('ab'), twice(CAST(1 AS REAL))").await,
            ["4|5.0|abab|2.0"]
        );
        assert_eq!(rows(&db, "SELECT less(5, 2), less(take => 5, \"from\" => 2)").await, ["3.0|-3.0"]);
        let error = fails(&db, "SELECT twice(TRUE, 1)").await;
        assert!(error.to_string().contains("twice(DOUBLE), twice(BIGINT), twice(TEXT)"), "{error}");
        let error = fails(&db, "SELECT less(5, taken => 2)").await;
        assert!(error.to_string().contains("take"), "{error}");
        assert_eq!(rows(&db, "SELECT abs(extract(epoch FROM moment(1) - now())) < 60").await, ["true"]);
        run(&db, &format!("{INSERT} ('a', '2026-01-01T00:00:01Z', 3), ('a', '2026-01-01T00:00:02Z', 4), ('a', '2026-01-01T00:00:03Z', 0), ('a', '2026-01-01T00:00:04Z', 0)")).await;
        assert_eq!(
            rows(&db, "SELECT rms(temp) OVER (ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM plant.readings ORDER BY ts").await,
            ["3.0", "3.5355339059327378", "2.8284271247461903", "0.0"]
        );
        let error = fails(&db, "SELECT geometric_mean(temp) OVER (ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM plant.readings").await;
        assert!(error.to_string().contains("cannot take rows back"), "{error}");
        db.shutdown().await.unwrap();
    });
}

/// Who asks what a query costs is told what plugins took of it.
#[test]
fn explain_analyze_shows_what_plugins_took() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with(dir.path(), &[("units", &[]), ("statistics", &[]), ("calendar", &[])]).await;
        for sql in [
            "CREATE FUNCTION f_to_c USING PLUGIN 'units'",
            "CREATE AGGREGATE rms USING PLUGIN 'statistics'",
            "CREATE TABLE FUNCTION ticks USING PLUGIN 'calendar'",
        ] {
            run(&db, sql).await;
        }
        run(&db, &format!("{INSERT} ('a', now(), 3), ('b', now(), 4)")).await;
        let told = |lines: Vec<String>| -> Vec<String> {
            let line = lines.into_iter().find_map(|line| Some(line.strip_prefix("Plugins|")?.to_owned()));
            line.unwrap_or_default().lines().map(str::to_owned).collect()
        };
        let all = "SELECT rms(f_to_c(temp)), count(n) FROM plant.readings, ticks(TIMESTAMP '2026-01-01 00:00:00', TIMESTAMP '2026-01-01 01:00:00', 3600)";
        assert!(told(rows(&db, &format!("EXPLAIN {all}")).await).is_empty());
        let lines = told(rows(&db, &format!("EXPLAIN ANALYZE {all}")).await);
        let names: Vec<&str> = lines.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(names, ["f_to_c()", "rms()", "ticks()"]);
        assert!(lines[0].contains("rows=2") && lines[0].contains("elapsed_compute="), "{lines:?}");
        assert!(!lines[0].contains("memory=0KiB"), "{lines:?}");
        assert!(told(rows(&db, "EXPLAIN ANALYZE SELECT count(*) FROM plant.readings").await).is_empty());
        db.shutdown().await.unwrap();
    });
}

/// Each row is shown once: as an old one or as it is written, also where the node stops in between.
#[test]
fn old_rows_are_shown_once_beside_those_that_are_written() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let mut db = with(dir.path(), &[("hostile", &[])]).await;
        let many = |from: i64, rows: i64| {
            format!("INSERT INTO plant.readings (device, ts, temp) SELECT 'd' || (n % 7), to_timestamp_nanos(n), 1 FROM (SELECT unnest(range({from}, {})) AS n)", from + rows)
        };
        run(&db, &many(0, 30_000)).await;
        run(&db, "DELETE FROM plant.readings WHERE device = 'd3' AND ts < to_timestamp_nanos(7000)").await;
        let mut expected = 30_000 - 1_000;
        run(&db, "CREATE PROCESSOR p ON plant.readings USING PLUGIN 'hostile' WITH (mode = 'count', start = 'beginning')").await;
        let replay = "SELECT replay FROM system.processors";
        for round in 0..20_i64 {
            run(&db, &many(30_000 + round * 100, 100)).await;
            expected += 100;
            if round % 7 == 3 {
                db.shutdown().await.unwrap();
                drop(db);
                db = with(dir.path(), &[]).await;
            }
        }
        let count = |db: &Db| {
            let note = db.inner.store.note(b"processor/p/count");
            note.map_or(0, |note| u64::from_le_bytes(note.try_into().unwrap()))
        };
        for _ in 0..600 {
            if rows(&db, replay).await[0].ends_with("done") && count(&db) == expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(count(&db), expected, "{:?}", rows(&db, replay).await);
        run(&db, &many(90_000, 10)).await;
        assert_eq!(count(&db), expected + 10);
        // Another one, from a moment on: nothing that was there.
        run(&db, "CREATE PROCESSOR q ON plant.readings USING PLUGIN 'hostile' WITH (mode = 'count', start = '2099-01-01T00:00:00Z')").await;
        eventually(&db, "SELECT replay FROM system.processors WHERE name = 'q'", &["0 rows, done"]).await;
        for (options, message) in [
            ("start = 'yesterday'", "start = 'yesterday' is unknown"),
            ("start = ''", "unknown"),
        ] {
            let error = fails(&db, &format!("CREATE PROCESSOR r ON plant.readings USING PLUGIN 'hostile' WITH ({options})")).await;
            assert!(error.to_string().contains(message), "{error}");
        }
        run(&db, "DROP PROCESSOR p; DROP PROCESSOR q").await;
        assert!(db.inner.store.notes(b"replay/").is_empty());
        db.shutdown().await.unwrap();
    });
}
