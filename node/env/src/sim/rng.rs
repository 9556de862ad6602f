//! Reproducible randomness: SplitMix64 (Steele, Lea and Flood, 2014).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Rng;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Random numbers from a seed; the same seed gives the same sequence.
#[derive(Debug)]
pub struct SimRng {
    state: AtomicU64,
}

impl SimRng {
    /// A sequence of its own for each seed.
    pub fn seeded(seed: u64) -> Self {
        SimRng {
            state: AtomicU64::new(seed),
        }
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// True once in `n` times on average.
    pub fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn next(&self) -> u64 {
        let state = self
            .state
            .fetch_add(GOLDEN, Ordering::Relaxed)
            .wrapping_add(GOLDEN);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Rng for SimRng {
    fn fill(&self, out: &mut [u8]) {
        for piece in out.chunks_mut(8) {
            for (to, from) in piece.iter_mut().zip(self.next().to_le_bytes()) {
                *to = from;
            }
        }
    }

    fn next_u64(&self) -> u64 {
        self.next()
    }
}
