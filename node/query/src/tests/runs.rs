//! Groups that follow the order of rows: with the rule for them and without it a query gives the same.

use activestore_types::Hlc;
use arrow::array::{Float64Array, Int64Array, TimestampNanosecondArray};
use arrow::buffer::BooleanBuffer;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;

const SECOND_NS: i64 = 1_000_000_000;

/// One row as it is written.
#[derive(Clone, Debug)]
pub(super) struct Row {
    device: u8,
    second: i64,
    tag: Option<u8>,
    /// Quarters, so that sums are the same in every order.
    temp: Option<i32>,
    n: Option<i64>,
    nan: bool,
    deleted: bool,
    expires: bool,
}

pub(super) fn row() -> impl Strategy<Value = Row> {
    (
        (0..4_u8, 0..12_i64, prop::option::of(0..3_u8)),
        (
            prop::option::of(-40..40_i32),
            prop::option::of(any::<i64>()),
        ),
        (
            prop::bool::weighted(0.05),
            prop::bool::weighted(0.1),
            prop::bool::weighted(0.1),
        ),
    )
        .prop_map(
            |((device, second, tag), (temp, n), (nan, deleted, expires))| Row {
                device,
                second,
                tag,
                temp,
                n,
                nan,
                deleted,
                expires,
            },
        )
}

/// The row at another time; plain ones neither delete nor expire, and short ones have small numbers.
pub(super) fn moved(row: &Row, by: i64, plain: bool, short: bool) -> Row {
    Row {
        second: row.second + by,
        n: row.n.map(|n| if short { n % 1_000 } else { n }),
        deleted: row.deleted && !plain,
        expires: row.expires && !plain,
        ..row.clone()
    }
}

pub(super) fn table(world: &World, time: &str) -> Arc<TableSchema> {
    let columns = [
        ("device", DataType::Text),
        ("ts", DataType::Timestamp),
        ("tag", DataType::Text),
        ("temp", DataType::Double),
        ("n", DataType::BigInt),
        ("odd", DataType::Double),
    ];
    world.create("runs", &columns, 1, &[time])
}

/// Rows that are written together; whether they go into a file then, and whether some leave `temp` as it was.
type Batches = Vec<(Vec<Row>, bool, bool)>;

pub(super) fn batches() -> impl Strategy<Value = Batches> {
    let rows = prop::collection::vec(row(), 1..30);
    prop::collection::vec((rows, any::<bool>(), any::<bool>()), 1..5)
}

/// A table with these rows, the earliest of a device first or last.
pub(super) fn written(batches: &Batches, ascending: bool) -> Arc<World> {
    let world = World::new();
    let schema = table(&world, if ascending { "ts" } else { "-ts" });
    for (rows, flush, partial) in batches {
        write(&world, &schema, rows, *partial);
        if *flush {
            world.store.flush().unwrap();
        }
    }
    world
}

/// Writes rows as one batch. Every third leaves `temp` as it was.
pub(super) fn write(world: &World, schema: &TableSchema, rows: &[Row], partial: bool) {
    let temp = rows
        .iter()
        .map(|row| row.temp.map(|temp| f64::from(temp) / 4.0));
    let odd = rows.iter().map(|row| {
        if row.nan {
            f64::NAN
        } else {
            f64::from(row.device)
        }
    });
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|row| format!("d{}", row.device)),
        )),
        Arc::new(TimestampNanosecondArray::from_iter_values(
            rows.iter().map(|row| NEW_YEAR_NS + row.second * SECOND_NS),
        )),
        Arc::new(
            rows.iter()
                .map(|row| row.tag.map(|tag| format!("t{tag}")))
                .collect::<StringArray>(),
        ),
        Arc::new(temp.collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.n).collect::<Int64Array>()),
        Arc::new(Float64Array::from_iter_values(odd)),
    ];
    let columns = schema
        .columns
        .iter()
        .zip(arrays)
        .map(|(column, array)| BatchColumn {
            id: column.id,
            array,
            set: (partial && column.name == "temp")
                .then(|| BooleanBuffer::from_iter((0..rows.len()).map(|row| row % 3 != 0))),
        });
    let first = Hlc(world.hlc.fetch_add(rows.len() as u64, Ordering::Relaxed));
    let mut batch = RowBatch::upsert(schema.id, rows.len(), columns.collect(), first, OriginId(0));
    batch.tombstone = Some(BooleanBuffer::from_iter(rows.iter().map(|row| row.deleted)));
    let expiry = |row: &Row| {
        if row.expires {
            NEW_YEAR_NS as u64 / 1_000_000 - 1
        } else {
            0
        }
    };
    batch.expiry_ms = Some(rows.iter().map(expiry).collect());
    world
        .store
        .commit(WriteSet {
            batches: vec![batch],
            ..WriteSet::default()
        })
        .unwrap();
}

const AGGREGATES: &str = "count(*), count(temp), sum(temp), avg(temp), min(temp), max(temp), sum(n), min(n), max(n), max(ts), \
     sum(odd), avg(odd), count(odd)";
/// Only of few groups: what DataFusion keeps for each of them is large.
const DISTINCT: &str = ", count(DISTINCT tag), count(DISTINCT device)";

