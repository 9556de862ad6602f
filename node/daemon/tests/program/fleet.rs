//! A cloud with edges, as processes.

use std::path::Path;

use super::process::{Node, run, said, wrote};

/// How the nodes of a fleet find each other.
pub struct Fleet {
    quick: String,
    /// Where the cloud listens for edges.
    pub quic: String,
}

impl Fleet {
    /// Nodes whose settings, in this directory, suit wires rather than radio.
    pub fn quick(dir: &Path) -> Fleet {
        let quick = dir.join("quick.toml");
        std::fs::write(&quick, "[sync]\nlink = \"quick\"\nseal_after = \"50ms\"\n").unwrap();
        Fleet {
            quick: quick.to_str().unwrap().to_owned(),
            quic: "127.0.0.1:0".to_owned(),
        }
    }

    pub fn edge(&self, dir: &Path) -> Node {
        let arguments = ["--config", &self.quick, "--dev", "--peer", &self.quic];
        Node::start(dir, &arguments)
    }

    /// One that takes edges in at `listen`.
    pub fn gateway(&self, dir: &Path, listen: &str) -> Node {
        let arguments = [
            "--config",
            &self.quick,
            "--dev",
            "--role",
            "gateway",
            "--peer",
            &self.quic,
            "--quic",
            listen,
        ];
        Node::start(dir, &arguments)
    }

    pub fn cloud(&self, dir: &Path) -> Node {
        let arguments = [
            "--config",
            &self.quick,
            "--dev",
            "--role",
            "cloud",
            "--quic",
            &self.quic,
        ];
        Node::start(dir, &arguments)
    }
}

/// Enrols an edge with these labels.
pub fn joined(cloud: &Node, quic: &str, dir: &Path, labels: &[&str]) {
    joined_as(cloud, quic, dir, labels, &[]);
}

/// The same, with more arguments of `join`.
pub fn joined_as(cloud: &Node, quic: &str, dir: &Path, labels: &[&str], more: &[&str]) {
    let url = cloud.url();
    let mut create = vec!["token", "create", "--url", &url];
    for label in labels {
        create.extend(["--label", label]);
    }
    let token = run(&create);
    assert!(token.status.success(), "{}", said(&token));
    let token = wrote(&token).trim().to_owned();
    let name = dir.file_name().unwrap().to_str().unwrap();
    let arguments = [
        "join",
        "--peer",
        quic,
        "--token",
        &token,
        "--name",
        name,
        "--data-dir",
        dir.to_str().unwrap(),
    ];
    let joined = run(&[&arguments[..], more].concat());
    assert!(joined.status.success(), "{}", said(&joined));
}
