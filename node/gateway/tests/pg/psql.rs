//! psql itself. Where it is not installed these tests say so and do nothing.

use std::process::{Command, Stdio};

use crate::node::Node;

/// Whether psql is installed; says so where it is not.
pub(crate) fn psql_is_here() -> bool {
    let found = Command::new("psql")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    let is_here = found.is_ok_and(|status| status.success());
    if !is_here {
        eprintln!("skipped: psql is not installed (Debian: postgresql-client)");
    }
    is_here
}

/// What psql writes, or what it complains of.
pub(crate) fn psql(node: &Node, connection: &str, sql: &str) -> Result<String, String> {
    psql_with(node, connection, &["-At", "-c", sql], "")
}

pub(crate) fn psql_with(
    node: &Node,
    connection: &str,
    arguments: &[&str],
    input: &str,
) -> Result<String, String> {
    let connection = format!(
        "host={} port={} dbname=activestore {connection}",
        node.address.ip(),
        node.address.port()
    );
    let mut psql = Command::new("psql")
        .args(["-X", "-w", "-v", "ON_ERROR_STOP=1", &connection])
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut psql.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let output = psql.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() && !said.contains("ERROR") {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(said)
    }
}

#[test]
fn a_script_runs() {
    if !psql_is_here() {
        return;
    }
    let node = Node::start();
    let script = "CREATE KEYSPACE plant;\n\
        CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, PRIMARY KEY ((device), ts));\n\
        INSERT INTO plant.readings VALUES ('p1', '2026-01-01', 20.5), ('p2', '2026-01-01', 21);\n\
        UPDATE plant.readings SET temp = 22 WHERE device = 'p2';\n\
        BEGIN;\nSELECT device, temp FROM plant.readings ORDER BY 1;\nCOMMIT;\n\
        \\timing on\n\\set device p1\nSELECT count(*) FROM plant.readings WHERE device = :'device';\n";
    let written = psql_with(&node, "user=anna", &["-At", "-f", "-"], script).unwrap();
    let lines: Vec<&str> = written
        .lines()
        .filter(|line| !line.starts_with("Tim"))
        .collect();
    assert_eq!(
        lines,
        [
            "CREATE KEYSPACE",
            "CREATE TABLE",
            "INSERT 0 2",
            "UPDATE 1",
            "BEGIN",
            "p1|20.5",
            "p2|22",
            "COMMIT",
            "1"
        ]
    );
    let said = psql(&node, "user=anna", "SELECT nothing FROM plant.readings").unwrap_err();
    assert!(said.contains("nothing") && said.contains("HINT"), "{said}");
    let said = psql(&node, "user=anna", "SELECT 1 +\n  )").unwrap_err();
    assert!(said.contains("LINE 2"), "{said}");
}

#[test]
fn rows_come_in_pieces() {
    if !psql_is_here() {
        return;
    }
    let node = Node::start();
    let sql = "SELECT value FROM generate_series(1, 20000)";
    let rows = psql(&node, "user=anna", sql).unwrap();
    assert_eq!(rows.lines().count(), 20_000);
}
