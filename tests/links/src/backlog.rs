//! What an outage costs afterwards: an edge goes on writing while its link is cut, then the link is back,
//! narrow, far and lossy, and beside the backlog an alarm is written each second.
//!
//! `cargo xtask bench link [--hours 24] [--kbit 1000] [--rtt 600] [--loss 5] [--config FILE]`: two real
//! processes with a UDP relay between them. It prints the time until the cloud holds everything, what the
//! alarms took, the bytes of each row sealed and on the wire, and the edge's memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::line::{Line, Quality};
use crate::node::{Node, token};
use crate::options::Options;
use crate::readings::{DEVICES, FIELDS, Readings};
use crate::wait::{self, now_ns};

/// The drain is given up after this many times the 24 hours' goal.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Rows that wait for more are sealed after a minute without a cloud.
const SEALED_WITHIN: Duration = Duration::from_secs(180);
/// How long a step before the drain may take.
const STEP: Duration = Duration::from_secs(60);

pub fn run(options: &Options) {
    options.only(&["hours", "kbit", "rtt", "loss", "config"]);
    let hours: f64 = options.number("hours", 24.0);
    let kbit: f64 = options.number("kbit", 1000.0);
    let rtt_ms: f64 = options.number("rtt", 600.0);
    let dir = tempfile::tempdir().unwrap();
    let config = options
        .text("config")
        .map_or(Vec::new(), |file| vec!["--config", file]);
    let mut arguments = vec!["--role", "cloud", "--quic", "127.0.0.1:0"];
    let cloud = Node::start(&options.program, &dir.path().join("cloud"), &arguments);
    let quality = Quality {
        bits_per_s: kbit * 1e3,
        delay: Duration::from_secs_f64(rtt_ms / 2e3),
        loss_percent: options.number("loss", 5.0),
        // Two round trips' worth, as cellular modems have it.
        queue_bytes: (kbit * rtt_ms / 8.0 * 2.0).max(20_000.0),
    };
    let line = Line::start(cloud.listener("quic").unwrap().parse().unwrap(), quality, 1);
    cloud.sql("CREATE KEYSPACE plant WITH (sync = 'up')");
    cloud.sql(&format!(
        "CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, {FIELDS}, PRIMARY KEY ((device), ts)) WITH (sync = 'up')"
    ));
    cloud.sql(
        "CREATE TABLE plant.alarms (device TEXT, ts TIMESTAMP, code BIGINT, PRIMARY KEY ((device), ts)) \
         WITH (sync = 'up', sync_class = 'alarm')",
    );
    let peer = line.address.to_string();
    let token = token(None, &options.program, &cloud, &peer);
    arguments = vec!["--role", "edge", "--peer", &peer, "--token", &token];
    arguments.extend(&config);
    let edge = Node::start(&options.program, &dir.path().join("edge"), &arguments);
    wait::until("the definitions' way down", STEP, || {
        let tables = "SELECT count(*) FROM system.tables WHERE keyspace = 'plant'";
        (edge.number(tables) == 2).then_some(())
    });
    line.cut(true);
    let seconds = (hours * 3600.0) as u64;
    let first = now_ns() - seconds as i64 * 1_000_000_000;
    let begun = Instant::now();
    let mut readings = Readings::new(first);
    let mut lines = String::new();
    for _ in 0..seconds {
        lines.clear();
        readings.csv(&mut lines);
        edge.write("readings", &lines);
    }
    let rows = seconds * DEVICES as u64;
    println!(
        "{rows} rows in {seconds} writes taken in {:.1} s while the link was cut",
        begun.elapsed().as_secs_f64()
    );
    // The last rows wait a while for more before they are sealed; without them, the wire would carry more than was sealed.
    let sync = wait::until("the last rows' sealing", SEALED_WITHIN, || {
        let sync = edge.get("/v1/sync");
        (sync["unsealed_records"] == 0).then_some(sync)
    });
    let sealed = sync["pending_bytes"].as_u64().unwrap();
    assert_eq!(sync["pending_rows"], rows, "not all rows were sealed");
    println!("sealed while it was cut: {rows} rows in {sealed} bytes");
    // The time to live of what the relay still carries, and the end's idle time-out.
    line.take();
    let own_before = edge.own_bytes();
    let outcome = drain(&edge, &cloud, &line, rows);
    let [up, down, packets_up, packets_down, lost, overflowed] = line.take();
    let sync = edge.get("/v1/sync");
    println!(
        "drained in {:.1} s after the link was back, the first row after {:.2} s",
        outcome.drained, outcome.first
    );
    let alarms = outcome.alarms;
    let (began, first) = alarms.first().copied().unwrap_or((0.0, f64::NAN));
    // Those before waited for the connection, which is tried again after pauses.
    let connected = alarms.iter().filter(|(at, _)| *at >= began + first);
    let mut waits: Vec<f64> = connected.map(|(_, wait)| *wait).collect();
    waits.sort_by(f64::total_cmp);
    let at = |share: f64| {
        waits
            .get(((waits.len() as f64 - 1.0) * share) as usize)
            .copied()
            .unwrap_or(f64::NAN)
    };
    println!(
        "{} alarms, {} of them written once one had arrived: median {:.2} s, 99 of 100 {:.2} s, worst {:.2} s; the first, written as the link came back, {first:.2} s (of {} not arrived: {})",
        alarms.len(),
        waits.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        outcome.alarms_written,
        outcome.alarms_written - alarms.len()
    );
    println!(
        "wire with headers: {up} bytes up in {packets_up} datagrams ({:.2} a row, {:.3} of what was sealed, alarms and the handshake included), {down} down in {packets_down}; {lost} lost, {overflowed} beyond the queue; {:.0} kbit/s up",
        up as f64 / rows as f64,
        up as f64 / sealed as f64,
        up as f64 * 8.0 / 1e3 / outcome.drained
    );
    println!(
        "edge's memory: {:.1} MiB before, {:.1} MiB at most; position {}",
        own_before as f64 / 1048576.0,
        outcome.memory as f64 / 1048576.0,
        sync["first_unacked"]
    );
}

