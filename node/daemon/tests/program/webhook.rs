//! Alarms reach a webhook: a real node, a real receiver, and a kill in between.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::process::{Node, eventually, run, said};

/// A request: its first line, its headers in small letters, its body.
#[derive(Clone, Debug)]
pub struct Received {
    pub line: String,
    headers: Vec<String>,
    pub body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        let found = self
            .headers
            .iter()
            .find_map(|header| header.strip_prefix(name));
        found.unwrap_or_default().trim_start_matches(": ")
    }
}

/// Answers each request, which has a connection of its own, with the next of these statuses, the last of them again and again.
fn receive(listener: TcpListener, statuses: &'static [&str]) -> Arc<Mutex<Vec<Received>>> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let kept = all.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if let Some(request) = read(&mut stream) {
                let number = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(request);
                    kept.len() - 1
                };
                let status = statuses.get(number).or(statuses.last()).unwrap();
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    all
}

pub fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let line = lines.remove(0);
    let headers: Vec<String> = lines
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| format!("{}: {}", name.to_ascii_lowercase(), value.trim()))
        .collect();
    let mut received = Received {
        line,
        headers,
        body: String::new(),
    };
    let length = received.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    received.body = String::from_utf8(body).unwrap();
    Some(received)
}

#[test]
fn an_alarm_reaches_a_webhook_once_it_is_there_also_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // A free port with nobody behind it.
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../plugins/target/components/alert-webhook.wasm")
        .display()
        .to_string();
    let node = Node::start(&data, &["--dev"]);
    let refused = run(&["plugin", "deploy", &file, "--url", &node.url()]);
    assert!(
        said(&refused).contains("--grant http:HOST"),
        "{}",
        said(&refused)
    );
    let grant = format!("http:{address}");
    let taken = run(&[
        "plugin",
        "deploy",
        &file,
        "--grant",
        &grant,
        "--url",
        &node.url(),
    ]);
    assert!(taken.status.success(), "{}", said(&taken));
    node.execute(&format!(
        "CREATE KEYSPACE plant;
         CREATE TABLE plant.alarms (device TEXT, ts TIMESTAMP, value DOUBLE, PRIMARY KEY ((device), ts));
         CREATE PROCESSOR page ON plant.alarms USING PLUGIN 'alert-webhook' WITH (
           url = 'http://{address}/hook?team=plant', authorization = 'Bearer x',
           template = '{{\"text\": \"${{device}} is at ${{value}}\"}}');
         INSERT INTO plant.alarms (device, ts, value) VALUES ('p1', '2026-01-01', 91.5)"
    ));
    eventually("a failed try", || {
        let tries = node.rows("SELECT tries, error FROM system.outgoing");
        (tries.len() == 1 && !tries[0].starts_with("0,")).then_some(())
    });
    drop(node); // killed
    let all = receive(
        TcpListener::bind(address).unwrap(),
        &["503 Busy", "204 Taken"],
    );
    let node = Node::start(&data, &["--dev"]);
    eventually("the delivery", || {
        let figures = "SELECT requests_waiting, requests_delivered FROM system.processors";
        (node.rows(figures) == ["0,1"]).then_some(())
    });
    let all = all.lock().unwrap().clone();
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[1].line, "POST /hook?team=plant HTTP/1.1");
    assert_eq!(all[1].body, "{\"text\": \"p1 is at 91.5\"}");
    assert_eq!(all[1].header("authorization"), "Bearer x");
    assert_eq!(all[1].header("content-type"), "application/json");
    assert!(all[1].header("user-agent").starts_with("activestore/"));
    assert_eq!(all[0].header("idempotency-key").len(), 36);
    assert_eq!(
        all[0].header("idempotency-key"),
        all[1].header("idempotency-key")
    );
    assert!(node.rows("SELECT * FROM system.outgoing").is_empty());
    assert_eq!(node.stop(), Some(0));
}
