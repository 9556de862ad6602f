//! Answers as Parquet.

use activestore_formats::{AtOnce, ParquetReader};

use super::*;

const MEDIA: &str = "application/vnd.apache.parquet";
const ROWS: usize = 200_000;

/// How many rows a file of these bytes has.
fn rows_of(bytes: &[u8]) -> usize {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let at_once = AtOnce {
        bytes: 1 << 20,
        rows: 1 << 16,
    };
    let reader = ParquetReader::of_file(file, &[], at_once, &mut 0).unwrap();
    assert_eq!(reader.rows_total(), ROWS as u64);
    reader.map(|batch| batch.unwrap().num_rows()).sum()
}

#[test]
fn an_answer_comes_as_parquet() {
    let node = Node::with_readings();
    node.sql(&format!(
        "INSERT INTO plant.readings SELECT 'd' || (value % 3), to_timestamp(value), value / 4.0, value FROM generate_series(1, {ROWS})",
    ));
    let query = "SELECT * FROM plant.readings ORDER BY device, ts";
    for (path, headers) in [
        ("/v1/sql", vec![("accept", MEDIA)]),
        ("/v1/sql?format=parquet", vec![]),
    ] {
        let reply = node.post(path, &headers, query.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text);
        assert_eq!(reply.headers["content-type"], MEDIA);
        assert_eq!(rows_of(&reply.bytes), ROWS);
    }
    // A statement without rows answers in JSON, and a query that fails with its status.
    let done = "DELETE FROM plant.readings WHERE device = 'none'";
    let done = node.post("/v1/sql?format=parquet", &[], done.as_bytes());
    assert_eq!(done.json()["columns"], json!([]));
    let fails = node.post("/v1/sql?format=parquet", &[], b"SELECT 1 / 0");
    assert_eq!(fails.status, 400, "{}", fails.text);
}

#[test]
fn rows_do_not_come_in_as_parquet() {
    let node = Node::with_readings();
    let rows = "/v1/tables/plant/readings/rows";
    let reply = node.post(rows, &[("content-type", MEDIA)], b"PAR1");
    assert_eq!(reply.status, 415, "{}", reply.text);
    assert!(reply.text.contains("activestore load"), "{}", reply.text);
    let reply = node.post(&format!("{rows}?format=parquet"), &[], b"PAR1");
    assert_eq!(reply.status, 415, "{}", reply.text);
}
