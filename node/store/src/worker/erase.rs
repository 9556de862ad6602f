//! Erasing: after it, no file of the directory holds bytes of what was deleted before it.
//!
//! Steps: 1. the log goes on in a clean segment, and from here on those that are given back are filled
//! with zeros; 2. flush, so that nothing before that segment is needed; 3. write the table's files
//! anew without what was deleted; 4. write the manifest anew, because redb leaves old pages where they
//! are; 5. give back the log's older segments. A crash between them leaves a store that is whole
//! and not erased; the caller was not told otherwise.

use std::time::Duration;

use activestore_types::{Error, ErrorKind, Lsn, Result, TableId};

use super::{compact, wait_for_flush};
use crate::store::shared::Shared;

/// How long a holder of the log may take to move on, and how often it is looked at.
const HOLDER_WAIT: Duration = Duration::from_secs(5);
const HOLDER_LOOK: Duration = Duration::from_millis(50);

/// Carries out the steps.
///
/// # Errors
/// `Conflict` when the log is held; why a step failed.
pub(crate) fn erase(shared: &Shared, id: TableId) -> Result<()> {
    let _erasing = shared.erasing.lock();
    wiping(shared, || {
        compact::rewrite_all(shared, id)?;
        let _structure = shared.structure.lock();
        shared.manifest.rewrite().map_err(|error| {
            if error.kind() == ErrorKind::Poisoned {
                shared.poison(&error)
            } else {
                error
            }
        })
    })
}

/// Flushes, rewrites, and gives back the log of before, filled with zeros; who calls holds `erasing`.
///
/// # Errors
/// As [`erase`].
pub(super) fn wiping(shared: &Shared, rewrite: impl FnOnce() -> Result<()>) -> Result<()> {
    let wiped = shared.wal.begin_wiping().and_then(|begin| {
        flush_below(shared, begin)?;
        rewrite()?;
        shared.release_log()?;
        wait_for_holder(shared, begin)?;
        let Lsn(first) = shared.wal.first();
        if first < begin.0 {
            return Err(Error::conflict(format!(
                "the log is held from record {first} on and still has what was written before"
            ))
            .with_hint("wait until the rows are shipped, and run it again"));
        }
        Ok(())
    });
    shared.wal.end_wiping();
    wiped
}

/// Gives whoever holds the log a while to move on past what was written before `begin`.
fn wait_for_holder(shared: &Shared, begin: Lsn) -> Result<()> {
    let now = || shared.env.clock.monotonic();
    let begun = now();
    // Without threads of its own, a store waits for nobody.
    while shared.options.background
        && shared.wal.first() < begin
        && now().saturating_sub(begun) < HOLDER_WAIT
    {
        shared.check()?;
        let seen = shared.signal.count();
        if let Some(wake) = shared.holder.lock().as_ref() {
            wake();
        }
        shared.signal.wait(seen, Some(HOLDER_LOOK));
        shared.release_log()?;
    }
    Ok(())
}

/// Flushes every record before `begin`. Those of a group that is in the log and not in the memtables
/// yet are waited for.
fn flush_below(shared: &Shared, begin: Lsn) -> Result<()> {
    loop {
        shared.freeze();
        wait_for_flush(shared)?;
        if shared.flushed().0 + 1 >= begin.0 {
            return Ok(());
        }
        shared.check()?;
        std::thread::yield_now();
    }
}
