//! The governor's side of the store: what the outside knows of the machine, and compaction heeds.
//!
//! Compaction can wait, commits cannot. Whoever watches the machine (temperature, power supply, the
//! disk's load) says so with a reason and takes it back; nothing here looks at the machine itself.
//! A pause is a wish: where flushed files pile up so far that reads or memory would suffer, merges
//! go on all the same, and at full speed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Why compaction should rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PauseReason {
    /// The device is hot.
    Hot,
    /// It runs on battery.
    Battery,
    /// Its disk has more to do than it can.
    Io,
    /// Someone asked for it.
    Asked,
}

impl PauseReason {
    /// All of them.
    pub const ALL: [PauseReason; 4] = [
        PauseReason::Hot,
        PauseReason::Battery,
        PauseReason::Io,
        PauseReason::Asked,
    ];

    /// Its name in statistics.
    pub fn name(self) -> &'static str {
        match self {
            PauseReason::Hot => "hot",
            PauseReason::Battery => "battery",
            PauseReason::Io => "io",
            PauseReason::Asked => "asked",
        }
    }
}

/// What holds compaction back.
#[derive(Debug)]
pub(crate) struct Governor {
    reasons: Mutex<Vec<PauseReason>>,
    bucket: Mutex<Option<TokenBucket>>,
    /// Who waits for a merge to end.
    hurried: AtomicUsize,
}

/// While it lives, merges neither rest nor are slow.
pub(crate) struct Hurry<'a>(&'a Governor);

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.hurried.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Governor {
    /// With a limit to what compaction writes, in bytes per second.
    pub(crate) fn new(bytes_s: Option<u64>) -> Self {
        Governor {
            reasons: Mutex::default(),
            bucket: Mutex::new(bytes_s.map(TokenBucket::new)),
            hurried: AtomicUsize::new(0),
        }
    }

    /// Someone waits for a merge, perhaps behind the one that runs.
    pub(crate) fn hurry(&self) -> Hurry<'_> {
        self.hurried.fetch_add(1, Ordering::AcqRel);
        Hurry(self)
    }

    pub(crate) fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::Acquire) > 0
    }

    pub(crate) fn pause(&self, reason: PauseReason) {
        let mut reasons = self.reasons.lock();
        if !reasons.contains(&reason) {
            reasons.push(reason);
            reasons.sort_unstable();
        }
    }

    pub(crate) fn resume(&self, reason: PauseReason) {
        self.reasons.lock().retain(|known| *known != reason);
    }

    /// Why compaction should rest now; none where it need not.
    pub(crate) fn reasons(&self) -> Vec<PauseReason> {
        self.reasons.lock().clone()
    }

    pub(crate) fn is_paused(&self) -> bool {
        !self.reasons.lock().is_empty()
    }

    /// Counts bytes that were written.
    pub(crate) fn spend(&self, now: Duration, bytes: u64) {
        if let Some(bucket) = self.bucket.lock().as_mut() {
            bucket.spend(now, bytes);
        }
    }

    /// How long to wait before more is written.
    pub(crate) fn owed(&self, now: Duration) -> Duration {
        let mut bucket = self.bucket.lock();
        let owed = bucket.as_mut().map(|bucket| bucket.owed(now));
        owed.unwrap_or_default()
    }

    /// Forgives what was written beyond the limit.
    pub(crate) fn forgive(&self, now: Duration) {
        if let Some(bucket) = self.bucket.lock().as_mut() {
            bucket.forgive(now);
        }
    }
}

/// A token bucket: it holds what may be written in one second, and may be overdrawn, since what was
/// written is counted afterwards.
#[derive(Debug)]
struct TokenBucket {
    bytes_s: u64,
    /// What may be written; below zero, what is owed. Never above `bytes_s`.
    level: i128,
    /// When it was last filled up.
    at: Duration,
}

impl TokenBucket {
    fn new(bytes_s: u64) -> Self {
        let bytes_s = bytes_s.max(1);
        TokenBucket {
            bytes_s,
            level: i128::from(bytes_s),
            at: Duration::ZERO,
        }
    }

    fn fill(&mut self, now: Duration) {
        let full = i128::from(self.bytes_s);
        let passed = now.saturating_sub(self.at).as_micros();
        let gained = i128::try_from(passed).unwrap_or(i128::MAX / full) * full / 1_000_000;
        // Time too short for a byte is kept for the next look.
        if gained > 0 || self.level >= full {
            self.level = self.level.saturating_add(gained).min(full);
            self.at = now.max(self.at);
        }
    }

    fn spend(&mut self, now: Duration, bytes: u64) {
        self.fill(now);
        self.level -= i128::from(bytes);
    }

    fn owed(&mut self, now: Duration) -> Duration {
        self.fill(now);
        let missing = u64::try_from(-self.level).unwrap_or(0);
        Duration::from_secs_f64(missing as f64 / self.bytes_s as f64)
    }

    fn forgive(&mut self, now: Duration) {
        self.fill(now);
        self.level = self.level.max(0);
    }
}

#[cfg(test)]
mod tests;
