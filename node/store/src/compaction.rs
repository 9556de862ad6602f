//! Compaction: fewer files that say the same.
//!
//! A policy looks at a version and returns a [`Choice`]; [`run`] carries one out and returns what
//! to publish. Neither changes a version, and neither decides when it is called.
//!
//! Two policies, by table: [`window`] for rows that are about a time, [`levelled`] for all others.
//! What is common to both:
//!
//! What a merge may leave out, and why nothing ever comes back:
//! 1. a fragment whose cells are all decided by newer fragments of the same merge;
//! 2. everything below a row tombstone of the same merge or a durable range tombstone;
//! 3. a tombstone, or an expired fragment with nothing older beside it, only where its stamp is
//!    below that of every fragment in a memtable, of every fragment in a file that may share its
//!    key and is not in the merge, and below [`Policy::settled`]: then there is nothing, here or on
//!    its way, that it could shadow ([`shadow`] finds that bound).
//!
//! A file of which every row has expired and that shadows nothing is dropped without being read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use activestore_sst::VECTOR_ROWS;
use activestore_types::{Hlc, RangeTombstone};

use crate::stats::FileGroup;
use crate::version::{NewFile, TableFile, TableVersion};

mod copy;
pub mod evict;
mod levelled;
mod merge;
mod reduce;
mod run;
mod shadow;
mod source;
mod window;

pub use run::run;

/// How a table's files are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// By windows of time, see [`window`].
    TimeWindow {
        /// The length of a window, in nanoseconds.
        length_ns: i64,
    },
    /// By levels of key ranges, see [`levelled`].
    Levelled,
}

/// When files are merged and how far.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Files of one level that are worth a merge.
    pub files_min: usize,
    /// Files that one merge reads at most.
    pub files_max: usize,
    /// A merge by levels begins a new file at about this size, in bytes; one by windows takes no
    /// more than four times as much together.
    pub file_bytes_max: u64,
    /// Files that are no larger together, in bytes, are merged without regard to what was rewritten
    /// before.
    pub small_bytes: u64,
    /// What the files of one merge may have together, in bytes: its output takes that space beside
    /// them.
    pub input_bytes_max: u64,
    /// Memory that a merge takes for the rows it has decoded, in bytes, about: tables of many
    /// columns have fewer files merged at once.
    pub memory_bytes_max: usize,
    /// Every write stamped below this that this table will ever see has been committed already;
    /// the caller promises it. `None`: unknown, so all tombstones stay.
    pub settled: Option<Hlc>,
    /// The time that decides what has expired, in milliseconds since 1970.
    pub now_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            files_min: 8,
            files_max: 16,
            file_bytes_max: 64 << 20,
            small_bytes: 1 << 20,
            input_bytes_max: u64::MAX,
            memory_bytes_max: 16 << 20,
            settled: None,
            now_ms: 0,
        }
    }
}

/// Why files were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Enough files of one level stand in one window, or files overlap at level 0.
    Files,
    /// A window has ended: its files become one.
    WindowEnded,
    /// Windows that ended long ago become one longer window.
    LongerWindow,
    /// Rows came late to a window that had ended.
    Late,
    /// A level has outgrown its size.
    Level,
    /// Every row has expired.
    Expired,
    /// The table's user asked for one run.
    Asked,
    /// A file holds rows that are to be evicted beside others: it becomes two.
    Cut,
    /// Another node holds the rows, and this one does not keep them any longer.
    Evicted,
}

impl Reason {
    /// Its name, as `system.compactions` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Files => "files",
            Reason::WindowEnded => "window_ended",
            Reason::LongerWindow => "longer_window",
            Reason::Late => "late",
            Reason::Level => "level",
            Reason::Expired => "expired",
            Reason::Asked => "asked",
            Reason::Cut => "cut",
            Reason::Evicted => "evicted",
        }
    }
}

/// What to merge: a value, to be carried out by [`run`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Why.
    pub reason: Reason,
    /// The ids of the files to merge; with [`Reason::Expired`] and [`Reason::Evicted`] they are dropped unread.
    pub inputs: Vec<u64>,
    /// The level of the new files.
    pub level: u8,
    /// Rows about a time before this, in nanoseconds since 1970, go to files of their own.
    pub split_time_ns: Option<i64>,
    /// Tombstones and expired fragments stamped below this may go; `None`: all stay.
    pub drop_below: Option<Hlc>,
    /// Nothing stamped below this is in a memtable or still to come; `None`: unknown.
    pub settled: Option<Hlc>,
    /// The new files' size at most, about, in bytes.
    pub file_bytes_max: u64,
    /// As [`Policy::memory_bytes_max`].
    pub memory_bytes_max: usize,
    /// As [`Policy::now_ms`].
    pub now_ms: u64,
}

