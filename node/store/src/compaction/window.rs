//! Windows of time: for tables whose first clustering column is a timestamp.
//!
//! Vocabulary. A *window* is a stretch of time of fixed length; a file is in the window of its
//! latest row. A window is *ended* when rows of a later time have come and the clock is past it.
//! A file's *level* is how often its rows were rewritten.
//!
//! 1. In any window, enough files of one level become one file of the next level.
//! 2. The files of a window that has ended become one, if none of them is of the last level.
//! 3. Without a time to live, windows that ended become windows eight times as long, and so on, so
//!    that the number of runs grows with the logarithm of time only. With one, they do not: a
//!    window is then a small part of the time to live, and is dropped whole when it is over. The same holds for
//!    a table whose rows this node keeps for a while only.
//! 4. Rows that came late make small files in windows that are done: four of these become one, and
//!    it joins the window's file once it is not small beside it any more. A merge cuts rows off
//!    that are about an earlier window than its files.
//!
//! Steps 1 to 3 raise the level each time and stop at [`LEVEL_MAX`]. So a row that comes in the
//! order of time is written at most 1 + [`LEVEL_MAX`] times: the bound on write amplification.

use std::collections::BTreeMap;

use activestore_types::{CompactionMode, TableSchema};

use super::{Choice, Policy, Reason, Strategy, bytes, pick};
use crate::version::{TableFile, TableVersion};

/// How often a row that comes in the order of time is rewritten, at most.
const LEVEL_MAX: u8 = 3;
/// Windows in a time to live.
const WINDOWS_TTL: i64 = 64;
/// Windows in the time that rows are kept on this node.
const WINDOWS_KEPT: i64 = 8;
/// The shortest window: five minutes, in nanoseconds.
const LENGTH_NS_MIN: i64 = 300 * 1_000_000_000;
/// The window of a table whose rows live for ever: a day.
const LENGTH_NS_DEFAULT: i64 = 86_400 * 1_000_000_000;
/// A longer window is this many times as long as the one below it.
const LONGER: i64 = 8;
/// The longest window is the day times this, about eleven years.
const LONGEST: i64 = LONGER.pow(4);
/// Late files that are worth a merge.
const LATE_FILES_MIN: usize = 4;
/// Of files by size, the next is taken along if it is at most this many times as large as all
/// smaller ones together.
const LATE_RATIO: u64 = 2;
/// A merge takes at most this many times [`Policy::file_bytes_max`].
const MERGE_FILES: u64 = 16;

impl Strategy {
    /// A table's, by its definition.
    pub fn of(schema: &TableSchema) -> Strategy {
        let timed = schema.time_column().is_some();
        match schema.compaction {
            CompactionMode::Levelled => Strategy::Levelled,
            _ if !timed => Strategy::Levelled,
            CompactionMode::Automatic | CompactionMode::TimeWindow => Strategy::TimeWindow {
                length_ns: length_ns(schema.ttl_s),
            },
        }
    }

    /// A table's as it is now: rows that go when they are evicted lie in windows that can go whole.
    pub fn of_table(version: &TableVersion) -> Strategy {
        match (Strategy::of(&version.schema), version.keep_ns) {
            (Strategy::TimeWindow { length_ns }, Some(keep_ns)) => Strategy::TimeWindow {
                length_ns: (keep_ns / WINDOWS_KEPT)
                    .clamp(LENGTH_NS_MIN, length_ns.max(LENGTH_NS_MIN)),
            },
            (strategy, _) => strategy,
        }
    }

    /// Its name, as in `CREATE TABLE … WITH (compaction = …)`.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::TimeWindow { .. } => "time_window",
            Strategy::Levelled => "levelled",
        }
    }
}

/// The length of a table's windows.
fn length_ns(ttl_s: Option<u64>) -> i64 {
    let part = |ttl_s: u64| {
        let ttl_ns = i64::try_from(ttl_s)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000_000);
        (ttl_ns / WINDOWS_TTL).max(LENGTH_NS_MIN)
    };
    ttl_s.map_or(LENGTH_NS_DEFAULT, part)
}

/// The number of a file's window; files without a time are in the first.
pub(super) fn window_of(file: &TableFile, length_ns: i64) -> i64 {
    let latest = file.sst.meta().max_time_ns;
    latest.map_or(i64::MIN, |latest| latest.div_euclid(length_ns.max(1)))
}

pub(super) fn choose(version: &TableVersion, policy: &Policy, length_ns: i64) -> Option<Choice> {
    let choosing = Choosing {
        version,
        policy,
        length_ns,
        bytes_max: policy
            .file_bytes_max
            .saturating_mul(MERGE_FILES)
            .min(policy.input_bytes_max),
    };
    let windows = choosing.windows(length_ns);
    let (last, _) = windows.last_key_value()?;
    let mut chosen = windows
        .values()
        .rev()
        .find_map(|files| choosing.of_level(files));
    let ended = |window: i64, length_ns: i64| choosing.ended(window, length_ns, *last);
    if chosen.is_none() {
        let mut over = windows
            .iter()
            .filter(|(window, _)| ended(**window, length_ns));
        chosen = over.find_map(|(_, files)| {
            let done = |file: &&TableFile| file.sst.meta().level >= LEVEL_MAX;
            if files.iter().any(done) && bytes(files) > policy.small_bytes {
                let young = choosing.together(files, Reason::Late, LATE_FILES_MIN);
                young.or_else(|| choosing.late(files))
            } else {
                choosing.together(files, Reason::WindowEnded, 2)
            }
        });
    }
    if version.schema.ttl_s.is_some() || version.keep_ns.is_some() {
        return chosen;
    }
    let mut longer = length_ns;
    while chosen.is_none() && longer < length_ns.saturating_mul(LONGEST) {
        longer = longer.saturating_mul(LONGER);
        chosen = choosing
            .windows(longer)
            .iter()
            .filter(|(window, _)| ended(**window, longer))
            .find_map(|(_, files)| {
                choosing.together(files, Reason::LongerWindow, policy.files_min)
            });
    }
    chosen
}

