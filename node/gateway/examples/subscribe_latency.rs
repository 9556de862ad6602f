//! How long it takes from the acknowledgement of a write until its subscribers have the event, over HTTP and in
//! one process: `cargo run --release -p activestore-gateway --example subscribe_latency [subscribers] [writes] [rows a write]`.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use activestore_db::{Db, DbOptions, Role};
use activestore_gateway::{Gateway, GatewayOptions, NoPeers};

fn number(place: usize, otherwise: usize) -> usize {
    let given = std::env::args().nth(place);
    given.map_or(otherwise, |text| text.parse().expect("a number"))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .proxy(None)
        .build()
        .new_agent()
}

fn main() {
    let (subscribers, writes, rows) = (number(1, 1), number(2, 500), number(3, 1));
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let db = Db::open(DbOptions::new(dir.path(), Role::Cloud)).unwrap();
    let options = GatewayOptions::listening_on("127.0.0.1:0".parse().unwrap());
    let gateway = runtime
        .block_on(Gateway::start(options, db.clone(), Arc::new(NoPeers)))
        .unwrap();
    let base = format!("http://{}", gateway.local_addr());
    let writer = agent();
    let sql = |sql: String| writer.post(format!("{base}/v1/sql")).send(sql).unwrap();
    sql("CREATE KEYSPACE k; CREATE TABLE k.t (device TEXT, n BIGINT, temp DOUBLE, PRIMARY KEY ((device), n))".into());
    let (heard, told) = channel();
    for _ in 0..subscribers {
        let (heard, base) = (heard.clone(), base.clone());
        let (begun, ready) = channel();
        std::thread::spawn(move || {
            let answer = agent()
                .get(format!("{base}/v1/subscribe"))
                .query("sql", "SUBSCRIBE SELECT n FROM k.t WHERE temp > 80")
                .query("format", "ndjson")
                .call()
                .unwrap();
            let body = answer.into_body().into_with_config().limit(u64::MAX);
            for line in BufReader::new(body.reader()).lines() {
                let Ok(line) = line else { return };
                if line.contains("\"live\"") {
                    begun.send(()).unwrap();
                } else if line.contains("\"upsert\"") && heard.send(Instant::now()).is_err() {
                    return;
                }
            }
        });
        ready.recv().unwrap();
    }
    let mut late: Vec<Duration> = Vec::new();
    for write in 0..writes {
        let first = write * rows;
        let values: Vec<String> = (first..first + rows)
            .map(|n| format!("('d', {n}, 90.5)"))
            .collect();
        sql(format!("INSERT INTO k.t VALUES {}", values.join(", ")));
        let now = Instant::now();
        for event in 0..subscribers * rows {
            let at = told.recv_timeout(Duration::from_secs(30)).unwrap();
            if event < subscribers {
                late.push(at.saturating_duration_since(now));
            }
        }
        if write % 10 == 0 {
            // Not always in the middle of something.
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    late.sort();
    let at = |part: f64| late[((late.len() - 1) as f64 * part) as usize];
    println!(
        "{subscribers} subscribers, {writes} writes of {rows} rows: the first events came {:?} (p50), {:?} (p99), {:?} (max) after the acknowledgement",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    runtime.block_on(async {
        gateway.shutdown().await;
        db.shutdown().await.unwrap();
    });
}
