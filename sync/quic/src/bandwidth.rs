//! A bound on what this end sends: a bucket of bytes that fills at a rate.
//!
//! Control frames, alarms and control rows take what they need at once, also on credit; live rows wait until
//! the bucket has something, a backlog until live rows do not wait, blobs until neither does. Where the rate is
//! below the link's, the link has no queue of this node's own making, and an alarm finds it free. Counted is what
//! frames take; what QUIC adds, and what it repeats, comes on top.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The bucket holds what so much time brings: that much is sent at once after a pause.
const DEPTH: Duration = Duration::from_millis(250);
/// At most so many bytes are taken at once …
const PIECE_BYTES_MAX: usize = 16 << 10;
/// … and, where the rate is low, as many as a packet holds.
const PIECE_BYTES_MIN: usize = 1200;
/// The shortest wait for the bucket to fill.
const WAIT_MIN: Duration = Duration::from_millis(2);

/// How long a frame may wait for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It does not.
    AtOnce,
    /// Behind those of lower numbers.
    After(usize),
}

/// Turns that may be waited for: live rows, a backlog, blobs.
const TURNS: usize = 3;

#[derive(Debug)]
struct Level {
    /// Bytes; below zero what was taken on credit.
    bytes: f64,
    at: Instant,
}

/// The bucket, shared by all streams of all connections of this end.
#[derive(Debug)]
pub(crate) struct Bucket {
    bytes_s: f64,
    level: Mutex<Level>,
    waiting: [AtomicUsize; TURNS],
}

/// Counts a waiting stream for as long as it waits, also where it is given up meanwhile.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::AcqRel);
        Waiting(counter)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Bucket {
    pub(crate) fn new(bytes_s: u64) -> Self {
        let bytes_s = bytes_s.max(1) as f64;
        Bucket {
            bytes_s,
            level: Mutex::new(Level {
                bytes: bytes_s * DEPTH.as_secs_f64(),
                at: Instant::now(),
            }),
            waiting: [const { AtomicUsize::new(0) }; TURNS],
        }
    }

    /// How many bytes are taken at once: a share of what a second brings.
    pub(crate) fn piece(&self) -> usize {
        let share = (self.bytes_s / 16.0) as usize;
        share.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
    }

    /// Takes so many bytes out, as soon as it is this one's turn.
    pub(crate) async fn take(&self, turn: Turn, bytes: usize) {
        let _waiting = match turn {
            Turn::AtOnce => None,
            Turn::After(before) => self.waiting.get(before).map(Waiting::begin),
        };
        while let Some(wait) = self.try_take(Instant::now(), turn, bytes) {
            tokio::time::sleep(wait).await;
        }
    }

    /// How long what is not urgent has to wait now; `None` where it has not.
    pub(crate) fn held(&self) -> Option<Duration> {
        self.try_take(Instant::now(), Turn::After(0), 0)
    }

    /// Counts what was sent, on credit.
    pub(crate) fn charge(&self, bytes: usize) {
        self.try_take(Instant::now(), Turn::AtOnce, bytes);
    }

    /// Takes them if it is its turn; else says how long to wait before the next try.
    fn try_take(&self, now: Instant, turn: Turn, bytes: usize) -> Option<Duration> {
        let mut level = self.level.lock();
        let since = now.saturating_duration_since(level.at).as_secs_f64();
        let most = self.bytes_s * DEPTH.as_secs_f64();
        level.bytes = (level.bytes + since * self.bytes_s).min(most);
        level.at = level.at.max(now);
        let is_turn = match turn {
            Turn::AtOnce => true,
            Turn::After(before) => {
                let mut sooner = self.waiting.iter().take(before);
                level.bytes > 0.0 && sooner.all(|waiting| waiting.load(Ordering::Acquire) == 0)
            }
        };
        if is_turn {
            level.bytes -= bytes as f64;
            return None;
        }
        let missing = Duration::from_secs_f64((-level.bytes).max(0.0) / self.bytes_s);
        Some(missing.max(WAIT_MIN))
    }
}

#[cfg(test)]
mod tests;
