//! The outbox's file: redb, so that segments and the standing they lead to become durable together.

use std::path::{Path, PathBuf};

use activestore_sync_proto::ChainHash;
use activestore_types::{Epoch, Error, Lsn, Result, SyncClass};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use super::chain::{Chain, Standing};
use super::let_go::LetGo;

/// Segments by their chain's epoch and their sequence.
pub(super) const SEGMENTS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("chained");
pub(super) const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
pub(super) const STANDING: &str = "standing";
pub(super) const OWED: &str = "owed";
/// What a file of one chain has: its segments by sequence, its state, and up to where a wipe waits.
const ONE_CHAIN: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("segments");
const ONE_STATE: &str = "state";
const ONE_WIPE: &str = "wipe";
const CACHE_BYTES: usize = 1024 * 1024;

pub(super) type Segments<'a> = redb::Table<'a, (u64, u64), &'static [u8]>;

/// The state of a file of one chain.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct OneState {
    epoch: Epoch,
    last_sealed: u64,
    last_hash: ChainHash,
    acknowledged: u64,
    acknowledged_hash: ChainHash,
    cursor: Lsn,
    pending_rows: u64,
    pending_bytes: u64,
}

pub(super) fn create(path: &Path) -> Result<Database> {
    Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create(path)
        .map_err(|error| Error::internal(format!("the outbox cannot be opened: {error}")))
}

/// Where the file stands, and what must be acknowledged before it is wiped; `fresh` where it is new. A file of
/// one chain becomes one of several, whose chain of live rows that one is.
pub(super) fn load(
    database: &Database,
    fresh: impl FnOnce() -> Standing,
) -> Result<(Standing, Vec<(Epoch, u64)>)> {
    let unreadable = |error: postcard::Error| {
        Error::corrupt(format!("the outbox's state cannot be read: {error}"))
    };
    let write = database.begin_write().map_err(failed)?;
    let loaded = {
        let mut segments = write.open_table(SEGMENTS).map_err(failed)?;
        let mut state = write.open_table(STATE).map_err(failed)?;
        let kept = |name: &str| -> Result<Option<Vec<u8>>> {
            let bytes = state.get(name).map_err(failed)?;
            Ok(bytes.map(|bytes| bytes.value().to_vec()))
        };
        if let Some(bytes) = kept(STANDING)? {
            let standing = standing_of(&bytes).map_err(unreadable)?;
            let owed = kept(OWED)?.map(|bytes| postcard::from_bytes(&bytes));
            (standing, owed.transpose().map_err(unreadable)?)
        } else if let Some(bytes) = kept(ONE_STATE)? {
            let one: OneState = postcard::from_bytes(&bytes).map_err(unreadable)?;
            let wipe = kept(ONE_WIPE)?.and_then(|bytes| bytes.try_into().ok());
            {
                let before = write.open_table(ONE_CHAIN).map_err(failed)?;
                for entry in before.iter().map_err(failed)? {
                    let (sequence, bytes) = entry.map_err(failed)?;
                    segments
                        .insert((one.epoch.0, sequence.value()), bytes.value())
                        .map_err(failed)?;
                }
            }
            write.delete_table(ONE_CHAIN).map_err(failed)?;
            let standing = one.standing();
            let owed = wipe.map(|bytes| vec![(one.epoch, u64::from_le_bytes(bytes))]);
            state.remove(ONE_STATE).map_err(failed)?;
            state.remove(ONE_WIPE).map_err(failed)?;
            let bytes = encoded(&standing)?;
            state.insert(STANDING, bytes.as_slice()).map_err(failed)?;
            if let Some(owed) = &owed {
                let bytes = encoded(owed)?;
                state.insert(OWED, bytes.as_slice()).map_err(failed)?;
            }
            (standing, owed)
        } else {
            let standing = fresh();
            let bytes = encoded(&standing)?;
            state.insert(STANDING, bytes.as_slice()).map_err(failed)?;
            (standing, None)
        }
    };
    write.commit().map_err(failed)?;
    Ok((loaded.0, loaded.1.unwrap_or_default()))
}

/// A standing, also of a release that let nothing go.
fn standing_of(bytes: &[u8]) -> std::result::Result<Standing, postcard::Error> {
    postcard::from_bytes(bytes).or_else(|error| {
        let nothing = encoded(&LetGo::default()).unwrap_or_default();
        postcard::from_bytes(&[bytes, &nothing].concat()).map_err(|_| error)
    })
}

impl OneState {
    fn standing(self) -> Standing {
        let mut standing = Standing::fresh(self.epoch, self.cursor);
        standing.chains = vec![Chain {
            class: SyncClass::Live,
            epoch: self.epoch,
            last_sealed: self.last_sealed,
            last_hash: self.last_hash,
            acknowledged: self.acknowledged,
            acknowledged_hash: self.acknowledged_hash,
            pending_rows: self.pending_rows,
            pending_bytes: self.pending_bytes,
        }];
        standing
    }
}

pub(super) fn encoded<T: Serialize>(what: &T) -> Result<Vec<u8>> {
    postcard::to_stdvec(what)
        .map_err(|error| Error::internal(format!("the outbox's state: {error}")))
}

/// Where a file lies that is to replace the queue's; one that is there was left by a crash.
pub(super) fn new_path(path: &Path) -> PathBuf {
    path.with_extension("redb.new")
}

pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Changes segments and standing in one transaction.
pub(super) fn change(
    database: &Database,
    durability: Durability,
    edit: impl FnOnce(&mut Segments<'_>) -> Result<Standing>,
) -> Result<Standing> {
    let mut write = database.begin_write().map_err(failed)?;
    write.set_durability(durability).map_err(failed)?;
    let next = {
        let mut segments = write.open_table(SEGMENTS).map_err(failed)?;
        let next = edit(&mut segments)?;
        let bytes = encoded(&next)?;
        let mut table = write.open_table(STATE).map_err(failed)?;
        table.insert(STANDING, bytes.as_slice()).map_err(failed)?;
        next
    };
    write.commit().map_err(failed)?;
    Ok(next)
}

/// Writes what waits to a new file, as it stands.
pub(super) fn copy(database: &Database, standing: &Standing, path: &Path) -> Result<Database> {
    let read = database.begin_read().map_err(failed)?;
    let waiting = read.open_table(SEGMENTS).map_err(failed)?;
    let fresh = create(path)?;
    {
        // What callers keep goes along; a wipe that is owed is paid by this copy or stays with the original.
        let beside = read.open_table(STATE).map_err(failed)?;
        let write = fresh.begin_write().map_err(failed)?;
        {
            let mut table = write.open_table(STATE).map_err(failed)?;
            for entry in beside.iter().map_err(failed)? {
                let (name, bytes) = entry.map_err(failed)?;
                if name.value() != OWED {
                    table.insert(name.value(), bytes.value()).map_err(failed)?;
                }
            }
        }
        write.commit().map_err(failed)?;
    }
    change(&fresh, Durability::Immediate, |segments| {
        for entry in waiting.iter().map_err(failed)? {
            let (place, bytes) = entry.map_err(failed)?;
            segments
                .insert(place.value(), bytes.value())
                .map_err(failed)?;
        }
        Ok(standing.clone())
    })?;
    Ok(fresh)
}

pub(super) fn failed(error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    match &error {
        redb::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => {
            Error::disk_full("the outbox cannot grow: the disk is full")
        }
        _ => Error::internal(format!("the outbox failed: {error}")),
    }
}
