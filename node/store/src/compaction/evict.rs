//! Eviction: what another node holds goes from this one, without a trace that would travel.
//!
//! Whole files go. A file may go where all its rows are about a time before the bound, every one of them is in a
//! log record that is covered and was stamped after the moment from which on the covering counts. Reach and stamps are bounds of a
//! whole file, so a row that is not covered keeps its file, however old it is.
//!
//! Why nothing comes back that was deleted or written over: a file goes only where everything in other files
//! and in memory that may share a key with it is newer than all it holds; or goes with it.
//!
//! A file that holds rows on both sides of the bound is cut in two first, by a merge that leaves nothing out. The
//! bound moves on in steps of a window, so that rows which came in order lie in files of one side.

use activestore_types::{Hlc, Lsn};

use super::{Choice, Policy, Reason, Strategy, alone, pick, shadow};
use crate::version::{TableFile, TableVersion};

/// Up to where what other nodes hold may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Rows about a time before this may go, in nanoseconds since 1970.
    pub before_ns: i64,
    /// Rows of log records up to this one are held elsewhere …
    pub covered: Lsn,
    /// … where they were stamped after this.
    pub stamped_after: Hlc,
}

/// What an eviction did, and what it left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Files that went.
    pub files: u64,
    /// Row fragments in them.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files with rows before the bound that stay: not covered, or needed for what is not.
    pub left: u64,
}

/// Before which time rows of a table are not kept any more; `None` where all are. It moves on in steps of a window.
pub(crate) fn bound(version: &TableVersion, now_ms: u64) -> Option<i64> {
    let keep_ns = version.keep_ns?;
    let Strategy::TimeWindow { length_ns } = Strategy::of_table(version) else {
        return None;
    };
    // So long that a file is cut few times, however much time it spans, and whole windows.
    let step_ns = (keep_ns / STEPS).max(length_ns) / length_ns.max(1) * length_ns;
    let now_ns = i64::try_from(now_ms).ok()?.checked_mul(1_000_000)?;
    let oldest = now_ns.checked_sub(keep_ns)?;
    Some(oldest.div_euclid(step_ns.max(1)).saturating_mul(step_ns))
}

/// The bound moves on by this part of the time that rows are kept.
const STEPS: i64 = 8;

/// The files that may go now.
pub(crate) fn gone(version: &TableVersion, policy: &Policy, eviction: &Eviction) -> Option<Choice> {
    let mut dead: Vec<&TableFile> = version
        .files
        .iter()
        .map(AsRef::as_ref)
        .filter(|file| {
            let latest = file.sst.meta().max_time_ns;
            latest.is_some_and(|latest| latest < eviction.before_ns) && is_covered(file, eviction)
        })
        .collect();
    // What one keeps here may keep another: until nothing changes.
    loop {
        let before = dead.len();
        let kept = dead.iter().copied();
        let kept = kept.filter(|file| below_all_others(version, file, &dead));
        dead = kept.collect();
        if dead.is_empty() {
            return None;
        }
        if dead.len() == before {
            return Some(pick(version, policy, Reason::Evicted, dead, 0));
        }
    }
}

/// A file that is to be cut at the bound, of those that were not looked at yet.
pub(crate) fn cut(
    version: &TableVersion,
    policy: &Policy,
    eviction: &Eviction,
    looked_at: &[u64],
) -> Option<Choice> {
    let files = version.files.iter().map(AsRef::as_ref);
    let mut crossing = files.filter(|file: &&TableFile| {
        let meta = file.sst.meta();
        let begins = meta
            .min_time_ns
            .is_some_and(|first| first < eviction.before_ns);
        let ends = meta
            .max_time_ns
            .is_some_and(|last| last < eviction.before_ns);
        begins
            && !ends
            && is_covered(file, eviction)
            && meta.bytes <= policy.input_bytes_max
            && !looked_at.contains(&file.id)
    });
    crossing.next().map(|file| Choice {
        reason: Reason::Cut,
        split_time_ns: Some(eviction.before_ns),
        ..alone(version, policy, file)
    })
}

/// Files with rows before the bound.
pub(crate) fn left(version: &TableVersion, eviction: &Eviction) -> u64 {
    let files = version.files.iter();
    let left = files.filter(|file| {
        let first = file.sst.meta().min_time_ns;
        first.is_some_and(|first| first < eviction.before_ns)
    });
    left.count() as u64
}

fn is_covered(file: &TableFile, eviction: &Eviction) -> bool {
    file.reach <= eviction.covered && file.sst.meta().min_hlc > eviction.stamped_after
}

/// Whether everything that may share a key with the file and does not go with it is newer than all of it.
fn below_all_others(version: &TableVersion, file: &TableFile, dead: &[&TableFile]) -> bool {
    let newest = file.sst.meta().max_hlc;
    let in_memory = version
        .memtables()
        .filter_map(|memtable| memtable.min_hlc());
    let others = version.files.iter().map(AsRef::as_ref);
    let others = others.filter(|other: &&TableFile| {
        let goes = dead.iter().any(|dead| dead.id == other.id);
        !goes && shadow::may_share_keys(file.sst.meta(), other.sst.meta())
    });
    in_memory
        .chain(others.map(|other| other.sst.meta().min_hlc))
        .all(|oldest| oldest > newest)
}

#[cfg(test)]
mod tests;
