//! What a filter makes the store do, as EXPLAIN shows it.

use super::*;

#[track_caller]
fn has(plan: &str, parts: &[&str]) {
    for part in parts {
        assert!(plan.contains(part), "wanted {part} in:\n{plan}");
    }
}

#[tokio::test]
async fn explain_shows_ranges_bounds_and_columns() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let plan = explain(&engine, "SELECT temp FROM plant.readings WHERE device = 'p1' AND ts >= now() - interval '1 hour' AND ts < '2026-01-02' AND temp > 5").await;
    has(
        &plan,
        &[
            "ScanExec: table=plant.readings, columns=[temp]",
            "key=[device = p1 AND ts >= 2025-12-31T23:00:00 AND ts < 2026-01-02T00:00:00]",
            "ranges=1 [70310000",
            "zones=[temp > 5.0]",
            "FilterExec: temp@0 > 5",
        ],
    );
    let plan = explain(
        &engine,
        "SELECT temp FROM plant.readings WHERE device IN ('p1', 'p3') LIMIT 3",
    )
    .await;
    has(&plan, &["key=[device IN (p1, p3)]", "ranges=2", "limit=3"]);
    assert!(!plan.contains("FilterExec"), "{plan}");
    let plan = explain(
        &engine,
        "SELECT temp FROM plant.readings WHERE ts = '2026-01-01' AND n BETWEEN 3 AND 4",
    )
    .await;
    has(
        &plan,
        &[
            "zones=[ts = 2026-01-01T00:00:00 AND n >= 3 AND n <= 4]",
            "FilterExec",
        ],
    );
    assert!(!plan.contains("ranges="), "{plan}");
    let plan = explain(
        &engine,
        "SELECT temp FROM plant.readings WHERE device = 'p1' AND device = 'p2'",
    )
    .await;
    has(&plan, &["EmptyExec"]);
    let plan = explain(
        &engine,
        "SELECT count(*) FROM plant.readings WHERE device > 'p1'",
    )
    .await;
    has(&plan, &["key=[device > p1]", "columns=[]"]);
}

#[tokio::test]
async fn explain_analyze_counts_vectors_and_rows() {
    let world = World::new();
    readings(&world);
    world.store.flush().unwrap();
    let engine = engine(&world);
    let plan = explain(
        &engine,
        "ANALYZE SELECT temp FROM plant.readings WHERE device = 'p1' AND n < 10",
    )
    .await;
    has(
        &plan,
        &[
            "rows_scanned=10,",
            "rows_filtered=90",
            "bytes_decoded=",
            "vectors_read=",
            "vectors_pruned=",
        ],
    );
    let answer = engine
        .query("SELECT n FROM plant.readings WHERE device = 'p2'", &[])
        .await
        .unwrap();
    let stats = answer.stats.clone();
    answer.collect().await.unwrap();
    assert_eq!(stats.read().rows_scanned, 100);
}

#[tokio::test]
async fn whole_keys_are_read_one_by_one() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let at = |second: i64| format!("'2026-01-01T00:00:{second:02}Z'");
    let one = format!("WHERE device = 'p1' AND ts = {}", at(7));
    let two = format!(
        "WHERE device IN ('p1', 'p2', 'none') AND ts IN ({}, {})",
        at(7),
        at(8)
    );
    for flushed in [false, true] {
        if flushed {
            world.store.flush().unwrap();
        }
        let plan = explain(&engine, &format!("SELECT n FROM plant.readings {one}")).await;
        has(&plan, &["point reads", "partitions=1"]);
        let from = "FROM plant.readings";
        assert_eq!(
            lines(&engine, &format!("SELECT device, n, temp {from} {one}")).await,
            ["p1 7 3.5"]
        );
        assert_eq!(
            lines(&engine, &format!("SELECT count(*) {from} {two}")).await,
            ["4"]
        );
        for (order, first) in [("", "p1 8"), (" DESC", "p2 7")] {
            let backwards = if order.is_empty() { " DESC" } else { "" };
            let sql = format!(
                "SELECT device, n {from} {two} ORDER BY device{order}, ts{backwards} LIMIT 3"
            );
            let found = lines(&engine, &sql).await;
            assert_eq!((found.len(), found[0].as_str()), (3, first), "{sql}");
        }
        let refused = format!("SELECT n {from} {one} AND n = 8");
        assert!(lines(&engine, &refused).await.is_empty());
    }
    let many: Vec<String> = (0..60).map(at).collect();
    let many = format!(
        "SELECT count(*) FROM plant.readings WHERE device IN ('p1', 'p2') AND ts IN ({})",
        many.join(", ")
    );
    assert!(!explain(&engine, &many).await.contains("point reads"));
    assert_eq!(lines(&engine, &many).await, ["120"]);
}

