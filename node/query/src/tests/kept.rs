//! A text that comes again is not planned again, and answers as if it were.

use arrow::array::{Int64Array, TimestampNanosecondArray};

use super::functions::{doubled, twice};
use super::*;

/// Sent as often as it takes to be planned, planned and kept, run by that, and run by what the optimizer made of it.
pub(super) const TIMES: usize = 4;

/// The answer of a text, the same as often as it is sent, with how many of those runs had a plan already.
pub(super) async fn again(engine: &Engine, sql: &str) -> (Vec<String>, u64) {
    let before = engine.stats();
    let first = lines(engine, sql).await;
    for _ in 1..TIMES {
        assert_eq!(lines(engine, sql).await, first, "{sql}");
    }
    let after = engine.stats();
    let reused = after.plans_reused - before.plans_reused;
    let planned = after.planned - before.planned;
    assert_eq!(planned + reused, TIMES as u64, "{sql}");
    (first, reused)
}

/// The same, of a text that is kept.
pub(super) async fn kept(engine: &Engine, sql: &str) -> Vec<String> {
    let (rows, reused) = again(engine, sql).await;
    assert_eq!(reused, 2, "{sql}");
    rows
}

impl World {
    /// Another definition of the table of its name.
    pub(super) fn define(&self, schema: TableSchema) -> Arc<TableSchema> {
        let schema = Arc::new(schema);
        self.store.put_schema(schema.clone()).unwrap();
        let mut tables = self.tables.write();
        tables.insert(schema.name.clone(), schema.clone());
        schema
    }

    pub(super) fn forget(&self, schema: &TableSchema) {
        self.tables.write().remove(&schema.name);
    }

    pub(super) fn wait(&self, seconds: i64) {
        self.now_ns
            .fetch_add(seconds * 1_000_000_000, Ordering::Relaxed);
    }
}

/// One more row of a device, some seconds after the others.
pub(super) fn one_more(world: &World, schema: &TableSchema, device: &str, second: i64) {
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![device])),
        Arc::new(TimestampNanosecondArray::from(vec![
            NEW_YEAR_NS + second * 1_000_000_000,
        ])),
    ];
    for column in schema.columns.iter().skip(2) {
        arrays.push(arrow::array::new_null_array(&column.data_type.arrow(), 1));
    }
    world.write(schema, arrays);
}

#[tokio::test]
async fn what_is_written_between_runs_is_seen() {
    let world = World::new();
    let schema = readings(&world);
    let engine = engine(&world);
    let queries = [
        ("SELECT count(*) FROM plant.readings", "300"),
        (
            "SELECT count(*) FROM plant.readings WHERE device = 'p1'",
            "100",
        ),
        (
            "SELECT max(ts) FROM plant.readings WHERE device = 'p1'",
            "2026-01-01T00:01:39",
        ),
        (
            "SELECT a.device, count(*) FROM plant.readings a JOIN plant.readings b ON a.device = b.device AND a.ts = b.ts WHERE a.device = 'p1' GROUP BY a.device",
            "p1 100",
        ),
        (
            "SELECT count(*) FROM plant.readings WHERE ts = (SELECT max(ts) FROM plant.readings)",
            "3",
        ),
        (
            "WITH newest AS (SELECT device, last_value(n ORDER BY ts) AS n FROM plant.readings GROUP BY device) SELECT sum(n) FROM newest",
            "297",
        ),
    ];
    for (sql, wanted) in queries {
        assert_eq!(kept(&engine, sql).await, [wanted], "{sql}");
    }
    assert_eq!(engine.stats().plans_kept, queries.len() as u64);
    one_more(&world, &schema, "p1", 200);
    let after = ["301", "101", "2026-01-01T00:03:20", "p1 101", "1", "198"];
    for flushed in [false, true] {
        if flushed {
            world.store.flush().unwrap();
        }
        let planned = engine.stats().planned;
        for ((sql, _), wanted) in queries.iter().zip(after) {
            assert_eq!(lines(&engine, sql).await, [wanted], "{sql}");
        }
        assert_eq!(engine.stats().planned, planned);
    }
}

