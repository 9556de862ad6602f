//! Network namespaces by `ip`, `tc` and `nft`; each is removed when dropped.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a tool to its end; panics with what it says.
pub fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Namespaces of the process with that id begin with this.
pub fn name_of(pid: u32) -> String {
    format!("as{pid}n")
}

/// Removes what processes left behind that were killed: their namespaces, and what still runs in these.
pub fn sweep() {
    for line in tool("ip", &["netns", "list"]).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let number = name
            .strip_prefix("as")
            .and_then(|rest| rest.split_once('n'));
        let Some(pid) = number.and_then(|(pid, _)| pid.parse().ok()) else {
            continue;
        };
        if !name.starts_with(&name_of(pid)) || Path::new(&format!("/proc/{pid}")).exists() {
            continue;
        }
        // Another process may sweep at the same time, and an orphan may end by itself.
        let Ok(orphans) = Command::new("ip").args(["netns", "pids", name]).output() else {
            continue;
        };
        for orphan in String::from_utf8_lossy(&orphans.stdout).lines() {
            let _ = Command::new("kill").args(["-KILL", orphan]).status();
        }
        let _ = Command::new("ip").args(["netns", "delete", name]).output();
    }
}

/// Where a program runs.
#[derive(Clone)]
pub struct Place {
    /// The namespace.
    pub name: String,
    /// Where this machine reaches what listens inside.
    pub address: String,
}

/// A network of its own, with a way in from this machine beside the link.
pub struct Namespace {
    pub place: Place,
}

impl Namespace {
    /// Makes one; `slot` must be another for each that stands at the same time on this machine.
    pub fn make(name: String, slot: u32) -> Namespace {
        tool("ip", &["netns", "add", &name]);
        // From here on dropping removes it, whatever fails.
        let base = u32::from(std::net::Ipv4Addr::new(10, 191, 0, 0)) + (slot % (1 << 14)) * 4;
        let ip = |host: u32| std::net::Ipv4Addr::from(base + host).to_string();
        let address = ip(2);
        let namespace = Namespace {
            place: Place { name, address },
        };
        let near = namespace.name();
        let care = ["name", "care", "netns", near];
        tool(
            "ip",
            &[&["link", "add", near, "type", "veth", "peer"], &care[..]].concat(),
        );
        tool(
            "ip",
            &["address", "add", &format!("{}/30", ip(1)), "dev", near],
        );
        tool("ip", &["link", "set", near, "up"]);
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace.ip(&["address", "add", &format!("{}/30", ip(2)), "dev", "care"]);
        namespace.ip(&["link", "set", "care", "up"]);
        namespace
    }

    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// `ip` inside of it.
    pub fn ip(&self, arguments: &[&str]) -> String {
        tool("ip", &[&["-n", self.name()], arguments].concat())
    }

    /// `tc` inside of it.
    pub fn tc(&self, arguments: &[&str]) {
        tool("tc", &[&["-n", self.name()], arguments].concat());
    }

    /// Rules for `nft` inside of it, all or none.
    pub fn nft(&self, rules: &str) {
        let mut child = Command::new("ip")
            .args(["netns", "exec", self.name(), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(rules.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success(), "nft refuses {rules}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The pair of interfaces goes with it.
        let _ = Command::new("ip")
            .args(["netns", "delete", self.name()])
            .status();
    }
}
