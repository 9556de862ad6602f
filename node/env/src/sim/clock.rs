//! A clock that moves only when told.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::Clock;

/// A settable clock. `set_ms` moves wall time alone, as an operator or NTP would; `advance` moves
/// wall and monotonic time together.
#[derive(Debug)]
pub struct SimClock {
    wall_ns: AtomicI64,
    monotonic_ns: AtomicU64,
}

impl SimClock {
    /// A clock that shows this many milliseconds since 1970.
    pub fn at_ms(wall_ms: u64) -> Self {
        SimClock {
            wall_ns: AtomicI64::new(nanos(wall_ms)),
            monotonic_ns: AtomicU64::new(0),
        }
    }

    /// Sets wall time, forwards or backwards, in milliseconds since 1970.
    pub fn set_ms(&self, wall_ms: u64) {
        self.wall_ns.store(nanos(wall_ms), Ordering::SeqCst);
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.wall_ns
            .fetch_add(i64::try_from(by).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.monotonic_ns.fetch_add(by, Ordering::SeqCst);
    }
}

fn nanos(wall_ms: u64) -> i64 {
    i64::try_from(wall_ms.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}

impl Clock for SimClock {
    fn wall_ns(&self) -> i64 {
        self.wall_ns.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_ns.load(Ordering::SeqCst))
    }
}
