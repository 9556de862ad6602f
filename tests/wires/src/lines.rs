//! Line protocol over HTTP, each request acknowledged once its rows are on disk.
//!
//! `cargo xtask bench lines [--clients 8] [--lines 5000] [--seconds 15] [--config FILE]`: six fields of a hundred machines.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use activestore_test_links::memory;
use activestore_test_links::node::Node;
use activestore_test_links::options::Options;

use crate::http::Http;
use crate::waits::Waits;

/// Digits of a moment in nanoseconds.
const DIGITS: usize = 19;
/// 2026-01-01.
const FIRST_NS: u64 = 1_767_225_600_000_000_000;
const DEVICES: usize = 100;

/// A body of rows, of which only the moments change from one request to the next.
pub struct Body {
    bytes: Vec<u8>,
    /// Where the moment of each line begins.
    moments: Vec<usize>,
    next: u64,
    step: u64,
}

impl Body {
    /// Line protocol of a client among so many; no two lines have a key together.
    pub fn lines_of(lines: usize, client: usize, clients: usize) -> Body {
        let mut body = Body::new("", client, clients);
        for line in 0..lines {
            let [temp, humidity, pressure, vibration] = fields(line, client);
            body.push(
                &format!(
                    "readings,device=d{:03} temp={temp},humidity={humidity},pressure={pressure},vibration={vibration},state=1i,cycles={}i ",
                    line % DEVICES,
                    line * 3
                ),
                "\n",
            );
        }
        body
    }

    /// The same rows as CSV.
    pub fn csv_of(lines: usize, client: usize, clients: usize) -> Body {
        let header = "device,time,temp,humidity,pressure,vibration,state,cycles\n";
        let mut body = Body::new(header, client, clients);
        for line in 0..lines {
            let fields = fields(line, client).join(",");
            let rest = format!(",{fields},1,{}\n", line * 3);
            body.push(&format!("d{:03},", line % DEVICES), &rest);
        }
        body
    }

    fn new(header: &str, client: usize, clients: usize) -> Body {
        Body {
            bytes: header.as_bytes().to_vec(),
            moments: Vec::new(),
            next: FIRST_NS + client as u64 * 1_000_000,
            step: clients as u64 * 1_000_000,
        }
    }

    /// A line with a moment between two texts.
    fn push(&mut self, before: &str, behind: &str) {
        self.bytes.extend(before.as_bytes());
        self.moments.push(self.bytes.len());
        self.bytes.extend([b'0'; DIGITS]);
        self.bytes.extend(behind.as_bytes());
    }

    pub fn lines(&self) -> u64 {
        self.moments.len() as u64
    }

    /// The next request's lines: each machine goes on by a moment with each of its lines.
    pub fn next(&mut self) -> &[u8] {
        for (line, place) in self.moments.iter().enumerate() {
            let mut moment = self.next + (line / DEVICES) as u64 * self.step;
            for digit in self.bytes[*place..place + DIGITS].iter_mut().rev() {
                *digit = b'0' + (moment % 10) as u8;
                moment /= 10;
            }
        }
        self.next += self.moments.len().div_ceil(DEVICES) as u64 * self.step;
        &self.bytes
    }
}

/// Values that wander.
fn fields(line: usize, client: usize) -> [String; 4] {
    let wave = (line * 37 + client * 11) % 1000;
    [
        format!("2{}.{:02}", wave % 10, wave % 100),
        format!("45.{}", wave % 7),
        format!("1013.{:02}", wave % 50),
        format!("0.{wave:03}"),
    ]
}

pub fn start(program: &Path, directory: &Path, config: Option<&str>, beside: &[&str]) -> Node {
    let config = config.map_or(Vec::new(), |file| vec!["--config", file]);
    let arguments = [beside, &config].concat();
    Node::start(program, directory, &arguments)
}

const PATH: &str = "/api/v2/write?bucket=plant&precision=ns";

pub fn run(options: &Options) {
    options.only(&["clients", "lines", "seconds", "config"]);
    let clients: usize = options.number("clients", 8);
    let lines: usize = options.number("lines", 5000);
    let seconds = Duration::from_secs(options.number("seconds", 15));
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("node");
    let node = start(
        &options.program,
        &place,
        options.text("config"),
        &["--role", "edge"],
    );
    node.sql("CREATE KEYSPACE plant");
    Http::connect(&node.url, PATH, "text/plain")
        .post(Body::lines_of(100, clients, clients + 1).next());
    let (ended, rows) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = memory::cpu_seconds(node.id());
    let begun = Instant::now();
    let mut waits = Waits::default();
    std::thread::scope(|scope| {
        let work = |client: usize| {
            let (node, ended, rows) = (&node, &ended, &rows);
            move || {
                let mut http = Http::connect(&node.url, PATH, "text/plain");
                let mut body = Body::lines_of(lines, client, clients + 1);
                let mut waits = Waits::default();
                while !ended.load(Ordering::Relaxed) {
                    let bytes = body.next();
                    let sent = Instant::now();
                    http.post(bytes);
                    waits.add(sent.elapsed());
                    rows.fetch_add(body.lines(), Ordering::Relaxed);
                }
                waits
            }
        };
        let threads: Vec<_> = (0..clients)
            .map(|client| scope.spawn(work(client)))
            .collect();
        std::thread::sleep(seconds);
        ended.store(true, Ordering::Relaxed);
        for thread in threads {
            waits.append(thread.join().unwrap());
        }
    });
    let took = begun.elapsed().as_secs_f64();
    let sent = rows.load(Ordering::Relaxed);
    let cpu = memory::cpu_seconds(node.id()) - before;
    let held = node.number("SELECT count(*) FROM plant.readings");
    assert_eq!(held, sent + 100, "rows were lost");
    println!(
        "line protocol: {clients} clients, requests of {lines} lines: {sent} rows in {took:.1} s, {:.0} rows/s durable; {:.2} µs of CPU a row at the node; requests {}; {:.0} MiB of its own at the end",
        sent as f64 / took,
        cpu * 1e6 / sent as f64,
        waits.shown(),
        node.own_bytes() as f64 / 1_048_576.0
    );
}
