//! Every file of `edge-configs/` starts a node.

use std::path::{Path, PathBuf};

use super::process::{Node, run, said, wrote};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../edge-configs")
        .join(name)
}

#[test]
fn each_configuration_starts_a_node() {
    let dir = tempfile::tempdir().unwrap();
    let start = |name: &str, extra: &[&str]| {
        let path = file(&format!("{name}.toml"));
        let mut arguments = vec!["--config", path.to_str().unwrap()];
        arguments.extend_from_slice(extra);
        Node::start(&dir.path().join(name), &arguments)
    };
    let cloud = start("cloud-node", &["--quic", "127.0.0.1:0"]);
    let quic = cloud.listener("quic");
    let token = || {
        let output = run(&["token", "create", "--url", &cloud.url()]);
        assert!(output.status.success(), "{}", said(&output));
        wrote(&output).trim().to_owned()
    };
    for (name, mqtt) in [
        ("factory-gateway", true),
        ("vehicle-lte", false),
        ("solar-battery", false),
    ] {
        let token = token();
        let mut extra = vec!["--peer", &quic, "--token", &token];
        if mqtt {
            extra.extend(["--mqtt", "127.0.0.1:0"]);
        }
        let node = start(name, &extra);
        assert_eq!(node.rows("SELECT 1"), ["1"], "{name}");
        assert_eq!(node.stop(), Some(0), "{name}");
    }
    let token = token();
    let extra = ["--peer", &quic, "--token", &token, "--quic", "127.0.0.1:0"];
    let node = start("site-gateway", &extra);
    assert_eq!(node.rows("SELECT 1"), ["1"]);
    assert_eq!(node.stop(), Some(0));
    assert_eq!(cloud.stop(), Some(0));
    let tested = 5;
    let files = std::fs::read_dir(file("")).unwrap().count();
    assert_eq!(files, tested, "a configuration without a test");
}
