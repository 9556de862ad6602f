//! Carrying out an eviction: files that may go, go in one change of the manifest; files that hold rows on
//! both sides of the bound are cut in two, and then what is cut off goes. A crash between any two steps leaves
//! rows that the next eviction finds.

use activestore_types::{Result, TableId};

use super::compact::{merge, policy};
use crate::compaction::evict::{Evicted, Eviction, cut, gone, left};
use crate::store::shared::Shared;

/// Files that one call cuts at most: commits wait for flushes, and flushes for merges.
const CUTS_MAX: usize = 64;

/// Whether something may go now, or is to be cut so that it can, and how many files hold rows before the bound.
///
/// # Errors
/// As the disk.
pub(crate) fn may_evict(shared: &Shared, id: TableId, eviction: &Eviction) -> Result<(bool, u64)> {
    let policy = policy(shared)?.of_table(shared, id);
    let version = shared.version();
    Ok(version.table(id).map_or((false, 0), |table| {
        let due = gone(table, &policy, eviction).is_some()
            || cut(table, &policy, eviction, &[]).is_some();
        (due, left(table, eviction))
    }))
}

/// Drops what may go. What went before an error is gone.
///
/// # Errors
/// Why a merge failed.
pub(crate) fn evict(shared: &Shared, id: TableId, eviction: &Eviction) -> Result<Evicted> {
    let mut evicted = Evicted::default();
    // First what costs nothing: it makes room for the rest.
    drop_whole(shared, id, eviction, &mut evicted)?;
    let mut looked_at = Vec::new();
    while looked_at.len() < CUTS_MAX {
        let _compacting = shared.compacting.lock();
        let version = shared.version();
        let Some(table) = version.table(id) else {
            return Ok(evicted);
        };
        let policy = policy(shared)?.of_table(shared, id);
        let Some(choice) = cut(table, &policy, eviction, &looked_at) else {
            break;
        };
        looked_at.extend_from_slice(&choice.inputs);
        merge(shared, table, &choice)?;
    }
    if !looked_at.is_empty() {
        drop_whole(shared, id, eviction, &mut evicted)?;
    }
    let version = shared.version();
    evicted.left = version.table(id).map_or(0, |table| left(table, eviction));
    Ok(evicted)
}

fn drop_whole(
    shared: &Shared,
    id: TableId,
    eviction: &Eviction,
    evicted: &mut Evicted,
) -> Result<()> {
    let _compacting = shared.compacting.lock();
    let version = shared.version();
    let Some(table) = version.table(id) else {
        return Ok(());
    };
    let policy = policy(shared)?.of_table(shared, id);
    let Some(choice) = gone(table, &policy, eviction) else {
        return Ok(());
    };
    merge(shared, table, &choice)?;
    let files = table.files.iter();
    for file in files.filter(|file| choice.inputs.contains(&file.id)) {
        let meta = file.sst.meta();
        evicted.files += 1;
        evicted.rows += meta.rows;
        evicted.bytes += meta.bytes;
    }
    Ok(())
}
