//! Buckets, hops, sessions and filled gaps.

use super::*;

async fn value(engine: &Engine, expression: &str) -> String {
    lines(engine, &format!("SELECT {expression}"))
        .await
        .join(";")
}

#[tokio::test]
async fn buckets_follow_weeks_months_and_the_clocks_of_a_zone() {
    let engine = engine(&World::new());
    for (call, wanted) in [
        (
            "time_bucket('5 minutes', '2026-03-04T05:07:09'::TIMESTAMP)",
            "2026-03-04T05:05:00",
        ),
        (
            "time_bucket(INTERVAL '1 week', '2026-03-04T05:07:09'::TIMESTAMP)",
            "2026-03-02T00:00:00",
        ),
        (
            "time_bucket('1 month', '2026-03-31T05:07:09'::TIMESTAMP)",
            "2026-03-01T00:00:00",
        ),
        (
            "time_bucket(INTERVAL '3 months', '1969-12-31'::TIMESTAMP)",
            "1969-10-01T00:00:00",
        ),
        (
            "time_bucket('1 year', '2026-03-31'::TIMESTAMP)",
            "2026-01-01T00:00:00",
        ),
        (
            "time_bucket('5 minutes', '2026-03-04T05:07:09'::TIMESTAMP, '2026-01-01T00:02:00'::TIMESTAMP)",
            "2026-03-04T05:07:00",
        ),
        (
            "time_bucket('5 minutes', '2026-03-04T05:06:09'::TIMESTAMP, '2026-01-01T00:02:00'::TIMESTAMP)",
            "2026-03-04T05:02:00",
        ),
        // A day in Berlin begins at 23:00 UTC in winter and at 22:00 in summer, and is 23 hours long between.
        (
            "time_bucket('1 day', '2026-03-29T12:00:00'::TIMESTAMP, 'Europe/Berlin')",
            "2026-03-28T23:00:00",
        ),
        (
            "time_bucket('1 day', '2026-03-30T12:00:00'::TIMESTAMP, 'Europe/Berlin')",
            "2026-03-29T22:00:00",
        ),
        (
            "time_bucket('1 month', '2026-03-31T23:00:00'::TIMESTAMP, 'Europe/Berlin')",
            "2026-03-31T22:00:00",
        ),
        // The hour that clocks go back over is there twice.
        (
            "time_bucket('1 hour', '2026-10-25T00:30:00'::TIMESTAMP, 'Europe/Berlin')",
            "2026-10-25T00:00:00",
        ),
        (
            "time_bucket('1 hour', '2026-10-25T01:30:00'::TIMESTAMP, 'Europe/Berlin')",
            "2026-10-25T01:00:00",
        ),
        ("time_bucket('1 day', NULL)", "-"),
    ] {
        assert_eq!(value(&engine, call).await, wanted, "{call}");
    }
    for (call, says) in [
        ("time_bucket('0 s', now())", "interval above zero"),
        (
            "time_bucket('1 day', now(), 'Middle/Earth')",
            "neither a time zone nor a timestamp",
        ),
        ("time_bucket(5, now())", "a width is an interval"),
        ("time_bucket('soon', now())", "not a duration"),
    ] {
        let error = try_rows(&engine, &format!("SELECT {call}"), &[])
            .await
            .unwrap_err();
        assert!(error.to_string().contains(says), "{call}: {error}");
    }
}

