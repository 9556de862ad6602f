//! The program as a node: started, asked, killed and started again on its directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

use crate::memory;
use crate::namespace::Place;
use crate::process::{Process, command};

/// How long a start may take on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A running node; killed when dropped.
pub struct Node {
    process: Process,
    pub url: String,
    listeners: Value,
    agent: Agent,
}

impl Node {
    /// Starts a node with HTTP on a free port of loopback.
    pub fn start(program: &Path, directory: &Path, arguments: &[&str]) -> Node {
        let http = ["--http", "127.0.0.1:0"];
        Node::start_in(None, program, directory, &[&http, arguments].concat())
    }

    /// Starts a node, in a namespace where one is named; the arguments say where it listens. What it says lies beside
    /// its directory, in a file that ends in `.log`.
    pub fn start_in(
        place: Option<&Place>,
        program: &Path,
        directory: &Path,
        arguments: &[&str],
    ) -> Node {
        Node::start_by(command(place, program), place, directory, arguments)
    }

    /// The same by a command that runs the program.
    pub fn start_by(
        mut command: Command,
        place: Option<&Place>,
        directory: &Path,
        arguments: &[&str],
    ) -> Node {
        let log = directory.with_extension("log");
        command
            .args(["start", "--data-dir"])
            .arg(directory)
            .args(arguments);
        let mut process = Process::start(command, &log);
        let file: PathBuf = directory.join("listeners.json");
        let begun = Instant::now();
        loop {
            let listeners: Option<Value> = std::fs::read(&file)
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok());
            if let Some(listeners) = listeners.filter(|value| value["pid"] == process.id()) {
                let http = listeners["http"].as_str().unwrap();
                let (_, port) = http.rsplit_once(':').unwrap();
                let host = place.map_or("127.0.0.1", |place| &place.address);
                let agent = Agent::config_builder()
                    .http_status_as_error(false)
                    .timeout_global(Some(ANSWER_WITHIN))
                    .build();
                return Node {
                    process,
                    url: format!("http://{host}:{port}"),
                    listeners,
                    agent: agent.into(),
                };
            }
            assert!(
                !process.has_ended(),
                "the node ended: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            assert!(begun.elapsed() < READY_WITHIN, "the node does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it listens for `http`, `quic` or `mqtt`.
    pub fn listener(&self, kind: &str) -> Option<String> {
        self.listeners[kind].as_str().map(str::to_owned)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The rows of a statement.
    pub fn sql(&self, sql: &str) -> Vec<Value> {
        self.try_sql(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The rows of a statement, or why there are none.
    ///
    /// # Errors
    /// What the node says, or that it is not there.
    pub fn try_sql(&self, sql: &str) -> Result<Vec<Value>, String> {
        let answer = self.send("/v1/sql", "text/plain", sql)?;
        Ok(answer["rows"].as_array().cloned().unwrap_or_default())
    }

    /// The one number that a statement answers with.
    pub fn number(&self, sql: &str) -> u64 {
        self.sql(sql)[0][0].as_u64().unwrap()
    }

    /// Rows as CSV under a header, acknowledged.
    pub fn write(&self, table: &str, lines: &str) {
        self.try_write(table, lines).unwrap();
    }

    /// Rows as CSV under a header.
    ///
    /// # Errors
    /// Why they were not acknowledged; they may be stored all the same.
    pub fn try_write(&self, table: &str, lines: &str) -> Result<(), String> {
        let path = format!("/v1/tables/plant/{table}/rows");
        self.send(&path, "text/csv", lines).map(drop)
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = self
            .agent
            .get(format!("{}{path}", self.url))
            .call()
            .unwrap();
        serde_json::from_reader(answer.into_body().into_reader()).unwrap()
    }

    /// What it answers to a request without a body.
    ///
    /// # Errors
    /// What the node says, or that it is not there.
    pub fn post(&self, path: &str) -> Result<Value, String> {
        self.send(path, "application/json", "")
    }

    fn send(&self, path: &str, kind: &str, body: &str) -> Result<Value, String> {
        let answer = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("content-type", kind)
            .send(body)
            .map_err(|error| error.to_string())?;
        let status = answer.status();
        let said = answer
            .into_body()
            .read_to_string()
            .map_err(|error| error.to_string())?;
        if !status.is_success() {
            return Err(format!("{status}: {said}"));
        }
        serde_json::from_str(&said).map_err(|error| error.to_string())
    }

    /// Memory of its own, in bytes.
    pub fn own_bytes(&self) -> u64 {
        memory::own(self.process.id())
    }

    /// SIGTERM, and until it has ended in order.
    pub fn terminate(&mut self, within: Duration) {
        self.process.terminate(within);
    }

    /// SIGKILL, and until it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

/// A token that admits an edge, made at a cloud that may be in a namespace.
pub fn token(place: Option<&Place>, program: &Path, cloud: &Node, address: &str) -> String {
    let http = cloud.listener("http").unwrap();
    let (_, port) = http.rsplit_once(':').unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let output = command(place, program)
        .args(["token", "create", "--url", &url, "--address", address])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no token: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
