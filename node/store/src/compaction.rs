//! Compaction: fewer files that say the same.
//!
//! The policy looks at a version and returns a [`Choice`]; [`run`] carries one out and returns what
//! to publish. Neither changes a version, and neither decides when it is called.
//!
//! What a merge may leave out, and why nothing ever comes back:
//! 1. a fragment whose cells are all decided by newer fragments of the same merge;
//! 2. everything below a row tombstone of the same merge or a durable range tombstone;
//! 3. a tombstone, or an expired fragment with nothing older beside it, only where every file of
//!    the table is in the merge, and its stamp is below that of every fragment in a memtable and
//!    below [`Policy::settled`]: then there is nothing, here or on its way, that it could shadow.

use activestore_sst::SstMeta;
use activestore_types::{Hlc, RangeTombstone};

use crate::version::{TableFile, TableVersion};

mod reduce;
mod run;

pub use run::run;

/// Files below this size count as equal.
const TIER_FLOOR_BYTES: u64 = 1 << 20;
/// Files of one tier differ at most by this factor.
const TIER_RATIO: u64 = 3;

/// When files are merged and how far.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Files of one tier that are worth a merge.
    pub files_min: usize,
    /// Files that one merge reads at most.
    pub files_max: usize,
    /// A merge begins a new file at about this size, in bytes.
    pub file_bytes_max: u64,
    /// Every write stamped below this that this table will ever see has been committed already;
    /// the caller promises it. `None`: unknown, so all tombstones stay.
    pub settled: Option<Hlc>,
    /// The time that decides what has expired, in milliseconds since 1970.
    pub now_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            files_min: 4,
            files_max: 16,
            file_bytes_max: 256 << 20,
            settled: None,
            now_ms: 0,
        }
    }
}

/// What to merge: a value, to be carried out by [`run`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The ids of the files to merge.
    pub inputs: Vec<u64>,
    /// Tombstones and expired fragments stamped below this may go; `None`: all stay.
    pub drop_below: Option<Hlc>,
    /// As [`Policy::file_bytes_max`].
    pub file_bytes_max: u64,
    /// As [`Policy::now_ms`].
    pub now_ms: u64,
}

/// A file that a merge wrote; durable, not yet part of any version.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Where it lies on the disk.
    pub path: String,
    /// What its footer says.
    pub meta: SstMeta,
}

/// What a merge made: the next version has `files` in place of the choice's inputs.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The new files, in key order; none where nothing was left.
    pub files: Vec<NewFile>,
    /// Range tombstones of the manifest that may leave it in the same step.
    pub dropped_tombstones: Vec<RangeTombstone>,
    /// Fragments read.
    pub fragments_in: u64,
    /// Fragments written.
    pub fragments_out: u64,
}

/// The next merge worth its cost, size-tiered: files of like size that overlap, or small ones
/// whether they do or not. `None` when the table is in order.
pub fn choose(version: &TableVersion, policy: &Policy) -> Option<Choice> {
    let mut files: Vec<&TableFile> = version.files.iter().map(AsRef::as_ref).collect();
    files.sort_by_key(|file| (size(file), file.id));
    let small = policy.file_bytes_max / 4;
    let mut rest = files.as_slice();
    while let Some(first) = rest.first() {
        let limit = size(first).saturating_mul(TIER_RATIO);
        let (tier, others) = rest.split_at(rest.partition_point(|file| size(file) <= limit));
        rest = others;
        let chosen = if size(first) < small {
            let small_ones = tier.partition_point(|file| size(file) < small);
            tier.get(..small_ones).unwrap_or(tier).to_vec()
        } else {
            deepest(tier)
        };
        if chosen.len() >= policy.files_min.max(2) {
            let ids = chosen.iter().take(policy.files_max.max(2));
            return Some(pick(version, policy, ids.map(|file| file.id).collect()));
        }
    }
    None
}

/// All files of the table in one merge; `None` where that would change nothing.
pub fn major(version: &TableVersion, policy: &Policy) -> Option<Choice> {
    let worth = match version.files.as_slice() {
        [] => false,
        [only] => !only.sst.meta().unique || !version.tombstones.is_empty(),
        _ => true,
    };
    worth.then(|| {
        pick(
            version,
            policy,
            version.files.iter().map(|file| file.id).collect(),
        )
    })
}

/// All files of the table in one merge, also where it changes nothing that is read: what no row
/// shows any more is then in no file.
pub fn rewrite(version: &TableVersion, policy: &Policy) -> Option<Choice> {
    let all: Vec<u64> = version.files.iter().map(|file| file.id).collect();
    (!all.is_empty()).then(|| pick(version, policy, all))
}

fn pick(version: &TableVersion, policy: &Policy, inputs: Vec<u64>) -> Choice {
    let complete = inputs.len() == version.files.len();
    let in_memory = version
        .memtables()
        .filter_map(|memtable| memtable.min_hlc())
        .min();
    let settled = policy
        .settled
        .map(|settled| in_memory.map_or(settled, |lowest| lowest.min(settled)));
    Choice {
        inputs,
        drop_below: settled.filter(|_| complete),
        file_bytes_max: policy.file_bytes_max.max(1),
        now_ms: policy.now_ms,
    }
}

fn size(file: &TableFile) -> u64 {
    file.sst.meta().bytes.max(TIER_FLOOR_BYTES)
}

/// The largest set of files that share a key range.
fn deepest<'a>(files: &[&'a TableFile]) -> Vec<&'a TableFile> {
    files
        .iter()
        .map(|file| {
            let key = &file.sst.meta().first_key;
            let shares = |other: &&&TableFile| {
                let meta = other.sst.meta();
                meta.first_key <= *key && *key <= meta.last_key
            };
            files.iter().filter(shares).copied().collect::<Vec<_>>()
        })
        .max_by_key(Vec::len)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