#[tokio::test]
async fn rows_of_the_hour_that_clocks_go_back_over_are_told_apart() {
    let engine = engine(&World::new());
    let moments = "(VALUES (1, '2026-10-25T00:10:00'::TIMESTAMP), (2, '2026-10-25T00:50:00'::TIMESTAMP), (3, '2026-10-25T01:10:00'::TIMESTAMP), (4, '2026-10-25T01:50:00'::TIMESTAMP), (5, '2026-10-25T02:10:00'::TIMESTAMP)) AS t(n, ts)";
    assert_eq!(
        lines(&engine, &format!("SELECT time_bucket('1 hour', ts, 'Europe/Berlin'), count(*) FROM {moments} GROUP BY 1 ORDER BY 1")).await,
        ["2026-10-25T00:00:00 2", "2026-10-25T01:00:00 2", "2026-10-25T02:00:00 1"]
    );
    assert_eq!(
        lines(&engine, &format!("SELECT time_bucket_gapfill('1 hour', ts, 'Europe/Berlin', '2026-10-24T23:00:00'::TIMESTAMP, '2026-10-25T03:00:00'::TIMESTAMP) AS b, count(*) FROM {moments} WHERE n > 4 GROUP BY b ORDER BY b")).await,
        ["2026-10-24T23:00:00 -", "2026-10-25T00:00:00 -", "2026-10-25T01:00:00 -", "2026-10-25T02:00:00 1"]
    );
}

#[tokio::test]
async fn rows_that_fill_gaps_of_many_series_have_a_bound() {
    let engine = engine(&World::new());
    let filled = "SELECT count(*) FROM (SELECT n, time_bucket_gapfill('1 ms', ts, '2026-01-01'::TIMESTAMP, '2026-01-01T02:00:00'::TIMESTAMP) AS b FROM (SELECT value AS n, '2026-01-01'::TIMESTAMP AS ts FROM generate_series(1, 1000)) t GROUP BY n, b) f";
    let error = try_rows(&engine, filled, &[]).await.unwrap_err();
    assert_eq!(
        error.kind(),
        activestore_types::ErrorKind::Invalid,
        "{error}"
    );
    assert!(error.to_string().contains("100000000 rows"), "{error}");
}

#[tokio::test]
async fn hops_put_rows_into_several_windows() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let sql = "SELECT hop(ts, '10 s', '20 s') AS w, device, count(*), min(n) FROM plant.readings WHERE n < 20 AND device <> 'p3' GROUP BY w, device ORDER BY w, device";
    assert_eq!(
        lines(&engine, sql).await,
        [
            "2025-12-31T23:59:50 p1 10 0",
            "2025-12-31T23:59:50 p2 10 0",
            "2026-01-01T00:00:00 p1 20 0",
            "2026-01-01T00:00:00 p2 20 0",
            "2026-01-01T00:00:10 p1 10 10",
            "2026-01-01T00:00:10 p2 10 10",
        ]
    );
    // Windows with room between them leave rows out.
    assert_eq!(
        lines(&engine, "SELECT hop(ts, '30 s', '10 s') AS w, count(*) FROM plant.readings WHERE device = 'p1' AND n < 60 GROUP BY 1 ORDER BY 1").await,
        ["2026-01-01T00:00:00 10", "2026-01-01T00:00:30 10"]
    );
    for (sql, says) in [
        (
            "SELECT hop(ts, '1 s', '2 s') FROM plant.readings",
            "stands alone in GROUP BY",
        ),
        (
            "SELECT hop(ts, '1 ns', '1 day') AS w, count(*) FROM plant.readings GROUP BY w",
            "more than 1000 windows",
        ),
        (
            "SELECT hop(ts, '1 s') AS w, count(*) FROM plant.readings GROUP BY w",
            "hop(ts, '1 minute', '5 minutes')",
        ),
    ] {
        let error = try_rows(&engine, sql, &[]).await.expect_err(sql);
        assert!(error.to_string().contains(says), "{sql}: {error}");
    }
}

#[tokio::test]
async fn sessions_end_where_nothing_comes() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let sql = "SELECT device, session(ts, '5 s') AS w, count(*), max(n) FROM plant.readings WHERE n < 20 OR n > 90 GROUP BY device, w HAVING device < 'p3' ORDER BY device, w";
    assert_eq!(
        lines(&engine, sql).await,
        [
            "p1 2026-01-01T00:00:00 20 19",
            "p1 2026-01-01T00:01:31 9 99",
            "p2 2026-01-01T00:00:00 20 19",
            "p2 2026-01-01T00:01:31 9 99",
        ]
    );
    let error = try_rows(
        &engine,
        "SELECT session(ts, '5 s') FROM plant.readings",
        &[],
    )
    .await;
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("stands alone in GROUP BY")
    );
}

