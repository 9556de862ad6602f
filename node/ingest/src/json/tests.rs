//! JSON rows: types with and without a schema, absent and NULL, and what is refused.

use activestore_types::{ClusteringColumn, Column, ColumnId, CompactionMode, SyncMode, TableId};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type,
    TimestampNanosecondType,
};
use proptest::prelude::*;

use super::*;

fn options() -> JsonOptions {
    JsonOptions::new(TableName::new("k", "t"))
}

fn schema() -> Arc<TableSchema> {
    let columns = [
        ("id", DataType::Text),
        ("ts", DataType::Timestamp),
        ("b", DataType::Boolean),
        ("i", DataType::Int),
        ("l", DataType::BigInt),
        ("d", DataType::Double),
        (
            "m",
            DataType::Decimal {
                precision: 10,
                scale: 3,
            },
        ),
        ("x", DataType::Bytes),
        ("day", DataType::Date),
        ("u", DataType::Uuid),
        ("j", DataType::Json),
    ];
    Arc::new(TableSchema {
        id: TableId(1),
        name: TableName::new("k", "t"),
        columns: columns
            .iter()
            .enumerate()
            .map(|(index, (name, data_type))| Column {
                id: ColumnId(index as u32),
                name: (*name).to_owned(),
                data_type: *data_type,
            })
            .collect(),
        partition_key: vec![ColumnId(0)],
        clustering_key: vec![ClusteringColumn {
            id: ColumnId(1),
            descending: false,
        }],
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: CompactionMode::Automatic,
        version: 1,
    })
}

fn typed() -> JsonOptions {
    JsonOptions {
        schema: Some(schema()),
        ..options()
    }
}

#[test]
fn types_come_from_the_values_without_a_schema() {
    let parsed = parse(
        br#"[{"a":1,"b":1.5,"c":"x\ny","d":true,"e":{"k":[1, 2]},"f":null},
            {"a":2.5,"c":"z","f":7}]"#,
        &options(),
    );
    assert_eq!(parsed.rejected, []);
    let batch = &parsed.batches[0];
    batch.validate().unwrap();
    let a = batch.column("a").unwrap();
    assert_eq!(a.array.as_primitive::<Float64Type>().values(), &[1.0, 2.5]);
    let b = batch.column("b").unwrap();
    let set = b.set.as_ref().unwrap();
    assert!(set.value(0) && !set.value(1));
    assert_eq!(
        batch.column("c").unwrap().array.as_string::<i32>().value(0),
        "x\ny"
    );
    let e = batch.column("e").unwrap();
    assert_eq!(e.declared, Some(DataType::Json));
    assert_eq!(e.array.as_string::<i32>().value(0), r#"{"k":[1, 2]}"#);
    let f = batch.column("f").unwrap();
    assert!(f.set.is_none() && f.array.is_null(0));
    assert_eq!(f.array.as_primitive::<Int64Type>().value(1), 7);
}

