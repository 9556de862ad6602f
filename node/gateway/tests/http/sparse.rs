//! Bodies whose rows each name other columns: what they make is bounded, not only what they are.

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
fn bodies(rows: usize) -> [(&'static str, &'static str, String); 4] {
    let body = |row: &dyn Fn(usize) -> String| (0..rows).map(row).collect::<Vec<_>>().join("\n");
    let lines = body(&|row| format!("m c{row}=1i 1"));
    let json = body(&|row| format!("{{\"id\":{row},\"c{row}\":1}}"));
    [
        ("/v1/write?keyspace=plant", "text/plain", lines.clone()),
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
fn more_room_is_shared_with_other_bodies() {
    let node = node();
    // More than is usual, and less than the most.
    let all = bodies(250);
    for (path, kind, body) in &all {
        let reply = node.post(path, &[("content-type", kind)], body.as_bytes());
        assert!(reply.status < 300, "{path}: {}", reply.text);
    }
    // Two clients that send nothing of what they announce hold the room for it.
    let address = node.base.strip_prefix("http://").unwrap();
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let mut slow = std::net::TcpStream::connect(address).unwrap();
            let head = "POST /v1/write?keyspace=plant HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n";
            slow.write_all(head.as_bytes()).unwrap();
            slow
        })
        .collect();
    let (path, kind, body) = &all[0];
    let send = || node.post(path, &[("content-type", kind)], body.as_bytes());
    let turned_away = (0..200).map(|_| send()).find(|reply| reply.status >= 300);
    let turned_away = turned_away.unwrap();
    assert_eq!(turned_away.status, 503, "{}", turned_away.text);
    assert!(turned_away.text.contains("as many bodies"));
    // What makes no more than is usual is taken.
    let reply = node.post(path, &[], b"m c1=1i 1");
    assert_eq!(reply.status, 204, "{}", reply.text);
    drop(slow);
    assert!((0..200).any(|_| send().status < 300));
}