const GAPPY: &str = "(SELECT to_timestamp_seconds(s)::TIMESTAMP AS ts, d, v FROM (VALUES (0, 'a', 0.0), (30, 'a', 3.0), (20, 'b', 5.0), (99, 'b', 7.0)) t(s, d, v)) AS t";

#[tokio::test]
async fn gaps_are_filled_for_each_series() {
    let engine = engine(&World::new());
    let sql = format!(
        "SELECT d, time_bucket_gapfill('10 s', ts) AS b, avg(v), locf(avg(v)) AS held, interpolate(avg(v)) + 0 AS line, count(*) FROM {GAPPY} WHERE ts >= '1970-01-01' AND ts < '1970-01-01T00:00:50' GROUP BY d, b ORDER BY d, b"
    );
    assert_eq!(
        lines(&engine, &sql).await,
        [
            "a 1970-01-01T00:00:00 0.0 0.0 0.0 1",
            "a 1970-01-01T00:00:10 - 0.0 1.0 -",
            "a 1970-01-01T00:00:20 - 0.0 2.0 -",
            "a 1970-01-01T00:00:30 3.0 3.0 3.0 1",
            "a 1970-01-01T00:00:40 - 3.0 - -",
            "b 1970-01-01T00:00:00 - - - -",
            "b 1970-01-01T00:00:10 - - - -",
            "b 1970-01-01T00:00:20 5.0 5.0 5.0 1",
            "b 1970-01-01T00:00:30 - 5.0 - -",
            "b 1970-01-01T00:00:40 - 5.0 - -",
        ]
    );
}

#[tokio::test]
async fn gaps_without_series_span_the_whole_time() {
    let engine = engine(&World::new());
    let sql = |call: &str, filter: &str| {
        format!("SELECT {call} AS b, max(v) FROM {GAPPY} {filter} GROUP BY b ORDER BY b")
    };
    let empty = sql(
        "time_bucket_gapfill('10 s', ts)",
        "WHERE ts BETWEEN '1980-01-01' AND '1980-01-01T00:00:10'",
    );
    assert_eq!(
        lines(&engine, &empty).await,
        ["1980-01-01T00:00:00 -", "1980-01-01T00:00:10 -"]
    );
    // Said in the call, and with parameters.
    let said = sql("time_bucket_gapfill('40 s', ts, $1, $2)", "");
    let bounds = [
        serde_json::json!("1970-01-01"),
        serde_json::json!("1970-01-01T00:02:00"),
    ];
    let rows = try_rows(&engine, &said, &bounds).await.unwrap();
    let rows: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
    assert_eq!(
        rows,
        [
            "1970-01-01T00:00:00 5.0",
            "1970-01-01T00:00:40 -",
            "1970-01-01T00:01:20 7.0"
        ]
    );
    // Months by the calendar, `now()` in the condition.
    let months = sql(
        "time_bucket_gapfill('1 month', ts)",
        "WHERE ts > now() - INTERVAL '60 days' AND ts <= now()",
    );
    assert_eq!(
        lines(&engine, &months).await,
        [
            "2025-11-01T00:00:00 -",
            "2025-12-01T00:00:00 -",
            "2026-01-01T00:00:00 -"
        ]
    );
    for (sql, says) in [
        (
            sql(
                "time_bucket_gapfill('10 s', ts)",
                "WHERE ts >= '1970-01-01'",
            ),
            "where to end",
        ),
        (
            sql("time_bucket_gapfill('10 s', ts)", "WHERE ts < '1970-01-01'"),
            "where to begin",
        ),
        (
            sql(
                "time_bucket_gapfill('1 ns', ts)",
                "WHERE ts >= '1970-01-01' AND ts < '1990-01-01'",
            ),
            "more than 10000000 buckets",
        ),
        (
            format!("SELECT locf(max(v)) FROM {GAPPY}"),
            "grouped by time_bucket_gapfill()",
        ),
        (
            format!("SELECT interpolate(max(d)) FROM {GAPPY}"),
            "a number",
        ),
    ] {
        let error = try_rows(&engine, &sql, &[]).await.expect_err(&sql);
        assert!(error.to_string().contains(says), "{sql}: {error}");
    }
}

