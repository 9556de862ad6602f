//! Aggregates over series: against plain sums over sorted samples, whatever order and parts rows come in.

use arrow::array::{BooleanArray, TimestampNanosecondArray};
use proptest::prelude::*;

use super::*;

/// Rows of `VALUES` as a series.
fn series(rows: &[(i64, &str)]) -> String {
    let rows: Vec<String> = rows
        .iter()
        .map(|(s, value)| format!("({s}, {value})"))
        .collect();
    format!(
        "(SELECT to_timestamp_seconds(s)::TIMESTAMP AS ts, v::DOUBLE AS v FROM (VALUES {}) t(s, v))",
        rows.join(", ")
    )
}

async fn of(engine: &Engine, call: &str, rows: &[(i64, &str)]) -> String {
    lines(engine, &format!("SELECT {call} FROM {}", series(rows)))
        .await
        .join(";")
}

#[tokio::test]
async fn counters_rise_and_begin_again() {
    let engine = engine(&World::new());
    let counter = [(0, "10"), (10, "15"), (20, "2"), (30, "6"), (40, "6")];
    assert_eq!(of(&engine, "increase(v, ts)", &counter).await, "11.0");
    assert_eq!(of(&engine, "rate(v, ts)", &counter).await, "0.275");
    assert_eq!(of(&engine, "delta(v, ts)", &counter).await, "-4.0");
    // Rows out of order make no difference, and neither do NULL and NaN.
    let mixed = [
        (30, "6"),
        (20, "2"),
        (25, "NULL"),
        (0, "10"),
        (40, "6"),
        (5, "'NaN'::DOUBLE"),
        (10, "15"),
    ];
    assert_eq!(of(&engine, "increase(v, ts)", &mixed).await, "11.0");
    assert_eq!(of(&engine, "delta(v, ts)", &mixed).await, "-4.0");
}

#[tokio::test]
async fn one_sample_and_none_are_no_series() {
    let engine = engine(&World::new());
    for call in ["increase(v, ts)", "rate(v, ts)", "delta(v, ts)"] {
        assert_eq!(of(&engine, call, &[(1, "5")]).await, "-", "{call}");
        assert_eq!(of(&engine, call, &[(1, "NULL")]).await, "-", "{call}");
    }
    for call in ["ewma(v, ts, '10 s')", "time_weighted_avg(v, ts)"] {
        assert_eq!(of(&engine, call, &[(1, "5")]).await, "5.0", "{call}");
        assert_eq!(of(&engine, call, &[(1, "NULL")]).await, "-", "{call}");
    }
    let none = format!(
        "SELECT increase(v, ts), last(v, ts), histogram_quantile(0.5, v, v) FROM {} WHERE v > 9",
        series(&[(1, "5")])
    );
    assert_eq!(lines(&engine, &none).await, ["- - -"]);
}

#[tokio::test]
async fn averages_weigh_by_time() {
    let engine = engine(&World::new());
    let steps = [(0, "0"), (10, "10"), (40, "40")];
    assert_eq!(of(&engine, "time_weighted_avg(v, ts)", &steps).await, "7.5");
    let linear = "time_weighted_avg(v, ts, 'linear')";
    assert_eq!(of(&engine, linear, &steps).await, "20.0");
    let error = try_rows(
        &engine,
        &format!(
            "SELECT time_weighted_avg(v, ts, 'cubic') FROM {}",
            series(&steps)
        ),
        &[],
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("'locf' and 'linear'"), "{error}");
    // After one half-life the old value weighs a half, after two a quarter.
    let halves = [(0, "0"), (10, "8"), (30, "8")];
    assert_eq!(
        of(&engine, "ewma(v, ts, '10 s')", &halves[..2]).await,
        "4.0"
    );
    assert_eq!(of(&engine, "ewma(v, ts, '10 s')", &halves).await, "7.0");
    assert_eq!(
        of(&engine, "ewma(v, ts, INTERVAL '10 seconds')", &halves).await,
        "7.0"
    );
}

#[tokio::test]
async fn ends_are_of_any_type_and_pass_over_nulls() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    assert_eq!(
        lines(
            &engine,
            "SELECT device, first(temp, ts), last(temp, ts), last(status, ts), last(n, ts) FILTER (WHERE n < 7) FROM plant.readings GROUP BY device ORDER BY device"
        )
        .await,
        ["p1 0.0 49.5 bad 6", "p2 0.0 49.5 bad 6", "p3 0.0 49.5 bad 6"]
    );
    assert_eq!(
        lines(
            &engine,
            "SELECT n, last(n, ts) OVER (PARTITION BY device ORDER BY ts) FROM plant.readings WHERE device = 'p1' AND n < 3 ORDER BY n"
        )
        .await,
        ["0 0", "1 1", "2 2"]
    );
}

