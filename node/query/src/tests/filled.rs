//! Filled gaps and partial states against plain loops.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;

/// What a series' buckets hold.
type Series = BTreeMap<i64, Option<i64>>;

fn shown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Every bucket of 0..`end`, filled by hand, and the rows beyond.
fn filled(series: &BTreeMap<u8, Series>, end: i64) -> Vec<String> {
    let mut rows = Vec::new();
    for (name, values) in series {
        let mut buckets: Vec<i64> = (0..end).collect();
        buckets.extend(values.keys().filter(|bucket| **bucket >= end));
        for bucket in buckets {
            let own = values.get(&bucket);
            let before = values.range(..bucket).next_back();
            let after = values.range(bucket + 1..).next();
            let held = own.or(before.map(|(_, value)| value)).copied().flatten();
            let line = match (own, before, after) {
                (Some(own), _, _) => own.map(|own| own as f64),
                (None, Some((from, Some(low))), Some((to, Some(high)))) => {
                    let part = (bucket - from) as f64 / (to - from) as f64;
                    Some(*low as f64 + (*high as f64 - *low as f64) * part)
                }
                _ => None,
            };
            let line = line.map(|line| format!("{line:.6}"));
            rows.push(format!(
                "{name} {bucket} {} {} {}",
                shown(own.copied().flatten()),
                shown(held),
                shown(line)
            ));
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn gaps_are_filled_as_by_hand(
        rows in prop::collection::btree_map((0_u8..3, 0_i64..25), prop::option::of(-50_i64..50), 0..30),
        end in 1_i64..20,
        partitions in 1_usize..4,
    ) {
        let mut series: BTreeMap<u8, Series> = BTreeMap::new();
        for ((name, bucket), value) in &rows {
            series.entry(*name).or_default().insert(*bucket, *value);
        }
        let values: Vec<String> = rows
            .iter()
            .map(|((name, bucket), value)| format!("({name}, {bucket}, {})", value.map_or("NULL::BIGINT".to_owned(), |value| format!("{value}::BIGINT"))))
            .collect();
        if values.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT s, to_unixtime(b), v, h, round(l * 1000000) / 1000000 FROM (SELECT s, time_bucket_gapfill('1 s', to_timestamp_seconds(t)::TIMESTAMP, '1970-01-01'::TIMESTAMP, '1970-01-01'::TIMESTAMP + INTERVAL '{end} seconds') AS b, sum(v) AS v, locf(sum(v)) AS h, interpolate(sum(v)::DOUBLE) AS l FROM (VALUES {}) AS r(s, t, v) GROUP BY s, b) ORDER BY s, b",
            values.join(", ")
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(async {
            let engine = engine_with(&World::new(), EngineOptions { partitions, ..EngineOptions::default() });
            try_rows(&engine, &sql, &[]).await
        });
        let answer = answer.map_err(|error| TestCaseError::fail(format!("{sql}: {error}")))?;
        let answer: Vec<String> = answer
            .into_iter()
            .map(|mut row| {
                if let Ok(line) = row[4].parse::<f64>() {
                    row[4] = format!("{:.6}", if line == 0.0 { 0.0 } else { line });
                }
                row.join(" ")
            })
            .collect();
        let wanted: Vec<String> = filled(&series, end).into_iter().map(|row| row.replace("-0.000000", "0.000000")).collect();
        prop_assert_eq!(answer, wanted);
    }
}

/// Rows enough for several threads, out of order in the store: whatever parts they are read in, a counter
/// rises as a window over its rows in order says.
#[tokio::test]
async fn parts_of_stored_tables_come_to_the_whole() {
    let world = World::new();
    let columns = [
        ("device", DataType::Text),
        ("ts", DataType::Timestamp),
        ("total", DataType::Double),
    ];
    let schema = world.create("counters", &columns, 1, &["ts"]);
    // Every second moment comes later, in other files.
    for half in [0_i64, 1] {
        for device in 0..4_i64 {
            let moments = (0..15_000_i64).map(|n| 2 * n + half);
            let totals = moments.clone().map(|n| ((n * 7 + device) % 1_000) as f64);
            world.write(
                &schema,
                vec![
                    Arc::new(StringArray::from(vec![format!("d{device}"); 15_000])),
                    Arc::new(arrow::array::TimestampNanosecondArray::from_iter_values(
                        moments.map(|n| NEW_YEAR_NS + n * 1_000_000_000),
                    )),
                    Arc::new(Float64Array::from_iter_values(totals)),
                ],
            );
        }
        world.store.flush().unwrap();
    }
    let engine = engine_with(
        &world,
        EngineOptions {
            partitions: 4,
            ..EngineOptions::default()
        },
    );
    let plan = explain(
        &engine,
        "SELECT device, increase(total, ts) FROM plant.counters GROUP BY device",
    )
    .await;
    assert!(plan.contains("mode=Partial"), "{plan}");
    let by_hand = lines(&engine, "SELECT device, sum(CASE WHEN total < b THEN total ELSE total - b END), last_value(total ORDER BY ts) - first_value(total ORDER BY ts), count(*) FROM (SELECT device, ts, total, lag(total) OVER (PARTITION BY device ORDER BY ts) AS b FROM plant.counters) GROUP BY device ORDER BY device").await;
    let ours = lines(&engine, "SELECT device, increase(total, ts), delta(total, ts), count(*) FROM plant.counters GROUP BY device ORDER BY device").await;
    assert_eq!(ours, by_hand);
    let sessions = lines(&engine, "SELECT device, session(ts, '2 s') AS s, count(*) FROM plant.counters GROUP BY device, s ORDER BY device").await;
    assert_eq!(sessions.len(), 4);
    let sql = "SELECT device, time_bucket('1 hour', ts) AS h, last(total, ts) AS l, rate(total, ts) AS r FROM plant.counters GROUP BY device, h";
    let hours = lines(
        &engine,
        &format!("SELECT count(*), count(r), count(DISTINCT h) FROM ({sql})"),
    )
    .await;
    assert_eq!(hours, ["36 36 9"]);
}