#[tokio::test]
async fn long_gaps_go_out_in_parts_and_stored_tables_are_filled() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let sql = "SELECT count(*), count(n), count(DISTINCT b), max(held) FROM (SELECT device, time_bucket_gapfill('1 s', ts) AS b, max(n) AS n, locf(max(n)) AS held FROM plant.readings WHERE ts >= '2025-12-31T22:00:00' AND ts < '2026-01-01T02:00:00' GROUP BY device, b) t";
    assert_eq!(lines(&engine, sql).await, ["43200 300 14400 99"]);
    assert!(explain(&engine, sql).await.contains("GapFill"));
}

mod next {
    use crate::bucket::Buckets;
    use datafusion::scalar::ScalarValue;
    use proptest::prelude::*;

    /// When clocks go back and leap, by an hour and by half of one.
    const CHANGES: [(&str, &str); 6] = [
        ("Europe/Berlin", "2026-10-25T01:00:00"),
        ("Europe/Berlin", "2026-03-29T01:00:00"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00"),
        ("America/New_York", "2026-11-01T06:00:00"),
        ("America/New_York", "2026-03-08T07:00:00"),
    ];

    proptest! {
        /// Every moment lies in its bucket, and the next bucket begins where it ends.
        #[test]
        fn buckets_cover_time(ns in -2_000_000_000_000_000_000_i64..4_000_000_000_000_000_000, width in 0_usize..6, zone in 0_usize..4) {
            let width = ["7 s", "15 minutes", "1 hour", "1 day", "1 month", "3 months"][width];
            let zone = [None, Some("Europe/Berlin"), Some("Australia/Lord_Howe"), Some("America/New_York")][zone];
            let args: Vec<ScalarValue> = [Some(width), zone].into_iter().flatten().map(ScalarValue::from).collect();
            let buckets = Buckets::of_args(&args).unwrap();
            let start = buckets.start_of(ns);
            prop_assert!(start <= ns);
            prop_assert_eq!(buckets.start_of(start), start);
            let next = buckets.next(start);
            prop_assert!(next > ns, "{} {} {}", start, ns, next);
            prop_assert_eq!(buckets.start_of(next), next);
            prop_assert_eq!(buckets.start_of(next - 1), start);
        }

        /// So they do in the hours in which clocks go back or leap.
        #[test]
        fn buckets_cover_changes_of_clocks(change in 0_usize..CHANGES.len(), beside in -10_800_000_i64..10_800_000, within in 0_f64..1.0, width in 0_usize..8) {
            let width = ["7 s", "1 minute", "15 minutes", "1 hour", "90 minutes", "2 hours", "1 day", "1 month"][width];
            let (zone, moment) = CHANGES[change];
            let moment = arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(moment).unwrap();
            let buckets = Buckets::of_args(&[width, zone].map(ScalarValue::from)).unwrap();
            let ns = moment + beside * 1_000_000;
            let start = buckets.start_of(ns);
            let next = buckets.next(start);
            prop_assert!(start <= ns && ns < next, "{} {} {}", start, ns, next);
            prop_assert_eq!(buckets.start_of(start), start);
            prop_assert_eq!(buckets.start_of(next), next);
            prop_assert_eq!(buckets.start_of(next - 1), start);
            let between = start + ((next - start - 1) as f64 * within) as i64;
            prop_assert_eq!(buckets.start_of(between), start);
        }
    }
}
