//! `plugin logs`: what a plugin said, and with `--follow` what it goes on to say, until Ctrl-C.

use std::io::{ErrorKind as IoErrorKind, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use activestore_types::{Error, ErrorKind, Result};
use serde_json::Value;

use super::encoded;
use crate::cli::{LineLevel, NodeUrl};
use crate::client::Client;

/// How often a node is asked for new lines.
const PAUSE: Duration = Duration::from_millis(500);

/// Prints a plugin's lines.
///
/// # Errors
/// What the node says.
pub fn run(name: &str, follow: bool, level: LineLevel, node: &NodeUrl) -> Result<ExitCode> {
    let client = Client::new(&node.url)?;
    let mut reader = Reader {
        client: client.clone(),
        path: format!(
            "/v1/plugins/{}/logs?level={}",
            encoded(name),
            level_name(level)
        ),
        last: 0,
        away: false,
    };
    if !follow {
        reader.read()?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before the first line, so that Ctrl-C is not lost.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let (stop, stopped) = channel();
        let mut following = tokio::task::spawn_blocking(move || reader.follow(&stopped));
        tokio::select! {
            done = &mut following => {
                done.unwrap_or_else(|_| Err(Error::internal("showing the lines failed")))
            }
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                drop(stop);
                client.cancel();
                // The closed connection ends a request under way; what it says of that is nothing new.
                let _ended = following.await;
                Ok(())
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn level_name(level: LineLevel) -> &'static str {
    match level {
        LineLevel::Debug => "debug",
        LineLevel::Info => "info",
        LineLevel::Warn => "warn",
        LineLevel::Error => "error",
    }
}

/// Where a reader of the log stands.
struct Reader {
    client: Client,
    path: String,
    /// The number of the last line that was read; 0 before the first.
    last: u64,
    /// Whether the node did not answer last.
    away: bool,
}

impl Reader {
    /// Asks again and again, until told to stop or nobody reads what is printed.
    fn follow(&mut self, stopped: &Receiver<()>) -> Result<()> {
        let mut going = self.read()?;
        while going && matches!(stopped.recv_timeout(PAUSE), Err(RecvTimeoutError::Timeout)) {
            going = match self.read() {
                Ok(going) => {
                    self.away = false;
                    going
                }
                // A node that restarts is waited for.
                Err(error) if matches!(error.kind(), ErrorKind::Closed | ErrorKind::Overloaded) => {
                    let ending = !matches!(
                        stopped.try_recv(),
                        Err(std::sync::mpsc::TryRecvError::Empty)
                    );
                    if !self.away && !ending {
                        eprintln!("{}; still trying", error.message());
                    }
                    self.away = true;
                    true
                }
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    /// Prints the lines behind the last one; false where nobody reads them any more.
    fn read(&mut self) -> Result<bool> {
        let answer = self
            .client
            .get(&format!("{}&after={}", self.path, self.last))?;
        let mut text = String::new();
        if answer.get("gap").and_then(Value::as_bool).unwrap_or(false) {
            eprintln!("lines are missing here: the plugin said more than its log keeps");
        }
        let lines = answer.get("logs").and_then(Value::as_array);
        for line in lines.map_or(&[][..], Vec::as_slice) {
            let cell = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
            text.push_str(&format!(
                "{} {:5} {}\n",
                cell("time"),
                cell("level"),
                cell("message")
            ));
        }
        if let Some(last) = answer.get("last").and_then(Value::as_u64) {
            self.last = last;
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == IoErrorKind::BrokenPipe => Ok(false),
            written => Ok(written.map(|()| true)?),
        }
    }
}
