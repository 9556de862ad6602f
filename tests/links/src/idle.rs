//! What a connection costs that carries nothing: bytes of a quiet link, with the headers of IP and UDP.
//!
//! `cargo xtask bench idle [--minutes 10] [--transport quic|tcp] [--config FILE]`, as root: an edge that has joined and has
//! nothing to ship, its cloud, each in a network namespace. Packets of IP are counted on the edge's interface, after
//! a while in which a new connection has found its way. What is said of a day is extrapolated. Then the link falls silent,
//! without a word of it to either end, and it is measured how soon the edge finds out.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{CLOUD, LINK, Lab};
use crate::namespace::{Namespace, tool};
use crate::node::{Node, token};
use crate::options::Options;
use crate::wait;

/// How long the beginning may take.
const STEP: Duration = Duration::from_secs(60);
/// A connection is left alone for so long before it is measured: larger packets are looked for, and definitions come down.
const SETTLES: Duration = Duration::from_secs(30);
/// Any settings find a dead link within this.
const FOUND_WITHIN: Duration = Duration::from_secs(900);
const DAY_S: f64 = 86_400.0;

pub fn run(options: &Options) {
    options.only(&["minutes", "transport", "config"]);
    if let Some(why) = Lab::missing() {
        eprintln!("links: {why}");
        std::process::exit(1);
    }
    let minutes: f64 = options.number("minutes", 10.0);
    let mut lab = Lab::make();
    let directory = tempfile::tempdir().unwrap();
    let mut config = match options.text("config") {
        Some(file) => std::fs::read_to_string(file).unwrap(),
        None => "[sync]\n".to_owned(),
    };
    if let Some(transport) = options.text("transport") {
        writeln!(config, "transport = \"{transport}\"").unwrap();
    }
    let file = directory.path().join("node.toml");
    std::fs::write(&file, config).unwrap();
    let start = |end: &Namespace, name: &str, arguments: &[&str]| {
        let same = ["--http", "0.0.0.0:7480"];
        let directory = directory.path().join(name);
        let arguments = [&same, arguments].concat();
        Node::start_in(Some(&end.place), &options.program, &directory, &arguments)
    };
    let peer = format!("{CLOUD}:7490");
    let cloud = start(&lab.cloud, "cloud", &["--role", "cloud", "--quic", &peer]);
    cloud.sql("CREATE KEYSPACE plant WITH (sync = 'up')");
    let ticket = token(Some(&lab.cloud.place), &options.program, &cloud, &peer);
    let file = file.to_str().unwrap();
    let joining = ["--role", "edge", "--peer", &peer, "--token", &ticket];
    let edge = start(
        &lab.edge,
        "edge",
        &[&["--config", file], &joining[..]].concat(),
    );
    wait::until("a connection", STEP, || {
        connected(&edge)["connected_to"].is_string().then_some(())
    });
    std::thread::sleep(SETTLES);
    count(&lab.edge);
    std::thread::sleep(Duration::from_secs_f64(minutes * 60.0));
    let ways = ["up", "down"].map(|way| counted(&lab.edge, way));
    let connection = connected(&edge);
    assert_eq!(connection["connections"], 1, "there was another connection");
    let [(up, up_packets), (down, down_packets)] = ways;
    println!(
        "{minutes} minutes of a quiet link over {}: {up} bytes up in {up_packets} packets, {down} down in {down_packets}, with the headers of IP",
        connection["transport"]
    );
    let day = |bytes: f64| bytes * DAY_S / (minutes * 60.0) / 1e6;
    println!(
        "extrapolated to a day: {:.3} MB ({:.3} up, {:.3} down)",
        day((up + down) as f64),
        day(up as f64),
        day(down as f64)
    );
    lab.lose(1000);
    let begun = Instant::now();
    wait::until("the edge's finding out", FOUND_WITHIN, || {
        let connection = connected(&edge);
        connection["connected_to"].is_null().then_some(())
    });
    println!(
        "a link that fell silent was found after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
}

/// What the edge tells of its connection.
fn connected(edge: &Node) -> Value {
    edge.get("/v1/sync")["connections"][0].clone()
}

/// Counts packets of IP on the link from now on.
fn count(end: &Namespace) {
    let mut rules = "add table inet counted\n".to_owned();
    for (way, hook, side) in [("up", "output", "oifname"), ("down", "input", "iifname")] {
        write!(
            rules,
            "add counter inet counted {way}\n\
             add chain inet counted {hook} {{ type filter hook {hook} priority 10; }}\n\
             add rule inet counted {hook} {side} \"{LINK}\" counter name \"{way}\"\n"
        )
        .unwrap();
    }
    end.nft(&rules);
}

/// Bytes and packets of one way.
fn counted(end: &Namespace, way: &str) -> (u64, u64) {
    let ask = ["netns", "exec", end.name(), "nft", "-j", "list", "counter"];
    let said = tool("ip", &[&ask[..], &["inet", "counted", way]].concat());
    let said: Value = serde_json::from_str(&said).unwrap();
    let counters = said["nftables"].as_array().unwrap();
    let counter = counters.iter().find_map(|one| one.get("counter")).unwrap();
    let number = |what: &str| counter[what].as_u64().unwrap();
    (number("bytes"), number("packets"))
}
