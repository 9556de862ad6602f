//! A new version of a plugin on its way to a fleet: the canary first, then all; and one that fails goes back from
//! there, unseen by the others.

use std::path::Path;

use super::fleet::{Fleet, joined};
use super::process::{Node, eventually, run, said, wrote};

const TABLE: &str = "CREATE KEYSPACE plant;
    CREATE TABLE plant.readings (device TEXT, n BIGINT, PRIMARY KEY ((device), n)) WITH (sync = 'up')";

/// A component that `cargo xtask build-plugins` made.
fn component(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/target/components");
    path.join(format!("{name}.wasm")).display().to_string()
}

fn deploy(cloud: &Node, file: &str, version: &str, more: &[&str]) {
    let url = cloud.url();
    let mut arguments = vec!["plugin", "deploy", file, "--name", "hostile"];
    arguments.extend(["--as", version, "--url", &url]);
    arguments.extend(more);
    let deployed = run(&arguments);
    assert!(deployed.status.success(), "{}", said(&deployed));
}

fn version(node: &Node) -> String {
    let rows = node.rows("SELECT version FROM system.plugins WHERE name = 'hostile'");
    rows.first().cloned().unwrap_or_default()
}

fn has(node: &Node, wanted: &str) {
    eventually("a version's way", || {
        (version(node) == wanted).then_some(())
    });
}

fn rollout(cloud: &Node) -> String {
    cloud
        .rows("SELECT to_version, state, wave FROM system.rollouts")
        .remove(0)
}

#[test]
fn a_new_version_goes_to_the_canary_then_to_all_and_a_bad_one_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut fleet = Fleet::quick(dir.path());
    let cloud = fleet.cloud(&path("cloud"));
    fleet.quic = cloud.listener("quic");
    joined(
        &cloud,
        &fleet.quic,
        &path("canary"),
        &["ring=canary", "site=north"],
    );
    joined(&cloud, &fleet.quic, &path("other"), &["site=north"]);
    cloud.execute(TABLE);
    deploy(&cloud, &component("hostile"), "1", &[]);
    cloud.execute("CREATE PROCESSOR watch ON plant.readings USING PLUGIN 'hostile'");
    let (canary, other) = (fleet.edge(&path("canary")), fleet.edge(&path("other")));
    has(&canary, "1");
    has(&other, "1");
    eventually("labels", || {
        let labels = cloud.rows("SELECT labels FROM system.sync_peers ORDER BY labels");
        (labels == ["\"ring=canary,site=north\"", "site=north"]).then_some(())
    });

    // While the canary is away nothing goes on: the others do not have to try it in its place.
    assert_eq!(canary.stop(), Some(0));
    let (key, good) = (path("key.pem"), path("good.wasm"));
    let (key, good) = (key.to_str().unwrap(), good.to_str().unwrap());
    assert!(run(&["plugin", "keygen", key]).status.success());
    let signed = run(&[
        "plugin",
        "sign",
        &component("hostile"),
        "--key",
        key,
        "--output",
        good,
    ]);
    assert!(signed.status.success(), "{}", said(&signed));
    let waves = ["--wave", "ring=canary", "--wave", "all", "--soak", "0s"];
    deploy(&cloud, good, "2", &waves);
    eventually("a word of what it waits for", || {
        let list = wrote(&run(&["plugin", "rollout", "list", "--url", &cloud.url()]));
        list.contains("no edge of wave ring=canary is connected")
            .then_some(())
    });
    assert_eq!(rollout(&cloud), "2,running,1");
    let id = cloud.rows("SELECT node FROM system.sync_peers WHERE labels = 'site=north'");
    let label = |cloud: &Node| {
        let url = cloud.url();
        run(&[
            "token",
            "label",
            &id[0],
            "--label",
            "ring=early",
            "--url",
            &url,
        ])
    };
    assert!(said(&label(&cloud)).contains("is being rolled out"));
    assert_eq!((version(&other), version(&cloud)), ("1".into(), "1".into()));
    // A cloud that starts anew goes on with it.
    drop(cloud);
    let cloud = fleet.cloud(&path("cloud"));
    assert_eq!(rollout(&cloud), "2,running,1");
    let canary = fleet.edge(&path("canary"));
    for node in [&canary, &other, &cloud] {
        has(node, "2");
    }
    eventually("the end", || (rollout(&cloud) == "2,done,2").then_some(()));
    let labelled = label(&cloud);
    assert!(labelled.status.success(), "{}", said(&labelled));
    let labels = cloud.rows("SELECT count(*) FROM system.sync_peers WHERE labels = 'ring=early'");
    assert_eq!(labels, ["1"]);

    let watched = ["--wave", "ring=canary", "--wave", "all", "--soak", "1h"];
    deploy(&cloud, &component("hostile-later"), "3", &watched);
    has(&canary, "3");
    canary.execute("INSERT INTO plant.readings (device, n) VALUES ('p1', 1)");
    eventually("the way back", || {
        (rollout(&cloud) == "3,rolled back,1").then_some(())
    });
    has(&canary, "2");
    let reason = cloud.rows("SELECT reason FROM system.rollouts").remove(0);
    assert!(reason.contains("calls failed"), "{reason}");
    // The row was kept, and what comes now is processed as before.
    canary.execute("INSERT INTO plant.readings (device, n) VALUES ('p1', 2)");
    eventually("the rows' way up", || {
        (cloud.rows("SELECT count(*) FROM plant.readings") == ["2"]).then_some(())
    });
    for node in [&other, &cloud] {
        let list = wrote(&run(&[
            "plugin",
            "list",
            "--format",
            "json",
            "--url",
            &node.url(),
        ]));
        let versions: serde_json::Value = serde_json::from_str(&list).unwrap();
        let versions = versions[0]["versions"].as_array().unwrap().clone();
        assert!(versions.iter().all(|one| one["version"] != "3"), "{list}");
    }
    for node in [canary, other, cloud] {
        assert_eq!(node.stop(), Some(0));
    }
}
