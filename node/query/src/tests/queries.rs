//! Queries as users write them give the rows that are there.

use activestore_types::ErrorKind;
use serde_json::json;

use super::*;

#[tokio::test]
async fn rows_come_back_by_key_range_and_value() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    assert_eq!(
        rows(&engine, "SELECT count(*) FROM plant.readings").await,
        [["300"]]
    );
    assert_eq!(
        lines(&engine, "SELECT device, ts, temp FROM plant.readings WHERE device = 'p2' AND ts >= '2026-01-01T00:00:03' AND ts < '2026-01-01 00:00:05'").await,
        ["p2 2026-01-01T00:00:04 2.0", "p2 2026-01-01T00:00:03 1.5"]
    );
    assert_eq!(
        lines(&engine, "SELECT device, count(*), max(temp) FROM plant.readings WHERE status IS NOT NULL GROUP BY device ORDER BY device DESC").await,
        ["p3 10 45.0", "p2 10 45.0", "p1 10 45.0"]
    );
    assert_eq!(
        lines(
            &engine,
            "SELECT r.n FROM plant.readings r WHERE r.device IN ('p1', 'p9') AND r.n > 97"
        )
        .await,
        ["99", "98"]
    );
    assert_eq!(
        rows(&engine, "SELECT n FROM plant.readings LIMIT 5")
            .await
            .len(),
        5
    );
    assert_eq!(
        rows(
            &engine,
            "SELECT device FROM plant.readings WHERE n = 5 ORDER BY 1 LIMIT 2"
        )
        .await,
        [["p1"], ["p2"]]
    );
    assert_eq!(
        lines(&engine, "WITH last AS (SELECT device, max(ts) AS ts FROM plant.readings GROUP BY device) SELECT r.device, r.temp FROM plant.readings r JOIN last USING (device, ts) ORDER BY 1").await,
        ["p1 49.5", "p2 49.5", "p3 49.5"]
    );
}

#[tokio::test]
async fn now_is_the_nodes_clock_and_one_moment() {
    let world = World::new();
    readings(&world);
    world
        .now_ns
        .store(NEW_YEAR_NS + 50_000_000_000, Ordering::Relaxed);
    let engine = engine(&world);
    assert_eq!(
        lines(&engine, "SELECT now()").await,
        ["2026-01-01T00:00:50"]
    );
    assert_eq!(
        lines(&engine, "SELECT now() = current_timestamp, current_date").await,
        ["true 2026-01-01"]
    );
    assert_eq!(
        lines(&engine, "SELECT n FROM plant.readings WHERE device = 'p1' AND ts > now() - interval '3 seconds' AND ts <= now()").await,
        ["50", "49", "48"]
    );
    assert_eq!(
        lines(
            &engine,
            "SELECT count(*) FROM plant.readings WHERE ts < TIMESTAMP '2026-01-01T00:00:01Z'"
        )
        .await,
        ["3"]
    );
}

#[tokio::test]
async fn windows_of_time() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    for sql in [
        "SELECT tumble(ts, '1 minute') AS w, count(*) FROM plant.readings WHERE device = 'p1' GROUP BY w ORDER BY w",
        "SELECT date_bin('1 minute', ts) AS w, count(*) FROM plant.readings WHERE device = 'p1' GROUP BY w ORDER BY w",
        "SELECT date_trunc('minute', ts) AS w, count(*) FROM plant.readings WHERE device = 'p1' GROUP BY w ORDER BY w",
    ] {
        assert_eq!(
            lines(&engine, sql).await,
            ["2026-01-01T00:00:00 60", "2026-01-01T00:01:00 40"],
            "{sql}"
        );
    }
    assert_eq!(
        lines(
            &engine,
            "SELECT tumble(TIMESTAMP '1969-12-31T23:59:59.5', '1 s')"
        )
        .await,
        ["1969-12-31T23:59:59"]
    );
    for (sql, says) in [
        (
            "SELECT tumble(ts, '1 fortnight') FROM plant.readings",
            "not a duration",
        ),
        ("SELECT tumble(ts, '0s') FROM plant.readings", "width"),
        (
            "SELECT tumble(ts) FROM plant.readings",
            "tumble(ts, '1 minute')",
        ),
        ("SELECT tumble(ts, status) FROM plant.readings", "constant"),
    ] {
        let error = try_rows(&engine, sql, &[]).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn parameters_fill_in() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let sql = "SELECT n FROM plant.readings WHERE device = $1 AND ts = $2 AND n < $3";
    let found = try_rows(
        &engine,
        sql,
        &[json!("p3"), json!("2026-01-01T00:00:07Z"), json!(9.5)],
    )
    .await
    .unwrap();
    assert_eq!(found, [["7"]]);
    assert_eq!(
        try_rows(
            &engine,
            "SELECT $1, $2, $1 AS again",
            &[json!(null), json!({"a": [1]})]
        )
        .await
        .unwrap(),
        [["-", "{\"a\":[1]}", "-"]]
    );
    assert_eq!(
        try_rows(&engine, "SELECT 1", &[json!(1)]).await.unwrap(),
        [["1"]]
    );
    let error = try_rows(&engine, sql, &[json!("p3")]).await.unwrap_err();
    assert!(
        error.message().contains("1 parameters were given"),
        "{error}"
    );
}

