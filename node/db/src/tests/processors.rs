//! Plugins in the database: a definition that cannot work is refused, and a node without the code
//! says so. What plugins do to rows is shown by the end-to-end tests, with real components.

use super::*;
use activestore_types::ErrorKind;

#[test]
fn definitions_that_name_what_is_not_there_are_refused() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Cloud);
        run(&db, PLANT).await;
        for sql in [
            "CREATE FUNCTION f USING PLUGIN 'units'",
            "CREATE PROCESSOR p ON plant.readings USING PLUGIN 'anomaly' INTO plant.alerts",
            "CREATE PROCESSOR p ON plant.readings USING MODEL 'm'",
            "CREATE MODEL m USING PLUGIN 'onnx' WITH (file = 'm.onnx')",
        ] {
            assert_eq!(fails(&db, sql).await.kind(), ErrorKind::NotFound, "{sql}");
        }
        db.shutdown().await.unwrap();
    });
}

#[test]
fn what_is_not_a_component_is_refused_and_nothing_is_kept() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path(), Role::Cloud);
        let empty_module = b"\0asm\x01\0\0\0".to_vec();
        for bytes in [b"not wasm".to_vec(), empty_module, Vec::new()] {
            let error = db.put_plugin("p", None, bytes).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
        assert!(db.plugins().is_empty());
        assert!(db.put_file("../escape", vec![1]).await.is_err());
        db.shutdown().await.unwrap();
    });
}

/// A component that `cargo xtask build-plugins` made.
pub(super) fn component(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../plugins/target/components")
        .join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; cargo xtask build-plugins makes it",
            path.display()
        )
    })
}

pub(super) async fn with_plugin(dir: &Path, name: &str) -> Db {
    let mut options = DbOptions::new(dir, Role::Edge);
    options.plugin_deadline = Duration::from_millis(500);
    options.plugin_memory_bytes = 16 << 20;
    let db = Db::open(options).unwrap();
    if db.plugins().is_empty() {
        db.put_plugin(name, Some("1"), component(name))
            .await
            .unwrap();
        run(&db, PLANT).await;
    }
    db
}

#[test]
fn a_processor_that_fails_costs_no_row_unless_it_is_declared_to() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_plugin(dir.path(), "hostile").await;
        let insert = "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', now(), 1), ('b', now(), 2)";
        let mut stored = 0;
        for mode in ["loop", "memory", "panic", "short", "wrong-type", "refuse"] {
            run(&db, &format!("CREATE OR REPLACE PROCESSOR p ON plant.readings USING PLUGIN 'hostile' WITH (mode = '{mode}')")).await;
            assert_eq!(run(&db, insert).await, 2, "{mode}");
            stored += 2;
            assert_eq!(rows(&db, "SELECT count(*) FROM plant.readings").await, [stored.to_string()]);
            assert_eq!(rows(&db, "SELECT failures, error IS NULL FROM system.processors").await, ["1|false"], "{mode}");
        }
        run(&db, "CREATE OR REPLACE PROCESSOR p ON plant.readings USING PLUGIN 'hostile' WITH (mode = 'refuse', on_error = 'fail')").await;
        let error = fails(&db, insert).await;
        assert!(error.to_string().contains("processor 'p'"), "{error}");
        run(&db, "CREATE OR REPLACE PROCESSOR p ON plant.readings USING PLUGIN 'hostile' WITH (mode = 'refuse', on_error = 'reject')").await;
        assert_eq!(run(&db, insert).await, 0);
        run(&db, "CREATE OR REPLACE PROCESSOR p ON plant.readings USING PLUGIN 'hostile' WITH (mode = 'reject')").await;
        assert_eq!(run(&db, insert).await, 1);
        assert_eq!(rows(&db, "SELECT count(*) FROM plant.readings").await, [(stored + 1).to_string()]);
        assert_eq!(
            rows(&db, "SELECT processor, count(*) FROM system.rejected_writes GROUP BY processor").await,
            ["p|3"]
        );
        db.shutdown().await.unwrap();
    });
}

/// A processor that remembers ever more runs out of room; rows do not.
#[test]
fn a_processor_without_room_for_its_state_costs_no_row() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_plugin(dir.path(), "hostile").await;
        run(&db, "CREATE PROCESSOR p ON plant.readings USING PLUGIN 'hostile' WITH (mode = 'hoard-state')").await;
        let room = db.inner.store.stats().note_bytes;
        for row in 0..60 {
            run(&db, &format!("INSERT INTO plant.readings (device, ts, temp) VALUES ('d{row}', now(), 1)")).await;
        }
        assert_eq!(rows(&db, "SELECT count(*) FROM plant.readings").await, ["60"]);
        let failed = rows(&db, "SELECT failures, error FROM system.processors").await;
        let (failures, error) = failed[0].split_once('|').unwrap();
        let failures: usize = failures.parse().unwrap();
        assert!((1..60).contains(&failures), "{failures}");
        assert!(error.contains("no room for its state") && error.contains("limits.memory"), "{error}");
        // What it remembers is what it was able to write.
        let calls = db.inner.store.note(b"processor/p/calls").unwrap();
        assert_eq!(usize::from(calls[0]), 60 - failures);
        assert!(db.inner.store.stats().note_bytes > room + 2_000_000);

        run(&db, "CREATE OR REPLACE PROCESSOR p ON plant.readings USING PLUGIN 'hostile' WITH (mode = 'hoard-state', on_error = 'fail')").await;
        let error = fails(&db, "INSERT INTO plant.readings (device, ts) VALUES ('x', now())").await;
        assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
        // Rows that it refuses find room.
        run(&db, "CREATE OR REPLACE PROCESSOR p ON plant.readings USING PLUGIN 'hostile' WITH (mode = 'reject')").await;
        run(&db, "INSERT INTO plant.readings (device, ts, temp) VALUES ('y', now(), 1), ('z', now(), 2)").await;
        assert_eq!(rows(&db, "SELECT count(*) > 0 FROM system.rejected_writes").await, ["true"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_processors_state_is_that_of_the_rows_it_saw_also_after_a_restart() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        for round in 1..=3_u64 {
            let db = with_plugin(dir.path(), "hostile").await;
            run(&db, "CREATE OR REPLACE PROCESSOR p ON plant.readings USING PLUGIN 'hostile' WITH (mode = 'count')").await;
            run(&db, &format!("INSERT INTO plant.readings (device, ts) VALUES ('{round}', now()), ('x{round}', now())")).await;
            let kept = db.inner.store.note(b"processor/p/count").unwrap();
            assert_eq!(u64::from_le_bytes(kept.try_into().unwrap()), round * 2);
            assert_eq!(rows(&db, "SELECT count(*) FROM plant.readings").await, [(round * 2).to_string()]);
            db.shutdown().await.unwrap();
        }
    });
}

