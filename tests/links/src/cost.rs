//! What a row costs the processor on its way, in instructions: at the edge from the write over sealing to shipping, in the
//! cloud from receiving to applying.
//!
//! `cargo xtask bench sync-cpu [--rows 100000] [--base 20000] [--config FILE]`: a real edge and a real cloud, each under
//! `valgrind --tool=callgrind`, once with `base` rows and once with `rows` more. What is told is the difference, so
//! that starting, joining and stopping cancel out. Instructions do not depend on what else the machine does.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::node::{Node, token};
use crate::options::Options;
use crate::process;
use crate::readings::{DEVICES, FIELDS, Readings};
use crate::wait;

const VALGRIND: &str = "valgrind";
/// Programs are some fifty times slower there.
const STEP: Duration = Duration::from_secs(900);
/// A pause between two looks, each of which costs instructions.
const LOOK: Duration = Duration::from_secs(1);
const FIRST_NS: i64 = 1_700_000_000_000_000_000;

pub fn run(options: &Options) {
    options.only(&["rows", "base", "config"]);
    let found = Command::new(VALGRIND).arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!("links: '{VALGRIND}' is not installed: the package valgrind has it");
        std::process::exit(1);
    }
    let whole = |name, default: usize| {
        let rows: usize = options.number(name, default);
        rows.next_multiple_of(DEVICES).max(DEVICES)
    };
    let (rows, base) = (whole("rows", 100_000), whole("base", 20_000));
    let less = instructions(options, base);
    let more = instructions(options, base + rows);
    let each = |at: fn(&Spent) -> u64| (at(&more) as f64 - at(&less) as f64) / rows as f64;
    println!(
        "a row of six fields, {DEVICES} a write: {:.0} instructions at the edge (write, seal, ship), {:.0} in the cloud (receive, apply)",
        each(|spent| spent.edge),
        each(|spent| spent.cloud)
    );
    println!(
        "{base} rows: {:.1} M at the edge, {:.1} M in the cloud; {} rows: {:.1} M, {:.1} M",
        less.edge as f64 / 1e6,
        less.cloud as f64 / 1e6,
        base + rows,
        more.edge as f64 / 1e6,
        more.cloud as f64 / 1e6
    );
}

/// Instructions of whole lives of both.
struct Spent {
    edge: u64,
    cloud: u64,
}

fn instructions(options: &Options, rows: usize) -> Spent {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let start = |name: &str, arguments: &[&str]| {
        let mut command = process::command(None, VALGRIND);
        command
            .arg("--tool=callgrind")
            .arg(format!(
                "--callgrind-out-file={}",
                at(name).with_extension("callgrind").display()
            ))
            .arg(&options.program);
        let http = ["--http", "127.0.0.1:0"];
        Node::start_by(command, None, &at(name), &[&http, arguments].concat())
    };
    let mut cloud = start("cloud", &["--role", "cloud", "--quic", "127.0.0.1:0"]);
    let peer = cloud.listener("quic").unwrap();
    cloud.sql("CREATE KEYSPACE plant WITH (sync = 'up')");
    cloud.sql(&format!(
        "CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, {FIELDS}, PRIMARY KEY ((device), ts)) WITH (sync = 'up')"
    ));
    let ticket = token(None, &options.program, &cloud, &peer);
    let mut arguments = vec!["--role", "edge", "--peer", &peer, "--token", &ticket];
    if let Some(file) = options.text("config") {
        arguments.extend(["--config", file]);
    }
    let mut edge = start("edge", &arguments);
    wait::until("the definitions' way down", STEP, || {
        std::thread::sleep(LOOK);
        let tables = "SELECT count(*) FROM system.tables WHERE keyspace = 'plant'";
        (edge.number(tables) == 1).then_some(())
    });
    let mut readings = Readings::new(FIRST_NS);
    for _ in 0..rows / DEVICES {
        let mut lines = String::new();
        readings.csv(&mut lines);
        edge.write("readings", &lines);
    }
    wait::until("the rows' way up", STEP, || {
        std::thread::sleep(LOOK);
        let sync = edge.get("/v1/sync");
        let waiting = ["pending_rows", "unsealed_records"].map(|what| sync[what].as_u64());
        (waiting == [Some(0); 2]).then_some(())
    });
    let held = cloud.number("SELECT count(*) FROM plant.readings") as usize;
    assert!(held == rows, "{held} of {rows} rows are in the cloud");
    for node in [&mut edge, &mut cloud] {
        node.terminate(STEP);
    }
    Spent {
        edge: total(&at("edge").with_extension("callgrind")),
        cloud: total(&at("cloud").with_extension("callgrind")),
    }
}

/// The sum that callgrind wrote at the end.
fn total(file: &Path) -> u64 {
    let said = std::fs::read_to_string(file).unwrap();
    let sum = said
        .lines()
        .find_map(|line| line.strip_prefix("totals:")?.trim().parse().ok());
    sum.unwrap_or_else(|| panic!("{} has no sum", file.display()))
}