#[tokio::test]
async fn the_system_and_the_schema_can_be_asked() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    assert_eq!(
        rows(&engine, "SELECT name FROM system.tables").await,
        [["readings"]]
    );
    assert_eq!(
        lines(&engine, "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema <> 'information_schema' ORDER BY 2").await,
        ["system broken", "plant readings", "system tables"]
    );
    let error = try_rows(&engine, "SELECT * FROM system.broken", &[])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Corrupt, "this one is damaged")
    );
}

#[tokio::test]
async fn wrong_queries_are_told_in_our_words() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    for (sql, kind, says) in [
        (
            "SELECT * FROM plant.nothing",
            ErrorKind::NotFound,
            "no table 'plant.nothing'",
        ),
        (
            "SELECT * FROM nothing.readings",
            ErrorKind::NotFound,
            "no table 'nothing.readings'",
        ),
        (
            "SELECT tmp FROM plant.readings",
            ErrorKind::NotFound,
            "did you mean 'temp'",
        ),
        (
            "SELECT avgg(temp) FROM plant.readings",
            ErrorKind::NotFound,
            "did you mean 'avg'",
        ),
        ("SELECT 1/0 FROM plant.readings", ErrorKind::Invalid, "ivi"),
        (
            "SELECT * FROM plant.readings WHERE ts > 'yesterday'",
            ErrorKind::Invalid,
            "yesterday",
        ),
        (
            "SELECT device, temp FROM plant.readings GROUP BY device",
            ErrorKind::Invalid,
            "GROUP BY",
        ),
        (
            "SELECT a.ts FROM plant.readings a, plant.readings b WHERE ts > '2026-01-01'",
            ErrorKind::Invalid,
            "more than one table",
        ),
        ("SELECT 'x", ErrorKind::Invalid, "line 1, column 8"),
        (
            "DROP TABLE plant.readings",
            ErrorKind::Invalid,
            "not a query",
        ),
        ("SELECT 1; SELECT 2", ErrorKind::Invalid, "one by one"),
        ("SELECT CAST('abc' AS INT)", ErrorKind::Invalid, "abc"),
        (
            "SELECT * INTO plant.copy FROM plant.readings",
            ErrorKind::Invalid,
            "",
        ),
        ("SELECT * FROM '/etc/passwd'", ErrorKind::NotFound, ""),
        (
            "SELECT * FROM \"/etc/passwd\"",
            ErrorKind::NotFound,
            "no table",
        ),
    ] {
        let error = try_rows(&engine, sql, &[]).await.expect_err(sql);
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.to_string().contains(says), "{sql}: {error}");
        assert!(
            !error.message().contains('\n') && !error.message().contains("activestore."),
            "{error}"
        );
    }
}

