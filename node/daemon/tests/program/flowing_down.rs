//! Two edges and a cloud share a table over real links, while each of them is killed: all rows are
//! everywhere at the end, and none goes round in circles.

use super::fleet::{Fleet, joined};
use super::process::{Node, eventually, run, said};

const PRICES: &str = "SELECT item, price, note FROM shop.prices ORDER BY item";

/// Waits until every node shows the same rows, so many.
fn agree(nodes: &[&Node], count: usize) {
    eventually("the same rows everywhere", || {
        let all: Vec<_> = nodes.iter().map(|node| node.rows(PRICES)).collect();
        let first = all.first()?;
        (first.len() == count && all.iter().all(|rows| rows == first)).then_some(())
    });
}

fn write(node: &Node, who: &str, numbers: std::ops::Range<u32>) {
    for n in numbers {
        node.execute(&format!(
            "INSERT INTO shop.prices (item, price, note) VALUES ('{who}{n:02}', {n}, '{who}'), ('all', {n}, '{who}')"
        ));
    }
}

#[test]
fn a_shared_table_survives_kills_of_every_node() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud_dir, one_dir, two_dir) = (
        dir.path().join("cloud"),
        dir.path().join("one"),
        dir.path().join("two"),
    );
    let mut fleet = Fleet::quick(dir.path());
    let cloud = fleet.cloud(&cloud_dir);
    // The edges find it there again after it was killed.
    fleet.quic = cloud.listener("quic");
    joined(&cloud, &fleet.quic, &one_dir, &[]);
    joined(&cloud, &fleet.quic, &two_dir, &[]);
    cloud.execute("CREATE KEYSPACE shop WITH (sync = 'both'); CREATE TABLE shop.prices (item TEXT PRIMARY KEY, price BIGINT, note TEXT)");
    cloud.execute("CREATE KEYSPACE ref WITH (sync = 'down'); CREATE TABLE ref.limits (device TEXT PRIMARY KEY, high BIGINT); INSERT INTO ref.limits (device, high) VALUES ('p1', 9)");
    cloud.execute("INSERT INTO shop.prices (item, price, note) VALUES ('gone', 1, 'cloud')");
    let (one, two) = (fleet.edge(&one_dir), fleet.edge(&two_dir));
    for edge in [&one, &two] {
        eventually("the definitions' way down", || {
            let tables = "SELECT count(*) FROM system.tables WHERE keyspace IN ('shop', 'ref')";
            (edge.rows(tables) == ["2"]).then_some(())
        });
    }
    agree(&[&cloud, &one, &two], 1);
    write(&one, "a", 0..5);
    write(&two, "b", 0..5);
    drop(one); // SIGKILL
    write(&cloud, "c", 0..5);
    cloud.execute("DELETE FROM shop.prices WHERE item = 'gone'");
    let one = fleet.edge(&one_dir);
    write(&two, "b", 5..8);
    drop(cloud);
    write(&one, "a", 5..8);
    let cloud = fleet.cloud(&cloud_dir);
    write(&cloud, "c", 5..8);
    // 8 of each writer and the one that all wrote; the deleted one does not come back.
    agree(&[&cloud, &one, &two], 25);
    for edge in [&one, &two] {
        eventually("the reference table", || {
            (edge.rows("SELECT high FROM ref.limits") == ["9"]).then_some(())
        });
        eventually("equal digests", || {
            let verify = run(&["sync", "verify", "--url", &edge.url()]);
            verify.status.success().then_some(())
        });
    }
    let refused = run(&[
        "sql",
        "--url",
        &one.url(),
        "-c",
        "DELETE FROM ref.limits WHERE device = 'p1'",
    ]);
    assert!(!refused.status.success());
    assert!(
        said(&refused).contains("sync = 'down'"),
        "{}",
        said(&refused)
    );
    eventually("edges that hold the whole stream", || {
        let behind = "SELECT count(*) FROM system.sync_peers WHERE down_behind = 0 AND connected";
        (cloud.rows(behind) == ["2"]).then_some(())
    });
    for node in [one, two, cloud] {
        assert_eq!(node.stop(), Some(0));
    }
}
