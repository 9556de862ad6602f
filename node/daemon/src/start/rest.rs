//! A node at rest: once it has had nothing to do for a while, it lets go of what is in memory of its own program.

use std::time::Duration;

use tokio::task::JoinHandle;

/// How often it is looked whether there is something to do.
const LOOK: Duration = Duration::from_secs(10);
/// Time that a node at rest takes of a processor from one look to the next, in hundredths of a second, at most: a fiftieth.
const REST_TICKS: u64 = 20;

/// Looks for as long as it is held.
pub(super) struct Rest(JoinHandle<()>);

impl Rest {
    pub(super) fn start() -> Self {
        Rest(tokio::spawn(async {
            let mut before = ticks();
            let mut has_let_go = false;
            loop {
                tokio::time::sleep(LOOK).await;
                let now = ticks();
                let (Some(from), Some(to)) = (before, now) else {
                    // Nobody tells here.
                    return;
                };
                let rests = to.saturating_sub(from) <= REST_TICKS;
                if rests && !has_let_go {
                    let let_go = tokio::task::spawn_blocking(activestore_env::let_go_of_program);
                    match let_go.await {
                        Ok(Ok(bytes)) => {
                            tracing::debug!(bytes, "at rest: let go of the program's pages")
                        }
                        Ok(Err(error)) => {
                            tracing::debug!(%error, "the program's pages stay in memory")
                        }
                        Err(_) => return,
                    }
                }
                has_let_go = rests;
                before = now;
            }
        }))
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The processor's time that this process took, in hundredths of a second.
fn ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name may have anything in it but comes first, in parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}