#[test]
fn an_anomaly_is_flagged_into_a_table_that_is_made_for_it() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_plugin(dir.path(), "anomaly").await;
        run(&db, "CREATE PROCESSOR flag ON plant.readings USING PLUGIN 'anomaly' WITH (columns = 'temp') INTO plant.alerts").await;
        for second in 0..400 {
            let temp = if second == 350 { 500.0 } else { 20.0 + f64::from(second % 7) / 10.0 };
            run(&db, &format!(
                "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', to_timestamp_nanos({second}000000000), {temp})"
            )).await;
        }
        assert_eq!(
            rows(&db, "SELECT device, ts, value FROM plant.alerts").await,
            ["a|1970-01-01T00:05:50|500.0"]
        );
        db.shutdown().await.unwrap();
    });
}

/// A plugin may remember between batches what it wrote to its state: what was not committed it has to forget.
#[test]
fn what_a_processor_saw_of_a_write_that_failed_has_not_happened() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_plugin(dir.path(), "anomaly").await;
        db.put_plugin("hostile", Some("1"), component("hostile")).await.unwrap();
        run(&db, "CREATE PROCESSOR a ON plant.readings USING PLUGIN 'anomaly' WITH (columns = 'temp', window = '4', rearm = '0') INTO plant.alerts").await;
        let insert = |second: i32, temp: f64| {
            format!("INSERT INTO plant.readings (device, ts, temp) VALUES ('a', to_timestamp_nanos({second}000000000), {temp})")
        };
        for second in 0..20 {
            run(&db, &insert(second, 20.0 + f64::from(second % 3) / 10.0)).await;
        }
        run(&db, "CREATE PROCESSOR z ON plant.readings USING PLUGIN 'hostile' WITH (mode = 'refuse', on_error = 'fail')").await;
        for second in 20..30 {
            fails(&db, &insert(second, 500.0)).await;
        }
        run(&db, "DROP PROCESSOR z").await;
        assert_eq!(rows(&db, "SELECT count(*) FROM plant.readings").await, ["20"]);
        run(&db, &insert(30, 500.0)).await;
        assert_eq!(rows(&db, "SELECT ts, value FROM plant.alerts").await, ["1970-01-01T00:00:30|500.0"]);
        db.shutdown().await.unwrap();
    });
}

#[test]
fn thinned_rows_go_to_a_table_of_their_own() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_plugin(dir.path(), "deadband").await;
        run(&db, "CREATE PROCESSOR thin ON plant.readings USING PLUGIN 'deadband' WITH (band = '0.5', max_silence = '1m') INTO plant.thin").await;
        for second in 0..100 {
            let temp = if second < 50 { 20.0 + f64::from(second % 3) / 10.0 } else { 30.0 };
            run(&db, &format!("INSERT INTO plant.readings (device, ts, temp) VALUES ('a', to_timestamp_nanos({second}000000000), {temp})")).await;
        }
        run(&db, "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', to_timestamp_nanos(110000000000), 30.0)").await;
        assert_eq!(
            rows(&db, "SELECT ts, temp FROM plant.thin ORDER BY ts").await,
            ["1970-01-01T00:00:00|20.0", "1970-01-01T00:00:50|30.0", "1970-01-01T00:01:50|30.0"]
        );
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_plugins_function_answers_in_sql() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_plugin(dir.path(), "units").await;
        run(&db, "CREATE FUNCTION f_to_c USING PLUGIN 'units'").await;
        assert_eq!(
            rows(
                &db,
                "SELECT f_to_c(x) FROM (VALUES (212), (NULL), (32)) AS t (x)"
            )
            .await,
            ["100.0", "", "0.0"]
        );
        let error = db.remove_plugin("units").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        run(&db, "DROP FUNCTION f_to_c").await;
        db.remove_plugin("units").await.unwrap();
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_rollback_puts_the_version_before_in_force() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_plugin(dir.path(), "units").await;
        db.put_plugin("units", Some("2"), component("anomaly"))
            .await
            .unwrap();
        assert_eq!(db.plugins()[0].kind, "processor");
        let back = db.roll_back_plugin("units", None).await.unwrap();
        assert_eq!((back.version.as_str(), back.kind.as_str()), ("1", "scalar"));
        let again = db.roll_back_plugin("units", Some("2")).await.unwrap();
        assert_eq!(again.version, "2");
        let error = db.roll_back_plugin("units", Some("9")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        db.shutdown().await.unwrap();
    });
}