#[tokio::test]
async fn large_tables_are_read_in_parts() {
    let world = World::new();
    let schema = world.create(
        "big",
        &[("k", DataType::BigInt), ("v", DataType::Double)],
        1,
        &[],
    );
    let keys = 0..100_000_i64;
    world.write(
        &schema,
        vec![
            Arc::new(arrow::array::Int64Array::from_iter_values(keys.clone())),
            Arc::new(Float64Array::from_iter_values(keys.map(|key| key as f64))),
        ],
    );
    world.store.flush().unwrap();
    let engine = engine(&world);
    has(
        &explain(&engine, "SELECT v FROM plant.big").await,
        &["partitions=2"],
    );
    has(
        &explain(&engine, "SELECT v FROM plant.big WHERE k = 7").await,
        &["partitions=1"],
    );
    assert_eq!(
        lines(
            &engine,
            "SELECT count(*), sum(k), min(v), max(v) FROM plant.big"
        )
        .await,
        ["100000 4999950000 0.0 99999.0"]
    );
    assert_eq!(
        lines(
            &engine,
            "SELECT count(*) FROM plant.big WHERE k >= 10 AND k <> 12 AND k < 99990"
        )
        .await,
        ["99979"]
    );
    assert_eq!(
        lines(
            &engine,
            "SELECT v FROM plant.big WHERE k IN (99999, 0, -5)  ORDER BY v"
        )
        .await,
        ["0.0", "99999.0"]
    );
}

#[tokio::test]
async fn a_sort_that_the_key_answers_is_taken_over() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    for (sql, order, first) in [
        (
            "SELECT n FROM plant.readings WHERE device = 'p2' ORDER BY ts DESC LIMIT 2",
            "key order, limit=2",
            "99",
        ),
        (
            "SELECT n FROM plant.readings WHERE device = 'p2' ORDER BY ts LIMIT 2",
            "reverse key order, limit=2",
            "0",
        ),
        (
            "SELECT n FROM plant.readings ORDER BY device DESC, ts ASC LIMIT 1",
            "reverse key order, limit=1",
            "0",
        ),
    ] {
        let plan = explain(&engine, sql).await;
        assert!(!plan.contains("SortExec"), "{plan}");
        has(&plan, &[order]);
        assert_eq!(lines(&engine, sql).await[0], first, "{sql}");
    }
    for sql in [
        "SELECT n FROM plant.readings ORDER BY ts LIMIT 2",
        "SELECT n FROM plant.readings WHERE device IN ('p1', 'p2') ORDER BY ts LIMIT 2",
        "SELECT n FROM plant.readings ORDER BY device, ts LIMIT 2",
        "SELECT n FROM plant.readings WHERE device = 'p1' ORDER BY n LIMIT 2",
    ] {
        assert_eq!(
            lines(&engine, sql).await,
            [
                "0",
                if sql.contains("'p1' ") || sql.contains("device, ts") {
                    "1"
                } else {
                    "0"
                }
            ],
            "{sql}"
        );
        has(&explain(&engine, sql).await, &["SortExec"]);
    }
    assert_eq!(
        lines(
            &engine,
            "SELECT count(*) FROM (SELECT ts FROM plant.readings LIMIT 7) ORDER BY 1"
        )
        .await,
        ["7"]
    );
}
