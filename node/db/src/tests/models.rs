//! Models beside each other, and definitions that are changed in place.

use super::processors::component;
use super::*;

async fn with_models(dir: &Path) -> Db {
    let mut options = DbOptions::new(dir, Role::Edge);
    // Compiling the model runtime takes long.
    options.plugin_cache = Some(std::env::temp_dir().join("activestore-test-compiled-models"));
    options.plugin_deadline = Duration::from_secs(30);
    let db = Db::open(options).unwrap();
    db.put_plugin("onnx", Some("1"), component("onnx"))
        .await
        .unwrap();
    for name in ["pump.onnx", "host.onnx"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../plugins/onnx/model")
            .join(name);
        db.put_file(name, std::fs::read(path).unwrap())
            .await
            .unwrap();
    }
    run(&db, PLANT).await;
    for name in ["a", "b"] {
        run(
            &db,
            &format!("CREATE MODEL {name} USING PLUGIN 'onnx' WITH (file = 'pump.onnx')"),
        )
        .await;
    }
    db
}

#[test]
fn a_shadow_is_compared_and_a_candidate_scores_its_part() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_models(dir.path()).await;
        let scored = "SELECT count(predict('a', n, n / 10.0)), sum(predict('a', n, n / 10.0)) FROM (SELECT unnest(range(0, 200)) AS n)";
        let alone = rows(&db, scored).await;
        assert!(alone[0].starts_with("200|"), "{alone:?}");

        run(&db, "ALTER MODEL a SET (shadow = 'b')").await;
        assert_eq!(rows(&db, scored).await, alone);
        assert_eq!(
            rows(&db, "SELECT shadow, shadow_rows > 0, shadow_failures, shadow_max_difference FROM system.models WHERE name = 'a'").await,
            ["b|true|0|0.0"]
        );
        run(&db, "ALTER MODEL a RESET (shadow) SET (split = 'b:40')").await;
        let split = rows(&db, "SELECT count(predict('a', n, n / 10.0)) FROM (SELECT unnest(range(0, 200)) AS n)").await;
        assert_eq!(split, ["200"]);
        let drawn = rows(&db, "SELECT shadow IS NULL, split_rows FROM system.models WHERE name = 'a'").await;
        let drawn: usize = drawn[0].strip_prefix("true|").unwrap().parse().unwrap();
        assert!((50..110).contains(&drawn), "{drawn} of 200");
        for (sql, message) in [
            ("ALTER MODEL a SET (shadow = 'c')", "no model 'c'"),
            ("ALTER MODEL a SET (split = 'b')", "not MODEL:PERCENT"),
            ("ALTER MODEL a SET (tune = '1')", "no setting 'tune'"),
            ("ALTER MODEL c RESET (shadow)", "no model 'c'"),
            ("ALTER MODEL a RESET (shadow)", "'shadow' is not set"),
            ("SELECT predict('a.odds', 1, 2)", "no output 'odds'"),
            ("SELECT predict_proba('a', 1, 2)", "no output 'probability'"),
        ] {
            let error = fails(&db, sql).await;
            assert!(error.to_string().contains(message), "{sql}: {error}");
        }
        // What runs beside a model may go; the model stays.
        run(&db, "ALTER MODEL a RESET (split) SET (shadow = 'b'); DROP MODEL b").await;
        assert_eq!(rows(&db, scored).await, alone);
        assert_eq!(
            rows(&db, "SELECT error LIKE '%no model ''b''%' FROM system.models WHERE name = 'a'").await,
            ["true"]
        );
        let told = rows(&db, &format!("EXPLAIN ANALYZE {scored}")).await.join("\n");
        assert!(told.contains("predict('a'): calls="), "{told}");
        db.shutdown().await.unwrap();
    });
}

