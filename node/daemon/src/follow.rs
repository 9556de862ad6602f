//! What a node goes on to say, line by line: asked for again and again, until Ctrl-C or until nobody reads what is
//! printed.

use std::io::{ErrorKind as IoErrorKind, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use activestore_types::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::client::Client;

/// How often a node is asked for new lines.
const PAUSE: Duration = Duration::from_millis(500);

/// Something that a node numbers and goes on to say.
pub struct Lines {
    /// Where it is asked for, with a question mark in it: `after=NUMBER` follows.
    pub path: String,
    /// The member of the answer that lists it.
    pub list: &'static str,
    /// Said where some of it is not kept any more.
    pub gap: &'static str,
    /// One of the list as a line.
    pub show: fn(&Value) -> String,
}

/// Prints what there is, and with `follow` what comes.
///
/// # Errors
/// What the node says.
pub fn print(client: &Client, lines: Lines, follow: bool) -> Result<ExitCode> {
    let mut reader = Reader {
        client: client.clone(),
        lines,
        last: 0,
        away: false,
    };
    if !follow {
        reader.read()?;
        return Ok(ExitCode::SUCCESS);
    }
    until_interrupted(client, move |stopped| reader.follow(stopped))
}

/// Does something that goes on until Ctrl-C, or ends by itself. It is told to stop by a channel that closes.
///
/// # Errors
/// What it ends with.
pub(crate) fn until_interrupted(
    client: &Client,
    work: impl FnOnce(&Receiver<()>) -> Result<()> + Send + 'static,
) -> Result<ExitCode> {
    // Before the first line, so that Ctrl-C is not lost.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (stop, stopped) = channel();
        let mut following = tokio::task::spawn_blocking(move || work(&stopped));
        tokio::select! {
            done = &mut following => {
                done.unwrap_or_else(|_| Err(Error::internal("showing what comes failed")))
            }
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                drop(stop);
                client.clone().cancel();
                // The closed connection ends a request under way; what it says of that is nothing new.
                let _ended = following.await;
                Ok(())
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Where a reader stands.
struct Reader {
    client: Client,
    lines: Lines,
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
            .get(&format!("{}&after={}", self.lines.path, self.last))?;
        let mut text = String::new();
        if answer.get("gap").and_then(Value::as_bool).unwrap_or(false) {
            eprintln!("{}", self.lines.gap);
        }
        let lines = answer.get(self.lines.list).and_then(Value::as_array);
        for line in lines.map_or(&[][..], Vec::as_slice) {
            text.push_str(&(self.lines.show)(line));
            text.push('\n');
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
