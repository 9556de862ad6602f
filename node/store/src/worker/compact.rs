//! Carrying out merges: the policy chooses, the merge writes new files, one manifest transaction
//! puts them in place of the old ones. A crash before it leaves orphans, after it left-overs; the
//! next start removes both.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use activestore_sst::{SstMeta, SstOptions};
use activestore_types::{Error, ErrorKind, Lsn, RangeTombstone, Result, TableId};

use super::{change, open_files, origins, remove_files};
use crate::compaction::{self, Choice, Outcome, Policy, Reason, Strategy};
use crate::manifest::{Edit, FileRecord};
use crate::stats::{CompactionInfo, TableStats};
use crate::store::shared::Shared;
use crate::store::{SST_DIR, sst_path};
use crate::version::{OwnKeys, TableFile, TableVersion};

/// Merges of at least this many bytes are written with the slower, smaller encoding.
const COLD_BYTES: u64 = 32 << 20;

/// How often a merge that waits looks again.
const PAUSE_LOOK: Duration = Duration::from_millis(100);

/// Between looks for files that have expired, at least and at most.
const EXPIRY_WAIT_MIN: Duration = Duration::from_secs(10);
const EXPIRY_WAIT_MAX: Duration = Duration::from_secs(3600);

/// Flushed files of a table that are too many: merges go on at full speed, whatever asks them to
/// rest or to be slow.
pub(super) const BACKLOG_URGENT: usize = 24;

/// Flushed files of a table that stand side by side at most: flushes wait, and commits behind them.
pub(super) const BACKLOG_MAX: usize = 2 * BACKLOG_URGENT;

/// Runs the merge that is due most; false if there is none.
///
/// # Errors
/// Why the merge failed; nothing has changed then.
pub(super) fn compact_one(shared: &Shared) -> Result<bool> {
    let _compacting = shared.compacting.lock();
    if shared.governor.is_paused() && !is_urgent(shared) {
        return Ok(false);
    }
    let policy = policy(shared)?;
    let version = shared.version();
    let chosen = version
        .tables()
        .filter_map(|table| {
            let policy = policy.of_table(shared, table.schema.id);
            Some((table, compaction::choose(table, &policy)?))
        })
        .max_by_key(|(table, _)| compaction::backlog(table));
    let Some((table, choice)) = chosen else {
        return Ok(false);
    };
    merge(shared, table, &choice)?;
    Ok(true)
}

/// Merges all files of a table, if that changes anything.
///
/// # Errors
/// `DiskFull` where there is no space for the new file beside the old ones; why the merge failed.
/// Nothing has changed then.
pub(crate) fn compact_all(shared: &Shared, id: TableId) -> Result<()> {
    let _hurry = shared.governor.hurry();
    let _compacting = shared.compacting.lock();
    for place in places(shared, id) {
        while merge_some(shared, id, place)? {}
    }
    Ok(())
}

/// The partitions of a table that have files for themselves.
fn places(shared: &Shared, id: TableId) -> Vec<Option<usize>> {
    let version = shared.version();
    version
        .table(id)
        .map_or_else(Vec::new, |table| compaction::places(table))
}

/// Merges all files of one place, or so many as one merge takes; whether there is more to do.
fn merge_some(shared: &Shared, id: TableId, place: Option<usize>) -> Result<bool> {
    let files = |table: &TableVersion| {
        let files = table.files.iter();
        let of = files.filter(|file| table.own.place_of_file(file.sst.meta()) == place);
        of.count()
    };
    let version = shared.version();
    let Some(table) = version.table(id) else {
        return Ok(false);
    };
    let policy = policy(shared)?.of_table(shared, id);
    let Some(choice) = compaction::among(table, &policy, place, |table| {
        compaction::major(table, &policy)
    }) else {
        return Ok(false);
    };
    let needed = bytes_of(table, &choice);
    if needed > policy.input_bytes_max {
        return Err(Error::new(
            ErrorKind::DiskFull,
            format!(
                "to merge {} takes {needed} bytes beside its files, and {} are free",
                table.schema.name, policy.input_bytes_max
            ),
        ));
    }
    let before = files(table);
    merge(shared, table, &choice)?;
    // A merge that leaves as many files as it took would be due for ever.
    let after = shared.version();
    let fewer = after.table(id).is_some_and(|table| files(table) < before);
    Ok(fewer && choice.inputs.len() < before)
}

/// Merges all files of a table into new ones at once, whatever that changes.
///
/// # Errors
/// Why the merge failed; nothing has changed then.
pub(super) fn rewrite_all(shared: &Shared, id: TableId) -> Result<()> {
    let _hurry = shared.governor.hurry();
    let _compacting = shared.compacting.lock();
    for place in places(shared, id) {
        let version = shared.version();
        let Some(table) = version.table(id) else {
            return Ok(());
        };
        let policy = policy(shared)?.of_table(shared, id);
        let rewrite = |table: &TableVersion| compaction::rewrite(table, &policy);
        if let Some(choice) = compaction::among(table, &policy, place, rewrite) {
            merge(shared, table, &choice)?;
        }
    }
    Ok(())
}

