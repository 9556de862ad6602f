//! How long to wait before the next attempt: doubling, with jitter so that ten thousand edges do not
//! come back at once, and never giving up.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// The first wait and the longest.
#[derive(Clone, Copy, Debug)]
pub struct BackoffOptions {
    /// The first wait, before jitter.
    pub first: Duration,
    /// The longest wait.
    pub cap: Duration,
}

impl Default for BackoffOptions {
    fn default() -> Self {
        BackoffOptions {
            first: Duration::from_millis(200),
            cap: Duration::from_secs(30),
        }
    }
}

/// The state of waiting.
#[derive(Debug)]
pub(crate) struct Backoff {
    options: BackoffOptions,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(options: BackoffOptions) -> Self {
        Backoff {
            options,
            failures: 0,
        }
    }

    /// It worked: start over.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait: between half and all of the doubled one.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let mut bytes = [0; 2];
        // Without randomness the wait is simply the longest.
        let part = match SystemRandom::new().fill(&mut bytes) {
            Ok(()) => f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX),
            Err(_) => 1.0,
        };
        let doubled = self
            .options
            .first
            .saturating_mul(1_u32.checked_shl(self.failures.min(20)).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.options.cap).mul_f64(0.5 + part / 2.0)
    }
}

#[cfg(test)]
mod tests {
    //! Waits double up to the cap and are never less than half of it.
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let options = BackoffOptions {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(2),
        };
        let mut backoff = Backoff::new(options);
        for expected_ms in [100, 200, 400, 800, 1600, 2000, 2000] {
            let wait = backoff.next_wait();
            let whole = Duration::from_millis(expected_ms);
            assert!(wait <= whole && wait >= whole / 2, "{wait:?} for {whole:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next_wait() <= options.cap);
        }
        backoff.reset();
        assert!(backoff.next_wait() <= options.first);
    }
}
