//! Subscriptions to a real node: on the command line, and through kill -9.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::process::{Node, PATIENCE, eventually, program, said};

const TABLE: &str = "CREATE KEYSPACE k; CREATE TABLE k.t (writer TEXT, n BIGINT, temp DOUBLE, PRIMARY KEY ((writer), n))";
const KILLS: usize = 6;
const WRITERS: usize = 2;

/// A command that prints events.
struct Printing(std::process::Child);

impl Drop for Printing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn printing(node: &Node, format: &str, sql: &str) -> (Printing, std::sync::mpsc::Receiver<String>) {
    let mut child = program()
        .args(["sql", "--url", &node.url(), "--format", format, "-c", sql])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (line, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for text in lines.map_while(Result::ok) {
            if line.send(text).is_err() {
                return;
            }
        }
    });
    (Printing(child), heard)
}

#[test]
fn the_command_line_prints_what_comes_until_it_is_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    node.execute(TABLE);
    node.execute("INSERT INTO k.t VALUES ('a', 1, 81)");
    // The rows that are there come first, and tell that it has begun.
    let sql = "SUBSCRIBE SELECT writer, temp FROM k.t WHERE temp > 80 WITH (snapshot = true)";
    let (mut lines, heard) = printing(&node, "ndjson", sql);
    let (table, shown) = printing(&node, "table", sql);
    let hear = |from: &std::sync::mpsc::Receiver<String>| from.recv_timeout(PATIENCE).unwrap();
    let json = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    assert_eq!(json(hear(&heard))["op"], "snapshot");
    assert!(hear(&shown).starts_with("op"));
    let cells = |text: String| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(cells(hear(&shown)), ["snapshot", "a", "81.0"]);
    node.execute("INSERT INTO k.t VALUES ('b', 1, 90), ('c', 1, 1)");
    node.execute("DELETE FROM k.t WHERE writer = 'b' AND n = 1");
    let event = json(hear(&heard));
    assert_eq!(
        (&event["op"], &event["row"]["writer"]),
        (&"upsert".into(), &"b".into())
    );
    assert_eq!(cells(hear(&shown)), ["upsert", "b", "90.0"]);
    assert_eq!(json(hear(&heard))["key"]["writer"], "b");
    assert_eq!(hear(&shown), "delete    writer=b n=1");
    // Ctrl-C is no failure.
    let pid = lines.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let status = eventually("the command's end", || lines.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    drop(table);
    for (sql, words) in [
        ("SUBSCRIBE SELECT max(temp) FROM k.t", "materialized views"),
        ("SUBSCRIBE SELECT * FROM k.nothing", "k.nothing"),
        ("SUBSCRIBE SELECT * FROM k.t; SELECT 1", "no end"),
    ] {
        let output = crate::process::run(&["sql", "--url", &node.url(), "-c", sql]);
        assert_eq!(output.status.code(), Some(1), "{sql}");
        assert!(said(&output).contains(words), "{sql}: {}", said(&output));
    }
    assert_eq!(node.stop(), Some(0));
}

/// Subscribes and hears until the connection breaks: what came, and behind what event.
fn hear(url: &str, token: &Mutex<String>, told: &Mutex<BTreeSet<(String, u64)>>) {
    let from = token.lock().unwrap().clone();
    let answer = ureq::get(format!("{url}/v1/subscribe"))
        .query("sql", "SELECT writer, n FROM k.t WHERE temp > 0")
        .query("format", "ndjson")
        .query("from", &from)
        .call();
    let Ok(answer) = answer else { return };
    let reader = answer
        .into_body()
        .into_with_config()
        .limit(u64::MAX)
        .reader();
    for line in BufReader::new(reader).lines() {
        let Ok(Ok(event)) = line.map(|line| serde_json::from_str::<Value>(&line)) else {
            return;
        };
        if let Some(writer) = event["row"]["writer"].as_str() {
            let n = event["row"]["n"].as_u64().unwrap();
            told.lock().unwrap().insert((writer.to_owned(), n));
        }
        if let Some(id) = event["id"].as_str() {
            id.clone_into(&mut token.lock().unwrap());
        }
    }
}

#[test]
fn what_was_acknowledged_is_told_through_kills() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), &[]);
    node.execute(TABLE);
    let url = Arc::new(Mutex::new(node.url()));
    let ended = Arc::new(AtomicBool::new(false));
    let (token, told) = (Arc::new(Mutex::default()), Arc::new(Mutex::default()));
    // It begins before the first write.
    hear_begin(&url.lock().unwrap(), &token);
    let listener = {
        let (url, ended, token, told) = (url.clone(), ended.clone(), token.clone(), told.clone());
        std::thread::spawn(move || {
            while !ended.load(Ordering::Acquire) {
                let now = url.lock().unwrap().clone();
                hear(&now, &token, &told);
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    };
    let acknowledged: Arc<Vec<AtomicU64>> =
        Arc::new((0..WRITERS).map(|_| AtomicU64::new(0)).collect());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (url, ended, acknowledged) = (url.clone(), ended.clone(), acknowledged.clone());
            std::thread::spawn(move || {
                while !ended.load(Ordering::Acquire) {
                    let n = acknowledged[writer].load(Ordering::Acquire) + 1;
                    let now = url.lock().unwrap().clone();
                    let sent = ureq::post(format!("{now}/v1/sql"))
                        .content_type("text/plain")
                        .send(format!("INSERT INTO k.t VALUES ('w{writer}', {n}, 1)"));
                    let mut text = String::new();
                    let done = sent.is_ok_and(|mut answer| {
                        answer
                            .body_mut()
                            .as_reader()
                            .read_to_string(&mut text)
                            .is_ok()
                    });
                    if done && text.contains("INSERT 1") {
                        acknowledged[writer].store(n, Ordering::Release);
                    } else {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            })
        })
        .collect();
    let total = || {
        acknowledged
            .iter()
            .map(|n| n.load(Ordering::Acquire))
            .sum::<u64>()
    };
    let mut node = node;
    for kill in 0..KILLS {
        let before = total();
        eventually("writes", || (total() > before + 40).then_some(()));
        drop(node); // SIGKILL
        node = Node::start(dir.path(), &[]);
        *url.lock().unwrap() = node.url();
        assert!(kill < KILLS);
    }
    let before = total();
    eventually("writes", || (total() > before + 40).then_some(()));
    let upto: Vec<u64> = acknowledged
        .iter()
        .map(|n| n.load(Ordering::Acquire))
        .collect();
    eventually("all events", || {
        let told: std::sync::MutexGuard<'_, BTreeSet<(String, u64)>> = told.lock().unwrap();
        let all = upto
            .iter()
            .enumerate()
            .all(|(writer, upto)| (1..=*upto).all(|n| told.contains(&(format!("w{writer}"), n))));
        all.then_some(())
    });
    ended.store(true, Ordering::Release);
    for writer in writers {
        writer.join().unwrap();
    }
    drop(node);
    listener.join().unwrap();
}

/// The place of now.
fn hear_begin(url: &str, token: &Mutex<String>) {
    let answer = ureq::get(format!("{url}/v1/subscribe"))
        .query("sql", "SELECT writer, n FROM k.t WHERE temp > 0")
        .query("format", "ndjson")
        .call()
        .unwrap();
    let mut line = String::new();
    BufReader::new(answer.into_body().into_reader())
        .read_line(&mut line)
        .unwrap();
    let live: Value = serde_json::from_str(&line).unwrap();
    live["id"]
        .as_str()
        .unwrap()
        .clone_into(&mut token.lock().unwrap());
}