/// What a merge made: the next version has `files` in place of the choice's inputs.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The new files; none where nothing was left.
    pub files: Vec<NewFile>,
    /// Range tombstones of the manifest that may leave it in the same step.
    pub dropped_tombstones: Vec<RangeTombstone>,
    /// Fragments read.
    pub fragments_in: u64,
    /// Fragments written.
    pub fragments_out: u64,
}

/// The next step worth its cost; `None` when the table is in order.
pub fn choose(version: &TableVersion, policy: &Policy) -> Option<Choice> {
    let strategy = Strategy::of_table(version);
    choose_by(strategy, version, policy)
}

/// [`choose`] by a given strategy.
pub(crate) fn choose_by(
    strategy: Strategy,
    version: &TableVersion,
    policy: &Policy,
) -> Option<Choice> {
    let fitting = inputs_max(version, policy);
    let policy = &Policy {
        files_max: policy.files_max.min(fitting),
        files_min: policy.files_min.min(fitting),
        ..*policy
    };
    let choose_of = |version: &TableVersion| match strategy {
        Strategy::TimeWindow { length_ns } => window::choose(version, policy, length_ns),
        Strategy::Levelled => levelled::choose(version, policy),
    };
    expired(version, policy).or_else(|| {
        if version.own.is_empty() {
            return choose_of(version);
        }
        // The files of each partition that has some for itself are a table of their own to the
        // policies; those that pile up most come first.
        let mut places = places(version);
        places.sort_by_key(|place| std::cmp::Reverse(backlog(&of_place(version, *place))));
        places
            .into_iter()
            .find_map(|place| among(version, policy, place, choose_of))
    })
}

/// The partitions with keys of their own that have files for themselves, by their place in the table's
/// list, and `None` for all others together.
pub(crate) fn places(version: &TableVersion) -> Vec<Option<usize>> {
    let files = version.files.iter();
    let places: BTreeSet<Option<usize>> = files
        .map(|file| version.own.place_of_file(file.sst.meta()))
        .collect();
    places.into_iter().collect()
}

/// The version with the files of one place alone.
fn of_place(version: &TableVersion, place: Option<usize>) -> TableVersion {
    let of = |file: &&Arc<TableFile>| version.own.place_of_file(file.sst.meta()) == place;
    TableVersion {
        schema: Arc::clone(&version.schema),
        active: Arc::clone(&version.active),
        frozen: version.frozen.clone(),
        files: version.files.iter().filter(of).cloned().collect(),
        tombstones: Arc::clone(&version.tombstones),
        own: Arc::clone(&version.own),
        keep_ns: version.keep_ns,
    }
}

/// What `choose` says of the files of one place, as if they were a table of their own; what may be left
/// out is decided by all files.
pub(crate) fn among(
    version: &TableVersion,
    policy: &Policy,
    place: Option<usize>,
    choose: impl Fn(&TableVersion) -> Option<Choice>,
) -> Option<Choice> {
    let choice = choose(&of_place(version, place))?;
    let inputs: Vec<&TableFile> = version
        .files
        .iter()
        .map(AsRef::as_ref)
        .filter(|file| choice.inputs.contains(&file.id))
        .collect();
    Some(Choice {
        drop_below: shadow::drop_below(version, policy.settled, &inputs, &inputs),
        ..choice
    })
}

/// The files that one merge may have open. Each holds a decoded vector, and half of the memory is for
/// vectors that wait to be written.
pub(crate) fn inputs_max(version: &TableVersion, policy: &Policy) -> usize {
    let vector_bytes = VECTOR_ROWS * version.schema.row_bytes_estimate();
    (policy.memory_bytes_max / 2 / vector_bytes).max(2)
}

