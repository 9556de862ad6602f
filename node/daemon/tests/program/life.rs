//! A node's life: ready, asked, stopped, started again; and what keeps it from starting.

use std::net::TcpListener;

use super::process::{Node, run, said, wrote};

#[test]
fn a_node_starts_answers_stops_and_still_has_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    node.execute("CREATE KEYSPACE k; CREATE TABLE k.t (a TEXT, n BIGINT, PRIMARY KEY ((a)))");
    node.execute("INSERT INTO k.t (a, n) VALUES ('x', 1), ('y', 2)");
    let table = run(&[
        "sql",
        "--url",
        &node.url(),
        "-c",
        "SELECT a, n FROM k.t ORDER BY a",
    ]);
    assert!(wrote(&table).contains("│ x ┆ 1 │"), "{}", wrote(&table));
    assert!(wrote(&table).contains("2 rows in "), "{}", wrote(&table));
    let wrong = run(&["sql", "--url", &node.url(), "-c", "SELECT nothing FROM k.t"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(said(&wrong).starts_with("error: "), "{}", said(&wrong));
    assert_eq!(node.stop(), Some(0));

    let node = Node::start(dir.path(), &[]);
    assert_eq!(node.rows("SELECT n FROM k.t ORDER BY n"), ["1", "2"]);
    assert_eq!(node.stop(), Some(0));

    let doctor = run(&["doctor", "--data-dir", dir.path().to_str().unwrap()]);
    assert_eq!(doctor.status.code(), Some(0), "{}", wrote(&doctor));
}

#[test]
fn an_idle_edge_stays_small() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    assert_eq!(node.rows("SELECT 1"), ["1"]);
    // Its own memory: how much of the program's file is mapped beside it follows the page cache (34
    // to 57 MiB were seen of an unoptimised one), and the kernel takes that back when it wants to.
    let bytes = node.own_bytes();
    assert!(bytes < 16 << 20, "{} MiB", bytes >> 20);
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&[
        "start",
        "--http",
        &address,
        "--data-dir",
        dir.path().to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(
        said.contains(&address) && said.contains("in use") && said.contains("--http"),
        "{said}"
    );
}

#[test]
fn a_data_directory_takes_one_node() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    let path = dir.path().to_str().unwrap();
    let second = run(&["start", "--http", "127.0.0.1:0", "--data-dir", path]);
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("another node"), "{}", said(&second));
    let doctor = run(&["doctor", "--data-dir", path]);
    assert_eq!(doctor.status.code(), Some(1));
    assert!(wrote(&doctor).contains("running"), "{}", wrote(&doctor));
    assert_eq!(node.rows("SELECT 1"), ["1"]);
}

#[test]
fn wrong_settings_and_wrong_usage_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.toml");
    std::fs::write(&file, "[listen]\nhtpp = \"127.0.0.1:0\"\n").unwrap();
    let typo = run(&["start", "--config", file.to_str().unwrap()]);
    assert_eq!(typo.status.code(), Some(1));
    let text = said(&typo);
    assert!(text.contains("line 2") && text.contains("'http'"), "{text}");
    assert_eq!(run(&["start", "--htpp", "x"]).status.code(), Some(2));
    assert_eq!(run(&["frobnicate"]).status.code(), Some(2));
    assert_eq!(run(&["start", "--pg", "nowhere"]).status.code(), Some(2));
    assert_eq!(
        run(&["start", "--flight", "nowhere"]).status.code(),
        Some(2)
    );
    let nobody = run(&["sql", "--url", "http://127.0.0.1:1", "-c", "SELECT 1"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        said(&nobody).contains("activestore start"),
        "{}",
        said(&nobody)
    );
}

#[test]
fn every_command_helps_with_an_example() {
    for command in [
        "start",
        "sql",
        "load",
        "export",
        "plugin",
        "plugin new",
        "plugin build",
        "plugin test",
        "plugin bench",
        "plugin deploy",
        "plugin list",
        "plugin logs",
        "plugin remove",
        "token",
        "token create",
        "join",
        "sync",
        "sync status",
        "sync verify",
        "doctor",
        "completions",
        "demo",
    ] {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let output = run(&arguments);
        assert!(output.status.success(), "{command}");
        assert!(
            wrote(&output).contains("Example"),
            "{command}: {}",
            wrote(&output)
        );
    }
    assert!(wrote(&run(&["completions", "bash"])).contains("activestore"));
}
