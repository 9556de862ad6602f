//! The flush: the oldest generation of frozen memtables becomes one SSTable a table.
//!
//! Steps, each of which a crash may follow: 1. sync the log (rows must not outlive their record);
//! 2. write and sync the files; 3. sync their names; 4. commit the manifest: from here on the files
//! count and the log's records up to the generation's last do not; 5. publish the version without
//! the memtables. Before 4, the files are orphans, removed at the next start.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use activestore_sst::SstOptions;
use activestore_types::{ErrorKind, Lsn, RangeTombstone, Result, TableId};

use super::compact::{BACKLOG_MAX, backlog};
use super::{change, open_files, remove_files};
use crate::manifest::{Edit, FileRecord};
use crate::memtable::{Memtable, flush};
use crate::store::shared::{Generation, Shared};
use crate::store::{SST_DIR, sst_path};
use crate::version::{TableFile, Version};

/// How long a flush waits for merges before it looks again, and how often it does.
const MERGE_WAIT: Duration = Duration::from_millis(100);
const MERGE_WAITS_MAX: usize = 100;

/// Flushes every generation that waits, oldest first; a `patient` one lets merges get on before it
/// adds to the files.
///
/// # Errors
/// Why one failed; it stays and is tried again.
pub(super) fn flush_all(shared: &Shared, patient: bool) -> Result<Option<Duration>> {
    loop {
        let Some(generation) = shared.frozen.lock().generations.front().map(Arc::clone) else {
            return Ok(None);
        };
        if patient {
            wait_for_merges(shared);
        }
        let dead = shared.wal.check().err();
        let result = dead.clone().map_or_else(|| run(shared, &generation), Err);
        let mut frozen = shared.frozen.lock();
        frozen.attempts += 1;
        frozen.error = result.as_ref().err().cloned();
        match &result {
            Ok(()) => {
                frozen.generations.pop_front();
                shared.counters.flushes.add(1);
            }
            // A poisoned store has said so already.
            Err(_) if dead.is_some() => {}
            Err(error) => {
                shared.counters.flush_errors.add(1);
                tracing::warn!(%error, "a flush failed");
            }
        }
        drop(frozen);
        shared.frozen_changed.notify_all();
        // The next merge may have become worth its cost.
        result.inspect(|()| shared.signal.raise())?;
    }
}

/// Waits while so many flushed files stand beside each other that another one would be too many for
/// reads and for memory; commits then wait for the flush. Merges that fail, or that have no space,
/// are not waited for: the log has no room without end either.
fn wait_for_merges(shared: &Shared) {
    if !shared.options.auto_compact {
        return;
    }
    let mut waited = 0;
    while waited < MERGE_WAITS_MAX
        && backlog(shared) >= BACKLOG_MAX
        && !shared.history.is_failing()
        && shared.check().is_ok()
    {
        // A merge makes itself known when it ends; one that is never due ends the wait.
        waited += 1;
        shared.signal.wait(shared.signal.count(), Some(MERGE_WAIT));
    }
}

/// A file that is written and not published.
struct Made {
    table: TableId,
    file: Arc<TableFile>,
}

fn run(shared: &Shared, generation: &Generation) -> Result<()> {
    shared.wal.sync()?;
    let mut made = Vec::new();
    let written = write_files(shared, generation, &mut made);
    let published = written.and_then(|()| publish(shared, generation, &made));
    if let Err(error) = &published
        && error.kind() != ErrorKind::Poisoned
    {
        // Only after a sync that failed may the manifest name these files all the same.
        remove_files(shared, made.iter().map(|made| made.file.path.as_str()));
    }
    published
}

fn write_files(shared: &Shared, generation: &Generation, made: &mut Vec<Made>) -> Result<()> {
    let version = shared.version();
    let disk = shared.sst_disks.common();
    for (id, memtable) in &generation.tables {
        let Some(table) = version.table(*id) else {
            continue;
        };
        let mut numbers = Vec::new();
        let mut next_path = || {
            let number = shared.next_file.fetch_add(1, Ordering::Relaxed);
            numbers.push(number);
            sst_path(number)
        };
        let options = SstOptions {
            group_bytes_max: Some(shared.options.group_bytes_max),
            ..SstOptions::default()
        };
        let (schema, disks) = (&table.schema, &shared.sst_disks);
        let files = flush::flush(
            memtable,
            schema,
            &table.own,
            disks,
            &mut next_path,
            &options,
        )?;
        let opened = open_files(shared, &files, &numbers, generation.last)
            .inspect_err(|_| remove_files(shared, files.iter().map(|file| file.path.as_str())))?;
        for file in opened {
            let bytes = file.sst.meta().bytes;
            shared.counters.flush_bytes.add(bytes);
            shared.history.flushed(*id, bytes);
            made.push(Made { table: *id, file });
        }
    }
    if !made.is_empty() {
        disk.sync_dir(SST_DIR)?;
    }
    Ok(())
}

fn publish(shared: &Shared, generation: &Generation, made: &[Made]) -> Result<()> {
    let _structure = shared.structure.lock();
    let version = shared.version();
    // A table that was dropped in the meantime takes its file with it.
    let (live, gone): (Vec<&Made>, Vec<&Made>) = made
        .iter()
        .partition(|made| version.table(made.table).is_some());
    let tombstones = later_tombstones(&version, generation);
    let edit = Edit {
        add_files: live
            .iter()
            .map(|made| FileRecord {
                table: made.table,
                id: made.file.id,
                meta: made.file.sst.meta().clone(),
            })
            .collect(),
        tombstones: tombstones.clone(),
        notes: generation.notes.clone(),
        flushed: Some(generation.last),
        max_hlc: Some(generation.max_hlc),
        next_file: Some(shared.next_file.load(Ordering::Relaxed)),
        hold: Some(*shared.hold.lock()),
        ..Edit::default()
    };
    change(shared, &edit)?;
    {
        let mut slot = shared.version.write();
        let mut next = Version::clone(&slot);
        for (id, memtable) in &generation.tables {
            let Some(table) = slot.table(*id) else {
                continue;
            };
            let mut table = table.as_ref().clone();
            table.frozen.retain(|frozen| !Arc::ptr_eq(frozen, memtable));
            table.files.extend(
                live.iter()
                    .filter(|made| made.table == *id)
                    .map(|made| Arc::clone(&made.file)),
            );
            if let Some((_, list)) = tombstones.iter().find(|(table, _)| table == id) {
                table.tombstones = Arc::new(list.clone());
            }
            next = next.with_table(table);
        }
        *slot = Arc::new(next);
    }
    let Lsn(flushed) = generation.last;
    shared.flushed.store(flushed, Ordering::Release);
    remove_files(shared, gone.iter().map(|made| made.file.path.as_str()));
    Ok(())
}

/// The manifest's range tombstones of each table, with those of the generation added.
fn later_tombstones(
    version: &Version,
    generation: &Generation,
) -> Vec<(TableId, Vec<RangeTombstone>)> {
    let mut all = Vec::new();
    for (id, memtable) in &generation.tables {
        let added = Memtable::tombstones(memtable);
        if let (Some(table), false) = (version.table(*id), added.is_empty()) {
            let mut list = table.tombstones.as_ref().clone();
            list.extend(added);
            all.push((*id, list));
        }
    }
    all
}