/// The most files that stand side by side as they were flushed: those of one window, or level 0.
/// All others are bounded by the policies.
pub(crate) fn backlog(version: &TableVersion) -> usize {
    let flushed = groups(version).into_iter().filter(|group| group.level == 0);
    let most = flushed.map(|group| group.files).max().unwrap_or(0);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// An estimate of the bytes that hold nothing that a read would show. `dropped` is the part of what
/// merges of this table read that they left out.
pub(crate) fn garbage_bytes(version: &TableVersion, dropped: f64) -> u64 {
    let mut runs: BTreeMap<(Option<u32>, Option<i64>), Vec<u64>> = BTreeMap::new();
    for group in groups(version) {
        runs.entry((group.own_key, group.window_start_ns))
            .or_default()
            .push(group.bytes);
    }
    // What lies beside the largest run of its window may be repeated in it.
    let beside = runs.values().map(|runs| {
        let largest = runs.iter().max().copied().unwrap_or(0);
        runs.iter().sum::<u64>() - largest
    });
    (beside.sum::<u64>() as f64 * dropped) as u64
}

/// The files by window and level, those of each partition with a key of its own by themselves.
pub(crate) fn groups(version: &TableVersion) -> Vec<FileGroup> {
    let mut groups: BTreeMap<(Option<usize>, Option<i64>, u8), FileGroup> = BTreeMap::new();
    for file in &version.files {
        let meta = file.sst.meta();
        let window_start_ns = match Strategy::of_table(version) {
            Strategy::TimeWindow { length_ns } => {
                Some(window::window_of(file, length_ns).saturating_mul(length_ns))
            }
            Strategy::Levelled => None,
        };
        let place = version.own.place_of_file(meta);
        let key = (place, window_start_ns, meta.level);
        let group = groups.entry(key).or_insert(FileGroup {
            own_key: version.own.key_at(place),
            window_start_ns,
            level: meta.level,
            files: 0,
            bytes: 0,
            rows: 0,
        });
        group.files += 1;
        group.bytes += meta.bytes;
        group.rows += meta.rows;
    }
    groups.into_values().collect()
}

/// All files of the table in one merge, or the smallest ones first where they are too many for one;
/// `None` where that would change nothing.
pub fn major(version: &TableVersion, policy: &Policy) -> Option<Choice> {
    let worth = match version.files.as_slice() {
        [] => false,
        [only] => {
            let meta = only.sst.meta();
            !meta.distinct
                || meta.tombstones > 0
                || !version.tombstones.is_empty()
                || meta
                    .min_expiry_ms
                    .is_some_and(|first| first <= policy.now_ms)
        }
        _ => true,
    };
    worth.then(|| {
        let mut files: Vec<&TableFile> = version.files.iter().map(AsRef::as_ref).collect();
        files.sort_by_key(|file| (file.sst.meta().bytes, file.id));
        files.truncate(inputs_max(version, policy));
        asked(version, policy, files)
    })
}

/// All files of the table in one merge, also where it changes nothing that is read: what no row
/// shows any more is then in no file.
pub fn rewrite(version: &TableVersion, policy: &Policy) -> Option<Choice> {
    let all: Vec<&TableFile> = version.files.iter().map(AsRef::as_ref).collect();
    (!all.is_empty()).then(|| asked(version, policy, all))
}

/// One file in a merge by itself, to be written under the keys that its rows have now.
pub(crate) fn alone(version: &TableVersion, policy: &Policy, file: &TableFile) -> Choice {
    let level = file.sst.meta().level;
    Choice {
        file_bytes_max: u64::MAX,
        ..pick(version, policy, Reason::Asked, vec![file], level)
    }
}

fn asked(version: &TableVersion, policy: &Policy, files: Vec<&TableFile>) -> Choice {
    let (level, file_bytes_max) = match Strategy::of_table(version) {
        Strategy::TimeWindow { .. } => {
            let highest = files.iter().map(|file| file.sst.meta().level).max();
            (highest.unwrap_or(0).saturating_add(1), u64::MAX)
        }
        Strategy::Levelled => (
            levelled::level_of(bytes(&files), policy),
            policy.file_bytes_max.max(1),
        ),
    };
    Choice {
        file_bytes_max,
        ..pick(version, policy, Reason::Asked, files, level)
    }
}

/// Files whose rows have all expired and that shadow nothing, here or on its way.
fn expired(version: &TableVersion, policy: &Policy) -> Option<Choice> {
    let mut dead: Vec<&TableFile> = version
        .files
        .iter()
        .map(AsRef::as_ref)
        .filter(|file| {
            let meta = file.sst.meta();
            meta.max_expiry_ms.is_some_and(|last| last <= policy.now_ms)
        })
        .collect();
    // What one keeps alive may keep another alive: until nothing changes.
    loop {
        let before = dead.len();
        let kept = dead
            .iter()
            .copied()
            .filter(|file| {
                let bound = shadow::drop_below(version, policy.settled, &[*file], &dead);
                bound.is_some_and(|bound| file.sst.meta().max_hlc < bound)
            })
            .collect();
        dead = kept;
        if dead.is_empty() {
            return None;
        }
        if dead.len() == before {
            return Some(pick(version, policy, Reason::Expired, dead, 0));
        }
    }
}

/// The merge of these files, with what it may leave out.
pub(crate) fn pick(
    version: &TableVersion,
    policy: &Policy,
    reason: Reason,
    inputs: Vec<&TableFile>,
    level: u8,
) -> Choice {
    Choice {
        reason,
        level,
        split_time_ns: None,
        drop_below: shadow::drop_below(version, policy.settled, &inputs, &inputs),
        settled: shadow::settled(version, policy.settled),
        inputs: inputs.iter().map(|file| file.id).collect(),
        file_bytes_max: policy.file_bytes_max.max(1),
        memory_bytes_max: policy.memory_bytes_max,
        now_ms: policy.now_ms,
    }
}

fn bytes<'a>(files: impl IntoIterator<Item = &'a &'a TableFile>) -> u64 {
    files.into_iter().map(|file| file.sst.meta().bytes).sum()
}

#[cfg(test)]
mod tests;
