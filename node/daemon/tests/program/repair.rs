//! A cloud that came back from an older image: its edge finds what is missing there and brings it up again.

use std::path::Path;

use super::process::{Node, eventually, quick_config, run, said, start_cloud, wrote};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

const COUNT: &str = "SELECT count(*) FROM plant.readings";

fn insert(edge: &Node, numbers: std::ops::RangeInclusive<u32>) {
    let values: Vec<String> = numbers.map(|n| format!("('p{}', {n})", n % 3)).collect();
    let values = values.join(", ");
    edge.execute(&format!(
        "INSERT INTO plant.readings (device, n) VALUES {values}"
    ));
}

#[test]
fn what_an_older_cloud_lacks_is_found_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let quick = &quick_config(dir.path());
    let (cloud_dir, edge_dir) = (dir.path().join("cloud"), dir.path().join("edge"));
    let start_cloud = || start_cloud(&cloud_dir, quick);
    let start_edge = |cloud: &Node| {
        Node::start(
            &edge_dir,
            &["--config", quick, "--peer", &cloud.listener("quic")],
        )
    };
    let cloud = start_cloud();
    let token = run(&["token", "create", "--url", &cloud.url()]);
    let token = wrote(&token).trim().to_owned();
    let quic = cloud.listener("quic");
    let edge_path = edge_dir.to_str().unwrap();
    let joined = run(&[
        "join",
        "--peer",
        &quic,
        "--token",
        &token,
        "--data-dir",
        edge_path,
    ]);
    assert!(joined.status.success(), "{}", said(&joined));
    let edge = start_edge(&cloud);
    edge.execute("CREATE KEYSPACE plant; CREATE TABLE plant.readings (device TEXT, n BIGINT, PRIMARY KEY ((device), n)) WITH (sync = 'up')");
    insert(&edge, 1..=50);
    let arrived = |cloud: &Node, rows: &str| {
        eventually("the rows' way up", || {
            let listed = run(&["sql", "--url", &cloud.url(), "--format", "csv", "-c", COUNT]);
            wrote(&listed)
                .lines()
                .any(|line| line == rows)
                .then_some(())
        });
    };
    arrived(&cloud, "50");
    assert_eq!(cloud.stop(), Some(0));
    assert_eq!(edge.stop(), Some(0));
    let old = dir.path().join("old");
    copy(&cloud_dir, &old);

    let cloud = start_cloud();
    let edge = start_edge(&cloud);
    insert(&edge, 51..=120);
    arrived(&cloud, "120");
    let verify = |edge: &Node, more: &[&str]| {
        let url = edge.url();
        let arguments = [&["sync", "verify", "--url", &url], more].concat();
        run(&arguments)
    };
    eventually("equal ends", || {
        verify(&edge, &[]).status.success().then_some(())
    });
    assert_eq!(cloud.stop(), Some(0));
    assert_eq!(edge.stop(), Some(0));
    std::fs::remove_dir_all(&cloud_dir).unwrap();
    std::fs::rename(&old, &cloud_dir).unwrap();

    let cloud = start_cloud();
    let edge = start_edge(&cloud);
    let found = eventually("a comparison", || {
        let found = verify(&edge, &[]);
        wrote(&found).contains("equal").then_some(found)
    });
    assert_eq!(found.status.code(), Some(1));
    let text = wrote(&found);
    assert!(text.contains("missing there: 70"), "{text}");
    assert!(text.contains("--repair"), "{text}");
    let mended = verify(&edge, &["--repair"]);
    assert!(
        mended.status.success(),
        "{}{}",
        wrote(&mended),
        said(&mended)
    );
    assert!(wrote(&mended).contains("mended: 70"), "{}", wrote(&mended));
    arrived(&cloud, "120");
    let equal = eventually("equal ends", || {
        let equal = verify(&edge, &[]);
        equal.status.success().then_some(equal)
    });
    assert!(
        wrote(&equal).contains("Both ends hold the same."),
        "{}",
        wrote(&equal)
    );
    let told =
        cloud.rows("SELECT differences FROM system.sync_peers WHERE last_verified IS NOT NULL");
    assert!(told.contains(&"0".to_owned()), "{told:?}");
    assert_eq!(edge.stop(), Some(0));
    assert_eq!(cloud.stop(), Some(0));
}