#[tokio::test]
async fn another_definition_of_a_table_is_planned_anew() {
    let world = World::new();
    let schema = readings(&world);
    let engine = engine(&world);
    // Of the second the optimizer leaves no table at all.
    let all = [
        "SELECT * FROM plant.readings WHERE device = 'p1' ORDER BY ts LIMIT 1",
        "SELECT * FROM plant.readings WHERE 1 = 0",
        "SELECT * FROM plant.readings WHERE device = 'p1' AND ts = '2026-01-01T00:00:05'",
    ];
    let width = async |sql: &str| engine.query(sql, &[]).await.unwrap().schema.fields().len();
    for sql in all {
        kept(&engine, sql).await;
        assert_eq!(width(sql).await, 7);
    }
    let mut wider = TableSchema::clone(&schema);
    wider.columns.push(Column {
        id: ColumnId(7),
        name: "note".into(),
        data_type: DataType::Text,
    });
    wider.version += 1;
    world.define(wider);
    for sql in all {
        for _ in 0..TIMES {
            assert_eq!(width(sql).await, 8, "{sql}");
        }
        assert_eq!(again(&engine, sql).await.1, TIMES as u64, "{sql}");
    }
    // One that is not needed has to be there too.
    let columns = [("k", DataType::BigInt)];
    let spare = world.create("spare", &columns, 1, &[]);
    let joined = "SELECT n FROM plant.readings r LEFT JOIN plant.spare s ON 1 = 0 WHERE r.device = 'p1' AND r.ts = '2026-01-01T00:00:05'";
    assert_eq!(kept(&engine, joined).await, ["5"]);
    world.forget(&spare);
    for _ in 0..TIMES {
        let error = try_rows(&engine, joined, &[]).await.unwrap_err();
        assert_eq!(error.kind(), activestore_types::ErrorKind::NotFound);
    }
    // Gone, and there again with other columns.
    world.forget(&schema);
    for sql in all {
        for _ in 0..TIMES {
            let error = try_rows(&engine, sql, &[]).await.unwrap_err();
            assert_eq!(
                error.kind(),
                activestore_types::ErrorKind::NotFound,
                "{sql}"
            );
        }
    }
    let mut other = TableSchema::clone(&schema);
    other.id = TableId(77);
    other.columns.truncate(3);
    let other = world.define(other);
    for sql in all {
        assert_eq!(again(&engine, sql).await.0, [""; 0], "{sql}");
        assert_eq!(width(sql).await, 3);
    }
    one_more(&world, &other, "p1", 5);
    assert_eq!(lines(&engine, all[0]).await, ["p1 2026-01-01T00:00:05 -"]);
    assert_eq!(lines(&engine, all[2]).await, ["p1 2026-01-01T00:00:05 -"]);
}

#[tokio::test]
async fn time_moves_on_and_chance_is_taken_anew() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let recent = "SELECT count(*) FROM plant.readings WHERE device = 'p1' AND ts >= now() - interval '30 seconds'";
    let gaps = "SELECT time_bucket_gapfill('10 seconds', ts) AS b, count(n) FROM plant.readings WHERE ts >= now() AND ts < now() + interval '20 seconds' GROUP BY b ORDER BY b";
    let days = "SELECT cast(now() AS DATE) AS day, now()";
    assert_eq!(kept(&engine, recent).await, ["100"]);
    assert_eq!(
        kept(&engine, gaps).await,
        ["2026-01-01T00:00:00 30", "2026-01-01T00:00:10 30"]
    );
    assert_eq!(
        kept(&engine, days).await,
        ["2026-01-01 2026-01-01T00:00:00"]
    );
    world.wait(100);
    assert_eq!(lines(&engine, recent).await, ["30"]);
    assert_eq!(
        lines(&engine, gaps).await,
        ["2026-01-01T00:01:40 -", "2026-01-01T00:01:50 -"]
    );
    world.wait(86_400);
    assert_eq!(lines(&engine, recent).await, ["0"]);
    assert_eq!(
        lines(&engine, days).await,
        ["2026-01-02 2026-01-02T00:01:40"]
    );
    for sql in ["SELECT random()", "SELECT uuid()"] {
        let mut all = Vec::new();
        for _ in 0..2 * TIMES {
            all.extend(lines(&engine, sql).await);
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 2 * TIMES, "{sql}");
    }
}

