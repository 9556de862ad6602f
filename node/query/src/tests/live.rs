//! Queries over rows as they come give what the same queries give over a table that holds them.

use activestore_types::ErrorKind;
use arrow::array::{BooleanArray, UInt32Array};
use arrow::compute::take_record_batch;
use proptest::prelude::*;

use super::functions::{doubled, twice};
use super::*;

const QUERIES: [&str; 14] = [
    "SELECT * FROM plant.t",
    "SELECT device, temp FROM plant.t WHERE temp > 1",
    "SELECT temp * 2 + 1 AS x, upper(note) FROM plant.t WHERE temp IS NOT NULL AND note <> 'b'",
    "SELECT coalesce(note, device) AS n FROM plant.t WHERE coalesce(temp, 3) >= 2",
    "SELECT CASE WHEN temp > 1 THEN 'hot' WHEN temp <= 1 THEN 'cold' END FROM plant.t",
    "SELECT r.device FROM plant.t AS r WHERE r.device LIKE 'd%' AND r.temp BETWEEN -1 AND 2",
    "SELECT n, m FROM (SELECT note AS n, temp + 1 AS m FROM plant.t WHERE temp < 3) AS s WHERE m > 0 OR n = 'a'",
    "WITH hot AS (SELECT device, temp FROM plant.t WHERE temp > 0) SELECT device FROM hot WHERE temp < 3",
    "SELECT device FROM plant.t WHERE note IN ('a', 'c') OR NOT (temp > 0)",
    "SELECT 1 FROM plant.t",
    "SELECT device FROM plant.t WHERE false",
    "SELECT f(temp) AS f FROM plant.t WHERE f(temp) > 1",
    "SELECT temp::BIGINT, note || '!' FROM plant.t WHERE device > 'd1'",
    "SELECT device FROM plant.t WHERE temp > $1 AND note = $2",
];

fn block<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(work)
}

/// A table of these rows, their devices in order, and the rows as one batch.
fn world(rows: &[(Option<i8>, Option<u8>)]) -> (Engine, RecordBatch) {
    let world = World::new();
    let table = world.create(
        "t",
        &[
            ("device", DataType::Text),
            ("temp", DataType::Double),
            ("note", DataType::Text),
        ],
        1,
        &[],
    );
    let devices = (0..rows.len()).map(|row| Some(format!("d{row:03}")));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(devices.collect::<StringArray>()),
        Arc::new(
            rows.iter()
                .map(|row| row.0.map(f64::from))
                .collect::<Float64Array>(),
        ),
        Arc::new(
            rows.iter()
                .map(|row| row.1.map(|note| ["a", "b", "c"][usize::from(note)]))
                .collect::<StringArray>(),
        ),
    ];
    let batch = RecordBatch::try_new(table.arrow(), arrays.clone()).unwrap();
    if !rows.is_empty() {
        world.write(&table, arrays);
    }
    let engine = engine(&world);
    engine.register(twice("f", doubled)).unwrap();
    (engine, batch)
}

fn params(sql: &str) -> Vec<Value> {
    match sql.contains("$2") {
        true => vec![serde_json::json!(0), serde_json::json!("a")],
        false => Vec::new(),
    }
}

