//! Wall time for certificates and tokens. A device without a battery-backed clock wakes in 1970: its
//! time is never taken to be before the latest moment it has proof of (its token's issue, the
//! cloud's clock seen later). This module sets no clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// This machine's wall clock, milliseconds since 1970; 0 before that.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// The wall clock, but never before a floor that only rises.
#[derive(Clone, Debug, Default)]
pub(crate) struct FloorClock {
    floor_ms: Arc<AtomicU64>,
}

impl FloorClock {
    pub(crate) fn new(floor_ms: u64) -> Self {
        FloorClock {
            floor_ms: Arc::new(AtomicU64::new(floor_ms)),
        }
    }

    /// Proof that it is at least this late. Returns the floor before.
    pub(crate) fn raise(&self, floor_ms: u64) -> u64 {
        self.floor_ms.fetch_max(floor_ms, Ordering::AcqRel)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.at_least(wall_ms())
    }

    fn at_least(&self, wall_ms: u64) -> u64 {
        wall_ms.max(self.floor_ms.load(Ordering::Acquire))
    }
}

impl TimeProvider for FloorClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(
            self.now_ms(),
        )))
    }
}

#[cfg(test)]
mod tests {
    //! The floor holds for a clock that is behind and does not hold back one that is right.
    use super::*;

    #[test]
    fn a_clock_in_1970_is_lifted_to_the_floor() {
        let clock = FloorClock::new(1_700_000_000_000);
        assert_eq!(clock.at_least(5), 1_700_000_000_000);
        assert_eq!(clock.at_least(1_800_000_000_000), 1_800_000_000_000);
        clock.raise(1_600_000_000_000);
        assert_eq!(clock.at_least(5), 1_700_000_000_000);
    }
}
