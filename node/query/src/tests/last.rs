//! Newest rows by SQL are the same with and without a scan, and EXPLAIN says which it was.

use arrow::array::{Int64Array, TimestampNanosecondArray};

use super::*;

/// Rows of some devices of two sites; `-ts` makes the newest row the first in key order.
fn fleet(world: &World, name: &str, time: &str) -> Arc<TableSchema> {
    let columns = [
        ("site", DataType::Text),
        ("device", DataType::Text),
        ("ts", DataType::Timestamp),
        ("seq", DataType::BigInt),
        ("temp", DataType::Double),
    ];
    let schema = world.create(name, &columns, 2, &[time, "seq"]);
    for round in 0..3_i64 {
        let rows: Vec<i64> = (0..120).collect();
        let text = |prefix: &str, of: fn(i64) -> i64| {
            let cells = rows.iter().map(|row| format!("{prefix}{}", of(*row)));
            Arc::new(StringArray::from_iter_values(cells)) as ArrayRef
        };
        let ts = rows
            .iter()
            .map(|row| NEW_YEAR_NS + (row * 7 + round * 3) % 50);
        let temp = rows
            .iter()
            .map(|row| (row % 3 != 0).then_some((row + round) as f64));
        let arrays: Vec<ArrayRef> = vec![
            text("s", |row| row % 2),
            text("d", |row| row % 10 / 2),
            Arc::new(TimestampNanosecondArray::from_iter_values(ts)),
            Arc::new(Int64Array::from_iter_values(
                rows.iter().map(|row| row * round),
            )),
            Arc::new(temp.collect::<Float64Array>()),
        ];
        world.write(&schema, arrays);
        if round < 2 {
            world.store.flush().unwrap();
        }
    }
    schema
}

/// The answer, with and without the store's last rows.
async fn both(engine: &Engine, select: &str, rest: &str) -> Vec<Vec<String>> {
    let plan = explain(engine, &format!("SELECT {select} {rest}")).await;
    assert!(plan.contains("last rows"), "{plan}");
    // A group that is one partition is its last row.
    if rest.contains("GROUP BY site, device") {
        assert!(!plan.contains("Aggregate"), "{plan}");
    }
    let fast = rows(engine, &format!("SELECT {select} {rest}")).await;
    // A count needs every row.
    let mut slow = rows(engine, &format!("SELECT {select}, count(*) {rest}")).await;
    for row in &mut slow {
        row.pop();
    }
    assert_eq!(fast, slow, "{select} {rest}");
    assert!(!fast.is_empty());
    fast
}

#[tokio::test]
async fn newest_rows_need_no_scan() {
    for (name, time) in [("up", "ts"), ("down", "-ts")] {
        let world = World::new();
        fleet(&world, name, time);
        let engine = engine(&world);
        let from = format!("FROM plant.{name}");
        let by_device = "GROUP BY site, device ORDER BY site, device";
        let all = "site, device, last_value(ts ORDER BY ts), max(ts)";
        assert_eq!(
            both(&engine, all, &format!("{from} {by_device}"))
                .await
                .len(),
            10
        );
        let where_ = format!("{from} t WHERE site = 's1' AND device IN ('d1', 'd3') {by_device}");
        let first = "device, first_value(ts ORDER BY ts DESC)";
        assert_eq!(both(&engine, first, &where_).await.len(), 2);
        let by_site = format!("{from} GROUP BY site ORDER BY site");
        both(&engine, "site, max(ts)", &by_site).await;
        both(&engine, "max(ts)", &from).await;
        let seq = match time {
            "ts" => "last_value(temp ORDER BY ts, seq), last_value(seq ORDER BY ts, seq)",
            _ => "last_value(temp ORDER BY ts, seq DESC), last_value(seq ORDER BY ts, seq DESC)",
        };
        let (select, rest) = (
            format!("site, device, {seq}"),
            format!("{from} {by_device}"),
        );
        let found = both(&engine, &select, &rest).await;
        let has_null = found.iter().any(|row| row[2] == "-");
        assert!(has_null, "a NULL is a last value too");
    }
}

