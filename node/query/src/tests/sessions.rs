//! Sessions of many rows, in a bounded memory.

use futures::StreamExt;

use super::*;

/// `plant.visits`: of one device three sessions of a row, and one of very many.
fn visits(world: &World) -> Arc<TableSchema> {
    let columns = [
        ("device", DataType::Text),
        ("ts", DataType::Timestamp),
        ("v", DataType::BigInt),
    ];
    let schema = world.create("visits", &columns, 1, &["ts"]);
    let write = |from: i64, to: i64, step: i64| {
        let moments = (from..to).map(|at| at * step);
        let moments = arrow::array::TimestampNanosecondArray::from_iter_values(moments);
        let count = (to - from) as usize;
        let values = arrow::array::Int64Array::from_iter_values(from..to);
        let devices = StringArray::from(vec!["a"; count]);
        world.write(
            &schema,
            vec![Arc::new(devices), Arc::new(moments), Arc::new(values)],
        );
    };
    write(0, 3, 1_000_000_000_000);
    for part in 0..12 {
        let from = 10_000_000 + part * 20_000;
        write(from, from + 20_000, 1_000_000_000);
    }
    world.store.flush().unwrap();
    schema
}

#[tokio::test]
async fn a_session_of_many_rows_takes_the_memory_of_few() {
    let world = World::new();
    let table = visits(&world);
    let key = [("device", DataType::Text), ("ts", DataType::Timestamp)];
    let late = world.create("late", &key, 1, &["ts"]);
    // Much less than what the rows take.
    let options = EngineOptions {
        memory_bytes: 1 << 20,
        ..EngineOptions::default()
    };
    let engine = engine_with(&world, options);
    let mut within = Within {
        table: table.name.clone(),
        time: "ts".to_owned(),
        from: 0,
        to: i64::MAX,
        among: vec![("device".to_owned(), Arc::new(StringArray::from(vec!["a"])))],
        but: None,
        beside: Vec::new(),
        in_order: true,
    };
    for but in [false, true] {
        within.but = but.then(|| LeftOut {
            table: late.name.clone(),
            key: vec!["device".to_owned(), "ts".to_owned()],
        });
        for condition in ["", "WHERE v <> 5"] {
            let sql = format!(
                "SELECT device, session(ts, '30 s') AS s, count(*) AS n, sum(v) AS total FROM plant.visits {condition} GROUP BY device, s"
            );
            let mut found = engine.query_within(&sql, &within).await.unwrap();
            let first = found.stream.next().await.unwrap().unwrap();
            assert!(first.num_rows() < 4, "{but} {condition}");
            // It was told before the long one was read.
            let read = found.stats.read().rows_scanned;
            assert!(read < 120_000, "{but} {condition}: {read}");
            let mut all = cells(&[first]);
            while let Some(batch) = found.stream.next().await {
                all.extend(cells(&[batch.unwrap()]));
            }
            let counts: Vec<&str> = all.iter().map(|row| row[2].as_str()).collect();
            assert_eq!(counts, ["1", "1", "1", "240000"], "{but} {condition}");
        }
    }
    // Where the order of the key does not do, there is a bound, and a word about it.
    let sql = "SELECT v / 1000000000 AS k, session(ts, '30 s') AS s, count(*) AS n FROM plant.visits GROUP BY k, s";
    let mut found = engine.query_within(sql, &within).await.unwrap();
    let mut error = None;
    while let Some(batch) = found.stream.next().await {
        error = error.or(batch.err());
    }
    let error = error.expect("too little memory");
    let kind = activestore_types::ErrorKind::Overloaded;
    assert_eq!(error.kind(), kind, "{error}");
}
