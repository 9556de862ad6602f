//! One node of the demo: the same program as a process of its own, with a data directory of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use activestore_types::{Error, Result};
use serde_json::Value;

use crate::client::Client;

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(50);

/// A running node; it is stopped when dropped.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) client: Client,
    child: Child,
    listeners: Value,
    log: PathBuf,
}

impl Node {
    /// Starts a node with these arguments and waits until it is ready.
    pub(crate) fn start(dir: &Path, name: &str, arguments: &[&str]) -> Result<Self> {
        let data = dir.join(name);
        let log = dir.join(format!("{name}.log"));
        let program = std::env::current_exe()?;
        let child = Command::new(program)
            .args([
                "start",
                // The demo runs the plugins that were built beside it.
                "--dev",
                "--name",
                name,
                "--http",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(&data)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut node = Node {
            name: name.to_owned(),
            client: Client::new("http://127.0.0.1:1")?,
            child,
            listeners: Value::Null,
            log,
        };
        node.wait_until_ready(&data.join("listeners.json"))?;
        node.client = Client::new(&format!("http://{}", node.listener("http")?))?;
        Ok(node)
    }

    /// Where the node listens for `http`, `quic` or `mqtt`.
    pub(crate) fn listener(&self, kind: &str) -> Result<SocketAddr> {
        self.listeners
            .get(kind)
            .and_then(Value::as_str)
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| Error::internal(format!("node {} has no {kind} listener", self.name)))
    }

    /// Runs a statement and returns the rows of its answer, each a list of JSON values.
    pub(crate) fn query(&self, sql: &str) -> Result<Vec<Vec<Value>>> {
        let answer = self
            .client
            .post("/v1/sql", "text/plain; charset=utf-8", sql.as_bytes())
            .map_err(|error| error.context(format!("node {}", self.name)))?;
        Ok(answer
            .get("rows")
            .and_then(Value::as_array)
            .map(|rows| {
                rows.iter()
                    .filter_map(|row| row.as_array().cloned())
                    .collect()
            })
            .unwrap_or_default())
    }

    /// The single number that a query answers with.
    pub(crate) fn number(&self, sql: &str) -> Result<u64> {
        self.query(sql)?
            .first()
            .and_then(|row| row.first())
            .and_then(Value::as_u64)
            .ok_or_else(|| Error::internal(format!("'{sql}' did not answer with a number")))
    }

    /// Ends the process at once, without giving it time to tidy up.
    pub(crate) fn stop(&mut self) {
        terminate(&self.child);
        let until = Instant::now() + STOP_WITHIN;
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait_until_ready(&mut self, listeners: &Path) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        while Instant::now() < until {
            if let Ok(text) = std::fs::read_to_string(listeners)
                && let Ok(value) = serde_json::from_str(&text)
            {
                self.listeners = value;
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.failed(&format!("ended with {status}")));
            }
            std::thread::sleep(POLL);
        }
        Err(self.failed("was not ready in time"))
    }

    fn failed(&self, how: &str) -> Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        let tail: Vec<&str> = lines.into_iter().rev().collect();
        Error::internal(format!("node {} {how}: {}", self.name, tail.join(" | ")))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Asks a process to end, as a service manager would.
fn terminate(child: &Child) {
    // The standard library sends no signals but SIGKILL; kill(1) is everywhere a node runs.
    let _ = Command::new("kill")
        .arg("-TERM")
        .arg(child.id().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
