//! Erasing: after it, no file of the directory holds bytes of what was deleted before it.
//!
//! Steps: 1. the log goes on in a clean segment, and from here on those that are given back are filled
//! with zeros; 2. flush, so that nothing before that segment is needed; 3. write the table's files
//! anew without what was deleted; 4. write the manifest anew, because redb leaves old pages where they
//! are; 5. give back the log's older segments. A crash between them leaves a store that is whole
//! and not erased; the caller was not told otherwise.

use activestore_types::{Error, ErrorKind, Lsn, Result, TableId};

use super::{compact, wait_for_flush};
use crate::store::shared::Shared;

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
