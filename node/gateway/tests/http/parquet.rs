//! Rows as Parquet, out and in.

use activestore_formats::{AtOnce, ParquetReader, ParquetWriter};
use arrow::array::{Array, ArrayRef, DictionaryArray, Int32Array, ListArray, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;

use super::*;

const MEDIA: &str = "application/vnd.apache.parquet";
const AT_ONCE: AtOnce = AtOnce {
    bytes: 1 << 20,
    rows: 1 << 16,
};

fn rows_of(bytes: &[u8]) -> RecordBatch {
    let reader = ParquetReader::of_bytes(bytes.to_vec().into(), AT_ONCE).unwrap();
    let batches: Vec<_> = reader.map(|batch| batch.unwrap()).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn written(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ParquetWriter::new(Vec::new(), batch.schema(), 1 << 20).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn an_answer_comes_as_parquet_and_goes_back_into_a_table() {
    let node = Node::with_readings();
    node.sql(
        "INSERT INTO plant.readings SELECT 'd' || (value % 3), to_timestamp(value), value / 4.0, value FROM generate_series(1, 200000)",
    );
    let query = "SELECT * FROM plant.readings ORDER BY device, ts";
    for (path, headers) in [
        ("/v1/sql", vec![("accept", MEDIA)]),
        ("/v1/sql?format=parquet", vec![]),
    ] {
        let reply = node.post(path, &headers, query.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.headers["content-type"], MEDIA);
        assert_eq!(rows_of(&reply.bytes).num_rows(), 200_000);
        node.sql("DROP TABLE IF EXISTS plant.again; CREATE TABLE plant.again (device TEXT, ts TIMESTAMP, temp DOUBLE, n BIGINT, PRIMARY KEY ((device), ts))");
        let path = "/v1/tables/plant/again/rows";
        let reply = node.post(path, &[("content-type", MEDIA)], &reply.bytes);
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.json()["rows"], 200_000);
        let differ = "SELECT count(*) FROM plant.readings r JOIN plant.again a USING (device, ts) WHERE r.temp = a.temp AND r.n = a.n";
        assert_eq!(node.rows(differ), json!([[200_000]]));
    }
    // A statement without rows answers in JSON, and a query that fails with its status.
    let done = node.post("/v1/sql?format=parquet", &[], b"DELETE FROM plant.again");
    assert_eq!(done.json()["columns"], json!([]));
    let fails = node.post("/v1/sql?format=parquet", &[], b"SELECT 1 / 0");
    assert_eq!(fails.status, 400, "{}", fails.text);
}

#[test]
fn a_body_that_is_no_parquet_or_too_much_of_it_is_refused() {
    let node = Node::with_readings();
    let send = |bytes: &[u8]| {
        let path = "/v1/tables/plant/readings/rows";
        let reply = node.post(path, &[("content-type", MEDIA)], bytes);
        assert_eq!(reply.status, 400, "{}", reply.text);
        reply.text
    };
    // A text that the file has once, whatever the number of rows.
    let texts = |length: usize, rows: usize| {
        let text = StringArray::from(vec!["x".repeat(length)]);
        let numbers = Int32Array::from(vec![0; rows]);
        let texts = DictionaryArray::new(numbers, Arc::new(text));
        written(vec![("device", Arc::new(texts) as ArrayRef)])
    };
    let whole = texts(1, 3);
    for cut in [0, 3, 12, whole.len() / 2, whole.len() - 1] {
        assert!(send(&whole[..cut]).contains("whole Parquet"), "{cut}");
    }
    assert!(send(&texts(130 << 20, 1)).contains("a page says"));
    assert!(send(&texts(4_000, 100_000)).contains("when they are unpacked"));
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)])]);
    let lists: Arc<dyn Array> = Arc::new(lists);
    assert!(send(&written(vec![("device", lists)])).contains("which no column holds"));
    assert_eq!(
        node.rows("SELECT count(*) FROM plant.readings"),
        json!([[0]])
    );
}
