//! A node at rest: once it has had nothing to do for a while, it lets go of what is in memory of its own program, and again
//! when the little that it does at rest, a query now and then, has brought much of it back.

use std::time::Duration;

use tokio::task::JoinHandle;

/// How often it is looked whether there is something to do.
const LOOK: Duration = Duration::from_secs(10);
/// Time that a node at rest takes of a processor from one look to the next, in hundredths of a second, at most: a fiftieth.
const REST_TICKS: u64 = 20;

/// Bytes of its program that may come back before it lets go again.
const CAME_BACK: u64 = 8 << 20;

/// Looks for as long as it is held.
pub(super) struct Rest(JoinHandle<()>);

impl Rest {
    pub(super) fn start() -> Self {
        Rest(tokio::spawn(async {
            let mut before = ticks();
            // What was left in memory when it last let go, for as long as it rests.
            let mut left = None;
            loop {
                tokio::time::sleep(LOOK).await;
                let now = ticks();
                let (Some(from), Some(to)) = (before, now) else {
                    // Nobody tells here.
                    return;
                };
                before = now;
                if to.saturating_sub(from) > REST_TICKS {
                    left = None;
                    continue;
                }
                let resident = activestore_env::resident_of_files();
                if !is_much(resident, left) {
                    // The system may have taken some too.
                    left = left.min(resident).or(left);
                    continue;
                }
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
                // Where it is not told what is left there is no second time.
                left = Some(activestore_env::resident_of_files().unwrap_or(u64::MAX));
            }
        }))
    }
}

/// Whether there is enough in memory to let go of it, where so much was left before.
fn is_much(resident: Option<u64>, left: Option<u64>) -> bool {
    match (resident, left) {
        (Some(resident), Some(left)) => resident >= left.saturating_add(CAME_BACK),
        (None, Some(_)) => false,
        (_, None) => true,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lets_go_again_of_what_came_back() {
        assert!(is_much(Some(40 << 20), None));
        assert!(is_much(None, None), "nobody tells before it was tried");
        assert!(!is_much(Some(20 << 20), Some(18 << 20)));
        assert!(is_much(Some(26 << 20), Some(18 << 20)));
        assert!(!is_much(None, Some(18 << 20)));
        assert!(!is_much(Some(u64::MAX - 1), Some(u64::MAX)));
    }
}
