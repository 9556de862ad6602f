//! What plugins say: the last lines of each in a ring, cut in length and limited in rate, so that a
//! plugin that floods its log costs nobody anything.
//!
//! Lines are numbered across all plugins of the process, so that one number says where a reader of
//! several rings stands. The numbers rise; they are microseconds of the wall clock where that is higher
//! than the number before, so that they go on rising in the next process.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use activestore_types::{Error, Result};
use parking_lot::Mutex;

use crate::abi::Level;
use crate::plugin::Plugin;

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

/// The number of the newest line. Held while a line is put into its ring and while rings are read, so that
/// no line appears behind a reader who has seen a higher number.
static NEWEST: Mutex<u64> = Mutex::new(0);

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

impl FromStr for LogLevel {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [
            LogLevel::Debug,
            LogLevel::Info,
            LogLevel::Warn,
            LogLevel::Error,
        ]
        .into_iter()
        .find(|level| level.name() == text)
        .ok_or_else(|| {
            Error::invalid(format!("'{text}' is not a level"))
                .with_hint("use debug, info, warn or error")
        })
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
    /// Its number: it rises from line to line, over all plugins, and is never 0.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// How much it matters.
    pub level: LogLevel,
    /// The text.
    pub message: String,
}

/// What is in the logs of some plugins behind a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// The lines in their order, each with the place of its plugin among those asked for.
    pub lines: Vec<(usize, LogLine)>,
    /// Whether lines behind the number have fallen out of a ring already.
    pub gap: bool,
}

impl LogPage {
    /// The lines of these plugins whose numbers are above `after`.
    pub fn of(plugins: &[Arc<Plugin>], after: u64) -> LogPage {
        let rings: Vec<&LogRing> = plugins.iter().map(|plugin| &*plugin.mould.log).collect();
        LogPage::of_rings(&rings, after)
    }

    fn of_rings(rings: &[&LogRing], after: u64) -> LogPage {
        let mut page = LogPage::default();
        let newest = NEWEST.lock();
        for (place, ring) in rings.iter().enumerate() {
            let ring = ring.inner.lock();
            page.gap |= ring.fallen_out > after;
            let lines = ring.lines.iter().filter(|line| line.seq > after);
            page.lines.extend(lines.map(|line| (place, line.clone())));
        }
        drop(newest);
        page.lines.sort_by_key(|(_, line)| line.seq);
        page
    }
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
    /// The number of the newest line that made room for another; 0 before there is one.
    fallen_out: u64,
    budget: u64,
    refilled: Instant,
}

impl LogRing {
    pub(crate) fn new() -> Self {
        LogRing {
            inner: Mutex::new(Ring {
                lines: VecDeque::new(),
                fallen_out: 0,
                budget: BYTES_BURST,
                refilled: Instant::now(),
            }),
            dropped: AtomicU64::new(0),
        }
    }

    /// Adds a line, or counts it as dropped when the plugin has used up its rate.
    pub(crate) fn push(&self, level: LogLevel, message: &str) {
        let message = cut(message);
        if !self.inner.lock().pay(message.len() as u64 + LINE_COST) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // Only for lines that are kept: a flood in one log does not hold up the others.
        let mut newest = NEWEST.lock();
        let now = since_1970();
        *newest = (*newest + 1).max(u64::try_from(now.as_micros()).unwrap_or(0));
        let mut ring = self.inner.lock();
        if ring.lines.len() == LINES_MAX
            && let Some(oldest) = ring.lines.pop_front()
        {
            ring.fallen_out = oldest.seq;
        }
        ring.lines.push_back(LogLine {
            seq: *newest,
            at_ms: u64::try_from(now.as_millis()).unwrap_or(0),
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
    /// Takes what a line costs from the budget; false where it is not there.
    fn pay(&mut self, cost: u64) -> bool {
        self.refill();
        let left = self.budget.checked_sub(cost);
        self.budget = left.unwrap_or(self.budget);
        left.is_some()
    }

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

fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
