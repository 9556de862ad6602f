//! An edge gets a receipt, anybody can check it, and what it covers goes from the edge alone.

use std::path::Path;

use serde_json::Value;

use super::process::{Node, eventually, quick_config, run, said, start_cloud, wrote};

const READINGS: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE TABLE plant.readings (device TEXT, at TIMESTAMP, value DOUBLE, PRIMARY KEY ((device), at)) WITH (keep_local = '1h')";
const COUNT: &str = "SELECT count(*) FROM plant.readings";

fn verify(file: &Path, ca: &Path) -> std::process::Output {
    run(&[
        "sync",
        "receipt",
        "verify",
        file.to_str().unwrap(),
        "--ca",
        ca.to_str().unwrap(),
    ])
}

#[test]
fn a_receipt_is_checked_without_a_node_and_lets_old_rows_go() {
    let dir = tempfile::tempdir().unwrap();
    let quick = &quick_config(dir.path());
    let (cloud_dir, edge_dir) = (dir.path().join("cloud"), dir.path().join("edge"));
    let cloud = start_cloud(&cloud_dir, quick);
    let quic = cloud.listener("quic");
    let token = wrote(&run(&["token", "create", "--url", &cloud.url()]));
    cloud.execute(READINGS);
    let edge = Node::start(
        &edge_dir,
        &["--config", quick, "--peer", &quic, "--token", token.trim()],
    );
    eventually("the definitions' way down", || {
        let rows = edge.rows("SELECT keep_local_s FROM system.tables WHERE name = 'readings'");
        (rows == ["3600"]).then_some(())
    });
    edge.execute("INSERT INTO plant.readings (device, at, value) VALUES ('p1', '2020-01-01', 1), ('p1', '2020-01-02', 2), ('p2', '2020-01-01', 3)");
    let receipts = dir.path().join("receipts.json");
    let export = |node: &Node| {
        let out = receipts.to_str().unwrap();
        run(&[
            "sync",
            "receipt",
            "export",
            "--out",
            out,
            "--url",
            &node.url(),
        ])
    };
    eventually("a receipt for three rows", || {
        let rows = edge.rows("SELECT row_fragments, verified FROM system.sync_receipts");
        (rows == ["3,true"]).then_some(())
    });
    let exported = export(&edge);
    assert!(exported.status.success(), "{}", said(&exported));
    let listed = wrote(&run(&["sync", "receipt", "list", "--url", &cloud.url()]));
    assert!(listed.contains("segment"), "{listed}");

    // With the authority's file alone, of either end.
    for of in [&cloud_dir, &edge_dir] {
        let proved = verify(&receipts, &of.join("identity/ca.crt"));
        assert!(proved.status.success(), "{}", said(&proved));
        assert!(
            wrote(&proved).contains("holds 3 rows"),
            "{}",
            wrote(&proved)
        );
    }
    let ca = cloud_dir.join("identity/ca.crt");
    let text = std::fs::read_to_string(&receipts).unwrap();
    for (member, other) in [("rows", Value::from(4)), ("seq", Value::from(9))] {
        let mut changed: Value = serde_json::from_str(&text).unwrap();
        changed["receipts"][0][member] = other;
        let file = dir.path().join("changed.json");
        std::fs::write(&file, changed.to_string()).unwrap();
        let refused = verify(&file, &ca);
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            said(&refused).contains("proves nothing"),
            "{}",
            said(&refused)
        );
    }
    let mut changed: Value = serde_json::from_str(&text).unwrap();
    let signature = changed["receipts"][0]["signature"].as_str().unwrap();
    let flipped = if signature.starts_with('0') { "1" } else { "0" };
    let signature = format!("{flipped}{}", &signature[1..]);
    changed["receipts"][0]["signature"] = Value::from(signature);
    std::fs::write(&receipts, changed.to_string()).unwrap();
    assert_eq!(verify(&receipts, &ca).status.code(), Some(1));

    eventually("the old rows' end at the edge", || {
        (edge.rows(COUNT) == ["0"]).then_some(())
    });
    let evicted =
        "SELECT evicted_rows, evicted_bytes > 0 FROM system.tables WHERE name = 'readings'";
    eventually("the books of what went", || {
        (edge.rows(evicted) == ["3,true"]).then_some(())
    });
    assert_eq!(cloud.rows(COUNT), ["3"]);
    drop(edge); // SIGKILL
    let edge = Node::start(&edge_dir, &["--config", quick, "--peer", &quic]);
    assert_eq!(edge.rows(COUNT), ["0"], "what went does not come back");
    assert_eq!(edge.rows(evicted), ["3,true"]);
    eventually("a quiet comparison", || {
        let verify = run(&["sync", "verify", "--url", &edge.url()]);
        verify.status.success().then_some(())
    });
    let status = wrote(&run(&["sync", "status", "--url", &edge.url()]));
    assert!(status.contains("receipt seq"), "{status}");
    assert_eq!(cloud.rows(COUNT), ["3"]);
    assert_eq!(edge.stop(), Some(0));
    assert_eq!(cloud.stop(), Some(0));
}
