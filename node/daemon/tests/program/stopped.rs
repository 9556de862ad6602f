//! A query that nobody waits for any more.

use std::io::Write;
use std::net::TcpStream;

use crate::process::{Node, eventually};

/// Rows by rows by rows: it counts for days and gives out nothing before.
const ENDLESS: &str =
    "SELECT count(a.v + b.v + c.v + d.v) FROM slow.t a, slow.t b, slow.t c, slow.t d";

#[test]
fn queries_end_when_the_client_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    node.execute("CREATE KEYSPACE slow");
    node.execute("CREATE TABLE slow.t (k INT PRIMARY KEY, v INT)");
    node.execute("INSERT INTO slow.t SELECT i, i * 2 FROM generate_series(1, 5000) AS s(i)");
    let running = || {
        let metrics = ureq::get(format!("{}/metrics", node.url())).call().unwrap();
        let metrics = metrics.into_body().read_to_string().unwrap();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("activestore_queries_running"));
        line.unwrap()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    let mut clients: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut client = TcpStream::connect(node.listener("http")).unwrap();
            let (host, length) = (node.listener("http"), ENDLESS.len());
            let head = format!(
                "POST /v1/sql HTTP/1.1\r\nhost: {host}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{ENDLESS}"
            );
            client.write_all(head.as_bytes()).unwrap();
            client
        })
        .collect();
    eventually("three queries' start", || (running() == 3.0).then_some(()));
    clients.pop();
    eventually("one query's end", || (running() == 2.0).then_some(()));
    drop(clients);
    eventually("the end of all", || (running() == 0.0).then_some(()));
    // The node answers others meanwhile and after.
    assert_eq!(node.rows("SELECT count(*) FROM slow.t"), ["5000"]);
    assert_eq!(node.stop(), Some(0));
}
