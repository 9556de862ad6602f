//! Waiting for what has to happen, within a bound.

use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(50);

/// Asks until the answer is there; panics with the name of what did not happen.
pub fn until<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            begun.elapsed() < patience,
            "{what} did not happen in {patience:?}"
        );
        std::thread::sleep(POLL);
    }
}
