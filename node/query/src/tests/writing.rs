//! What the writing statements are worked out to: rows of the table's types, keys, ranges.

use activestore_types::encode_keys;
use serde_json::json;

use super::*;

async fn source(
    engine: &Engine,
    schema: &TableSchema,
    columns: &[&str],
    sql: &str,
) -> Result<Vec<Vec<String>>> {
    let columns: Vec<String> = columns.iter().map(|name| (*name).into()).collect();
    let rows = engine.evaluate_source(schema, &columns, sql, &[]).await?;
    let wanted = rows.schema.clone();
    let batches = rows.collect().await?;
    for batch in &batches {
        assert_eq!(batch.schema(), wanted);
    }
    Ok(cells(&batches))
}

#[tokio::test]
async fn values_become_the_columns_types() {
    let world = World::new();
    let schema = readings(&world);
    let engine = engine(&world);
    let made = source(&engine, &schema, &["device", "ts", "temp", "n", "id", "body"],
        "VALUES ('p1', '2026-02-03 04:05:06.789', 21, '5', '{A0EEBC99-9C0B4EF8BB6D6BB9BD380A11}', ' {\"b\": 1, \"a\" : [ ] } '), ('p2', now(), '1e3', 7.0, NULL, 'null')").await;
    // One column of VALUES has one type, so text and numbers do not mix in it.
    assert!(made.is_err() || made.unwrap().len() == 2);
    let made = source(&engine, &schema, &["device", "ts", "temp", "n", "id", "body"],
        "VALUES ('p1', '2026-02-03 04:05:06.789', 21, '5', '{A0EEBC99-9C0B4EF8BB6D6BB9BD380A11}', ' {\"b\": 1, \"a\" : [ ] } ')").await.unwrap();
    assert_eq!(
        made,
        [[
            "p1",
            "2026-02-03T04:05:06.789",
            "21.0",
            "5",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "{\"b\":1,\"a\":[]}"
        ]]
    );
    let made = source(
        &engine,
        &schema,
        &["device", "ts", "n"],
        "VALUES ('p2', now(), 7.0), (NULL, TIMESTAMP '2026-01-02', NULL)",
    )
    .await
    .unwrap();
    assert_eq!(
        made,
        [
            ["p2", "2026-01-01T00:00:00", "7"],
            ["-", "2026-01-02T00:00:00", "-"]
        ]
    );
    let made = source(
        &engine,
        &schema,
        &[],
        "SELECT device, ts, temp * 2 FROM plant.readings WHERE device = 'p1' AND n = 3",
    )
    .await
    .unwrap();
    assert_eq!(made, [["p1", "2026-01-01T00:00:03", "3.0"]]);
}

#[tokio::test]
async fn what_does_not_fit_names_its_column() {
    let world = World::new();
    let schema = readings(&world);
    let engine = engine(&world);
    for (columns, sql, says) in [
        (
            &["device", "ts"][..],
            "VALUES ('p1', 'soon')",
            "column 'ts': 'soon' is not a valid TIMESTAMP",
        ),
        (
            &["n"],
            "VALUES (1.5)",
            "column 'n': '1.5' is not a valid INT",
        ),
        (&["n"], "VALUES (3000000000)", "column 'n': '3000000000'"),
        (
            &["n"],
            "VALUES (true)",
            "column 'n' is INT, the value given is BOOLEAN",
        ),
        (
            &["id"],
            "VALUES ('zz')",
            "column 'id': 'zz' is not a valid UUID",
        ),
        (
            &["body"],
            "VALUES ('{')",
            "column 'body': '{' is not a valid JSON",
        ),
        (
            &["temp"],
            "VALUES ('warm')",
            "column 'temp': 'warm' is not a valid DOUBLE",
        ),
        (&["ts"], "VALUES (17)", "column 'ts' is TIMESTAMP"),
        (
            &["device", "n"],
            "VALUES (1)",
            "2 columns are named, 1 values are given",
        ),
        (&["statsu"], "VALUES ('x')", "did you mean 'status'"),
    ] {
        let error = source(&engine, &schema, columns, sql).await.expect_err(sql);
        assert!(error.to_string().contains(says), "{sql}: {error}");
    }
}

#[tokio::test]
async fn flexible_tables_keep_unknown_columns_as_they_come() {
    let world = World::new();
    let mut schema = TableSchema::clone(&readings(&world));
    schema.flexible = true;
    let engine = engine(&world);
    let made = source(&engine, &schema, &["device", "flow"], "VALUES ('p1', 2.5)")
        .await
        .unwrap();
    assert_eq!(made, [["p1", "2.5"]]);
}

