//! A whole node over the PostgreSQL wire. Where psql is not installed this test says so and does nothing.

use std::process::Command;

use super::process::Node;

#[test]
fn psql_talks_to_a_node() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    let address = node.listener("pg");
    let (host, port) = address.split_once(':').unwrap();
    let psql = |sql: &str| {
        Command::new("psql")
            .args([
                "-X",
                "-w",
                "-At",
                "-h",
                host,
                "-p",
                port,
                "-U",
                "anna",
                "-c",
                sql,
                "activestore",
            ])
            .output()
    };
    let Ok(made) =
        psql("CREATE KEYSPACE plant; CREATE TABLE plant.notes (k TEXT PRIMARY KEY, n BIGINT)")
    else {
        eprintln!("skipped: psql is not installed (Debian: postgresql-client)");
        return;
    };
    assert!(made.status.success(), "{made:?}");
    let written =
        psql("INSERT INTO plant.notes VALUES ('a', 1), ('b', 2); SELECT sum(n) FROM plant.notes");
    assert_eq!(written.unwrap().stdout, b"INSERT 0 2\n3\n");
    assert_eq!(node.rows("SELECT count(*) FROM plant.notes"), ["2"]);
    assert_eq!(node.stop(), Some(0));
}
