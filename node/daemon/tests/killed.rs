//! A real node, killed with SIGKILL thirty times in the middle of work: every acknowledged row is
//! there afterwards, and no row that nobody wrote. Set ACTIVESTORE_SEED to repeat a run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ROUNDS: u64 = 30;
const WRITERS: u64 = 3;
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A node's process; killed when dropped, so that a failed test leaves nothing behind.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(data: &Path) -> (Process, String) {
    let listeners = data.join("listeners.json");
    let _ = std::fs::remove_file(&listeners);
    let child = Command::new(env!("CARGO_BIN_EXE_activestore"))
        .args([
            "start",
            "--role",
            "edge",
            "--http",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let until = Instant::now() + READY_WITHIN;
    loop {
        if let Ok(text) = std::fs::read_to_string(&listeners)
            && let Ok(value) = serde_json::from_str::<serde_json::Value>(&text)
        {
            return (
                process,
                format!("http://{}", value["http"].as_str().unwrap()),
            );
        }
        if let Some(status) = process.0.try_wait().unwrap() {
            panic!("the node ended with {status}");
        }
        assert!(Instant::now() < until, "the node was not ready in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn sql(url: &str, sql: &str) -> Result<serde_json::Value, String> {
    let mut answer = ureq::post(format!("{url}/v1/sql"))
        .content_type("text/plain")
        .send(sql)
        .map_err(|error| error.to_string())?;
    let text = answer
        .body_mut()
        .read_to_string()
        .map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn thirty_kills_lose_no_acknowledged_row_and_invent_none() {
    let mut seed = std::env::var("ACTIVESTORE_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0x5eed_0001_u64);
    println!("ACTIVESTORE_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let tried = Arc::new(AtomicU64::new(0));
    for round in 0..ROUNDS {
        let (mut process, url) = start(dir.path());
        if round == 0 {
            sql(&url, "CREATE KEYSPACE k; CREATE TABLE k.t (w BIGINT, n BIGINT, v DOUBLE, PRIMARY KEY ((w), n))").unwrap();
        }
        let ending = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (url, ending) = (url.clone(), ending.clone());
                let (acknowledged, tried) = (acknowledged.clone(), tried.clone());
                std::thread::spawn(move || {
                    while !ending.load(Ordering::Acquire) {
                        let first = tried.fetch_add(3, Ordering::AcqRel);
                        let values: Vec<String> = (first..first + 3)
                            .map(|n| format!("({writer}, {n}, {n}.5)"))
                            .collect();
                        let statement =
                            format!("INSERT INTO k.t (w, n, v) VALUES {}", values.join(", "));
                        if sql(&url, &statement).is_ok() {
                            acknowledged
                                .lock()
                                .unwrap()
                                .extend((first..first + 3).map(|n| (writer, n)));
                        }
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(50 + next(&mut seed) % 300));
        process.0.kill().unwrap();
        process.0.wait().unwrap();
        ending.store(true, Ordering::Release);
        for writer in writers {
            writer.join().unwrap();
        }
    }
    let (_process, url) = start(dir.path());
    let answer = sql(&url, "SELECT w, n, v FROM k.t").unwrap();
    let tried = tried.load(Ordering::Acquire);
    let mut held = BTreeSet::new();
    for row in answer["rows"].as_array().unwrap() {
        let (writer, n) = (row[0].as_u64().unwrap(), row[1].as_u64().unwrap());
        assert!(writer < WRITERS && n < tried, "nobody wrote {row}");
        assert_eq!(row[2].as_f64().unwrap(), n as f64 + 0.5);
        assert!(held.insert((writer, n)), "{row} is there twice");
    }
    let acknowledged = acknowledged.lock().unwrap();
    assert!(
        acknowledged.len() > ROUNDS as usize,
        "hardly anything was written"
    );
    let lost: Vec<_> = acknowledged.difference(&held).collect();
    assert!(
        lost.is_empty(),
        "{} acknowledged rows are lost: {lost:?}",
        lost.len()
    );
    // A statement is one record: all of its rows or none.
    for (writer, n) in &held {
        let first = n - n % 3;
        for other in first..first + 3 {
            assert!(held.contains(&(*writer, other)), "half of a write at {n}");
        }
    }
    println!(
        "{} rows acknowledged, {} held, {ROUNDS} kills",
        acknowledged.len(),
        held.len()
    );
}
