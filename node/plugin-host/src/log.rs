//! What plugins say: the last lines of each in a ring, cut in length and limited in rate, so that a
//! plugin that floods its log costs nobody anything.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::abi::Level;

/// Lines kept per plugin.
pub(crate) const LINES_MAX: usize = 256;
/// Bytes of one line that are kept.
pub(crate) const LINE_BYTES_MAX: usize = 4 * 1024;
/// Bytes a plugin may log per second on average …
const BYTES_PER_SECOND: u64 = 64 * 1024;
/// … and at once.
const BYTES_BURST: u64 = 2 * BYTES_PER_SECOND;
/// What a line costs beside its bytes.
const LINE_COST: u64 = 64;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

impl LogLevel {
    /// The level in lower case.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        }
    }
}

/// One line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// How much it matters.
    pub level: LogLevel,
    /// The text.
    pub message: String,
}

/// One plugin's log.
#[derive(Debug)]
pub(crate) struct LogRing {
    inner: Mutex<Ring>,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Ring {
    lines: VecDeque<LogLine>,
    budget: u64,
    refilled: Instant,
}

impl LogRing {
    pub(crate) fn new() -> Self {
        LogRing {
            inner: Mutex::new(Ring {
                lines: VecDeque::new(),
                budget: BYTES_BURST,
                refilled: Instant::now(),
            }),
            dropped: AtomicU64::new(0),
        }
    }

    /// Adds a line, or counts it as dropped when the plugin has used up its rate.
    pub(crate) fn push(&self, level: LogLevel, message: &str) {
        let mut ring = self.inner.lock();
        ring.refill();
        let message = cut(message);
        let cost = message.len() as u64 + LINE_COST;
        let Some(left) = ring.budget.checked_sub(cost) else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        ring.budget = left;
        if ring.lines.len() == LINES_MAX {
            ring.lines.pop_front();
        }
        ring.lines.push_back(LogLine {
            at_ms: wall_ms(),
            level,
            message: message.to_owned(),
        });
    }

    /// The lines kept, oldest first.
    pub(crate) fn lines(&self) -> Vec<LogLine> {
        self.inner.lock().lines.iter().cloned().collect()
    }

    /// Lines dropped by the rate limit.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Ring {
    fn refill(&mut self) {
        let passed = self.refilled.elapsed().min(Duration::from_secs(10));
        let bytes = u64::try_from(passed.as_millis()).unwrap_or(0) * BYTES_PER_SECOND / 1000;
        if bytes > 0 {
            self.budget = (self.budget + bytes).min(BYTES_BURST);
            self.refilled = Instant::now();
        }
    }
}

/// The text's first [`LINE_BYTES_MAX`] bytes, cut at a character's edge.
pub(crate) fn cut(message: &str) -> &str {
    message
        .get(..message.floor_char_boundary(LINE_BYTES_MAX))
        .unwrap_or(message)
}

fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests;
