//! An edge and a cloud, each in a network namespace, and one link between them: it loses, is narrow, goes
//! down and comes back, and the edge's address changes. Programs are reached from this machine beside the
//! link, so what crosses the link is theirs alone.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::namespace::{Namespace, name_of, sweep, tool};

/// The cloud's address on the link; the edge has one of the others.
pub const CLOUD: &str = "10.77.0.1";
/// The interface of either end.
pub const LINK: &str = "wan";
/// What waits before the narrow link, at its rate; more is dropped.
const QUEUE_MS: u32 = 400;

static MADE: AtomicU32 = AtomicU32::new(0);

pub struct Lab {
    pub edge: Namespace,
    pub cloud: Namespace,
    /// The last number of the edge's address on the link.
    edge_host: u8,
    lost_per_mille: u32,
}

/// What the edge sent and received over the link since it was made, with the headers of Ethernet.
#[derive(Clone, Copy, Default)]
pub struct Crossed {
    pub up_bytes: u64,
    pub down_bytes: u64,
    pub up_packets: u64,
    pub down_packets: u64,
}

impl Lab {
    /// Why namespaces cannot be made here, if they cannot.
    pub fn missing() -> Option<String> {
        for (tool, question) in [("ip", "-V"), ("tc", "-V"), ("nft", "-v")] {
            let asked = Command::new(tool).arg(question).output();
            if !asked.is_ok_and(|output| output.status.success()) {
                return Some(format!(
                    "'{tool}' is not installed: the packages iproute2 and nftables have what is needed"
                ));
            }
        }
        let name = format!("as{}try", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        let may = made.is_ok_and(|output| output.status.success());
        if may {
            drop(Command::new("ip").args(["netns", "delete", &name]).status());
        }
        (!may).then(|| "this user may not make network namespaces: run it as root".to_owned())
    }

    pub fn make() -> Lab {
        sweep();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let slot = pid.wrapping_add(number.wrapping_mul(2741)) % 8192 * 2;
        let name = format!("{}{number}", name_of(pid));
        let lab = Lab {
            edge: Namespace::make(format!("{name}e"), slot),
            cloud: Namespace::make(format!("{name}c"), slot + 1),
            edge_host: 2,
            lost_per_mille: 0,
        };
        let (edge, cloud) = (lab.edge.name(), lab.cloud.name());
        let pair = [
            "link", "add", LINK, "netns", edge, "type", "veth", "peer", "name", LINK, "netns",
            cloud,
        ];
        tool("ip", &pair);
        for (end, address) in [
            (&lab.edge, lab.edge_address()),
            (&lab.cloud, CLOUD.to_owned()),
        ] {
            // Packets are cut before the link and not behind it: what is counted and lost is what a wire carries.
            end.ip(&["link", "set", LINK, "gso_max_segs", "1"]);
            end.ip(&["address", "add", &format!("{address}/24"), "dev", LINK]);
            end.ip(&["link", "set", LINK, "up"]);
            end.nft("add table inet lost\nadd chain inet lost in { type filter hook input priority 0; }\n");
        }
        lab
    }

    /// The edge's address on the link.
    pub fn edge_address(&self) -> String {
        format!("10.77.0.{}", self.edge_host)
    }

    /// Of a thousand packets each way, so many are lost; a thousand: the link carries nothing and does not say so.
    pub fn lose(&mut self, per_mille: u32) {
        self.lost_per_mille = per_mille;
        let mut rules = "flush chain inet lost in\n".to_owned();
        if per_mille > 0 {
            let which = match per_mille {
                ..1000 => format!("numgen random mod 1000 < {per_mille}"),
                _ => String::new(),
            };
            rules += &format!("add rule inet lost in iifname \"{LINK}\" {which} drop\n");
        }
        for end in [&self.edge, &self.cloud] {
            end.nft(&rules);
        }
    }

    /// What is lost now, of a thousand packets.
    pub fn lost_per_mille(&self) -> u32 {
        self.lost_per_mille
    }

    /// How much crosses in a second, each way.
    pub fn rate(&self, kbit_s: u32) {
        for end in [&self.edge, &self.cloud] {
            let rate = format!("{kbit_s}kbit");
            let queue = format!("{QUEUE_MS}ms");
            end.tc(&[
                "qdisc", "replace", "dev", LINK, "root", "tbf", "rate", &rate, "burst", "16kb",
                "latency", &queue,
            ]);
        }
    }

    /// The edge's interface goes down or comes up, which its kernel sees.
    pub fn set_up(&self, up: bool) {
        self.edge
            .ip(&["link", "set", LINK, if up { "up" } else { "down" }]);
    }

    /// The edge gets another address, as a modem does that registers anew.
    pub fn move_edge(&mut self) {
        let before = format!("{}/24", self.edge_address());
        self.edge_host = if self.edge_host >= 250 {
            2
        } else {
            self.edge_host + 1
        };
        let now = format!("{}/24", self.edge_address());
        self.edge.ip(&["address", "add", &now, "dev", LINK]);
        self.edge.ip(&["address", "delete", &before, "dev", LINK]);
        // As the first of its subnet goes, the kernel may take the others with it.
        if !self
            .edge
            .ip(&["address", "show", "dev", LINK])
            .contains(&now)
        {
            self.edge.ip(&["address", "add", &now, "dev", LINK]);
        }
    }

    pub fn crossed(&self) -> Crossed {
        let shown = self.edge.ip(&["-s", "-j", "link", "show", LINK]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let counter = |way: &str, what: &str| shown[0]["stats64"][way][what].as_u64().unwrap();
        Crossed {
            up_bytes: counter("tx", "bytes"),
            down_bytes: counter("rx", "bytes"),
            up_packets: counter("tx", "packets"),
            down_packets: counter("rx", "packets"),
        }
    }
}
