//! Carrying out merges: the policy chooses, the merge writes new files, one manifest transaction
//! puts them in place of the old ones. A crash before it leaves orphans, after it left-overs; the
//! next start removes both.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_sst::{Sst, SstOptions};
use activestore_types::{ErrorKind, RangeTombstone, Result, TableId};

use super::{change, origins, remove_files};
use crate::compaction::{self, Choice, Outcome, Policy};
use crate::manifest::{Edit, FileRecord};
use crate::store::shared::Shared;
use crate::store::{SST_DIR, sst_path};
use crate::version::{TableFile, TableVersion};

/// Merges of at least this many bytes are written with the slower, smaller encoding.
const COLD_BYTES: u64 = 32 << 20;

/// Runs the first merge that the policy finds worth its cost; false if there is none.
///
/// # Errors
/// Why the merge failed; nothing has changed then.
pub(super) fn compact_one(shared: &Shared) -> Result<bool> {
    let _compacting = shared.compacting.lock();
    let policy = policy(shared);
    let version = shared.version();
    let chosen = version
        .tables()
        .find_map(|table| Some((table, compaction::choose(table, &policy)?)));
    let Some((table, choice)) = chosen else {
        return Ok(false);
    };
    counted(shared, merge(shared, table, &choice))?;
    Ok(true)
}

/// Merges all files of a table, if that changes anything.
///
/// # Errors
/// Why the merge failed; nothing has changed then.
pub(crate) fn compact_all(shared: &Shared, id: TableId) -> Result<()> {
    let _compacting = shared.compacting.lock();
    let version = shared.version();
    let Some(table) = version.table(id) else {
        return Ok(());
    };
    match compaction::major(table, &policy(shared)) {
        Some(choice) => counted(shared, merge(shared, table, &choice)),
        None => Ok(()),
    }
}

/// Merges all files of a table into new ones, whatever that changes.
///
/// # Errors
/// Why the merge failed; nothing has changed then.
pub(super) fn rewrite_all(shared: &Shared, id: TableId) -> Result<()> {
    let _compacting = shared.compacting.lock();
    let version = shared.version();
    let Some(table) = version.table(id) else {
        return Ok(());
    };
    match compaction::rewrite(table, &policy(shared)) {
        Some(choice) => counted(shared, merge(shared, table, &choice)),
        None => Ok(()),
    }
}

fn policy(shared: &Shared) -> Policy {
    Policy {
        settled: *shared.settled.lock(),
        now_ms: shared.env.clock.wall_ms(),
        ..Policy::default()
    }
}

fn counted(shared: &Shared, result: Result<()>) -> Result<()> {
    match &result {
        Ok(()) => shared.counters.compactions.add(1),
        Err(error) => {
            shared.counters.compaction_errors.add(1);
            tracing::warn!(%error, "a compaction failed");
        }
    }
    result
}

fn merge(shared: &Shared, table: &TableVersion, choice: &Choice) -> Result<()> {
    let inputs = table
        .files
        .iter()
        .filter(|file| choice.inputs.contains(&file.id));
    let input_bytes: u64 = inputs.map(|file| file.sst.meta().bytes).sum();
    let mut numbers = Vec::new();
    let mut next_path = || {
        let number = shared.next_file.fetch_add(1, Ordering::Relaxed);
        numbers.push(number);
        sst_path(number)
    };
    let options = SstOptions {
        cold: input_bytes >= COLD_BYTES,
    };
    let outcome = compaction::run(
        table,
        choice,
        &origins(shared),
        &shared.sst_disk,
        options,
        &mut next_path,
    )?;
    // The merge may have left out what a delete shadows that is so far only in memory and in the
    // log: the rows must not go before that delete is durable.
    let published = shared
        .wal
        .sync()
        .and_then(|()| publish(shared, table.schema.id, choice, &outcome, &numbers));
    if let Err(error) = &published
        && error.kind() != ErrorKind::Poisoned
    {
        // Only after a sync that failed may the manifest name these files all the same.
        remove_files(shared, outcome.files.iter().map(|file| file.path.as_str()));
    }
    published
}

fn publish(
    shared: &Shared,
    id: TableId,
    choice: &Choice,
    outcome: &Outcome,
    numbers: &[u64],
) -> Result<()> {
    let disk = &shared.sst_disk;
    let mut files = Vec::new();
    for new in &outcome.files {
        let number = numbers.iter().find(|number| sst_path(**number) == new.path);
        files.push(Arc::new(TableFile {
            id: number.copied().unwrap_or_default(),
            path: new.path.clone(),
            sst: Sst::open(disk, &new.path)?,
        }));
    }
    disk.sync_dir(SST_DIR)?;
    let _structure = shared.structure.lock();
    let version = shared.version();
    let Some(table) = version.table(id) else {
        remove_files(shared, outcome.files.iter().map(|file| file.path.as_str()));
        return Ok(());
    };
    let tombstones: Vec<RangeTombstone> = table
        .tombstones
        .iter()
        .filter(|tombstone| !outcome.dropped_tombstones.contains(tombstone))
        .cloned()
        .collect();
    let changed = tombstones.len() != table.tombstones.len();
    change(
        shared,
        &Edit {
            add_files: files
                .iter()
                .map(|file| FileRecord {
                    table: id,
                    id: file.id,
                    meta: file.sst.meta().clone(),
                })
                .collect(),
            remove_files: choice.inputs.iter().map(|input| (id, *input)).collect(),
            tombstones: changed
                .then(|| (id, tombstones.clone()))
                .into_iter()
                .collect(),
            next_file: Some(shared.next_file.load(Ordering::Relaxed)),
            ..Edit::default()
        },
    )?;
    let old: Vec<String> = {
        let mut slot = shared.version.write();
        let Some(table) = slot.table(id) else {
            return Ok(());
        };
        let mut table = table.as_ref().clone();
        let (out, mut kept): (Vec<_>, Vec<_>) = table
            .files
            .into_iter()
            .partition(|file| choice.inputs.contains(&file.id));
        kept.extend(files.iter().map(Arc::clone));
        table.files = kept;
        table.tombstones = Arc::new(tombstones);
        *slot = Arc::new(slot.with_table(table));
        out.iter().map(|file| file.path.clone()).collect()
    };
    let written = outcome.files.iter().map(|file| file.meta.bytes);
    shared.counters.compaction_bytes.add(written.sum());
    remove_files(shared, old.iter().map(String::as_str));
    Ok(())
}
