//! The program as a process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running node; killed when dropped.
pub struct Node {
    child: Child,
    pub url: String,
    pub quic: Option<String>,
}

impl Node {
    pub fn start(program: &Path, directory: &Path, arguments: &[&str]) -> Node {
        let said = std::fs::File::create(directory.with_extension("log")).unwrap();
        let child = Command::new(program)
            .args(["start", "--http", "127.0.0.1:0", "--data-dir"])
            .arg(directory)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap();
        let pid = child.id();
        let mut node = Node {
            child,
            url: String::new(),
            quic: None,
        };
        let file: PathBuf = directory.join("listeners.json");
        let begun = Instant::now();
        loop {
            let listeners: Option<Value> = std::fs::read(&file)
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok());
            if let Some(listeners) = listeners.filter(|value| value["pid"] == pid) {
                node.url = format!("http://{}", listeners["http"].as_str().unwrap());
                node.quic = listeners["quic"].as_str().map(str::to_owned);
                return node;
            }
            let ended = node.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "the node ended: see {}",
                directory.with_extension("log").display()
            );
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the node does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The rows of a statement.
    pub fn sql(&self, sql: &str) -> Vec<Value> {
        let answer = ureq::post(format!("{}/v1/sql", self.url))
            .header("content-type", "text/plain")
            .send(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let answer: Value = serde_json::from_reader(answer.into_body().into_reader()).unwrap();
        answer["rows"].as_array().cloned().unwrap_or_default()
    }

    /// Rows as CSV under a header.
    pub fn write(&self, table: &str, lines: &str) {
        let url = format!("{}/v1/tables/plant/{table}/rows", self.url);
        let answer = ureq::post(url)
            .config()
            .http_status_as_error(false)
            .build()
            .header("content-type", "text/csv")
            .send(lines)
            .unwrap();
        let status = answer.status();
        let said = answer.into_body().read_to_string().unwrap();
        assert!(status.is_success(), "{status}: {said}");
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = ureq::get(format!("{}{path}", self.url)).call().unwrap();
        serde_json::from_reader(answer.into_body().into_reader()).unwrap()
    }

    pub fn post(&self, path: &str) -> Value {
        let answer = ureq::post(format!("{}{path}", self.url))
            .send_empty()
            .unwrap();
        serde_json::from_reader(answer.into_body().into_reader()).unwrap()
    }

    /// Memory of its own, in bytes.
    pub fn own_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("RssAnon:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
