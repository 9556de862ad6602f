//! Starting and stopping the program.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(20);

/// The program with a clean environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_activestore"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ACTIVESTORE_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// What it wrote to stderr.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What it wrote to stdout.
pub fn wrote(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Polls until the answer is there.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(POLL);
    }
}

fn spawned(data_dir: &Path, arguments: &[&str]) -> Child {
    let mut command = program();
    command.args(["start", "--http", "127.0.0.1:0"]);
    command.args(["--flight", "127.0.0.1:0", "--pg", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(data_dir).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// A running node; killed when the test ends early.
pub struct Node {
    child: Child,
    data_dir: PathBuf,
    listeners: Value,
}

impl Node {
    /// Starts a node on free ports and waits until it says that it is ready.
    pub fn start(data_dir: &Path, arguments: &[&str]) -> Node {
        let file = data_dir.join("listeners.json");
        let mut child = spawned(data_dir, arguments);
        let listeners = eventually("a node's start", || {
            if let Some(status) = child.try_wait().unwrap() {
                let mut said = String::new();
                let mut stderr = child.stderr.take().unwrap();
                stderr.read_to_string(&mut said).unwrap();
                // While a node was away a connection of somebody else may have been given its port, for as long as it lasts.
                assert!(
                    said.contains("is in use"),
                    "the node ended with {status}: {said}"
                );
                child = spawned(data_dir, arguments);
            }
            let value: Value = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
            (value["pid"] == child.id()).then_some(value)
        });
        Node {
            child,
            data_dir: data_dir.to_owned(),
            listeners,
        }
    }

    /// Where it listens.
    pub fn listener(&self, kind: &str) -> String {
        self.listeners[kind].as_str().unwrap().to_owned()
    }

    /// Its HTTP address.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener("http"))
    }

    /// Runs a statement and gives the CSV rows without the header.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        let output = run(&["sql", "--url", &self.url(), "--format", "csv", "-c", sql]);
        assert!(output.status.success(), "{sql}: {}", said(&output));
        wrote(&output).lines().skip(1).map(str::to_owned).collect()
    }

    /// Runs statements that give no rows.
    pub fn execute(&self, sql: &str) {
        let output = run(&["sql", "--url", &self.url(), "-c", sql]);
        assert!(output.status.success(), "{sql}: {}", said(&output));
    }

    /// Sends SIGTERM and gives the exit code.
    pub fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let status = eventually("the node's end", || self.child.try_wait().unwrap());
        assert!(
            !self.data_dir.join("listeners.json").exists(),
            "listeners.json stays behind"
        );
        status.code()
    }

    /// Memory of its own, in bytes.
    pub fn own_bytes(&self) -> u64 {
        activestore_test_links::memory::own(self.child.id())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A configuration of nodes that lose no time: its path.
pub fn quick_config(dir: &Path) -> String {
    let file = dir.join("quick.toml");
    std::fs::write(&file, "[sync]\nlink = \"quick\"\nseal_after = \"50ms\"\n").unwrap();
    file.to_str().unwrap().to_owned()
}

/// Starts a cloud that edges may come to.
pub fn start_cloud(dir: &Path, config: &str) -> Node {
    let role = ["--role", "cloud", "--quic", "127.0.0.1:0"];
    Node::start(dir, &[&["--config", config][..], &role].concat())
}