/// Writes the files of a table that `concerned` names anew, one by one, so that their rows are under
/// the keys that their partitions have now; those that are under `key` already stay.
///
/// # Errors
/// Why a merge failed; what was written before it stays.
pub(super) fn bring_over(
    shared: &Shared,
    id: TableId,
    key: u32,
    concerned: impl Fn(&OwnKeys, &SstMeta) -> bool,
) -> Result<()> {
    let _hurry = shared.governor.hurry();
    let _compacting = shared.compacting.lock();
    let version = shared.version();
    let Some(table) = version.table(id) else {
        return Ok(());
    };
    for file in &table.files {
        if !concerned(&table.own, file.sst.meta())
            || shared.sst_disks.own_key_of(&file.path)? == Some(key)
        {
            continue;
        }
        // Flushes add files meanwhile; those know the keys.
        let version = shared.version();
        if let Some(table) = version.table(id) {
            let policy = policy(shared)?.of_table(shared, id);
            merge(shared, table, &compaction::alone(table, &policy, file))?;
        }
    }
    Ok(())
}

fn bytes_of(table: &TableVersion, choice: &Choice) -> u64 {
    let files = table.files.iter();
    let inputs = files.filter(|file| choice.inputs.contains(&file.id));
    inputs.map(|file| file.sst.meta().bytes).sum()
}

/// Whether flushed files of some table have piled up so far that merges must not rest.
pub(super) fn is_urgent(shared: &Shared) -> bool {
    backlog(shared) >= BACKLOG_URGENT
}

/// The most flushed files that a table has side by side.
pub(super) fn backlog(shared: &Shared) -> usize {
    let version = shared.version();
    let tables = version.tables().map(|table| compaction::backlog(table));
    tables.max().unwrap_or(0)
}

/// When the next file expires, from now.
pub(super) fn next_expiry(shared: &Shared) -> Option<Duration> {
    let now_ms = shared.env.clock.wall_ms();
    let version = shared.version();
    let files = version.tables().flat_map(|table| &table.files);
    let next = files
        .filter_map(|file| file.sst.meta().max_expiry_ms)
        .min()?;
    // One that has expired and is still there waits for what it shadows to be settled.
    let wait = Duration::from_millis(next.saturating_sub(now_ms));
    Some(wait.clamp(EXPIRY_WAIT_MIN, EXPIRY_WAIT_MAX))
}

impl Policy {
    /// The same for a table, with what is promised of its writes to come.
    pub(super) fn of_table(self, shared: &Shared, table: TableId) -> Policy {
        Policy {
            settled: shared.settled.lock().of(table),
            ..self
        }
    }
}

/// The policy as of now, with the space that a merge may take; of no table yet.
pub(super) fn policy(shared: &Shared) -> Result<Policy> {
    let free = shared.env.disk.free_bytes()?;
    // Commits come first: a log segment, and what is in memory and not flushed yet.
    let reserve = shared.options.wal_segment_bytes + shared.options.memtable_bytes as u64;
    Ok(Policy {
        now_ms: shared.env.clock.wall_ms(),
        input_bytes_max: free.saturating_sub(reserve),
        memory_bytes_max: shared.options.merge_bytes_max,
        ..Policy::default()
    })
}

/// What is to be told of each table's files.
pub(crate) fn table_stats(shared: &Shared) -> Vec<TableStats> {
    let policy = policy(shared).unwrap_or_default();
    let version = shared.version();
    version
        .tables()
        .map(|table| {
            let strategy = Strategy::of_table(table);
            let sums = shared.history.sums(table.schema.id);
            let policy = policy.of_table(shared, table.schema.id);
            let chosen = compaction::choose(table, &policy);
            let due = |file: &&Arc<TableFile>| {
                chosen.iter().any(|choice| {
                    choice.reason != Reason::Expired && choice.inputs.contains(&file.id)
                })
            };
            let pending = table.files.iter().filter(due);
            TableStats {
                table: table.schema.id,
                name: table.schema.name.clone(),
                policy: strategy.name(),
                flush_bytes: sums.flush_bytes,
                compaction_bytes: sums.compaction_bytes,
                garbage_bytes: compaction::garbage_bytes(table, sums.dropped()),
                pending_compaction_bytes: pending.map(|file| file.sst.meta().bytes).sum(),
                groups: compaction::groups(table),
            }
        })
        .collect()
}

