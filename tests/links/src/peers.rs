//! The same job done by activestore, by a mosquitto bridge and by a NATS leaf node with JetStream: the same
//! rows, acknowledged one by one at the edge, over a link that is cut ten times, while the edge's program is
//! killed twice. Printed are the bytes of a row on the wire, rows lost and doubled, and the time until
//! everything arrived.
//!
//! `cargo xtask bench peers-sync [--seconds 30] [--rows 2000] [--mbit 20] [--only NAME]`, as root.

mod mosquitto;
mod mqtt;
mod nats;
mod nats_server;
mod ours;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::options::Options;
use crate::readings::Readings;

/// Cuts of the link.
const CUTS: u32 = 10;
const CUT: Duration = Duration::from_millis(1500);
/// The edge's program is killed in the middle of this cut, and after this one when the link is back.
const KILLED_IN: u32 = 3;
const KILLED_AFTER: u32 = 7;
/// Messages that are published at once and then waited for.
const BATCH: u64 = 100;
/// A program that takes rows more slowly than they come has this many times the time that they come in.
const PATIENCE: u32 = 2;
/// It is over when nothing new arrives for so long, whatever is missing.
const SILENCE: Duration = Duration::from_secs(20);
/// 2026-01-01.
const FIRST_NS: i64 = 1_767_225_600_000_000_000;

/// Hands messages over at the edge.
trait Publisher: Send {
    /// Publishes messages, each with its number, until each of them is acknowledged; again where that is not
    /// known.
    fn publish(&mut self, messages: &[(u64, String)]);
}

/// One program that carries rows from an edge to a cloud.
trait Carrier: Sync {
    fn publisher(&self) -> Box<dyn Publisher>;
    /// SIGKILL to the program at the edge, and its start as a machine's service manager would.
    fn kill(&self);
    /// How many numbers have arrived.
    fn arrived(&self) -> u64;
    /// Every number that arrived, as often as it did.
    fn received(&self) -> Vec<u64>;
}

type Make = fn(&Path, &Lab, &Path) -> Box<dyn Carrier>;

const CARRIERS: [(&str, Make); 4] = [
    ("activestore", ours::start),
    ("nats", nats_server::start),
    ("mosquitto-1s", mosquitto::start_saving_each_second),
    ("mosquitto", mosquitto::start),
];

pub fn run(options: &Options) {
    options.only(&["seconds", "rows", "mbit", "only"]);
    let missing = Lab::missing().or_else(|| {
        let installed = |program: &str| {
            let asked = std::process::Command::new(program).arg("-h").output();
            asked.is_ok()
        };
        let absent: Vec<&str> = ["mosquitto", "nats-server"]
            .into_iter()
            .filter(|program| !installed(program))
            .collect();
        (!absent.is_empty()).then(|| format!("not installed: {}", absent.join(" and ")))
    });
    if let Some(why) = missing {
        eprintln!("links: {why}");
        std::process::exit(1);
    }
    let seconds: u64 = options.number("seconds", 30);
    let rate: u64 = options.number("rows", 2000);
    let mbit: u32 = options.number("mbit", 20);
    println!(
        "{} rows of 100 machines, {rate} a second, over {mbit} Mbit/s; {CUTS} cuts of {:.1} s and 2 SIGKILLs of the edge's program; {} busy of {} processors before",
        seconds * rate,
        CUT.as_secs_f64(),
        load(),
        std::thread::available_parallelism().map_or(1, usize::from),
    );
    println!(
        "{:14} {:>8} {:>10} {:>7} {:>7} {:>9} {:>11} {:>8} {:>11}",
        "",
        "rows",
        "taken in s",
        "lost",
        "doubled",
        "B/row up",
        "B/row down",
        "packets",
        "arrived +s"
    );
    for (name, make) in CARRIERS {
        if options.text("only").is_none_or(|only| only == name) {
            let outcome = one(&options.program, make, seconds * rate, rate, mbit);
            println!("{name:14} {outcome}");
        }
    }
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

fn one(program: &Path, make: Make, rows: u64, rate: u64, mbit: u32) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut lab = Lab::make();
    lab.rate(mbit * 1000);
    let carrier = make(program, &lab, directory.path());
    let mut publisher = carrier.publisher();
    let before = lab.crossed();
    let begun = Instant::now();
    let planned = Duration::from_secs(rows / rate);
    let (rows, taken) = std::thread::scope(|scope| {
        let publishing = scope.spawn(move || {
            let mut readings = Readings::new(FIRST_NS);
            let mut taken = 0;
            for first in (0..rows).step_by(BATCH as usize) {
                if begun.elapsed() > planned * PATIENCE {
                    break;
                }
                let due = Duration::from_secs_f64(first as f64 / rate as f64);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
                let messages: Vec<_> = (first..)
                    .zip(readings.second())
                    .map(|(n, reading)| (n, reading.json(n)))
                    .collect();
                publisher.publish(&messages);
                taken += messages.len() as u64;
            }
            (taken, begun.elapsed())
        });
        disturb(&mut lab, &*carrier, planned, begun);
        publishing.join().unwrap()
    });
    let (mut arrived, mut last) = (0, Instant::now());
    while arrived < rows && last.elapsed() < SILENCE {
        std::thread::sleep(Duration::from_millis(50));
        let now = carrier.arrived();
        if now > arrived {
            (arrived, last) = (now, Instant::now());
        }
    }
    let converged = last.saturating_duration_since(begun + taken);
    let after = lab.crossed();
    let mut times = vec![0_u32; rows as usize];
    for n in carrier.received() {
        times[n as usize] += 1;
    }
    let lost = times.iter().filter(|times| **times == 0).count();
    let doubled: u32 = times.iter().map(|times| times.saturating_sub(1)).sum();
    let a_row = |bytes: u64| bytes as f64 / rows as f64;
    format!(
        "{rows:8} {:10.1} {lost:7} {doubled:7} {:9.1} {:11.1} {:8} {:11.1}",
        taken.as_secs_f64(),
        a_row(after.up_bytes - before.up_bytes),
        a_row(after.down_bytes - before.down_bytes),
        after.up_packets + after.down_packets - before.up_packets - before.down_packets,
        converged.as_secs_f64()
    )
}

/// Cuts the link again and again while rows are published, and kills the edge's program twice.
fn disturb(lab: &mut Lab, carrier: &dyn Carrier, whole: Duration, begun: Instant) {
    for cut in 1..=CUTS {
        let due = whole * (2 * cut - 1) / (2 * CUTS);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        // Half of the cuts are seen by the edge, half are not.
        let seen = cut % 2 == 0;
        let set = |lab: &mut Lab, up: bool| {
            if seen {
                lab.set_up(up);
            } else {
                lab.lose(if up { 0 } else { 1000 });
            }
        };
        set(lab, false);
        std::thread::sleep(CUT / 2);
        if cut == KILLED_IN {
            carrier.kill();
        }
        std::thread::sleep(CUT / 2);
        set(lab, true);
        if cut == KILLED_AFTER {
            std::thread::sleep(CUT / 4);
            carrier.kill();
        }
    }
}
