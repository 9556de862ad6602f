//! Sums of the rows of each day and writer. They are kept as long as the files that may hold rows of the day are the same,
//! none are in memory, and none has expired: a day that nobody touches is read once.
//!
//! A kept sum is of everything. It serves any comparison whose moment is not before the newest stamp in it; for
//! others, and for days that are being written, rows are read each time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use activestore_store::{Share, Snapshot, WalkedRow};
use activestore_sync_proto::reconcile::{Sum, View};
use activestore_types::{OriginId, Result, SyncMode, TableId, TableSchema};
use xxhash_rust::xxh3::xxh3_64;

use super::others::{is_looked_at, parts};
use crate::db::Inner;

const DAY_NS: i64 = 86_400_000_000_000;
/// The one day of a table without a time.
pub(super) const WHOLE: i32 = i32::MIN;
/// Sums that are kept, of a day and a writer each: about 4 MiB.
const KEPT_MAX: usize = 1 << 16;
/// Days that a table's files may span for its sums to be kept: beyond that somebody's clock was wrong by decades.
const SPAN_MAX: i64 = 1 << 14;

/// Whether deletes are compared like rows: where several nodes write, one deletes what another wrote, and both ends
/// remember deletes from some time on.
pub(super) fn compares_deletes(schema: &TableSchema) -> bool {
    schema.sync == SyncMode::Both
}

/// The day that a time is in.
pub(super) fn day_of(time_ns: i64) -> i32 {
    i32::try_from(time_ns.div_euclid(DAY_NS)).unwrap_or(WHOLE)
}

/// The times of days that follow each other; `None` means all.
pub(super) fn times_of(first: i32, last: i32) -> Option<RangeInclusive<i64>> {
    if first == WHOLE {
        return None;
    }
    let start = i64::from(first).saturating_mul(DAY_NS);
    let end = i64::from(last).saturating_add(1).saturating_mul(DAY_NS);
    Some(start..=end.saturating_sub(1))
}

/// One writer's rows of one day.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    sum: Sum,
    /// The newest stamp at any of their keys.
    newest: u64,
}

/// A day of a table.
#[derive(Clone, Debug, Default)]
struct Bucket {
    /// What its rows come from, as a hash.
    holders: u64,
    /// As of when expired rows are left out …
    from_ms: u64,
    /// … and until when none of the others expires; 0 means for ever.
    until_ms: u64,
    shares: BTreeMap<OriginId, Part>,
}

impl Bucket {
    fn serves(&self, holders: u64, now_ms: u64) -> bool {
        self.holders == holders
            && self.from_ms <= now_ms
            && (self.until_ms == 0 || now_ms < self.until_ms)
    }

    fn push(&mut self, view: &View, row: &WalkedRow<'_>) {
        let counts = |one: &&Share| !row.deleted || one.hlc >= view.deletes_from.0;
        for one in row.shares.iter().filter(counts) {
            let share = self.shares.entry(one.origin).or_default();
            share.sum.push(one.hash);
            share.newest = share.newest.max(row.newest);
        }
        if row.expires_ms != 0 && (self.until_ms == 0 || row.expires_ms < self.until_ms) {
            self.until_ms = row.expires_ms;
        }
    }
}

/// The sums that are kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    tables: BTreeMap<TableId, BTreeMap<i32, Bucket>>,
}

impl Kept {
    /// Makes room by letting go of the days of other tables, and then of these.
    fn bound(&mut self, keep: TableId) {
        let count = |kept: &Kept| -> usize {
            let days = kept.tables.values().flat_map(BTreeMap::values);
            days.map(|bucket| bucket.shares.len() + 1).sum()
        };
        if count(self) > KEPT_MAX {
            self.tables.retain(|table, _| *table == keep);
        }
        if count(self) > KEPT_MAX {
            self.tables.clear();
        }
    }
}

impl Inner {
    /// The days of a table that have rows of the view's writer.
    pub(super) fn days_of(&self, view: &View, schema: &TableSchema) -> Result<Vec<(i32, Sum)>> {
        let writer = self.writer(view)?;
        let Some(snapshot) = self.snapshot_of(schema)? else {
            return Ok(Vec::new());
        };
        let mut sums: BTreeMap<i32, Sum> = BTreeMap::new();
        let mut unsettled = BTreeSet::new();
        match self.candidates(&snapshot) {
            None => sums = self.read_days(&snapshot, view, writer, None)?,
            Some((days, in_memory)) => {
                let kept = self.kept_days(&snapshot, view, &days, &in_memory)?;
                for (day, bucket) in kept {
                    let shares = bucket.shares.iter();
                    let shares = shares.filter(|(origin, _)| is_looked_at(view, writer, **origin));
                    for (_, share) in shares {
                        if share.newest > view.as_of.0 {
                            unsettled.insert(day);
                        }
                        sums.entry(day).or_default().add(&share.sum);
                    }
                }
                unsettled.extend(in_memory);
            }
        }
        for (first, last) in runs(&unsettled) {
            let times = times_of(first, last);
            sums.retain(|day, _| !(first..=last).contains(day));
            sums.extend(self.read_days(&snapshot, view, writer, times)?);
        }
        let before = view.evicted_before(&schema.name);
        let evicted = |day: i32| {
            let start = times_of(day, day).map(|times| *times.start());
            start
                .zip(before)
                .is_some_and(|(start, before)| start < before)
        };
        let sums = sums.into_iter().filter(|(day, _)| !evicted(*day));
        Ok(sums.filter(|(_, sum)| sum.rows > 0).collect())
    }

