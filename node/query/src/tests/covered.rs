//! Aggregates of all rows: what is answered by what the store knows of whole vectors is what reading them gives.

use arrow::array::{Float64Array, Int32Array, Int64Array};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::runs::{Row, moved, row, table, write};
use super::*;

const AGGREGATES: &str = "count(*), count(temp), sum(temp), avg(temp), min(temp), max(temp), count(tag), sum(n), min(n), \
     max(n), min(ts), max(ts), sum(odd), avg(odd), min(odd), max(odd)";

/// Rows that are written together: how far they are moved, whether they go into a file then, whether some leave `temp`
/// as it was, and whether none is deleted and none expires.
type Batches = Vec<(Vec<Row>, i64, bool, bool, bool)>;

fn batches() -> impl Strategy<Value = Batches> {
    let rows = prop::collection::vec(row(), 1..40);
    let flags = (
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.7),
    );
    let batch = (rows, 0..4_i64, flags)
        .prop_map(|(rows, by, (flush, partial, plain))| (rows, by * 20, flush, partial, plain));
    prop::collection::vec(batch, 1..6)
}

fn written(batches: &Batches, short: bool) -> Arc<World> {
    let world = World::new();
    let schema = table(&world, "ts");
    for (rows, by, flush, partial, plain) in batches {
        let rows: Vec<Row> = rows
            .iter()
            .map(|row| moved(row, *by, *plain, short))
            .collect();
        write(&world, &schema, &rows, *partial);
        if *flush {
            world.store.flush().unwrap();
        }
    }
    world
}

/// The answer of the store's knowledge where it has any, and of DataFusion's own step, which a filtered count keeps.
async fn both(engine: &Engine, table: &str, aggregates: &str) -> [Vec<Vec<String>>; 2] {
    let fast = format!("SELECT {aggregates} FROM plant.{table}");
    let slow = format!("SELECT {aggregates}, count(*) FILTER (WHERE n > 0) FROM plant.{table}");
    let plan = explain(engine, &slow).await;
    assert!(!plan.contains("RunAggregateExec"), "{plan}");
    let mut found = rows(engine, &slow).await;
    for row in &mut found {
        row.pop();
    }
    [rows(engine, &fast).await, found]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_known_of_vectors_is_what_is_in_them(batches in batches(), short in any::<bool>()) {
        let world = written(&batches, short);
        let engine = engine(&world);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            // Averages of large whole numbers depend on the order that they are added up in.
            let average = if short { ", avg(n)" } else { "" };
            for aggregates in [&format!("{AGGREGATES}{average}"), "count(*)", "max(ts), count(*)", "min(odd), sum(n)"] {
                let [fast, slow] = both(&engine, "runs", aggregates).await;
                prop_assert_eq!(fast, slow, "{}", aggregates);
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

/// How many vectors were read, and how many were not because enough was known of them.
async fn vectors(engine: &Engine, sql: &str) -> (u64, u64) {
    let plan = lines(engine, &format!("EXPLAIN ANALYZE {sql}"))
        .await
        .join("\n");
    let count = |name: &str| {
        let (_, rest) = plan.split_once(name).unwrap_or_else(|| panic!("{plan}"));
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    (count("vectors_read="), count("vectors_covered="))
}

#[tokio::test]
async fn vectors_that_enough_is_known_of_stay_unread() {
    let world = World::new();
    let columns = [
        ("k", DataType::BigInt),
        ("v", DataType::Double),
        ("n", DataType::BigInt),
        ("big", DataType::BigInt),
        ("short", DataType::Int),
    ];
    let schema = world.create("known", &columns, 1, &[]);
    let rows_of = |ids: std::ops::Range<i64>| {
        let numbers = |of: fn(i64) -> i64| {
            Arc::new(Int64Array::from_iter_values(ids.clone().map(of))) as ArrayRef
        };
        let halves = Arc::new(Float64Array::from_iter_values(
            ids.clone().map(|id| 1.0 + id as f64 / 2.0),
        ));
        vec![
            numbers(|id| id),
            halves,
            numbers(|id| id % 5),
            numbers(|id| i64::MAX / 2 - id),
            Arc::new(Int32Array::from_iter_values(ids.map(|id| id as i32))),
        ]
    };
    world.write(&schema, rows_of(0..5_000));
    world.store.flush().unwrap();
    world.write(&schema, rows_of(5_000..5_010));
    let engine = engine(&world);
    let known = "count(*), min(k), max(v), avg(v), sum(n), avg(n), count(big), sum(big)";
    for known in [known, "max(v)", "min(k)", "count(*)", "sum(short)"] {
        let sql = format!("SELECT {known} FROM plant.known");
        assert_eq!(vectors(&engine, &sql).await, (0, 5), "{known}");
        let [fast, slow] = both(&engine, "known", known).await;
        assert_eq!(fast, slow, "{known}");
    }
    // The average of numbers whose sum may not fit, and anything that has to be worked out for each row.
    for unknown in ["avg(big)", "sum(v + 1)", "max(v), stddev(v)"] {
        let (read, covered) = vectors(&engine, &format!("SELECT {unknown} FROM plant.known")).await;
        assert_eq!((read, covered), (5, 0), "{unknown}");
    }
    for condition in ["WHERE v > 100", "WHERE k > 10 AND n = 1"] {
        let (_, covered) = vectors(
            &engine,
            &format!("SELECT count(v) FROM plant.known {condition}"),
        )
        .await;
        assert_eq!(covered, 0, "{condition}");
    }
    // Rows that are merged with others are read.
    world.write(&schema, rows_of(1_500..1_501));
    assert_eq!(
        vectors(&engine, "SELECT avg(v) FROM plant.known").await,
        (1, 4)
    );
}