#[tokio::test]
async fn distinct_on_takes_the_last_rows() {
    let world = World::new();
    fleet(&world, "up", "ts");
    let engine = engine(&world);
    let order = "ORDER BY site, device, ts DESC, seq DESC";
    let sql = format!(
        "SELECT DISTINCT ON (site, device) site, device, ts, seq, temp FROM plant.up {order}"
    );
    let plan = explain(&engine, &sql).await;
    assert!(
        plan.contains("last rows") && !plan.contains("Aggregate"),
        "{plan}"
    );
    let found = rows(&engine, &sql).await;
    let sql = format!("SELECT site, device, ts, seq, temp FROM plant.up {order}");
    let mut expected = rows(&engine, &sql).await;
    expected.dedup_by(|later, kept| later[..2] == kept[..2]);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn other_questions_scan() {
    let world = World::new();
    fleet(&world, "up", "ts");
    let engine = engine(&world);
    for sql in [
        "SELECT device, max(temp) FROM plant.up GROUP BY device",
        "SELECT device, last_value(temp ORDER BY temp) FROM plant.up GROUP BY device",
        "SELECT device, last_value(temp) FROM plant.up GROUP BY device",
        "SELECT device, first_value(temp ORDER BY ts) FROM plant.up GROUP BY device",
        "SELECT device, last_value(temp ORDER BY ts, seq DESC) FROM plant.up GROUP BY device",
        "SELECT device, last_value(temp ORDER BY seq) FROM plant.up GROUP BY device",
        "SELECT device, last_value(temp) IGNORE NULLS FROM plant.up GROUP BY device",
        "SELECT device, max(ts) FILTER (WHERE temp > 3) FROM plant.up GROUP BY device",
        "SELECT device, max(ts) FROM plant.up WHERE temp > 3 GROUP BY device",
        "SELECT device, max(ts) FROM plant.up WHERE ts < '2026-01-01T00:00:00.00000001' GROUP BY device",
        "SELECT seq, max(ts) FROM plant.up GROUP BY seq",
        "SELECT max(ts) FROM (SELECT ts FROM plant.up LIMIT 3)",
        "SELECT DISTINCT device FROM plant.up",
    ] {
        let plan = explain(&engine, sql).await;
        assert!(!plan.contains("last rows"), "{sql}\n{plan}");
    }
}

/// Partitions of numbers lie side by side in key order: the range of one ends where the next begins.
#[tokio::test]
async fn neighbouring_partitions_stay_apart() {
    let world = World::new();
    for (name, columns) in [
        ("numbers", vec![("unit", DataType::BigInt)]),
        (
            "mixed",
            vec![("site", DataType::Text), ("unit", DataType::BigInt)],
        ),
    ] {
        let partition = columns.len();
        let rest = [("ts", DataType::Timestamp), ("temp", DataType::Double)];
        let columns: Vec<_> = columns.into_iter().chain(rest).collect();
        let schema = world.create(name, &columns, partition, &["ts"]);
        let rows: Vec<i64> = (0..900).collect();
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(
                rows.iter().map(|row| row % 9 - 4),
            )),
            Arc::new(TimestampNanosecondArray::from_iter_values(
                rows.iter().map(|row| NEW_YEAR_NS + row),
            )),
            Arc::new(Float64Array::from_iter_values(
                rows.iter().map(|row| *row as f64),
            )),
        ];
        if partition == 2 {
            let sites = rows.iter().map(|row| format!("s{}", row % 2));
            arrays.insert(0, Arc::new(StringArray::from_iter_values(sites)));
        }
        world.write(&schema, arrays);
        world.store.flush().unwrap();
        let engine = engine(&world);
        let site = if partition == 2 {
            "site = 's1' AND"
        } else {
            ""
        };
        for (units, found) in [("-1, 0, 1, 2", 4), ("3", 1), ("4, 5, 6", 1), ("-4, 4", 2)] {
            let rest = format!(
                "FROM plant.{name} WHERE {site} unit IN ({units}) GROUP BY unit ORDER BY unit"
            );
            let rows = both(
                &engine,
                "unit, last_value(temp ORDER BY ts), max(ts)",
                &rest,
            )
            .await;
            assert_eq!(rows.len(), found, "{name}: {units}");
        }
    }
}

/// What is deleted or expired is not the newest row, and cells that a row does not set are NULL.
#[tokio::test]
async fn what_does_not_show_is_not_the_newest() {
    let world = World::new();
    let schema = fleet(&world, "up", "ts");
    let range = |prefix: &str| {
        let site: ArrayRef = Arc::new(StringArray::from(vec![prefix]));
        let keys = activestore_types::encode_keys(&[(site, false)]).unwrap();
        activestore_types::KeyRange::prefix(keys.key(0))
    };
    let all = range("s1");
    world
        .store
        .commit(WriteSet {
            tombstones: vec![activestore_types::RangeTombstone {
                table: schema.id,
                start: all.start,
                end: all.end,
                hlc: Hlc(1 << 40),
                origin: OriginId(0),
            }],
            ..WriteSet::default()
        })
        .unwrap();
    let engine = engine(&world);
    let rest = "FROM plant.up GROUP BY site, device ORDER BY site, device";
    let found = both(
        &engine,
        "site, device, max(ts), last_value(temp ORDER BY ts, seq)",
        rest,
    )
    .await;
    assert!(found.iter().all(|row| row[0] == "s0"));
    assert_eq!(found.len(), 5);
}