#[tokio::test]
async fn frames_that_move_give_rates_of_the_last_minutes() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let sql = "SELECT n, rate(temp, ts) OVER w, increase(temp, ts) OVER w FROM plant.readings WHERE device = 'p2' WINDOW w AS (ORDER BY ts RANGE BETWEEN INTERVAL '10 seconds' PRECEDING AND CURRENT ROW) ORDER BY n";
    let rows = lines(&engine, sql).await;
    assert_eq!(rows[0], "0 - -");
    assert_eq!(rows[4], "4 0.5 2.0");
    assert_eq!(rows[99], "99 0.5 5.0");
}

#[tokio::test]
async fn quantiles_of_histograms_are_those_of_prometheus() {
    let engine = engine(&World::new());
    let quantile = |q: &str, buckets: &str| {
        format!("SELECT histogram_quantile({q}, le, c) FROM (VALUES {buckets}) t(le, c)")
    };
    let buckets = "('0.1', 10), ('0.5', 30), ('1', 60), ('+Inf', 100)";
    for (q, wanted) in [
        ("0.05", "0.05"),
        ("0.2", "0.30000000000000004"),
        ("0.6", "1.0"),
        ("0.99", "1.0"),
        ("-1", "-inf"),
        ("2", "inf"),
    ] {
        let rows = lines(&engine, &quantile(q, buckets)).await;
        assert_eq!(rows, [wanted], "{q}");
    }
    // Without a last bucket for everything, or without observations, nobody can say.
    for buckets in ["(1, 10), (2, 20)", "(1, 0), ('Infinity'::DOUBLE, 0)"] {
        assert_eq!(lines(&engine, &quantile("0.5", buckets)).await, ["NaN"]);
    }
    // Buckets of several instances are added up.
    let two = "('0.1', 5), ('0.1', 5), ('+Inf', 10), ('+Inf', 10)";
    assert_eq!(lines(&engine, &quantile("0.25", two)).await, ["0.05"]);
}

#[tokio::test]
async fn percentiles_have_a_short_name() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    assert_eq!(
        lines(&engine, "SELECT approx_percentile(n, 0.5) BETWEEN 45 AND 55, approx_distinct(n) BETWEEN 95 AND 105 FROM plant.readings").await,
        ["true true"]
    );
}

/// Prometheus's definition, over samples in order.
fn increase(samples: &[(i64, f64)]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    (sorted.len() > 1).then(|| {
        sorted
            .windows(2)
            .map(|pair| {
                if pair[1].1 < pair[0].1 {
                    pair[1].1
                } else {
                    pair[1].1 - pair[0].1
                }
            })
            .sum()
    })
}

proptest! {
    /// Samples in any order, in any parts whose states are merged, come to the same.
    #[test]
    fn parts_come_to_the_whole(
        samples in prop::collection::vec((0_usize..3, 0_i64..50, 0_u16..20), 0..60),
        cut in 0_usize..60,
    ) {
        let function = crate::series::increase();
        let columns = |rows: &[(usize, i64, u16)]| -> (Vec<usize>, Vec<ArrayRef>) {
            let values: Float64Array = rows.iter().map(|row| Some(f64::from(row.2))).collect();
            let moments: TimestampNanosecondArray = rows.iter().map(|row| Some(row.1)).collect();
            (rows.iter().map(|row| row.0).collect(), vec![Arc::new(values), Arc::new(moments)])
        };
        let (left, right) = samples.split_at(cut.min(samples.len()));
        let mut whole = function.begin().unwrap();
        for part in [left, right] {
            let mut one = function.begin().unwrap();
            let (groups, args) = columns(part);
            let all = BooleanArray::from(vec![true; part.len()]);
            one.update(&groups, Some(&all), 3, &args).unwrap();
            let states = one.states(0..3).unwrap();
            whole.merge(&[0, 1, 2], 3, &states).unwrap();
        }
        let values = whole.finish(0..3).unwrap();
        let values = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(&values);
        for group in 0..3 {
            let own: Vec<(i64, f64)> = samples.iter().filter(|row| row.0 == group).map(|row| (row.1, f64::from(row.2))).collect();
            let value = values.iter().nth(group).unwrap();
            prop_assert_eq!(value, increase(&own));
        }
    }
}
