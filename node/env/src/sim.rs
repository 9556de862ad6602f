//! A world made of numbers: a clock that stands still unless told, randomness from a seed, and a
//! disk that separates what is written from what is durable and fails on request.

mod clock;
mod disk;
mod inode;
mod rng;

use std::sync::Arc;

pub use clock::SimClock;
pub use disk::{SimDisk, SimDiskOptions};
pub use rng::SimRng;

use crate::Env;

/// The simulated world with its handles for a test to turn.
#[derive(Clone)]
pub struct SimEnv {
    /// Time; moves only when set or advanced.
    pub clock: Arc<SimClock>,
    /// Randomness.
    pub rng: Arc<SimRng>,
    /// The disk and its faults.
    pub disk: SimDisk,
}

impl SimEnv {
    /// A world without faults; the clock stands at 2026-01-01.
    pub fn seeded(seed: u64) -> SimEnv {
        SimEnv::with_disk(seed, SimDiskOptions::default())
    }

    /// A world whose disk has the given faults.
    pub fn with_disk(seed: u64, options: SimDiskOptions) -> SimEnv {
        SimEnv {
            clock: Arc::new(SimClock::at_ms(1_767_225_600_000)),
            rng: Arc::new(SimRng::seeded(seed)),
            disk: SimDisk::seeded(seed ^ 0x5eed, options),
        }
    }

    /// The ports as a node takes them.
    pub fn env(&self) -> Env {
        Env {
            clock: self.clock.clone(),
            rng: self.rng.clone(),
            disk: Arc::new(self.disk.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