struct Outcome {
    drained: f64,
    first: f64,
    /// When each was written, and from then until a query of the cloud finds it, in seconds, as they arrive.
    alarms: Vec<(f64, f64)>,
    alarms_written: usize,
    memory: u64,
}

fn drain(edge: &Node, cloud: &Node, line: &Line, rows: u64) -> Outcome {
    line.cut(false);
    let begun = Instant::now();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let alarms = scope.spawn(|| {
            let mut written = 0_usize;
            let mut next = Instant::now();
            while !done.load(Ordering::Relaxed) {
                edge.write(
                    "alarms",
                    &format!("device,ts,code\nd001,{},{written}\n", now_ns()),
                );
                written += 1;
                next += Duration::from_secs(1);
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            written
        });
        let mut seen = Vec::new();
        let mut last = 0_i64;
        let mut memory = 0;
        let mut first = f64::NAN;
        let mut told = Instant::now();
        let mut drained = None;
        // A little longer, so that the last alarms arrive.
        let mut left = 30;
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let moment = now_ns();
            for row in cloud.sql(&format!("SELECT CAST(ts AS BIGINT) FROM plant.alarms WHERE device = 'd001' AND CAST(ts AS BIGINT) > {last}")) {
                let ts = row[0].as_i64().unwrap();
                last = last.max(ts);
                seen.push((ts as f64 / 1e9, (moment - ts) as f64 / 1e9));
            }
            if drained.is_none() && told.elapsed() > Duration::from_secs(2) {
                told = Instant::now();
                let held = cloud.sql("SELECT count(*) FROM plant.readings")[0][0]
                    .as_u64()
                    .unwrap();
                if held > 0 && first.is_nan() {
                    first = begun.elapsed().as_secs_f64();
                }
                memory = memory.max(edge.own_bytes());
                eprintln!(
                    "{:6.1} s: {held} of {rows} rows in the cloud, {} alarms",
                    begun.elapsed().as_secs_f64(),
                    seen.len()
                );
                if held >= rows {
                    drained = Some(begun.elapsed().as_secs_f64());
                }
                assert!(begun.elapsed() < PATIENCE, "it does not drain");
            }
            if drained.is_some() {
                left -= 1;
                if left == 15 {
                    done.store(true, Ordering::Relaxed);
                }
                if left == 0 {
                    break;
                }
            }
        }
        Outcome {
            drained: drained.unwrap(),
            first,
            alarms: seen,
            alarms_written: alarms.join().unwrap(),
            memory,
        }
    })
}
