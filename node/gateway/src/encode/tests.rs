//! What a client reads in each format for the values that are easy to get wrong.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Decimal128Array, Float64Array, Int64Array, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, TimeUnit};
use arrow::ipc::reader::StreamReader;
use serde_json::json;

use super::*;

fn batch() -> RecordBatch {
    let json = Field::new("tags", ArrowType::Utf8, true)
        .with_metadata([(TYPE_METADATA_KEY.to_owned(), "JSON".to_owned())].into());
    let columns: Vec<(Field, ArrayRef)> = vec![
        (
            Field::new("ts", ArrowType::Timestamp(TimeUnit::Nanosecond, None), true),
            Arc::new(TimestampNanosecondArray::from(vec![
                Some(1_700_000_000_123_000_000),
                Some(-1),
                None,
            ])),
        ),
        (
            Field::new("n", ArrowType::Int64, true),
            Arc::new(Int64Array::from(vec![Some(1), Some(i64::MIN), None])),
        ),
        (
            Field::new("x", ArrowType::Float64, true),
            Arc::new(Float64Array::from(vec![21.5, f64::NAN, 3.0])),
        ),
        (
            Field::new("s, t", ArrowType::Utf8, true),
            Arc::new(StringArray::from(vec![Some("a \"b\""), Some(""), None])),
        ),
        (
            Field::new("b", ArrowType::Binary, true),
            Arc::new(BinaryArray::from_opt_vec(vec![
                Some(b"\x00\xff"),
                None,
                None,
            ])),
        ),
        (
            Field::new("d", ArrowType::Decimal128(10, 2), true),
            Arc::new(
                Decimal128Array::from(vec![Some(12_345), None, Some(-5)])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        (
            json,
            Arc::new(StringArray::from(vec![
                Some("{\"a\":1}"),
                Some("not json"),
                None,
            ])),
        ),
    ];
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn encoded(format: Format) -> Vec<u8> {
    let batch = batch();
    let mut encoder = Encoder::new(format, batch.schema()).unwrap();
    encoder.batch(&batch.slice(0, 1)).unwrap();
    let mut out = encoder.take();
    encoder.batch(&batch.slice(1, 2)).unwrap();
    encoder.finish(&json!({"rows": encoder.rows()})).unwrap();
    out.extend(encoder.take());
    out
}

#[test]
fn json_is_one_valid_document() {
    let value: serde_json::Value = serde_json::from_slice(&encoded(Format::Json)).unwrap();
    assert_eq!(
        value["columns"][0],
        json!({"name": "ts", "type": "TIMESTAMP"})
    );
    assert_eq!(value["columns"][6]["type"], "JSON");
    assert_eq!(
        value["rows"],
        json!([
            ["2023-11-14T22:13:20.123Z", 1, 21.5, "a \"b\"", "\\x00ff", "123.45", {"a": 1}],
            ["1969-12-31T23:59:59.999999999Z", i64::MIN, "NaN", "", null, null, "not json"],
            [null, null, 3.0, null, null, "-0.05", null],
        ])
    );
    assert_eq!(value["stats"]["rows"], 3);
}

#[test]
fn csv_tells_null_from_the_empty_string() {
    let text = String::from_utf8(encoded(Format::Csv)).unwrap();
    let lines: Vec<_> = text.split("\r\n").collect();
    assert_eq!(lines[0], "ts,n,x,\"s, t\",b,d,tags");
    assert_eq!(
        lines[1],
        "2023-11-14T22:13:20.123Z,1,21.5,\"a \"\"b\"\"\",\\x00ff,123.45,\"{\"\"a\"\":1}\""
    );
    assert!(lines[2].contains("NaN,\"\",,"), "{}", lines[2]);
    assert_eq!(lines[3], ",,3.0,,,-0.05,");
}

#[test]
fn ndjson_is_one_object_a_line() {
    let text = String::from_utf8(encoded(Format::Ndjson)).unwrap();
    let rows: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["s, t"], "a \"b\"");
    assert_eq!(rows[2]["n"], serde_json::Value::Null);
}

#[test]
fn arrow_reads_back_as_it_was() {
    let bytes = encoded(Format::Arrow);
    let rows: Vec<_> = StreamReader::try_new(bytes.as_slice(), None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1], batch().slice(1, 2));
}

#[test]
fn a_failure_in_the_middle_is_never_taken_for_the_end() {
    let batch = batch();
    for (format, says) in [
        (Format::Json, true),
        (Format::Ndjson, true),
        (Format::Csv, false),
        (Format::Arrow, false),
    ] {
        let mut encoder = Encoder::new(format, batch.schema()).unwrap();
        encoder.batch(&batch).unwrap();
        assert_eq!(
            encoder.fail(&json!({"code": "internal"})),
            says,
            "{format:?}"
        );
        if format == Format::Json {
            let value: serde_json::Value = serde_json::from_slice(&encoder.take()).unwrap();
            assert_eq!(value["error"]["code"], "internal");
        }
    }
}

#[test]
fn an_accept_header_picks_the_first_format_it_knows() {
    assert_eq!(
        Format::from_accept("text/html, text/csv;q=0.9"),
        Some(Format::Csv)
    );
    assert_eq!(Format::from_accept("*/*"), None);
    let media = "application/vnd.apache.parquet";
    assert_eq!(Format::from_accept(media), Some(Format::Parquet));
    assert_eq!(Format::Parquet.content_type(), media);
    let unknown = "orc".parse::<Format>().unwrap_err();
    assert!(unknown.hint().unwrap().contains("parquet"), "{unknown}");
}
