//! Three levels over real links: an edge, a gateway that is killed again and again, and a cloud. Every row is in the
//! cloud once, what the cloud says reaches the edge, and every two ends are equal.

use super::fleet::{Fleet, joined};
use super::process::{Node, eventually, run};

/// Times that the gateway is killed.
const KILLS: u32 = 6;
/// Rows of each writer between two of them.
const ROWS: u32 = 20;

const TABLES: &str = "CREATE KEYSPACE plant WITH (sync = 'up'); \
    CREATE TABLE plant.readings (device TEXT, n BIGINT, PRIMARY KEY ((device), n)); \
    CREATE TABLE plant.alarms (device TEXT, n BIGINT, PRIMARY KEY ((device), n)) WITH (sync_class = 'alarm'); \
    CREATE KEYSPACE ref WITH (sync = 'down'); CREATE TABLE ref.limits (device TEXT PRIMARY KEY, high BIGINT)";

/// Writes the rows of a round.
fn write(node: &Node, device: &str, round: u32) {
    let rows = (round * ROWS..(round + 1) * ROWS).map(|n| format!("('{device}', {n})"));
    let rows = rows.collect::<Vec<_>>().join(", ");
    node.execute(&format!("INSERT INTO plant.readings VALUES {rows}"));
    node.execute(&format!(
        "INSERT INTO plant.alarms VALUES ('{device}', {round})"
    ));
}

fn equal(node: &Node) {
    eventually("equal digests", || {
        let verify = run(&["sync", "verify", "--url", &node.url()]);
        verify.status.success().then_some(())
    });
}

#[test]
fn rows_pass_through_a_gateway_that_is_killed_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| dir.path().join(name);
    let mut above = Fleet::quick(dir.path());
    let cloud = above.cloud(&folder("cloud"));
    above.quic = cloud.listener("quic");
    joined(&cloud, &above.quic, &folder("gateway"), &["role=gateway"]);
    let mut below = Fleet::quick(dir.path());
    let mut gateway = above.gateway(&folder("gateway"), &below.quic);
    // The edge finds it there again after it was killed.
    below.quic = gateway.listener("quic");
    joined(&gateway, &below.quic, &folder("edge"), &[]);
    cloud.execute(TABLES);
    let edge = below.edge(&folder("edge"));
    for node in [&gateway, &edge] {
        eventually("the definitions' way down", || {
            let tables = "SELECT count(*) FROM system.tables WHERE keyspace IN ('plant', 'ref')";
            (node.rows(tables) == ["3"]).then_some(())
        });
    }
    for round in 0..KILLS {
        write(&edge, "e", round);
        write(&gateway, "g", round);
        cloud.execute(&format!("INSERT INTO ref.limits VALUES ('p', {round})"));
        drop(gateway); // SIGKILL
        gateway = above.gateway(&folder("gateway"), &below.quic);
    }
    let each = format!("{}", KILLS * ROWS);
    let readings =
        "SELECT device, count(*), max(n) FROM plant.readings GROUP BY device ORDER BY device";
    let last = KILLS * ROWS - 1;
    let expected = [format!("e,{each},{last}"), format!("g,{each},{last}")];
    eventually("every reading in the cloud", || {
        (cloud.rows(readings) == expected).then_some(())
    });
    eventually("every alarm in the cloud", || {
        let alarms = "SELECT count(*) FROM plant.alarms";
        (cloud.rows(alarms) == [(2 * KILLS).to_string()]).then_some(())
    });
    for node in [&gateway, &edge] {
        eventually("the reference table", || {
            let limits = node.rows("SELECT high FROM ref.limits");
            (limits == [(KILLS - 1).to_string()]).then_some(())
        });
        equal(node);
    }
    let through = "SELECT count(*) FROM system.sync_peers WHERE via IS NOT NULL";
    assert_eq!(cloud.rows(through), ["1"]);
    // What the gateway has signed for its edge, the cloud has signed for the gateway.
    for node in [&gateway, &edge] {
        eventually("a receipt", || {
            let held = "SELECT count(*) FROM system.sync_receipts WHERE side = 'held' AND verified";
            (node.rows(held) != ["0"]).then_some(())
        });
    }
    for node in [edge, gateway, cloud] {
        assert_eq!(node.stop(), Some(0));
    }
}