/// The groupings, and whether the rule is for them.
const GROUPINGS: [(&str, &str); 6] = [
    ("device", ""),
    ("device, time_bucket('4 seconds', ts)", ""),
    ("tag", ""),
    ("tag, device", "WHERE temp > -3"),
    (
        "device, date_trunc('minute', ts), n",
        "WHERE device <> 'd1' AND tag IS NOT NULL",
    ),
    ("tag", "WHERE ts >= '2026-01-01T00:00:03' AND tag > 't0'"),
];

/// The answer by runs and the answer of DataFusion's own step, which a filtered count keeps.
async fn both(engine: &Engine, groups: &str, rest: &str) -> [Vec<Vec<String>>; 2] {
    let distinct = if groups.contains("ts") { "" } else { DISTINCT };
    let query = |more: &str| {
        format!(
            "SELECT {groups}, {AGGREGATES}{distinct}{more} FROM plant.runs {rest} GROUP BY {groups} ORDER BY {groups}"
        )
    };
    let (fast, slow) = (query(""), query(", count(*) FILTER (WHERE n > 0)"));
    let plan = explain(engine, &fast).await;
    assert!(plan.contains("RunAggregateExec"), "{plan}");
    let plan = explain(engine, &slow).await;
    assert!(!plan.contains("RunAggregateExec"), "{plan}");
    let fast = rows(engine, &fast).await;
    let mut slow = rows(engine, &slow).await;
    for row in &mut slow {
        row.pop();
    }
    [fast, slow]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_grouping_by_runs_gives_what_one_by_rows_gives(
        batches in batches(),
        ascending in any::<bool>(),
    ) {
        let world = written(&batches, ascending);
        let engine = engine(&world);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for (groups, rest) in GROUPINGS {
                let [fast, slow] = both(&engine, groups, rest).await;
                prop_assert_eq!(fast, slow, "{} {}", groups, rest);
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

/// Enough rows for two partitions, several batches each, and groups that go through all of them.
pub(super) fn many(world: &World) {
    let schema = table(world, "ts");
    for round in 0..3_i64 {
        let rows: Vec<Row> = (0..15_000_i64)
            .map(|row| Row {
                device: (row % 8) as u8,
                second: row / 8 * 3 + round,
                tag: (row % 8 != 5).then_some((row % 8 % 3) as u8),
                temp: (row % 7 != 0).then_some((row % 90) as i32),
                n: Some(row * round),
                nan: row % 5_000 == 17,
                deleted: row % 1_000 == 999,
                expires: row % 900 == 899,
            })
            .collect();
        write(world, &schema, &rows, round == 1);
        if round < 2 {
            world.store.flush().unwrap();
        }
    }
}

#[tokio::test]
async fn partitions_share_groups() {
    let world = World::new();
    many(&world);
    let engine = engine(&world);
    for (groups, rest) in GROUPINGS {
        let [fast, slow] = both(&engine, groups, rest).await;
        assert!(fast.len() > 1, "{groups} {rest}");
        assert_eq!(fast, slow, "{groups} {rest}");
    }
    let plan = explain(
        &engine,
        "SELECT device, max(temp) FROM plant.runs GROUP BY device",
    )
    .await;
    assert!(
        plan.contains("codes=1") && plan.contains("partitions=2"),
        "{plan}"
    );
}

/// Rows of which each is a group of its own are looked up once, in the step behind; more groups than are held
/// are handed on early.
#[tokio::test]
async fn groups_that_do_not_follow_the_order_are_right_too() {
    let world = World::new();
    let columns = [
        ("k", DataType::BigInt),
        ("name", DataType::Text),
        ("v", DataType::BigInt),
    ];
    let schema = world.create("names", &columns, 1, &[]);
    for round in 0..3_i64 {
        let ids = round * 50_000..(round + 1) * 50_000;
        world.write(
            &schema,
            vec![
                Arc::new(Int64Array::from_iter_values(ids.clone())),
                Arc::new(StringArray::from_iter_values(
                    ids.clone().map(|id| format!("n{}", id * 7 % 90_000)),
                )),
                Arc::new(Int64Array::from_iter_values(ids)),
            ],
        );
    }
    let engine = engine(&world);
    let query = |outer: &str, inner: &str| {
        format!(
            "SELECT count(*), sum(c), max(s){outer} FROM (SELECT name, count(*) AS c, sum(v) AS s{inner} FROM plant.names GROUP BY name)"
        )
    };
    let fast = query("", "");
    let slow = query(", max(f)", ", count(*) FILTER (WHERE v > 5) AS f");
    for (sql, by_runs) in [(&fast, true), (&slow, false)] {
        let plan = explain(&engine, sql).await;
        assert_eq!(plan.contains("RunAggregateExec"), by_runs, "{plan}");
    }
    let (fast, slow) = (rows(&engine, &fast).await, rows(&engine, &slow).await);
    assert_eq!(fast[0], slow[0][..3]);
    assert_eq!(fast[0][..2], ["90000", "150000"]);
}

#[tokio::test]
async fn explain_analyze_counts_runs() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let sql = "SELECT time_bucket('1 minute', ts), avg(temp) FROM plant.readings GROUP BY 1";
    let plan = explain(&engine, sql).await;
    assert!(!plan.contains("RunAggregateExec"), "{plan}");
    let sql = "EXPLAIN ANALYZE SELECT device, avg(temp) FROM plant.readings GROUP BY device";
    let plan = lines(&engine, sql).await.join("\n");
    assert!(
        plan.contains("RunAggregateExec") && plan.contains("runs=3"),
        "{plan}"
    );
}