#[test]
fn the_registry_tells_what_a_model_is_and_has_done() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = with_models(dir.path()).await;
        let artifact = db.inner.files.get("pump.onnx").unwrap();
        let registered = "SELECT version, plugin, plugin_version, sha256, size_bytes, inputs, outputs, metrics, calls, rows FROM system.models WHERE name = 'a'";
        let sha256 = crate::blobs::hex(&crate::blobs::sha256(&artifact));
        let is = |version: u32, metrics: &str, calls: u32, rows: u32| {
            format!(
                "{version}|onnx|1|{sha256}|{}|temp DOUBLE, vib DOUBLE|score DOUBLE|{metrics}|{calls}|{rows}",
                artifact.len()
            )
        };
        assert_eq!(rows(&db, registered).await, [is(1, "", 0, 0)]);
        rows(&db, "SELECT predict('a', n, 2) FROM (SELECT unnest(range(0, 200)) AS n)").await;
        assert_eq!(rows(&db, registered).await, [is(1, "", 1, 200)]);

        // What is only written down does not load the model again, and its counts go on.
        run(&db, "ALTER MODEL a SET (metric_precision = '0.92', metric_recall = '1')").await;
        let told = r#"{"precision":0.92,"recall":1.0}"#;
        assert_eq!(rows(&db, registered).await, [is(2, told, 1, 200)]);
        run(
            &db,
            "CREATE OR REPLACE MODEL a USING PLUGIN 'onnx' WITH (file = 'pump.onnx', metric_recall = '0.5')",
        )
        .await;
        assert_eq!(rows(&db, registered).await, [is(3, r#"{"recall":0.5}"#, 1, 200)]);
        for value in ["good", "NaN", ""] {
            let error = fails(&db, &format!("ALTER MODEL a SET (metric_auc = '{value}')")).await;
            let told = format!("metric_auc = '{value}' is not a figure");
            assert!(error.to_string().contains(&told), "{error}");
        }
        assert_eq!(
            rows(&db, "SELECT busy_s > 0, failures, last_failure IS NULL FROM system.models WHERE name = 'a'").await,
            ["true|0|true"]
        );
        run(&db, "DROP MODEL a; CREATE MODEL a USING PLUGIN 'onnx' WITH (file = 'pump.onnx')").await;
        assert!(rows(&db, registered).await[0].starts_with("1|onnx|"));
        db.shutdown().await.unwrap();
    });
}

#[test]
fn a_processor_is_changed_in_place_and_keeps_its_state() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let db = super::processors::with_plugin(dir.path(), "hostile").await;
        run(
            &db,
            "CREATE PROCESSOR p ON plant.readings USING PLUGIN 'hostile' WITH (mode = 'count')",
        )
        .await;
        let insert = "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', now(), 1)";
        run(&db, insert).await;
        run(&db, "ALTER PROCESSOR p SET (on_error = 'fail')").await;
        run(&db, insert).await;
        let count = db.inner.store.note(b"processor/p/count").unwrap();
        assert_eq!(count, 2_u64.to_le_bytes());
        run(&db, "ALTER PROCESSOR p SET (mode = 'refuse')").await;
        assert!(fails(&db, insert).await.to_string().contains("not today"));
        run(&db, "ALTER PROCESSOR p RESET (mode)").await;
        run(&db, insert).await;
        for sql in [
            "ALTER PROCESSOR q SET (a = 'b')",
            "ALTER PROCESSOR p RESET (mode)",
            "ALTER PROCESSOR p USING PLUGIN 'units'",
        ] {
            fails(&db, sql).await;
        }
        db.put_plugin("units", Some("1"), component("units"))
            .await
            .unwrap();
        run(&db, "CREATE FUNCTION f_to_c USING PLUGIN 'units@1'").await;
        run(&db, "ALTER FUNCTION f_to_c USING PLUGIN 'units'").await;
        assert_eq!(
            rows(&db, "SELECT plugin FROM system.functions").await,
            ["units"]
        );
        assert!(
            fails(&db, "ALTER FUNCTION f_to_c SET (a = 'b')")
                .await
                .to_string()
                .contains("no options")
        );
        db.shutdown().await.unwrap();
    });
}
