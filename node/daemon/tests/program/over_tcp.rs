//! A real edge behind a wall that lets no UDP through: it joins and ships over TCP, and both ends say so.

use activestore_test_links::wall::Wall;

use super::process::{Node, eventually, quick_config, run, said, start_cloud, wrote};

#[test]
fn an_edge_behind_a_wall_against_udp_joins_and_ships() {
    let dir = tempfile::tempdir().unwrap();
    let quick = &quick_config(dir.path());
    let cloud = start_cloud(&dir.path().join("cloud"), quick);
    cloud.execute("CREATE KEYSPACE plant; CREATE TABLE plant.readings (device TEXT, n BIGINT, PRIMARY KEY ((device), n)) WITH (sync = 'up')");
    let wall = Wall::start(cloud.listener("quic").parse().unwrap());
    let peer = wall.address.to_string();
    let token = run(&["token", "create", "--url", &cloud.url(), "--address", &peer]);
    assert!(token.status.success(), "{}", said(&token));
    let token = wrote(&token).trim().to_owned();

    let arguments = ["--config", quick, "--peer", &peer, "--token", &token];
    let edge = Node::start(&dir.path().join("edge"), &arguments);
    eventually("the definitions' way down", || {
        let rows = edge.rows("SELECT count(*) FROM system.tables WHERE keyspace = 'plant'");
        (rows == ["1"]).then_some(())
    });
    edge.execute("INSERT INTO plant.readings (device, n) VALUES ('p1', 1), ('p1', 2), ('p2', 1)");
    eventually("the rows' way up", || {
        (cloud.rows("SELECT count(*) FROM plant.readings") == ["3"]).then_some(())
    });
    eventually("the cloud's word for it", || {
        (cloud.rows("SELECT transport FROM system.sync_peers") == ["tcp"]).then_some(())
    });
    let status = wrote(&run(&["sync", "status", "--url", &edge.url()]));
    assert!(status.contains("transport: tcp"), "{status}");
    assert_eq!(edge.stop(), Some(0));
    assert_eq!(cloud.stop(), Some(0));
}