#[test]
fn a_schema_gives_each_value_its_columns_type() {
    let parsed = parse(
        br#"{"id":"p","ts":"2026-01-02 03:04:05.5","b":false,"i":7,"l":"9007199254740993","d":3,"m":1.25,"x":"\\x00ff","day":"1970-01-03","u":"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11","j":"s"}
{"id":"p","ts":1700000000000,"m":"-0.001","x":"AP8=","j":{"a":1}}"#,
        &typed(),
    );
    assert_eq!(parsed.rejected, []);
    let batch = &parsed.batches[0];
    let column = |name: &str| batch.column(name).unwrap().array.clone();
    let ts = column("ts");
    let ts = ts.as_primitive::<TimestampNanosecondType>();
    assert_eq!(ts.value(0), 1_767_323_045_500_000_000);
    assert_eq!(ts.value(1), 1_700_000_000_000_000_000);
    assert_eq!(column("i").as_primitive::<Int32Type>().value(0), 7);
    assert_eq!(
        column("l").as_primitive::<Int64Type>().value(0),
        9_007_199_254_740_993
    );
    assert_eq!(column("d").as_primitive::<Float64Type>().value(0), 3.0);
    let m = column("m");
    assert_eq!(m.data_type(), &ArrowType::Decimal128(10, 3));
    assert_eq!(m.as_primitive::<Decimal128Type>().values(), &[1250, -1]);
    assert_eq!(column("x").as_binary::<i32>().value(0), [0, 255]);
    assert_eq!(column("x").as_binary::<i32>().value(1), [0, 255]);
    assert_eq!(column("day").as_primitive::<Date32Type>().value(0), 2);
    assert_eq!(
        column("u").as_string::<i32>().value(0),
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    );
    assert_eq!(column("j").as_string::<i32>().value(0), "\"s\"");
    assert_eq!(column("j").as_string::<i32>().value(1), r#"{"a":1}"#);
}

#[test]
fn a_value_that_is_not_its_columns_type_refuses_the_row() {
    for (value, expected) in [
        (r#""b":1"#, "column 'b': BOOLEAN expected, found 1"),
        (r#""i":3000000000"#, "column 'i'"),
        (r#""i":1.5"#, "column 'i'"),
        (r#""l":9223372036854775808"#, "column 'l'"),
        (r#""d":"abc""#, "column 'd'"),
        (r#""d":[1]"#, "DOUBLE expected"),
        (r#""m":0.0001"#, "more than the 3 digits"),
        (r#""m":99999999"#, "does not fit DECIMAL(10,3)"),
        (r#""x":"\\x0""#, "column 'x'"),
        (r#""x":"*""#, "column 'x'"),
        (r#""ts":"yesterday""#, "not a timestamp"),
        (r#""ts":true"#, "TIMESTAMP expected"),
        (r#""day":"2026-13-01""#, "not a date"),
        (r#""u":"zz""#, "not a UUID"),
        (r#""id":5"#, "TEXT expected, found 5"),
    ] {
        let body = format!("{{\"id\":\"a\"}}\n{{{value}}}\n");
        let parsed = parse(body.as_bytes(), &typed());
        assert_eq!(parsed.rejected.len(), 1, "{value}");
        assert_eq!(parsed.rejected[0].line, 2);
        assert!(
            parsed.rejected[0].reason.contains(expected),
            "{value}: {}",
            parsed.rejected[0].reason
        );
        assert_eq!(parsed.rows(), 1);
        assert_eq!(parsed.batches[0].columns.len(), 1, "{value} left a column");
    }
}

#[test]
fn a_column_keeps_its_type_and_the_conflict_names_it() {
    let parsed = parse(
        b"{\"a\":1}\n{\"a\":\"x\"}\n{\"a\":9007199254740993}\n{\"a\":0.5}\n",
        &options(),
    );
    assert_eq!(parsed.rejected.len(), 2);
    assert!(
        parsed.rejected[0]
            .reason
            .contains("column 'a' holds BIGINT in the rows before, and TEXT here")
    );
    assert_eq!(parsed.rejected[1].line, 4, "widening would lose digits");
}

#[test]
fn broken_ndjson_lines_are_refused_one_by_one() {
    let parsed = parse(
        b"{\"a\":1}\n{\"a\":\n\n[1]\n7\n{}\n{\"a\":2} x\n{\"a\":\xff}\n{\"a\":3}",
        &JsonOptions {
            shape: JsonShape::Lines,
            ..options()
        },
    );
    assert_eq!(parsed.rows(), 2);
    let lines: Vec<_> = parsed.rejected.iter().map(|line| line.line).collect();
    assert_eq!(lines, [2, 4, 5, 6, 7, 8]);
}

#[test]
fn arrays_count_rows_and_end_where_they_are_cut() {
    let parsed = parse(b"[{\"a\":1}, 5, {\"a\":2}]", &options());
    assert_eq!(parsed.rows(), 2);
    assert_eq!(parsed.rejected[0].line, 2);
    for cut in [
        &b"[{\"a\":1}, {\"a\":"[..],
        b"[{\"a\":1}",
        b"[{\"a\":1},",
        b"[{\"a\":1} {\"a\":2}]",
        b"[{\"a\":1}] x",
    ] {
        let parsed = parse(cut, &options());
        assert_eq!(parsed.rows(), 1, "{}", String::from_utf8_lossy(cut));
        assert_eq!(parsed.rejected_total, 1, "{}", String::from_utf8_lossy(cut));
        assert!(parsed.strict().is_err());
    }
    assert_eq!(parse(b"[]", &options()).lines, 0);
    assert_eq!(parse(b"  ", &options()).lines, 0);
}

#[test]
fn a_single_object_may_span_lines() {
    let parsed = parse(b"{\n  \"a\": 1,\n  \"b\": {\n \"c\": 2 }\n}\n", &options());
    assert_eq!(parsed.rejected, []);
    assert_eq!(parsed.rows(), 1);
}

#[test]
fn added_columns_take_the_rows_place_but_the_time_does_not() {
    let options = JsonOptions {
        added: AddedColumns {
            fixed: vec![("id".to_owned(), "p9".to_owned())],
            time: Some(("ts".to_owned(), 5)),
        },
        ..typed()
    };
    let parsed = parse(b"[{\"id\":\"x\",\"i\":1},{\"ts\":1}]", &options);
    assert_eq!(parsed.rejected, []);
    let batch = &parsed.batches[0];
    let id = batch.column("id").unwrap().array.clone();
    assert_eq!(id.as_string::<i32>().value(0), "p9");
    let ts = batch.column("ts").unwrap().array.clone();
    assert_eq!(
        ts.as_primitive::<TimestampNanosecondType>().values(),
        &[5, 1_000_000_000]
    );
}

#[test]
fn the_reader_cuts_arrays_and_lines_into_chunks() {
    let rows: Vec<String> = (0..500)
        .map(|row| format!("{{\"a\":{row},\"s\":\"],[{{\"}}"))
        .collect();
    for body in [rows.join("\n"), format!("[{}]", rows.join(", "))] {
        let reader = JsonReader::new(body.as_bytes(), options()).with_chunk_rows(64);
        let mut seen = Vec::new();
        for chunk in reader {
            let chunk = chunk.unwrap();
            assert_eq!(chunk.rejected, []);
            assert!(chunk.rows() <= 64);
            let a = chunk.batches[0].column("a").unwrap().array.clone();
            seen.extend(a.as_primitive::<Int64Type>().values().to_vec());
        }
        assert_eq!(seen, (0..500).collect::<Vec<i64>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn integers_and_text_come_back(rows in prop::collection::vec(
        (any::<i64>(), prop::option::of(any::<String>())), 1..20,
    )) {
        let body = rows.iter().map(|(n, s)| serde_json::json!({"n": n, "s": s}).to_string())
            .collect::<Vec<_>>().join("\n");
        let parsed = parse(body.as_bytes(), &JsonOptions { shape: JsonShape::Lines, ..typed_s() });
        prop_assert_eq!(&parsed.rejected, &[]);
        let batch = &parsed.batches[0];
        let n = batch.column("n").unwrap().array.clone();
        let s = batch.column("s").unwrap().array.clone();
        for (row, (number, text)) in rows.iter().enumerate() {
            prop_assert_eq!(n.as_primitive::<Int64Type>().value(row), *number);
            let s = s.as_string::<i32>();
            let got = s.is_valid(row).then(|| s.value(row).to_owned());
            prop_assert_eq!(&got, text);
        }
    }

    #[test]
    fn hostile_bytes_never_panic(body in prop::collection::vec(
        prop_oneof![Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b':'), Just(b','), Just(b'\n'), Just(b'1'), Just(b'a'), any::<u8>()],
        0..100,
    )) {
        let parsed = parse(&body, &options());
        prop_assert_eq!(parsed.rows() + parsed.rejected_total, parsed.lines);
    }
}

fn typed_s() -> JsonOptions {
    JsonOptions {
        types: vec![("s".to_owned(), DataType::Text)],
        ..options()
    }
}

#[test]
fn a_sparse_body_becomes_several_batches_instead_of_filling_memory() {
    // Each row names another column: cells grow with the square of the rows.
    let body: String = (0..4_000)
        .map(|row| format!("{{\"k\":{row},\"c{row}\":1}}\n"))
        .collect();
    let parsed = parse(body.as_bytes(), &options());
    assert_eq!(parsed.rejected, []);
    assert_eq!(parsed.rows(), 4_000);
    assert!(parsed.batches.len() > 1);
    for batch in &parsed.batches {
        batch.validate().unwrap();
        assert!(batch.rows * batch.columns.len() <= crate::builder::BATCH_CELLS_MAX);
    }
    let keys: Vec<i64> = parsed
        .batches
        .iter()
        .flat_map(|batch| {
            batch
                .column("k")
                .unwrap()
                .array
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        })
        .collect();
    assert_eq!(keys, (0..4_000).collect::<Vec<i64>>());
}
