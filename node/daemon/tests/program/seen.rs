//! What the sync of two processes tells: what waits by table, what happened, rows that do not fit and their way in once
//! the cause is mended.

use super::fleet::{Fleet, joined};
use super::process::{eventually, run, said, wrote};

const EDGE: &str = "CREATE KEYSPACE plant WITH (sync = 'up');
    CREATE TABLE plant.odd (device TEXT PRIMARY KEY, temp DOUBLE);
    CREATE TABLE plant.fine (device TEXT PRIMARY KEY, temp DOUBLE)";

#[test]
fn rows_that_do_not_fit_are_told_of_and_taken_once_they_do() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud_dir, edge_dir) = (dir.path().join("cloud"), dir.path().join("west"));
    let mut fleet = Fleet::quick(dir.path());
    let cloud = fleet.cloud(&cloud_dir);
    fleet.quic = cloud.listener("quic");
    let labelled = run(&[
        "token",
        "create",
        "--label",
        "canary",
        "--url",
        &cloud.url(),
    ]);
    assert_eq!(labelled.status.code(), Some(1));
    assert!(
        said(&labelled).contains("has no value"),
        "{}",
        said(&labelled)
    );
    joined(&cloud, &fleet.quic, &edge_dir, &["ring=canary"]);
    let edge = fleet.edge(&edge_dir);
    edge.execute(EDGE);
    // The cloud makes a table of that name that is another one: the edge keeps its own.
    cloud.execute("CREATE KEYSPACE plant WITH (sync = 'up')");
    cloud.execute(
        "CREATE TABLE plant.odd (device TEXT PRIMARY KEY, temp TEXT);
         CREATE TABLE plant.fine (device TEXT PRIMARY KEY, temp DOUBLE)",
    );
    edge.execute("INSERT INTO plant.odd VALUES ('a', 1.5), ('b', 2)");
    edge.execute("INSERT INTO plant.fine VALUES ('a', 2.5)");
    eventually("the rows' way up", || {
        (cloud.rows("SELECT temp FROM plant.fine") == ["2.5"]).then_some(())
    });
    let aside = "SELECT \"table\", source, \"rows\" FROM system.rejected_writes";
    eventually("the other rows being set aside", || {
        (cloud.rows(aside) == ["plant.odd,edge,2"]).then_some(())
    });
    let retry = || run(&["sync", "retry-rejected", "--url", &cloud.url()]);
    let tried = retry();
    assert_eq!(tried.status.code(), Some(1));
    assert!(
        said(&tried).contains("TEXT here and DOUBLE"),
        "{}",
        said(&tried)
    );
    cloud.execute("DROP TABLE plant.odd");
    let tried = retry();
    assert!(tried.status.success(), "{}", said(&tried));
    assert_eq!(wrote(&tried).trim(), "2 rows were taken, none is left.");
    let odd = "SELECT device, temp FROM plant.odd ORDER BY device";
    assert_eq!(cloud.rows(odd), ["a,1.5", "b,2.0"]);
    assert!(wrote(&retry()).contains("There is nothing to try again"));

    let events = |url: &str| wrote(&run(&["sync", "events", "--url", url]));
    let told = events(&cloud.url());
    assert!(told.contains("connected over quic"), "{told}");
    assert!(told.contains("2 rows were set aside"), "{told}");
    eventually("a receipt at the edge", || {
        events(&edge.url())
            .contains("the cloud signed")
            .then_some(())
    });
    assert_eq!(cloud.stop(), Some(0));
    eventually("the edge's word of it", || {
        events(&edge.url())
            .contains("not connected to the cloud")
            .then_some(())
    });
    edge.execute("INSERT INTO plant.fine VALUES ('b', 1), ('c', 2)");
    eventually("what waits by table", || {
        let rows = edge.rows("SELECT \"table\", \"rows\" FROM system.sync_tables");
        (rows == ["fine,2"]).then_some(())
    });
    let status = wrote(&run(&["sync", "status", "--tables", "--url", &edge.url()]));
    assert!(status.contains("tables table: plant.fine"), "{status}");
    assert_eq!(edge.stop(), Some(0));
}