fn given(batch: &RecordBatch, live: &LiveQuery) -> RecordBatch {
    let names = live.input().fields().iter();
    let columns = names.map(|field| batch.column_by_name(field.name()).unwrap().clone());
    RecordBatch::try_new(live.input().clone(), columns.collect()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_comes_is_answered_as_what_is_stored(
        rows in prop::collection::vec((prop::option::of(-3..5_i8), prop::option::of(0..3_u8)), 0..40),
    ) {
        let (engine, batch) = world(&rows);
        for sql in QUERIES {
            let stored = block(async {
                engine.query(sql, &crate::Param::all(&params(sql))).await.unwrap().collect().await.unwrap()
            });
            let mut stored = cells(&stored);
            let live = block(engine.live(LiveFor::Subscription, sql, &params(sql))).unwrap();
            let (picks, told) = live.rows(&given(&batch, &live)).unwrap();
            let schema = told.schema();
            prop_assert_eq!(schema.fields(), live.output().fields());
            let mut told = cells(&[told]);
            // One by one gives the same rows, and the picks say which.
            let mut single = Vec::new();
            for row in picks.values() {
                let one = take_record_batch(&batch, &UInt32Array::from(vec![*row])).unwrap();
                single.extend(cells(&[live.rows(&given(&one, &live)).unwrap().1]));
            }
            prop_assert_eq!(&single, &told);
            stored.sort();
            told.sort();
            prop_assert_eq!(stored, told, "{}", sql);
        }
    }
}

#[test]
fn only_the_columns_that_are_looked_at_are_wanted_and_keys_are_judged_alone_where_that_says_all() {
    let (engine, batch) = world(&[(Some(1), None), (None, Some(0))]);
    for (sql, wanted, by_key) in [
        (
            "SELECT note FROM plant.t WHERE device > 'd000'",
            &["device", "note"][..],
            true,
        ),
        ("SELECT device FROM plant.t", &["device"], true),
        (
            "SELECT device FROM plant.t WHERE temp > 1",
            &["device", "temp"],
            false,
        ),
        (
            "SELECT x FROM (SELECT device AS x FROM plant.t) AS s WHERE x = 'd000'",
            &["device"],
            false,
        ),
        ("SELECT 1 FROM plant.t", &["device"], true),
    ] {
        let live = block(engine.live(LiveFor::Subscription, sql, &[])).unwrap();
        let names: Vec<&str> = live
            .input()
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        assert_eq!(
            (names.as_slice(), live.judges_keys()),
            (wanted, by_key),
            "{sql}"
        );
        assert_eq!(live.needed().len(), wanted.len());
    }
    let live = block(engine.live(
        LiveFor::Subscription,
        "SELECT note FROM plant.t WHERE device > 'd000'",
        &[],
    ))
    .unwrap();
    let fits = live.keys(&given(&batch, &live)).unwrap();
    assert_eq!(fits, BooleanArray::from(vec![false, true]));
}

#[test]
fn what_looks_at_more_than_one_row_is_refused_and_a_guest_that_panics_is_an_error() {
    let (engine, batch) = world(&[(Some(1), None)]);
    for sql in [
        "SELECT count(*) FROM plant.t",
        "SELECT device FROM plant.t GROUP BY device",
        "SELECT DISTINCT device FROM plant.t",
        "SELECT device FROM plant.t ORDER BY temp",
        "SELECT device FROM plant.t LIMIT 1",
        "SELECT a.device FROM plant.t a, plant.t b",
        "SELECT device FROM plant.t UNION ALL SELECT device FROM plant.t",
        "SELECT row_number() OVER () FROM plant.t",
        "SELECT device FROM plant.t WHERE temp = (SELECT max(temp) FROM plant.t)",
        "SELECT device FROM plant.t WHERE temp IN (SELECT temp FROM plant.t)",
        "SELECT device FROM plant.t WHERE EXISTS (SELECT 1)",
        "VALUES (1)",
        "SELECT 1",
        "SELECT unnest(make_array(1, 2)) FROM plant.t",
        "SELECT device FROM plant.t WHERE now() > '2026-01-01'",
        "SELECT device FROM plant.t WHERE temp > $1",
        "SELECT device FROM plant.t; SELECT 1",
        "SELECT * FROM information_schema.tables",
    ] {
        for (by, others) in [
            (LiveFor::Subscription, ["a sink", "can have sinks"]),
            (LiveFor::Sink, ["SUBSCRIBE", "subscri"]),
        ] {
            let error = block(engine.live(by, sql, &[])).err();
            let error = error.unwrap_or_else(|| panic!("{sql} was taken"));
            assert_eq!(error.kind(), ErrorKind::Invalid, "{sql}: {error}");
            let said = format!("{error} {:?}", error.hint());
            assert!(!others.iter().any(|word| said.contains(word)), "{said}");
        }
    }
    engine
        .register(twice("breaks", |_, _| panic!("a defect")))
        .unwrap();
    let live = block(engine.live(
        LiveFor::Subscription,
        "SELECT breaks(temp) FROM plant.t",
        &[],
    ))
    .unwrap();
    let error = live.rows(&given(&batch, &live)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
}