#[tokio::test]
async fn functions_that_come_and_go_are_those_of_now() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let sql =
        "SELECT twice(3) AS three, twice(n) FROM plant.readings WHERE device = 'p1' AND n = 7";
    for _ in 0..TIMES {
        assert!(try_rows(&engine, sql, &[]).await.is_err());
    }
    engine.register(twice("twice", doubled)).unwrap();
    assert_eq!(again(&engine, sql).await.0, ["6.0 14.0"]);
    let other = "SELECT count(*) FROM plant.readings";
    kept(&engine, other).await;
    engine
        .register(twice("twice", |rows, _| {
            Ok(Arc::new(Float64Array::from(vec![9.0; rows])))
        }))
        .unwrap();
    assert_eq!(engine.stats().plans_kept, 0);
    assert_eq!(again(&engine, sql).await.0, ["9.0 9.0"]);
    assert_eq!(again(&engine, other).await.0, ["300"]);
    engine.deregister("twice");
    for _ in 0..TIMES {
        let error = try_rows(&engine, sql, &[]).await.unwrap_err();
        assert_eq!(error.kind(), activestore_types::ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn what_is_not_stored_is_not_kept() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    for sql in [
        "SELECT name FROM system.tables",
        "SELECT count(*) FROM information_schema.tables",
        "SELECT count(*) > 100 FROM information_schema.routines",
        "SELECT typname FROM pg_catalog.pg_type WHERE typname = 'int4'",
        "SELECT current_user",
        "SELECT * FROM generate_series(1, 3)",
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT sum(i) FROM n",
        "SELECT predict('sum', temp, n) FROM plant.readings WHERE device = 'p1' AND n = 4",
    ] {
        assert_eq!(again(&engine, sql).await.1, 0, "{sql}");
    }
    let explained = "EXPLAIN SELECT count(*) FROM plant.readings WHERE device = 'p1'";
    assert_eq!(again(&engine, explained).await.1, 0);
    assert_eq!(engine.stats().plans_kept, 0);
    // A new table is in the lists at once.
    world.create("fresh", &[("k", DataType::BigInt)], 1, &[]);
    assert_eq!(
        lines(&engine, "SELECT name FROM system.tables").await,
        ["fresh", "readings"]
    );
}

#[tokio::test]
async fn parameters_are_those_of_each_run() {
    let world = World::new();
    readings(&world);
    let engine = engine(&world);
    let sql = "SELECT $2 AS said, count(*) FROM plant.readings WHERE device = $1 AND n < $2";
    for round in 0..3 * TIMES as i64 {
        let params = [Value::from("p1"), Value::from(round)];
        let found = try_rows(&engine, sql, &params).await.unwrap();
        assert_eq!(found, [[round.to_string(), round.to_string()]]);
        // Of other types, too few, or too many.
        let params = [Value::from("p1"), Value::from(round as f64 + 0.5)];
        let found = try_rows(&engine, sql, &params).await.unwrap();
        assert_eq!(found, [[format!("{round}.5"), (round + 1).to_string()]]);
        let error = try_rows(&engine, sql, &params[..1]).await.unwrap_err();
        assert!(error.message().contains("uses $2"), "{error}");
    }
    assert!(engine.stats().plans_reused > 0);
    let none = "SELECT count(*) FROM plant.readings WHERE n < 5";
    for _ in 0..TIMES {
        let found = try_rows(&engine, none, &[Value::from(1)]).await.unwrap();
        assert_eq!(found, [["15"]]);
    }
}

#[tokio::test]
async fn whole_keys_are_read_without_a_plan_and_types_stay_what_they_are() {
    let world = World::new();
    let columns = [("k", DataType::Text), ("v", DataType::BigInt)];
    let schema = world.create("texts", &columns, 1, &[]);
    world.write(
        &schema,
        vec![
            Arc::new(StringArray::from(vec!["5", "05", "a"])),
            Arc::new(Int64Array::from(vec![1, 2, 3])),
        ],
    );
    readings(&world);
    let engine = engine(&world);
    for sql in [
        "SELECT v FROM plant.texts WHERE k = '5'",
        "SELECT v AS w, k FROM plant.texts WHERE k = '05'",
        "SELECT k, v FROM plant.texts WHERE k IN ('a', '5', 'none')",
        "SELECT k FROM plant.texts WHERE k = '5' AND v = 2",
        "SELECT k FROM plant.texts WHERE k = '5' LIMIT 1",
        "SELECT k FROM plant.texts WHERE k = '5' LIMIT 0",
        "SELECT n, device FROM plant.readings WHERE device = 'p2' AND ts = '2026-01-01T00:00:07Z'",
        "SELECT * FROM plant.readings WHERE device = 'p2' AND ts = timestamp '2026-01-01 00:00:07'",
        "SELECT DISTINCT v FROM plant.texts WHERE k = '5'",
        "SELECT r.n FROM plant.readings AS r WHERE r.device IN ('p1', 'p2') AND r.ts = '2026-01-01T00:00:07'",
    ] {
        kept(&engine, sql).await;
    }
    let number = "SELECT v FROM plant.texts WHERE k = 5";
    let first = try_rows(&engine, number, &[]).await;
    for _ in 0..TIMES {
        let next = try_rows(&engine, number, &[]).await;
        assert_eq!(format!("{next:?}"), format!("{first:?}"));
    }
    let sql = "SELECT n FROM plant.readings WHERE device = 'p1' AND ts = '2026-01-01T00:00:07'";
    for _ in 0..TIMES {
        let answer = engine.query(sql, &[]).await.unwrap();
        let stats = answer.stats.clone();
        assert_eq!(cells(&answer.collect().await.unwrap()), [["7"]]);
        assert_eq!(stats.read().rows_scanned, 1);
    }
}
