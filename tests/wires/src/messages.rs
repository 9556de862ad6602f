//! MQTT at quality 1: each message is acknowledged once its row is on disk.
//!
//! `cargo xtask bench messages [--clients 8] [--window 256] [--seconds 15]`: JSON of six fields, a topic for each machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use activestore_test_links::memory;
use activestore_test_links::options::Options;

use crate::lines::start;

const CONFIG: &str = "[[mqtt.topics]]\ntopic = \"plant/+/readings\"\ntable = \"plant.readings\"\nformat = \"json\"\ncolumns = { device = \"$1\" }\n";
/// 2026-01-01, in milliseconds.
const FIRST_MS: u64 = 1_767_225_600_000;
const DEVICES: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(60);

/// A publisher that keeps a number of messages unacknowledged.
struct Publisher {
    stream: TcpStream,
    out: Vec<u8>,
    read: Vec<u8>,
    packet: u16,
}

impl Publisher {
    fn connect(address: &str, client: usize) -> Publisher {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = format!("bench-{client}");
        let mut body = vec![0, 4];
        body.extend(b"MQTT\x04\x02\x00\x3c");
        body.extend((name.len() as u16).to_be_bytes());
        body.extend(name.as_bytes());
        let mut packet = vec![0x10, body.len() as u8];
        packet.extend(body);
        stream.write_all(&packet).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0x20, 2, 0, 0], "not connected");
        Publisher {
            stream,
            out: Vec::new(),
            read: Vec::new(),
            packet: 0,
        }
    }

    /// Puts a message into the buffer.
    fn push(&mut self, topic: &str, payload: &str) {
        self.packet = self.packet.checked_add(1).unwrap_or(1);
        let mut left = 2 + topic.len() + 2 + payload.len();
        self.out.push(0x32);
        while left > 127 {
            self.out.push((left % 128) as u8 | 0x80);
            left /= 128;
        }
        self.out.push(left as u8);
        self.out.extend((topic.len() as u16).to_be_bytes());
        self.out.extend(topic.as_bytes());
        self.out.extend(self.packet.to_be_bytes());
        self.out.extend(payload.as_bytes());
    }

    fn flush(&mut self) {
        self.stream.write_all(&self.out).unwrap();
        self.out.clear();
    }

    /// Waits for acknowledgements; how many came.
    fn acknowledged(&mut self) -> u64 {
        let mut part = [0; 4096];
        let read = self.stream.read(&mut part).unwrap();
        assert!(read > 0, "the node closed the connection");
        self.read.extend_from_slice(&part[..read]);
        let whole = self.read.len() / 4 * 4;
        let all = self.read[..whole].chunks(4);
        assert!(all.clone().all(|packet| packet[..2] == [0x40, 2]));
        let count = all.count() as u64;
        self.read.drain(..whole);
        count
    }
}

/// The payload of a client's message; no two have a key together.
fn payload(client: usize, clients: usize, n: u64) -> (String, String) {
    let at = FIRST_MS + (n / DEVICES) * clients as u64 + client as u64;
    let wave = n % 1000;
    (
        format!("plant/d{:03}/readings", n % DEVICES),
        format!(
            r#"{{"ts":{at},"temp":2{}.{:02},"humidity":45.{},"pressure":1013.{:02},"vibration":0.{wave:03},"state":1,"cycles":{}}}"#,
            wave % 10,
            wave % 100,
            wave % 7,
            wave % 50,
            n * 3
        ),
    )
}

pub fn run(options: &Options) {
    options.only(&["clients", "window", "seconds"]);
    let clients: usize = options.number("clients", 8);
    let window: u64 = options.number("window", 256);
    let seconds = Duration::from_secs(options.number("seconds", 15));
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("node.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let place = directory.path().join("node");
    let beside = ["--role", "edge", "--mqtt", "127.0.0.1:0"];
    let node = start(&options.program, &place, config.to_str(), &beside);
    node.sql("CREATE KEYSPACE plant");
    node.sql("CREATE TABLE plant.readings (device TEXT, ts TIMESTAMP, temp DOUBLE, humidity DOUBLE, pressure DOUBLE, vibration DOUBLE, state BIGINT, cycles BIGINT, PRIMARY KEY ((device), ts))");
    let address = node.listener("mqtt").unwrap();
    let (ended, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = memory::cpu_seconds(node.id());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..clients {
            let (address, ended, acknowledged) = (&address, &ended, &acknowledged);
            scope.spawn(move || {
                let mut publisher = Publisher::connect(address, client);
                let (mut n, mut under_way) = (0, 0);
                while !ended.load(Ordering::Relaxed) || under_way > 0 {
                    while under_way < window && !ended.load(Ordering::Relaxed) {
                        let (topic, payload) = payload(client, clients, n);
                        publisher.push(&topic, &payload);
                        (n, under_way) = (n + 1, under_way + 1);
                    }
                    publisher.flush();
                    let came = publisher.acknowledged();
                    under_way -= came;
                    acknowledged.fetch_add(came, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(seconds);
        ended.store(true, Ordering::Relaxed);
    });
    let took = begun.elapsed().as_secs_f64();
    let sent = acknowledged.load(Ordering::Relaxed);
    let cpu = memory::cpu_seconds(node.id()) - before;
    let held = node.number("SELECT count(*) FROM plant.readings");
    assert_eq!(held, sent, "messages were lost");
    println!(
        "MQTT, quality 1: {clients} clients, {window} messages under way each: {sent} messages in {took:.1} s, {:.0} messages/s durable; {:.2} µs of CPU a message at the node",
        sent as f64 / took,
        cpu * 1e6 / sent as f64
    );
}