struct Choosing<'a> {
    version: &'a TableVersion,
    policy: &'a Policy,
    length_ns: i64,
    bytes_max: u64,
}

impl<'a> Choosing<'a> {
    /// The files of each window, by time.
    fn windows(&self, length_ns: i64) -> BTreeMap<i64, Vec<&'a TableFile>> {
        let mut windows: BTreeMap<i64, Vec<&TableFile>> = BTreeMap::new();
        for file in &self.version.files {
            windows
                .entry(window_of(file, length_ns))
                .or_default()
                .push(file);
        }
        for files in windows.values_mut() {
            files.sort_by_key(|file| (file.sst.meta().max_time_ns, file.id));
        }
        windows
    }

    /// Whether nothing more is to be expected in a window; `last` is the last one of the table's
    /// own length that has rows.
    fn ended(&self, window: i64, length_ns: i64, last: i64) -> bool {
        let end_ns = window.saturating_add(1).saturating_mul(length_ns);
        let now_ns = i64::try_from(self.policy.now_ms)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000);
        end_ns <= last.saturating_mul(self.length_ns) && end_ns <= now_ns
    }

    /// Step 1: the oldest files of the lowest level that has enough.
    fn of_level(&self, files: &[&'a TableFile]) -> Option<Choice> {
        let small = files.iter().copied().filter(|file| {
            let meta = file.sst.meta();
            meta.level < LEVEL_MAX || meta.bytes < self.policy.small_bytes
        });
        let mut levels: BTreeMap<u8, Vec<&TableFile>> = BTreeMap::new();
        for file in small {
            levels.entry(file.sst.meta().level).or_default().push(file);
        }
        levels.values().find_map(|files| {
            let files = self.within_bytes(files.iter().copied());
            (files.len() >= self.policy.files_min.max(2)).then(|| self.pick(files, Reason::Files))
        })
    }

    /// Steps 2 and 3: the files of a window as one, where there are enough.
    fn together(
        &self,
        files: &[&'a TableFile],
        reason: Reason,
        files_min: usize,
    ) -> Option<Choice> {
        let small = bytes(files) <= self.policy.small_bytes;
        let young = files.iter().copied();
        let young = young.filter(|file| small || file.sst.meta().level < LEVEL_MAX);
        let files = self.within_bytes(young);
        (files.len() >= files_min.max(2)).then(|| self.pick(files, reason))
    }

    /// Step 4: the smallest of the files that are done, as long as the next is not large beside
    /// them.
    fn late(&self, files: &[&'a TableFile]) -> Option<Choice> {
        let done = files.iter().copied().filter(|file| {
            let meta = file.sst.meta();
            meta.level >= LEVEL_MAX && meta.bytes <= self.bytes_max / 2
        });
        let mut by_size: Vec<&TableFile> = done.collect();
        by_size.sort_by_key(|file| (file.sst.meta().bytes, file.id));
        let mut taken: Vec<&TableFile> = Vec::new();
        for file in by_size.into_iter().take(self.policy.files_max.max(2)) {
            let smaller = bytes(&taken).max(self.policy.small_bytes / 4);
            let balanced = file.sst.meta().bytes <= LATE_RATIO.saturating_mul(smaller);
            if !taken.is_empty() && !balanced {
                break;
            }
            taken.push(file);
        }
        (taken.len() >= LATE_FILES_MIN).then(|| self.pick(taken, Reason::Late))
    }

    /// The first of the files that one merge can take.
    fn within_bytes(&self, files: impl Iterator<Item = &'a TableFile>) -> Vec<&'a TableFile> {
        let mut sum = 0_u64;
        files
            .filter(|file| file.sst.meta().bytes <= self.bytes_max / 2)
            .take(self.policy.files_max.max(2))
            .take_while(|file| {
                sum += file.sst.meta().bytes;
                sum <= self.bytes_max
            })
            .collect()
    }

    fn pick(&self, files: Vec<&'a TableFile>, reason: Reason) -> Choice {
        let level = files.iter().map(|file| file.sst.meta().level).max();
        let times = files.iter().filter_map(|file| file.sst.meta().min_time_ns);
        let earliest = times.min();
        // The first window that one of the files is in: earlier rows are late in all of them.
        let first = files
            .iter()
            .map(|file| window_of(file, self.length_ns))
            .min();
        let start_ns = first.map(|first| first.saturating_mul(self.length_ns));
        let before = start_ns.map(|start| start.saturating_sub(self.length_ns));
        let late = earliest
            .zip(before)
            .is_some_and(|(earliest, before)| earliest < before);
        Choice {
            split_time_ns: start_ns.filter(|_| late),
            file_bytes_max: u64::MAX,
            ..pick(
                self.version,
                self.policy,
                reason,
                files,
                level.unwrap_or(0).saturating_add(1),
            )
        }
    }
}

#[cfg(test)]
mod tests;
