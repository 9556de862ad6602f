//! An edge and its cloud: joined by a token, rows shipped, both ends equal.

use super::process::{Node, eventually, quick_config, run, said, start_cloud, wrote};

#[test]
fn an_edge_joins_ships_its_rows_and_both_ends_are_equal() {
    let dir = tempfile::tempdir().unwrap();
    let quick = &quick_config(dir.path());
    let cloud = start_cloud(&dir.path().join("cloud"), quick);
    let quic = cloud.listener("quic");
    let token = run(&["token", "create", "--url", &cloud.url()]);
    assert!(token.status.success(), "{}", said(&token));
    let token = wrote(&token).trim().to_owned();

    let edge_dir = dir.path().join("edge");
    let unjoined = run(&[
        "start",
        "--http",
        "127.0.0.1:0",
        "--peer",
        &quic,
        "--data-dir",
        edge_dir.to_str().unwrap(),
    ]);
    assert_eq!(unjoined.status.code(), Some(1));
    assert!(said(&unjoined).contains("--token"), "{}", said(&unjoined));
    let joined = run(&[
        "join",
        "--peer",
        &quic,
        "--token",
        &token,
        "--data-dir",
        edge_dir.to_str().unwrap(),
    ]);
    assert!(joined.status.success(), "{}", said(&joined));

    cloud.execute("CREATE KEYSPACE plant; CREATE TABLE plant.readings (device TEXT, n BIGINT, PRIMARY KEY ((device), n)) WITH (sync = 'up'); CREATE TABLE plant.alarms (device TEXT, n BIGINT, PRIMARY KEY ((device), n)) WITH (sync = 'up', sync_class = 'alarm')");
    let edge = Node::start(&edge_dir, &["--config", quick, "--peer", &quic]);
    eventually("the definitions' way down", || {
        let rows = edge.rows("SELECT count(*) FROM system.tables WHERE keyspace = 'plant'");
        (rows == ["2"]).then_some(())
    });
    let class = "SELECT sync_class FROM system.tables WHERE name = 'alarms'";
    assert_eq!(edge.rows(class), ["alarm"]);
    edge.execute("INSERT INTO plant.readings (device, n) VALUES ('p1', 1), ('p1', 2), ('p2', 1)");
    edge.execute("INSERT INTO plant.alarms (device, n) VALUES ('p1', 2)");
    for (table, count) in [("readings", "3"), ("alarms", "1")] {
        eventually("the rows' way up", || {
            let rows = cloud.rows(&format!("SELECT count(*) FROM plant.{table}"));
            (rows == [count]).then_some(())
        });
    }
    // One edge is one row, however many lanes it ships in.
    let peers = "SELECT connected, row_fragments, behind_alarm, behind_live FROM system.sync_peers";
    eventually("nothing is behind", || {
        (cloud.rows(peers) == ["true,4,0,0"]).then_some(())
    });
    eventually("equal digests", || {
        let verify = run(&["sync", "verify", "--url", &edge.url()]);
        verify.status.success().then_some(())
    });
    let status = wrote(&run(&["sync", "status", "--url", &edge.url()]));
    assert!(status.contains("connected to"), "{status}");
    let alone = run(&["token", "create", "--url", &edge.url()]);
    assert_eq!(alone.status.code(), Some(1));
    assert_eq!(edge.stop(), Some(0));
    assert_eq!(cloud.stop(), Some(0));
}
