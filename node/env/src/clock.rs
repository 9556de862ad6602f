//! The clock port. It hands out time and keeps none; order between writes is the hybrid logical
//! clock's matter, not this one's.

use std::time::Duration;

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Nanoseconds since 1970, UTC. May jump either way: the system's clock is set by others.
    fn wall_ns(&self) -> i64;

    /// Milliseconds since 1970; 0 for a clock set before that.
    fn wall_ms(&self) -> u64 {
        u64::try_from(self.wall_ns() / 1_000_000).unwrap_or(0)
    }

    /// Time since some fixed moment; never runs backwards.
    fn monotonic(&self) -> Duration;
}
