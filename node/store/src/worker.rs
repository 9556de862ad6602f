//! What runs behind the commits: flushes, compactions, a spare log segment, the log's timed sync.
//!
//! Two threads, so that a long merge never holds up a flush that commits wait for, and a third where
//! the log is synced by the clock, so that neither holds up that; without `StoreOptions::background` the same steps run in the caller, in a fixed order. A step that fails
//! changes nothing, is counted and is tried again; a failure that a retry cannot mend (a sync that
//! did not happen) poisons the store.

mod compact;
mod erase;
mod evict;
mod flush;
pub(crate) mod history;
mod own;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use activestore_sst::Sst;
use activestore_types::{Error, ErrorKind, Lsn, Result};

use crate::manifest::Edit;
use crate::options::WalSync;
use crate::store::shared::{FROZEN_MAX, Shared};
use crate::store::sst_path;
use crate::version::NewFile;
use crate::version::{Origins, TableFile};

pub(crate) use compact::{compact_all, table_stats};
pub(crate) use erase::erase;
pub(crate) use evict::{evict, may_evict};
pub(crate) use own::{
    destroy_past_keys, destroyed_keys, forget_dropped, renew_key, seal_partition, tend_own_keys,
    whole_state,
};

/// How long a failed step waits before it is tried again, unless a commit asks for it sooner.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Merges that one round of [`run_due`] does at most.
const MERGES_PER_ROUND: usize = 4;

/// Starts the threads.
pub(crate) fn spawn(shared: &Arc<Shared>) -> Result<Vec<JoinHandle<()>>> {
    let flusher = spawn_loop(shared, "store-flush", |shared| {
        let flushed = flush::flush_all(shared, true);
        flushed.and(tend_log(shared).map(|()| None))
    });
    let compactor = spawn_loop(shared, "store-compact", |shared| {
        compact_due(shared, usize::MAX).map(|()| compact::next_expiry(shared))
    });
    let mut threads = vec![flusher, compactor];
    if let WalSync::Interval(_) = shared.options.wal_sync {
        threads.push(spawn_loop(shared, "store-sync", |shared| {
            shared.wal.sync_if_due()
        }));
    }
    let spawned: std::io::Result<Vec<_>> = threads.into_iter().collect();
    spawned.map_err(|error| {
        // Those that did start end by themselves.
        shared.closed.store(true, Ordering::Release);
        shared.signal.raise();
        Error::from(error)
    })
}

/// Runs `step` whenever there may be work, until the store is closed. A step says how long to wait
/// at most before the next one.
fn spawn_loop(
    shared: &Arc<Shared>,
    name: &str,
    step: impl Fn(&Shared) -> Result<Option<Duration>> + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let guarded = std::panic::catch_unwind(AssertUnwindSafe(|| {
                while !shared.closed.load(Ordering::Acquire) {
                    let seen = shared.signal.count();
                    let wait = step(&shared).unwrap_or(Some(RETRY_DELAY));
                    if shared.closed.load(Ordering::Acquire) {
                        break;
                    }
                    shared.signal.wait(seen, wait);
                }
            }));
            if guarded.is_err() {
                shared.poison(&Error::internal("a thread of the store ended by a defect"));
            }
        })
}

/// Flushes what is frozen, in the caller's thread. A failure is counted.
pub(crate) fn flush_frozen(shared: &Shared) {
    let _ = flush::flush_all(shared, false);
}

/// Everything that is due, in the caller's thread. Failures are counted; the next round retries.
pub(crate) fn run_due(shared: &Shared) {
    // Each of these has counted and logged its own failure.
    let _ = flush::flush_all(shared, false);
    let _ = tend_log(shared);
    let _ = shared.wal.sync_if_due();
    let _ = compact_due(shared, MERGES_PER_ROUND);
}

