//! An edge with two clouds, over real links: the edge and the further cloud are killed again and again, and both clouds hold
//! every row once.

use std::path::Path;

use serde_json::Value;

use super::fleet::{Fleet, joined, joined_as};
use super::process::{Node, eventually, run, said, wrote};

/// Times that both are killed.
const KILLS: u32 = 5;
/// Rows between two of them.
const ROWS: u32 = 20;

const TABLES: &str = "CREATE KEYSPACE plant WITH (sync = 'up'); \
    CREATE TABLE plant.readings (device TEXT, n BIGINT, PRIMARY KEY ((device), n)); \
    CREATE TABLE plant.alarms (n BIGINT PRIMARY KEY) WITH (sync_class = 'alarm'); \
    CREATE KEYSPACE office WITH (sync = 'up'); CREATE TABLE office.notes (n BIGINT PRIMARY KEY)";

/// The edge's configuration, with the further cloud at that address.
fn config(dir: &Path, further: Option<&str>) -> String {
    let file = dir.join("edge.toml");
    let mut text = "[sync]\nlink = \"quick\"\nseal_after = \"50ms\"\n".to_owned();
    if let Some(address) = further {
        text.push_str(&format!(
            "\n[[sync.also]]\nname = \"dr\"\npeers = [\"{address}\"]\ntables = [\"plant.*\"]\noutbox_bytes = \"64MB\"\n"
        ));
    }
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn two_clouds_have_every_row_once_though_the_edge_and_one_of_them_are_killed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| dir.path().join(name);
    let mut ours = Fleet::quick(dir.path());
    let own = ours.cloud(&folder("own"));
    ours.quic = own.listener("quic");
    let mut theirs = Fleet::quick(dir.path());
    let mut copy = theirs.cloud(&folder("dr"));
    theirs.quic = copy.listener("quic");
    own.execute(TABLES);
    joined(&own, &ours.quic, &folder("edge"), &[]);
    let config_file = config(dir.path(), Some(&theirs.quic));
    let arguments = ["--config", &config_file, "--dev", "--peer", &ours.quic];

    let edge_dir = folder("edge");
    let data_dir = edge_dir.to_str().unwrap();
    let start = ["start", "--http", "127.0.0.1:0", "--data-dir", data_dir];
    let unjoined = run(&[&start[..], &arguments].concat());
    assert_eq!(unjoined.status.code(), Some(1));
    assert!(said(&unjoined).contains("--as dr"), "{}", said(&unjoined));
    joined_as(&copy, &theirs.quic, &edge_dir, &[], &["--as", "dr"]);

    let mut edge = Node::start(&edge_dir, &arguments);
    eventually("the definitions' way down", || {
        let tables = "SELECT count(*) FROM system.tables WHERE keyspace IN ('plant', 'office')";
        (edge.rows(tables) == ["3"]).then_some(())
    });
    for round in 0..KILLS {
        let rows = (round * ROWS..(round + 1) * ROWS).map(|n| format!("('e', {n})"));
        let rows = rows.collect::<Vec<_>>().join(", ");
        edge.execute(&format!("INSERT INTO plant.readings VALUES {rows}"));
        edge.execute(&format!("INSERT INTO plant.alarms VALUES ({round})"));
        edge.execute(&format!("INSERT INTO office.notes VALUES ({round})"));
        drop(copy); // SIGKILL
        if round % 2 == 0 {
            // What is written while it is away reaches the other one all the same.
            let alarms = "SELECT count(*) FROM plant.alarms";
            eventually("the alarm at the cloud that is there", || {
                (own.rows(alarms) == [(round + 1).to_string()]).then_some(())
            });
        }
        drop(edge); // SIGKILL
        edge = Node::start(&edge_dir, &arguments);
        copy = theirs.cloud(&folder("dr"));
    }
    let readings = "SELECT count(*), max(n) FROM plant.readings";
    let all = format!("{},{}", KILLS * ROWS, KILLS * ROWS - 1);
    let taken = "SELECT sum(row_fragments) FROM system.sync_peers";
    for (cloud, notes) in [(&own, KILLS), (&copy, 0)] {
        // The further cloud makes them as the rows describe them.
        eventually("the tables in a cloud", || {
            let tables = "SELECT count(*) FROM system.tables WHERE keyspace = 'plant'";
            (cloud.rows(tables) == ["2"]).then_some(())
        });
        eventually("every reading in a cloud", || {
            (cloud.rows(readings) == [all.as_str()]).then_some(())
        });
        let alarms = "SELECT count(*) FROM plant.alarms";
        eventually("every alarm in a cloud", || {
            (cloud.rows(alarms) == [KILLS.to_string()]).then_some(())
        });
        let tables = "SELECT count(*) FROM system.tables WHERE keyspace = 'office'";
        assert_eq!(cloud.rows(tables), [u32::from(notes > 0).to_string()]);
        if notes > 0 {
            let count = "SELECT count(*) FROM office.notes";
            eventually("every note", || {
                (cloud.rows(count) == [notes.to_string()]).then_some(())
            });
        }
    }
    // A backlog that is done is forgotten at the cloud with its count, so there are never more than rows.
    let copied: u32 = copy.rows(taken)[0].parse().unwrap();
    assert!(
        copied <= KILLS * (ROWS + 1),
        "{copied} fragments were taken"
    );
    let verify = ["sync", "verify", "--url", &edge.url(), "--cloud", "dr"].map(str::to_owned);
    let verify: Vec<&str> = verify.iter().map(String::as_str).collect();
    eventually("equal ends", || run(&verify).status.success().then_some(()));
    let other = ["sync", "verify", "--cloud", "nobody", "--url", &edge.url()].map(str::to_owned);
    let other = run(&other.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said(&other).contains("'nobody'"), "{}", said(&other));
    let receipts =
        "SELECT count(DISTINCT node) FROM system.sync_receipts WHERE verified AND side = 'held'";
    eventually("a receipt of each", || {
        (edge.rows(receipts) == ["2"]).then_some(())
    });
    let clouds = "SELECT cloud, pending_rows, rows_let_go FROM system.sync_clouds";
    eventually("nothing waits", || {
        (edge.rows(clouds) == ["own,0,0", "dr,0,0"]).then_some(())
    });
    let status = run(&["sync", "status", "--url", &edge.url()]);
    assert!(
        wrote(&status).contains("cloud dr: pending rows: 0"),
        "{}",
        wrote(&status)
    );
    let known: Value = ureq::get(format!("{}/v1/sync", edge.url()))
        .call()
        .unwrap()
        .into_body()
        .read_json()
        .unwrap();
    let connections = known["connections"].as_array().unwrap();
    let names: Vec<_> = connections.iter().map(|one| &one["cloud"]).collect();
    assert_eq!(names, ["own", "dr"]);
    let exported = run(&[
        "sync",
        "receipt",
        "list",
        "--cloud",
        "dr",
        "--url",
        &edge.url(),
    ]);
    assert!(exported.status.success(), "{}", said(&exported));
    let metrics = ureq::get(format!("{}/metrics", edge.url())).call().unwrap();
    let metrics = metrics.into_body().read_to_string().unwrap();
    for line in [
        "activestore_sync_cloud_rows{cloud=\"dr\",class=\"live\"} 0",
        "activestore_sync_cloud_rows{cloud=\"own\",class=\"live\"} 0",
        "activestore_sync_link_connected{cloud=\"dr\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }

    assert_eq!(edge.stop(), Some(0));
    config(dir.path(), None);
    let edge = Node::start(&edge_dir, &arguments);
    let told = edge.rows("SELECT text FROM system.sync_events WHERE kind = 'cloud_let_go'");
    assert!(told[0].contains("'dr'"), "{told:?}");
    assert!(!edge_dir.join("cloud-dr/outbox.redb").exists());
    assert!(edge_dir.join("cloud-dr/edge.key").exists());
    assert_eq!(edge.rows("SELECT cloud FROM system.sync_clouds"), ["own"]);
    for node in [edge, own, copy] {
        assert_eq!(node.stop(), Some(0));
    }
}
