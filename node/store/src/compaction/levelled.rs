//! Levels: for tables whose rows are about no time, or are written again and again.
//!
//! Level 0 holds what was flushed; its files overlap. The files of a deeper level do not overlap
//! among themselves, and a level may be ten times as large as the one above it. So a key is in at
//! most one file a level, and the stale fragments are at most about a tenth of the table.
//!
//! Steps: 1. level 0, with what it overlaps in level 1, becomes level 1, once it has enough files
//! and they are worth the rewriting; 2. from a level that has outgrown its size, the file that
//! overlaps least of the next moves there. A file that overlaps others of its level, as after a
//! change of the table's policy, counts as level 0.

use super::{Choice, Policy, Reason, bytes, pick};
use crate::version::{TableFile, TableVersion};

/// A level may be this many times as large as the one above.
const LEVEL_RATIO: u64 = 10;
/// Level 1 may be this many times as large as one file.
const FIRST_LEVEL_FILES: u64 = 4;
/// Level 0 is merged early, at half the files, where it is at least this part of what it overlaps.
const EARLY_SHARE: u64 = 4;
/// The deepest level: at 64 MiB a file, beyond a petabyte.
const LEVELS_MAX: u8 = 7;

pub(super) fn choose(version: &TableVersion, policy: &Policy) -> Option<Choice> {
    let levels = levels(version);
    first_level(version, policy, &levels).or_else(|| deeper(version, policy, &levels))
}

/// The files of each level, by key; level 0 first. One that overlaps another of its level is in
/// level 0.
pub(super) fn levels(version: &TableVersion) -> Vec<Vec<&TableFile>> {
    let mut levels: Vec<Vec<&TableFile>> = vec![Vec::new(); usize::from(LEVELS_MAX) + 1];
    for file in &version.files {
        let level = file.sst.meta().level.min(LEVELS_MAX);
        if let Some(level) = levels.get_mut(usize::from(level)) {
            level.push(file);
        }
    }
    let mut overlapping = Vec::new();
    for files in levels.iter_mut().skip(1) {
        files.sort_by(|left, right| left.sst.meta().first_key.cmp(&right.sst.meta().first_key));
        let mut last: &[u8] = &[];
        let mut clean = Vec::with_capacity(files.len());
        for (place, file) in files.iter().enumerate() {
            let meta = file.sst.meta();
            let before = place > 0 && meta.first_key.as_slice() <= last;
            let next = files.get(place + 1).map(|next| &next.sst.meta().first_key);
            if before || next.is_some_and(|next| *next <= meta.last_key) {
                overlapping.push(*file);
            } else {
                clean.push(*file);
            }
            last = last.max(&meta.last_key);
        }
        *files = clean;
    }
    if let Some(first) = levels.first_mut() {
        first.extend(overlapping);
    }
    levels
}

/// The first level below 0 that may have so many bytes.
pub(super) fn level_of(bytes: u64, policy: &Policy) -> u8 {
    let fits = |level: &u8| bytes <= size_max(*level, policy);
    (1..LEVELS_MAX).find(fits).unwrap_or(LEVELS_MAX)
}

/// The size that a level may have, in bytes.
pub(super) fn size_max(level: u8, policy: &Policy) -> u64 {
    let first = policy.file_bytes_max.saturating_mul(FIRST_LEVEL_FILES);
    first.saturating_mul(LEVEL_RATIO.saturating_pow(u32::from(level.saturating_sub(1))))
}

fn first_level(
    version: &TableVersion,
    policy: &Policy,
    levels: &[Vec<&TableFile>],
) -> Option<Choice> {
    let mut flushed = levels.first()?.clone();
    flushed.sort_by_key(|file| file.id);
    flushed.truncate(policy.files_max.max(2));
    let mut below = overlapping(&flushed, levels.get(1)?);
    // Where there is no space for all of it, some files alone are better than none.
    while bytes(&flushed) + bytes(&below) > policy.input_bytes_max && flushed.len() > 2 {
        flushed.pop();
        below = overlapping(&flushed, levels.get(1)?);
    }
    if bytes(&flushed) + bytes(&below) > policy.input_bytes_max {
        return None;
    }
    let flushed_all = levels.first()?.len();
    let enough = flushed_all >= policy.files_min.max(2);
    let early = flushed_all >= (policy.files_min / 2).max(2)
        && bytes(&flushed).saturating_mul(EARLY_SHARE) >= bytes(&below);
    if !enough && !early {
        return None;
    }
    flushed.extend(below);
    Some(pick(version, policy, Reason::Files, flushed, 1))
}

fn deeper(version: &TableVersion, policy: &Policy, levels: &[Vec<&TableFile>]) -> Option<Choice> {
    for (level, files) in (1..LEVELS_MAX).zip(levels.iter().skip(1)) {
        if bytes(files) <= size_max(level, policy) {
            continue;
        }
        let next = levels.get(usize::from(level) + 1)?;
        // The bytes rewritten for each byte that moves down.
        let cost = |file: &&&TableFile| {
            let overlapped = bytes(&overlapping(&[**file], next));
            overlapped.saturating_mul(1024) / file.sst.meta().bytes.max(1)
        };
        let moving = *files.iter().min_by_key(cost)?;
        let mut inputs = overlapping(&[moving], next);
        inputs.push(moving);
        if bytes(&inputs) > policy.input_bytes_max {
            continue;
        }
        return Some(pick(version, policy, Reason::Level, inputs, level + 1));
    }
    None
}

/// Those of `of` that overlap the stretch of keys from the first to the last of `files`: a merge of
/// `files` may write a file over all of it.
fn overlapping<'a>(files: &[&TableFile], of: &[&'a TableFile]) -> Vec<&'a TableFile> {
    let metas = || files.iter().map(|file| file.sst.meta());
    let first = metas().map(|meta| &meta.first_key).min();
    let last = metas().map(|meta| &meta.last_key).max();
    let Some((first, last)) = first.zip(last) else {
        return Vec::new();
    };
    let meets = |other: &&&TableFile| {
        let meta = other.sst.meta();
        meta.first_key <= *last && *first <= meta.last_key
    };
    of.iter().filter(meets).copied().collect()
}

#[cfg(test)]
mod tests;
