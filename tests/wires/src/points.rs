//! One row by its key over the PostgreSQL wire, by prepared statements, while rows are being written.
//!
//! `cargo xtask bench points [--clients 16] [--each 50] [--rows 100000] [--seconds 20]`: each client asks so many times a
//! second, or with `--each 0` as soon as it was answered; so many rows a second are written beside that over HTTP.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use activestore_test_links::node::Node;
use activestore_test_links::options::Options;

use crate::client::Client;
use crate::http::Http;
use crate::lines::{Body, start};
use crate::waits::Waits;

/// Rows that are there before, of which some are asked for.
const REQUESTS_BEFORE: usize = 40;
const PATH: &str = "/v1/tables/plant/readings/rows";
const LINES: usize = 5000;
const TABLE: &str = "CREATE TABLE plant.readings (device TEXT, time TIMESTAMP, temp DOUBLE, humidity DOUBLE, pressure DOUBLE, vibration DOUBLE, state BIGINT, cycles BIGINT, PRIMARY KEY ((device), time))";
const SQL: &str =
    "SELECT temp, humidity, state FROM plant.readings WHERE device = $1 AND time = $2";
/// 2000-01-01 in nanoseconds; the binary form of a moment counts microseconds from there.
const PG_EPOCH_NS: i64 = 946_684_800_000_000_000;
const FIRST_NS: i64 = 1_767_225_600_000_000_000;
const TEXT: u32 = 25;
const TIMESTAMP: u32 = 1114;

/// Asks for one row after the other.
fn ask(node: &Node, client: usize, each: u64, ended: &AtomicBool) -> Waits {
    let address = node.listener("pg").unwrap().parse().unwrap();
    let mut pg = Client::connect(address, &[("user", "bench"), ("database", "plant")]);
    pg.parse("point", SQL, &[TEXT, TIMESTAMP]);
    pg.send('S', &[]);
    let prepared = pg.until('Z');
    assert!(
        prepared.iter().all(|reply| reply.tag != 'E'),
        "{:?}",
        prepared[0].field('M')
    );
    let mut waits = Waits::default();
    let begun = Instant::now();
    let mut n = client as u64 * 7919;
    let mut asked = 0_u32;
    while !ended.load(Ordering::Relaxed) {
        n = n
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let device = format!("d{:03}", (n >> 33) % 100);
        // The first client's lines come a step of two milliseconds apart.
        let moment =
            FIRST_NS + ((n >> 20) % (REQUESTS_BEFORE * LINES / 100) as u64) as i64 * 2_000_000;
        let micros = (moment - PG_EPOCH_NS) / 1000;
        let sent = Instant::now();
        let values = [
            Some(device.into_bytes()),
            Some(micros.to_be_bytes().to_vec()),
        ];
        pg.bind("", "point", 1, &values, 1);
        pg.execute("", 0);
        pg.send('S', &[]);
        let replies = pg.until('Z');
        waits.add(sent.elapsed());
        let rows = replies.iter().filter(|reply| reply.tag == 'D').count();
        assert_eq!(rows, 1, "{replies:?}");
        asked += 1;
        if let Some(every) = Duration::from_secs(1).checked_div(u32::try_from(each).unwrap()) {
            let due = every * asked;
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    }
    waits
}

pub fn run(options: &Options) {
    options.only(&["clients", "each", "rows", "seconds", "config"]);
    let clients: usize = options.number("clients", 16);
    let each: u64 = options.number("each", 50);
    let rows_s: f64 = options.number("rows", 100_000.0);
    let seconds = Duration::from_secs(options.number("seconds", 20));
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("node");
    let beside = ["--role", "edge", "--pg", "127.0.0.1:0"];
    let node = start(&options.program, &place, options.text("config"), &beside);
    node.sql("CREATE KEYSPACE plant");
    node.sql(TABLE);
    let mut http = Http::connect(&node.url, PATH, "text/csv");
    let mut body = Body::csv_of(LINES, 0, 2);
    for _ in 0..REQUESTS_BEFORE {
        http.post(body.next());
    }
    let (ended, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut waits = Waits::default();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            while rows_s > 0.0 && !ended.load(Ordering::Relaxed) {
                http.post(body.next());
                let rows = written.fetch_add(body.lines(), Ordering::Relaxed) + body.lines();
                let due = Duration::from_secs_f64(rows as f64 / rows_s);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
        });
        let (node, ended) = (&node, &ended);
        let threads: Vec<_> = (0..clients)
            .map(|client| scope.spawn(move || ask(node, client, each, ended)))
            .collect();
        std::thread::sleep(seconds);
        ended.store(true, Ordering::Relaxed);
        for thread in threads {
            waits.append(thread.join().unwrap());
        }
    });
    let took = begun.elapsed().as_secs_f64();
    println!(
        "one row by its key, prepared, PostgreSQL wire: {clients} clients, {:.0} queries/s beside {:.0} rows/s of writes: {}",
        waits.count() as f64 / took,
        written.load(Ordering::Relaxed) as f64 / took,
        waits.shown()
    );
}
