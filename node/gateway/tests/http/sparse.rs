//! Bodies whose rows each name other columns: what they make is bounded, not only what they are.

use arrow::array::{ArrayRef, DictionaryArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;

use super::*;

const ROOM: usize = 2 << 20;

fn node() -> Node {
    let node = Node::with(|options| {
        options.body_bytes_max = 1 << 20;
        options.bodies_bytes_max = ROOM;
    });
    node.sql("CREATE KEYSPACE plant; CREATE TABLE plant.wide (id BIGINT, PRIMARY KEY (id)) WITH (flexible = true)");
    node
}

/// The addresses that take rows, with what each is sent: so many rows, each with columns of its own.
fn bodies(rows: usize) -> [(&'static str, &'static str, String); 5] {
    let body = |row: &dyn Fn(usize) -> String| (0..rows).map(row).collect::<Vec<_>>().join("\n");
    let lines = body(&|row| format!("m c{row}=1i 1"));
    let json = body(&|row| format!("{{\"id\":{row},\"c{row}\":1}}"));
    [
        ("/v1/write?keyspace=plant", "text/plain", lines.clone()),
        ("/api/v3/write_lp?db=plant", "text/plain", lines.clone()),
        ("/api/v2/write?bucket=plant", "text/plain", lines.clone()),
        ("/write?db=plant", "text/plain", lines),
        ("/v1/tables/plant/wide/rows", "application/x-ndjson", json),
    ]
}

#[test]
fn rows_that_each_name_other_columns_are_refused_beyond_the_bound() {
    let node = node();
    for (path, kind, body) in bodies(4_000) {
        assert!(body.len() < 100 << 10);
        let reply = node.post(path, &[("content-type", kind)], body.as_bytes());
        assert_eq!(reply.status, 413, "{path}: {}", reply.text);
        for told in ["room for every column", "send it in smaller requests"] {
            assert!(reply.text.contains(told), "{path}: {}", reply.text);
        }
    }
    assert_eq!(
        node.rows("SELECT count(*) FROM system.tables WHERE keyspace = 'plant'"),
        json!([[1]])
    );
    assert_eq!(node.rows("SELECT count(*) FROM plant.wide"), json!([[0]]));
    // In smaller requests they are taken.
    for (path, kind, body) in bodies(60) {
        let reply = node.post(path, &[("content-type", kind)], body.as_bytes());
        assert!(reply.status < 300, "{path}: {}", reply.text);
    }
}

#[test]
fn a_body_of_the_largest_size_is_taken_where_its_rows_name_the_same_columns() {
    let node = node();
    let lines = "m a=1,b=1,c=1 1\n".repeat((1 << 20) / 16);
    let reply = node.post("/v1/write?keyspace=plant", &[], lines.as_bytes());
    assert_eq!(reply.status, 204, "{}", reply.text);
    let rows = "{\"id\":1,\"a\":1}\n".repeat((1 << 20) / 15);
    let kind = [("content-type", "application/x-ndjson")];
    let reply = node.post("/v1/tables/plant/wide/rows", &kind, rows.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text);
}

#[test]
fn rows_have_room_though_others_hold_that_for_bodies() {
    let node = node();
    // Two clients that send nothing of what they announce.
    let address = node.base.strip_prefix("http://").unwrap();
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let mut slow = std::net::TcpStream::connect(address).unwrap();
            let head = "POST /v1/write?keyspace=plant HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n";
            slow.write_all(head.as_bytes()).unwrap();
            slow
        })
        .collect();
    // More than is usual, and less than the most.
    for (path, kind, body) in bodies(250) {
        let reply = node.post(path, &[("content-type", kind)], body.as_bytes());
        assert!(reply.status < 300, "{path}: {}", reply.text);
    }
    drop(slow);
}

#[test]
fn rows_of_arrow_come_to_no_more_than_rows_may() {
    let node = node();
    node.sql("CREATE TABLE plant.texts (id BIGINT, t TEXT, PRIMARY KEY (id))");
    let send = |text: &str, rows: i64, packed: Option<CompressionType>| {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let texts: DictionaryArray<Int32Type> = (0..rows).map(|_| text).collect();
        // Text that is packed, or that a dictionary names.
        let texts: ArrayRef = match packed {
            Some(_) => cast(&texts, &DataType::Utf8).unwrap(),
            None => Arc::new(texts),
        };
        let batch = RecordBatch::try_from_iter([("id", ids), ("t", texts)]).unwrap();
        let options = IpcWriteOptions::default().try_with_compression(packed);
        let schema = batch.schema();
        let mut writer =
            StreamWriter::try_new_with_options(Vec::new(), &schema, options.unwrap()).unwrap();
        writer.write(&batch).unwrap();
        let body = writer.into_inner().unwrap();
        assert!(body.len() < 100 << 10, "{}", body.len());
        let kind = [("content-type", "application/vnd.apache.arrow.stream")];
        node.post("/v1/tables/plant/texts/rows", &kind, &body)
    };
    for packed in [None, Some(CompressionType::ZSTD)] {
        let much = send(&"x".repeat(1_000), 4_000, packed);
        assert_eq!(much.status, 413, "{}", much.text);
        // More than is usual.
        let some = send(&"x".repeat(1_000), 400, packed);
        assert_eq!(some.status, 200, "{}", some.text);
    }
    assert_eq!(
        node.rows("SELECT count(*), min(length(t)) FROM plant.texts"),
        json!([[400, 1_000]])
    );
}