    /// The days that may have rows, and those of them that have some in memory; `None` where they are too many.
    fn candidates(&self, snapshot: &Snapshot) -> Option<(BTreeSet<i32>, BTreeSet<i32>)> {
        let in_memory = snapshot.in_memory(day_of);
        let in_memory: BTreeSet<i32> = in_memory
            .into_iter()
            .map(|day| day.unwrap_or(WHOLE))
            .collect();
        let mut days = in_memory.clone();
        if snapshot.schema().time_column().is_none() {
            days.insert(WHOLE);
            return Some((days, in_memory));
        }
        for (low, high) in snapshot.times() {
            let (low, high) = (i64::from(day_of(low)), i64::from(day_of(high)));
            if high - low > SPAN_MAX {
                return None;
            }
            days.extend((low..=high).filter_map(|day| i32::try_from(day).ok()));
            if days.len() as i64 > SPAN_MAX {
                return None;
            }
        }
        Some((days, in_memory))
    }

    /// The sums of days without rows in memory: the kept ones, and those that had to be read.
    fn kept_days(
        &self,
        snapshot: &Snapshot,
        view: &View,
        days: &BTreeSet<i32>,
        in_memory: &BTreeSet<i32>,
    ) -> Result<Vec<(i32, Bucket)>> {
        let table = snapshot.schema().id;
        let mut found = Vec::new();
        let mut stale = BTreeMap::new();
        {
            let kept = self.reconcile.days.lock();
            let known = kept.tables.get(&table);
            for day in days.difference(in_memory) {
                let holders = holders(snapshot, view, *day);
                match known.and_then(|known| known.get(day)) {
                    Some(bucket) if bucket.serves(holders, view.now_ms) => {
                        found.push((*day, bucket.clone()));
                    }
                    _ => {
                        stale.insert(*day, holders);
                    }
                }
            }
        }
        for (first, last) in runs(&stale.keys().copied().collect()) {
            let mut read: BTreeMap<i32, Bucket> = BTreeMap::new();
            for (day, holders) in stale.range(first..=last) {
                let bucket = read.entry(*day).or_default();
                bucket.holders = *holders;
                bucket.from_ms = view.now_ms;
            }
            self.count_read(read.len());
            let erased = compares_deletes(snapshot.schema());
            snapshot.walk(times_of(first, last), view.now_ms, erased, &mut |row| {
                let day = row.time_ns.map_or(WHOLE, day_of);
                if let Some(bucket) = read.get_mut(&day) {
                    bucket.push(view, row);
                }
                Ok(true)
            })?;
            let mut kept = self.reconcile.days.lock();
            let known = kept.tables.entry(table).or_default();
            known.extend(read.iter().map(|(day, bucket)| (*day, bucket.clone())));
            kept.bound(table);
            found.extend(read);
        }
        Ok(found)
    }

    /// One writer's sums of the days of a stretch of time, as of the view's moment.
    fn read_days(
        &self,
        snapshot: &Snapshot,
        view: &View,
        writer: OriginId,
        times: Option<RangeInclusive<i64>>,
    ) -> Result<BTreeMap<i32, Sum>> {
        let mut sums: BTreeMap<i32, Sum> = BTreeMap::new();
        let erased = compares_deletes(snapshot.schema());
        snapshot.walk(times, view.now_ms, erased, &mut |row| {
            if row.newest <= view.as_of.0 {
                let day = row.time_ns.map_or(WHOLE, day_of);
                for share in parts(view, writer, row) {
                    sums.entry(day).or_default().push(share.hash);
                }
            }
            Ok(true)
        })?;
        self.count_read(sums.len());
        Ok(sums)
    }

    fn count_read(&self, days: usize) {
        let read = &self.reconcile.days_read;
        read.fetch_add(days as u64, Ordering::Relaxed);
    }
}

/// A hash of everything that a day's rows may come from, and of which deletes count.
fn holders(snapshot: &Snapshot, view: &View, day: i32) -> u64 {
    let (erasures, newest) = snapshot.erasures();
    let version = u64::from(snapshot.schema().version);
    let mut bytes = Vec::new();
    let deletes_from = match compares_deletes(snapshot.schema()) {
        true => view.deletes_from.0,
        false => 0,
    };
    for part in [version, erasures as u64, newest, deletes_from] {
        bytes.extend(part.to_le_bytes());
    }
    for file in snapshot.holders(times_of(day, day).as_ref()) {
        bytes.extend(file.to_le_bytes());
    }
    xxh3_64(&bytes)
}

/// Days that follow each other, as first and last.
fn runs(days: &BTreeSet<i32>) -> Vec<(i32, i32)> {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for day in days {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*day) => *last = *day,
            _ => runs.push((*day, *day)),
        }
    }
    runs
}
