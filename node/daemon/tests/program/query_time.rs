//! `[limits] query_time` ends a query that computes without a pause, over HTTP and the PostgreSQL wire.

use std::process::Command;

use super::process::{Node, run, said};

/// A join that keeps no row of 10^12.
const EMPTY: &str = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value = 7.5";

#[test]
fn a_join_that_keeps_nothing_ends_at_the_time_limit() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.toml");
    std::fs::write(&file, "[limits]\nquery_time = \"1 s\"\n").unwrap();
    let data = dir.path().join("data");
    let node = Node::start(&data, &["--config", file.to_str().unwrap()]);
    let output = run(&["sql", "--url", &node.url(), "-c", EMPTY]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("longer than 1s"),
        "{}",
        said(&output)
    );
    let address = node.listener("pg");
    let (host, port) = address.split_once(':').unwrap();
    let psql = Command::new("psql")
        .args(["-X", "-w", "-At", "-h", host, "-p", port, "-U", "anna"])
        .args(["-c", EMPTY, "activestore"])
        .output();
    match psql {
        Ok(output) => assert!(
            said(&output).contains("longer than 1s"),
            "{}",
            said(&output)
        ),
        Err(_) => eprintln!("no psql here (Debian: postgresql-client)"),
    }
    assert_eq!(node.rows("SELECT 1"), ["1"]);
    assert_eq!(node.stop(), Some(0));
}