#[tokio::test]
async fn too_much_memory_is_overload_and_passes() {
    let world = World::new();
    readings(&world);
    let engine = engine_with(
        &world,
        EngineOptions {
            memory_bytes: 1 << 20,
            partitions: 1,
            ..EngineOptions::default()
        },
    );
    let sql = "SELECT a.n, b.n, c.n FROM plant.readings a, plant.readings b, plant.readings c WHERE a.device = 'p1' AND b.device = 'p1' AND c.device = 'p1' ORDER BY a.n + b.n * c.n";
    let error = try_rows(&engine, sql, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    assert!(error.hint().is_some());
    assert_eq!(
        rows(&engine, "SELECT count(*) FROM plant.readings").await,
        [["300"]]
    );
}

#[tokio::test]
async fn too_many_queries_are_overload_until_one_ends() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let mut held = Vec::new();
    for _ in 0..MAX_CONCURRENT_QUERIES {
        held.push(engine.query("SELECT 1", &[]).await.unwrap());
    }
    let error = engine.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(engine.stats().running, MAX_CONCURRENT_QUERIES as u64);
    held.pop();
    assert_eq!(rows(&engine, "SELECT 1").await, [["1"]]);
    held.clear();
    let stats = engine.stats();
    assert_eq!(
        (
            stats.running,
            stats.refused,
            stats.failed,
            stats.memory_bytes
        ),
        (0, 1, 1, 0)
    );
}

#[test]
fn dropping_the_rows_stops_the_scan() {
    let world = World::new();
    let schema = world.create(
        "big",
        &[("k", DataType::BigInt), ("v", DataType::Double)],
        1,
        &[],
    );
    let total = 200_000_u64;
    for start in (0..total as i64).step_by(50_000) {
        let keys = start..start + 50_000;
        world.write(
            &schema,
            vec![
                Arc::new(arrow::array::Int64Array::from_iter_values(keys.clone())),
                Arc::new(Float64Array::from_iter_values(keys.map(|key| key as f64))),
            ],
        );
    }
    let engine = engine(&world);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let stats = runtime.block_on(async {
        let mut rows = engine.query("SELECT * FROM plant.big", &[]).await.unwrap();
        let first = futures::StreamExt::next(&mut rows.stream)
            .await
            .unwrap()
            .unwrap();
        assert!(first.num_rows() > 0);
        rows.stats.clone()
    });
    // The runtime waits for its blocking threads.
    drop(runtime);
    assert!(stats.read().rows_scanned < total / 2, "{stats:?}");
}

#[tokio::test]
async fn long_chains_and_deep_nests_do_not_overflow_the_stack() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let chain: Vec<String> = (0..450).map(|n| format!("temp = {n}.25")).collect();
    let sql = format!(
        "SELECT count(*) FROM plant.readings WHERE {}",
        chain.join(" OR ")
    );
    assert_eq!(rows(&engine, &sql).await, [["0"]]);
    let sum = vec!["n"; 200].join(" + ");
    assert_eq!(
        rows(
            &engine,
            &format!("SELECT {sum} FROM plant.readings WHERE device = 'p1' AND n = 1")
        )
        .await,
        [["200"]]
    );
    let nest = format!(
        "SELECT {}n{} FROM plant.readings WHERE n = 1 LIMIT 1",
        "(1 + ".repeat(30),
        ")".repeat(30)
    );
    assert_eq!(rows(&engine, &nest).await, [["31"]]);
}

/// Words of the catalog in a statement about other tables change nothing of it.
#[tokio::test]
async fn lists_of_queries_of_tables_are_left_alone() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    for list in [
        "ARRAY(SELECT n FROM plant.readings WHERE device = 'p1' ORDER BY n DESC LIMIT 2)",
        "ARRAY(SELECT r.n FROM plant.readings r ORDER BY r.n, r.device)",
        "ARRAY(SELECT n AS options FROM plant.readings WHERE status IS NOT NULL)",
        "ARRAY(SELECT x.my_acl FROM (SELECT n AS my_acl FROM plant.readings) x WHERE x.my_acl IS NOT NULL)",
    ] {
        let of = async |name: &str| {
            let sql = format!("SELECT {list} AS {name}");
            let rows = try_rows(&engine, &sql, &[]).await;
            rows.map_err(|error| error.message().to_owned())
        };
        assert_eq!(of("has_many").await, of("many").await, "{list}");
    }
}