#[tokio::test]
async fn updates_give_keys_and_new_values() {
    let world = World::new();
    let schema = readings(&world);
    let engine = engine(&world);
    let run = async |sql: &str, params: &[Value]| {
        let Ok([Statement::Update(update)]) =
            parse(sql).map(|all| <[Statement; 1]>::try_from(all).unwrap())
        else {
            panic!()
        };
        Ok::<_, Error>(cells(
            &engine
                .evaluate_update(&schema, &update, &Param::all(params))
                .await?
                .collect()
                .await?,
        ))
    };
    let made = run("UPDATE plant.readings SET status = 'hot', temp = temp + $1, n = NULL WHERE device = 'p2' AND n = 4 -- why", &[json!(1)]).await.unwrap();
    assert_eq!(made, [["p2", "2026-01-01T00:00:04", "hot", "3.0", "-"]]);
    let error = run("UPDATE plant.readings SET device = 'x'", &[])
        .await
        .unwrap_err();
    assert!(
        error.message().contains("part of the primary key"),
        "{error}"
    );
    let error = run("UPDATE plant.readings SET n = 'x'", &[])
        .await
        .unwrap_err();
    assert!(error.message().contains("column 'n': 'x'"), "{error}");
    let keys = engine
        .evaluate_keys(&schema, Some("n = 4"), &[])
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    assert_eq!(cells(&keys).len(), 3);
}

#[tokio::test]
async fn deletes_become_keys_ranges_or_a_search() {
    let world = World::new();
    let schema = readings(&world);
    let engine = engine(&world);
    let plan = async |filter: &str| {
        engine
            .delete_plan(&schema, Some(filter), &Param::all(&[json!("p1")]))
            .await
            .unwrap()
    };
    let key = |device: &str, second: i64| {
        let ts = arrow::array::TimestampNanosecondArray::from(vec![
            NEW_YEAR_NS + second * 1_000_000_000,
        ]);
        let keys = encode_keys(&[
            (Arc::new(StringArray::from(vec![device])) as ArrayRef, false),
            (Arc::new(ts) as ArrayRef, true),
        ])
        .unwrap();
        keys.key(0).to_vec()
    };
    assert!(
        matches!(engine.delete_plan(&schema, None, &[]).await.unwrap(), DeletePlan::Ranges(ranges) if ranges == [activestore_types::KeyRange::all()])
    );
    let DeletePlan::Ranges(ranges) = plan("device = $1").await else {
        panic!()
    };
    assert!(
        ranges.len() == 1
            && ranges[0].contains(&key("p1", 5))
            && !ranges[0].contains(&key("p2", 5))
    );
    let DeletePlan::Ranges(ranges) = plan(
        "device = 'p1' AND ts < now() + interval '10 seconds' AND ts >= '2026-01-01T00:00:05'",
    )
    .await
    else {
        panic!()
    };
    assert_eq!(ranges.len(), 1);
    for (second, inside) in [(4, false), (5, true), (9, true), (10, false)] {
        assert_eq!(ranges[0].contains(&key("p1", second)), inside, "{second}");
    }
    let DeletePlan::Keys(keys) =
        plan("device IN ('p1', 'p2') AND ts = '2026-01-01T00:00:05'").await
    else {
        panic!()
    };
    assert_eq!(
        cells(&[keys]),
        [["p1", "2026-01-01T00:00:05"], ["p2", "2026-01-01T00:00:05"]]
    );
    assert!(
        matches!(plan("device = 'p1' AND device = 'p2'").await, DeletePlan::Ranges(ranges) if ranges.is_empty())
    );
    for filter in [
        "temp > 5",
        "device = 'p1' AND temp > 5",
        "ts < '2026-01-02'",
        "device > 'p1'",
        "device = 'p1' OR n = 3",
        "device = (SELECT max(device) FROM plant.readings)",
        "device LIKE 'p%'",
    ] {
        assert!(matches!(plan(filter).await, DeletePlan::Select), "{filter}");
    }
    assert!(
        engine
            .delete_plan(&schema, Some("nothing = 1"), &[])
            .await
            .is_err()
    );
}

#[test]
fn wires_cast_without_loss_or_not_at_all() {
    let int: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![
        Some(1),
        None,
        Some(i64::MAX),
    ]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let float: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    assert!(cast_lossless("c", DataType::BigInt, &int).is_ok());
    assert!(cast_lossless("c", DataType::Double, &int).is_ok());
    assert!(
        cast_lossless("c", DataType::Int, &int)
            .unwrap_err()
            .message()
            .contains("9223372036854775807")
    );
    for (to, array) in [
        (DataType::Int, &float),
        (DataType::Int, &text),
        (DataType::Double, &text),
        (DataType::Text, &int),
        (DataType::Boolean, &text),
        (DataType::Timestamp, &int),
    ] {
        let error = cast_lossless("flow", to, array).unwrap_err();
        assert!(error.message().contains("column 'flow' is"), "{error}");
    }
    assert!(
        cast_assigned("c", DataType::Int, &float).is_ok()
            && cast_assigned("c", DataType::Int, &text).is_ok()
    );
    assert!(
        cast_lossless(
            "c",
            DataType::Timestamp,
            &(Arc::new(StringArray::from(vec!["2026-01-01T00:00:00Z"])) as ArrayRef)
        )
        .is_ok()
    );
}

#[test]
fn json_keeps_its_digits_and_strings() {
    let given: ArrayRef = Arc::new(StringArray::from(vec![
        " { \"a b\" : \"x \\\" y \\\\\" , \"n\" : 0.12345678901234567890123 , \"e\":1e999 } ",
    ]));
    let kept = cast_assigned("c", DataType::Json, &given).unwrap();
    assert_eq!(
        array_value_to_string(&kept, 0).unwrap(),
        "{\"a b\":\"x \\\" y \\\\\",\"n\":0.12345678901234567890123,\"e\":1e999}"
    );
}