/// Releases segments that are not needed, prepares the next one.
fn tend_log(shared: &Shared) -> Result<()> {
    if shared.check().is_err() {
        return Ok(());
    }
    let tended = shared.release_log().and_then(|()| shared.wal.prepare());
    if let Err(error) = &tended {
        tracing::warn!(%error, "the log's segments could not be tended; trying again");
    }
    tended
}

fn compact_due(shared: &Shared, merges_max: usize) -> Result<()> {
    if !shared.options.auto_compact {
        return Ok(());
    }
    for _ in 0..merges_max {
        if shared.check().is_err() || !compact::compact_one(shared)? {
            break;
        }
    }
    Ok(())
}

/// Waits while the active memtables are full and cannot be frozen, since [`FROZEN_MAX`] sets of
/// them wait for their flush already.
///
/// # Errors
/// Why the flush does not get on.
pub(crate) fn wait_for_room(shared: &Shared) -> Result<()> {
    let room = |frozen| frozen < FROZEN_MAX || !shared.freeze_is_due();
    wait_for(shared, room, true)
}

/// Waits until everything frozen is flushed.
///
/// # Errors
/// Why the flush failed.
pub(crate) fn wait_for_flush(shared: &Shared) -> Result<()> {
    let target = shared.frozen.lock().last;
    if !shared.options.background {
        flush::flush_all(shared, false)?;
        tend_log(shared)?;
        return Ok(());
    }
    wait_for(shared, |_| shared.flushed() >= target, false)
}

fn wait_for(shared: &Shared, met: impl Fn(usize) -> bool, stall: bool) -> Result<()> {
    if met(shared.frozen.lock().generations.len()) {
        return Ok(());
    }
    if stall {
        shared.counters.stalls.add(1);
    }
    if !shared.options.background {
        flush::flush_all(shared, false)?;
        return Ok(());
    }
    let mut frozen = shared.frozen.lock();
    let attempts = frozen.attempts;
    shared.signal.raise();
    while !met(frozen.generations.len()) {
        shared.check()?;
        if frozen.attempts > attempts
            && let Some(error) = &frozen.error
        {
            return Err(error.clone());
        }
        shared.frozen_changed.wait(&mut frozen);
    }
    Ok(())
}

/// Carries out a change of the manifest; who calls holds `structure`.
pub(crate) fn change(shared: &Shared, edit: &Edit) -> Result<()> {
    shared.manifest.commit(edit).map_err(|error| {
        if error.kind() == ErrorKind::Poisoned {
            shared.poison(&error)
        } else {
            error
        }
    })
}

/// Opens files that were just written; `numbers` are those that their paths were made of, `reach` is the last
/// log record of which rows are in them.
fn open_files(
    shared: &Shared,
    files: &[NewFile],
    numbers: &[u64],
    reach: Lsn,
) -> Result<Vec<Arc<TableFile>>> {
    let disk = shared.sst_disks.common();
    let open = |new: &NewFile| {
        let number = numbers.iter().find(|number| sst_path(**number) == new.path);
        let number = number.copied();
        Ok(Arc::new(TableFile {
            id: number.ok_or_else(|| Error::internal("a file that was not numbered"))?,
            path: new.path.clone(),
            sst: Sst::open_cached(disk, &new.path, &shared.blocks)?,
            reach,
            apart: Arc::default(),
        }))
    };
    files.iter().map(open).collect()
}

/// Removes files that no version names any more. One that stays is removed at the next start.
pub(crate) fn remove_files<'a>(shared: &Shared, paths: impl Iterator<Item = &'a str>) {
    for path in paths {
        if let Err(error) = shared.env.disk.remove(path) {
            tracing::debug!(%error, path, "a file that is not needed stays until the next start");
        }
    }
}

/// The order of nodes for equal stamps.
pub(crate) fn origins(shared: &Shared) -> Origins {
    let map = Arc::clone(&shared.origins);
    Arc::new(move |id| map.node_or_this(id))
}