/// Carries out a choice and keeps the books.
pub(super) fn merge(shared: &Shared, table: &TableVersion, choice: &Choice) -> Result<()> {
    let clock = &shared.env.clock;
    let bytes_in = bytes_of(table, choice);
    let begun = clock.monotonic();
    let waited_before = shared.counters.compaction_wait_ns.get();
    shared.history.begin(CompactionInfo {
        table: table.schema.id,
        name: table.schema.name.clone(),
        policy: Strategy::of(&table.schema).name(),
        reason: choice.reason.name(),
        level: choice.level,
        inputs: choice.inputs.clone(),
        outputs: Vec::new(),
        bytes_in,
        bytes_out: 0,
        rows_in: 0,
        rows_out: 0,
        started_ms: clock.wall_ms(),
        duration_ms: None,
        error: None,
    });
    let mut numbers = Vec::new();
    let result = merge_files(shared, table, choice, bytes_in, &mut numbers);
    let counters = &shared.counters;
    let took = clock.monotonic().saturating_sub(begun);
    let waited = counters.compaction_wait_ns.get() - waited_before;
    let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    counters.compaction_ns.add(took_ns.saturating_sub(waited));
    shared.history.end(|info| {
        info.duration_ms = Some(took_ns / 1_000_000);
        match &result {
            Ok(outcome) => {
                info.outputs = numbers;
                info.bytes_out = outcome.files.iter().map(|file| file.meta.bytes).sum();
                (info.rows_in, info.rows_out) = (outcome.fragments_in, outcome.fragments_out);
            }
            Err(error) => info.error = Some(error.to_string()),
        }
    });
    match result {
        Ok(outcome) => {
            let written = outcome.files.iter().map(|file| file.meta.bytes);
            counters.compactions.add(1);
            counters.compaction_bytes.add(written.sum());
            counters.compaction_read_bytes.add(bytes_in);
            Ok(())
        }
        Err(error) => {
            if error.kind() != ErrorKind::Closed {
                counters.compaction_errors.add(1);
                tracing::warn!(%error, table = %table.schema.name, "a compaction failed");
            }
            Err(error)
        }
    }
}

fn merge_files(
    shared: &Shared,
    table: &TableVersion,
    choice: &Choice,
    bytes_in: u64,
    numbers: &mut Vec<u64>,
) -> Result<Outcome> {
    let mut next_path = || {
        let number = shared.next_file.fetch_add(1, Ordering::Relaxed);
        numbers.push(number);
        sst_path(number)
    };
    let options = SstOptions {
        cold: bytes_in >= COLD_BYTES,
        level: choice.level,
        group_bytes_max: Some(shared.options.group_bytes_max),
    };
    let outcome = compaction::run(
        table,
        choice,
        &origins(shared),
        &shared.sst_disks,
        options,
        &mut next_path,
        &mut |bytes| pace(shared, bytes),
    )?;
    // The merge may have left out what a delete shadows that is so far only in memory and in the
    // log: the rows must not go before that delete is durable.
    let published = shared
        .wal
        .sync()
        .and_then(|()| publish(shared, table.schema.id, choice, &outcome, numbers));
    if let Err(error) = &published
        && error.kind() != ErrorKind::Poisoned
    {
        // Only after a sync that failed may the manifest name these files all the same.
        remove_files(shared, outcome.files.iter().map(|file| file.path.as_str()));
    }
    published.map(|()| outcome)
}

/// Called as a merge writes: waits where it is to be slower or to rest, and ends it with the store.
fn pace(shared: &Shared, bytes: u64) -> Result<()> {
    let now = || shared.env.clock.monotonic();
    shared.history.written(bytes);
    shared.governor.spend(now(), bytes);
    let begun = now();
    let mut waited = false;
    loop {
        shared.check()?;
        // Without threads of its own the store would hold up the commit that it runs in.
        if !shared.options.background {
            break;
        }
        let owed = shared.governor.owed(now());
        let paused = shared.governor.is_paused();
        if owed.is_zero() && !paused {
            break;
        }
        if is_urgent(shared) || shared.governor.is_hurried() {
            shared.governor.forgive(now());
            break;
        }
        waited = true;
        let wait = if paused {
            PAUSE_LOOK
        } else {
            owed.min(PAUSE_LOOK)
        };
        shared.signal.wait(shared.signal.count(), Some(wait));
    }
    if waited {
        let waited = now().saturating_sub(begun).as_nanos();
        let waited = u64::try_from(waited).unwrap_or(u64::MAX);
        shared.counters.compaction_wait_ns.add(waited);
    }
    Ok(())
}

fn publish(
    shared: &Shared,
    id: TableId,
    choice: &Choice,
    outcome: &Outcome,
    numbers: &[u64],
) -> Result<()> {
    let reach = shared.version().table(id).map_or(Lsn(0), |table| {
        let inputs = table.files.iter();
        let inputs = inputs.filter(|file| choice.inputs.contains(&file.id));
        inputs.map(|file| file.reach).max().unwrap_or_default()
    });
    let files = open_files(shared, &outcome.files, numbers, reach)?;
    shared.sst_disks.common().sync_dir(SST_DIR)?;
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
    remove_files(shared, old.iter().map(String::as_str));
    Ok(())
}

#[cfg(test)]
mod tests;
