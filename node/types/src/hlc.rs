//! The hybrid logical clock (Kulkarni et al., 2014): stamps that follow wall time when it behaves
//! and never run backwards when it does not.
//!
//! A stamp is 48 bits of milliseconds and 16 bits of counter in one `u64`. Rows of one batch get
//! consecutive stamps, so (stamp, origin) names one row write for ever; a counter that overflows
//! carries into the milliseconds, which keeps the order and costs a millisecond of lead.
//! The caller passes the wall time in; what persists the clock is the log: on start-up the store
//! hands the highest stamp it holds to [`HlcClock::starting_at`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How far ahead of this node's wall clock a remote stamp may be before it is refused, unless the
/// settings say otherwise.
pub const MAX_SKEW_MS: u64 = 60_000;

const COUNTER_BITS: u32 = 16;

/// One stamp: milliseconds since 1970 in the upper 48 bits, a counter in the lower 16.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct Hlc(pub u64);

impl Hlc {
    /// Before every other stamp.
    pub const ZERO: Hlc = Hlc(0);

    /// The first stamp of a millisecond.
    pub fn from_ms(wall_ms: u64) -> Self {
        Hlc(wall_ms << COUNTER_BITS)
    }

    /// Milliseconds since 1970, as far as the stamp knows.
    pub fn wall_ms(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// The stamp `rows` after this one.
    #[must_use]
    pub fn plus(self, rows: u64) -> Self {
        Hlc(self.0.saturating_add(rows))
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.wall_ms(), self.0 & 0xffff)
    }
}

/// A node's clock. Shared between threads; every stamp it hands out is higher than all before.
#[derive(Debug)]
pub struct HlcClock {
    last: AtomicU64,
    max_skew_ms: u64,
}

impl HlcClock {
    /// A clock whose next stamp is above `highest_seen`, with the default bound on skew.
    pub fn starting_at(highest_seen: Hlc) -> Self {
        HlcClock::with_max_skew(highest_seen, MAX_SKEW_MS)
    }

    /// The same with a bound of one's own, in milliseconds.
    pub fn with_max_skew(highest_seen: Hlc, max_skew_ms: u64) -> Self {
        HlcClock {
            last: AtomicU64::new(highest_seen.0),
            max_skew_ms,
        }
    }

    /// Reserves `rows` consecutive stamps and returns the first.
    pub fn reserve(&self, wall_ms: u64, rows: u64) -> Hlc {
        let rows = rows.max(1);
        let mut last = self.last.load(Ordering::Acquire);
        loop {
            let first = last.saturating_add(1).max(Hlc::from_ms(wall_ms).0);
            let end = first.saturating_add(rows - 1);
            match self
                .last
                .compare_exchange_weak(last, end, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Hlc(first),
                Err(seen) => last = seen,
            }
        }
    }

    /// The highest stamp handed out or observed.
    pub fn last(&self) -> Hlc {
        Hlc(self.last.load(Ordering::Acquire))
    }

    /// Takes a remote stamp into account, so that whatever this node writes next comes after it.
    ///
    /// # Errors
    /// `Conflict` when the stamp is further ahead of `wall_ms` than the bound allows; the clock is
    /// unchanged, and the sender has to stamp its rows again.
    pub fn observe(&self, remote: Hlc, wall_ms: u64) -> Result<()> {
        if remote.wall_ms() > wall_ms.saturating_add(self.max_skew_ms) {
            return Err(Error::conflict(format!(
                "a stamp of {} ms is {} ms ahead of this node's clock; at most {} ms are allowed",
                remote.wall_ms(),
                remote.wall_ms() - wall_ms,
                self.max_skew_ms
            ))
            .with_hint(
                "correct the sender's clock; its rows are stamped again and nothing is lost",
            ));
        }
        self.last.fetch_max(remote.0, Ordering::AcqRel);
        Ok(())
    }
}
