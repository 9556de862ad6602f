//! What one query may take.

use std::time::{Duration, Instant};

use activestore_types::ErrorKind;

use super::*;

/// Rows by rows by rows, sorted: more than a mebibyte.
const SORTED: &str = "SELECT a.n, b.n, c.n FROM plant.readings a, plant.readings b, plant.readings c WHERE a.device = 'p1' AND b.device = 'p1' AND c.device = 'p1' ORDER BY a.n + b.n * c.n";

#[tokio::test]
async fn one_query_has_its_share_of_memory_and_gives_it_back() {
    let world = World::new();
    readings(&world);
    let engine = engine_with(
        &world,
        EngineOptions {
            memory_bytes: 256 << 20,
            query_memory_bytes: Some(1 << 20),
            partitions: 1,
            ..EngineOptions::default()
        },
    );
    let error = try_rows(&engine, SORTED, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    assert_eq!(engine.stats().memory_bytes, 0);
    assert_eq!(
        rows(&engine, "SELECT count(*) FROM plant.readings").await,
        [["300"]]
    );
    // Without a share of its own the same query has room.
    let free = engine_with(
        &world,
        EngineOptions {
            memory_bytes: 256 << 20,
            ..EngineOptions::default()
        },
    );
    let sorted = try_rows(&free, SORTED, &[]).await.unwrap();
    assert_eq!(sorted.len(), 1_000_000);
}

#[tokio::test]
async fn a_query_that_works_too_long_ends() {
    let world = World::new();
    readings(&world);
    let engine = engine_with(
        &world,
        EngineOptions {
            query_time: Some(Duration::from_millis(100)),
            ..EngineOptions::default()
        },
    );
    // 7 * 10^14 rows take days; so do as many of which none is given out, and a recursion without an end.
    let tables = "plant.readings a, plant.readings b, plant.readings c, plant.readings d, plant.readings e, plant.readings f";
    for (number, sql) in [
        format!("SELECT count(a.n + b.n + c.n + d.n + e.n + f.n) FROM {tables}"),
        format!("SELECT count(*) FROM {tables} WHERE a.n + b.n + c.n + d.n + e.n + f.n < 0"),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n".into(),
        "SELECT count(*) FROM generate_series(1, 1000000000000000)".into(),
        "SELECT count(*) FROM (SELECT device, time_bucket_gapfill('1 ms', ts, '2026-01-01'::TIMESTAMP, '2026-01-01T02:30:00'::TIMESTAMP) AS b FROM plant.readings GROUP BY device, b) f".into(),
    ]
    .into_iter()
    .enumerate()
    {
        let error = try_rows(&engine, &sql, &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded, "{sql}: {error}");
        assert!(
            error.message().contains("longer than 100ms"),
            "{sql}: {error}"
        );
        assert_eq!(engine.stats().running, 0);
        assert_eq!(engine.stats().failed, number as u64 + 1);
    }
}

/// Joins that keep no row of 10^12: pairs compared one by one, and pairs of one key.
const EMPTY: [&str; 2] = [
    "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value = 7.5",
    "SELECT count(*) FROM generate_series(1, 1000000) a JOIN generate_series(1, 1000000) b ON a.value % 1 = b.value % 1 AND a.value + b.value = 7.5",
];
/// Far longer than the limit, and far shorter than these joins.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_join_that_keeps_nothing_ends_at_its_time_too() {
    let world = World::new();
    let engine = engine_with(
        &world,
        EngineOptions {
            memory_bytes: 1 << 30,
            query_time: Some(Duration::from_secs(1)),
            ..EngineOptions::default()
        },
    );
    for sql in EMPTY {
        let began = Instant::now();
        let error = try_rows(&engine, sql, &[]).await.unwrap_err();
        assert!(error.message().contains("longer than 1s"), "{sql}: {error}");
        assert!(began.elapsed() < STOPPED_WITHIN, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_join_that_keeps_nothing_stops_when_nobody_wants_it() {
    let world = World::new();
    let engine = Arc::new(engine_with(
        &world,
        EngineOptions {
            memory_bytes: 1 << 30,
            ..EngineOptions::default()
        },
    ));
    for sql in EMPTY {
        let began = Instant::now();
        let asked = engine.clone();
        let running = tokio::spawn(async move { try_rows(&asked, sql, &[]).await });
        while engine.stats().running == 0 {
            assert!(began.elapsed() < STOPPED_WITHIN, "{sql}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled(), "{sql}");
        assert_eq!(engine.stats().running, 0, "{sql}");
        assert!(began.elapsed() < STOPPED_WITHIN, "{sql}");
    }
}
