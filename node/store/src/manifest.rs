//! The manifest: what the store consists of, in one redb file. Schemas, origins, SSTables, range
//! tombstones, the notes' checkpoint and how far the log is flushed change together, one
//! transaction a version change. It opens no SSTable and knows no memtable.
//!
//! A transaction that failed for want of space leaves the file as it was; the database is opened
//! again before the next one. After a sync that failed nothing more is written.

mod backend;
pub(crate) mod copy;
pub(crate) mod inspect;
mod seal;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use activestore_env::{Disk, Keyring};
use activestore_sst::SstMeta;
use activestore_types::{
    Error, Hlc, Lsn, NodeId, OriginId, RangeTombstone, Result, TableId, TableSchema,
};
use parking_lot::Mutex;
use redb::{Database, StorageBackend};
use serde::{Deserialize, Serialize};

use crate::wal::NUMBER_MAX;
use crate::write_set::Note;
use backend::DiskBackend;
use copy::Copy;
pub(crate) use seal::EntrySealer;

pub(crate) const PATH: &str = "manifest.redb";
const NEW_PATH: &str = "manifest.new";

/// Pages that redb keeps in memory, in bytes.
const CACHE_BYTES: usize = 1 << 20;

/// The version of what the tables hold.
const FORMAT: u32 = 1;

/// One version change. What is `None` or empty stays as it is.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    pub(crate) schemas: Vec<Arc<TableSchema>>,
    /// Tables that go, with their files and tombstones.
    pub(crate) drop_tables: Vec<TableId>,
    pub(crate) origins: Vec<(OriginId, NodeId)>,
    pub(crate) add_files: Vec<FileRecord>,
    pub(crate) remove_files: Vec<(TableId, u64)>,
    /// The whole list of a table's range tombstones, for the tables whose list changed.
    pub(crate) tombstones: Vec<(TableId, Vec<RangeTombstone>)>,
    pub(crate) notes: Vec<Note>,
    pub(crate) flushed: Option<Lsn>,
    pub(crate) max_hlc: Option<Hlc>,
    pub(crate) next_file: Option<u64>,
    pub(crate) hold: Option<Option<Lsn>>,
}

/// One SSTable as the manifest lists it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    pub(crate) table: TableId,
    pub(crate) id: u64,
    pub(crate) meta: SstMeta,
}

/// What the manifest held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) schemas: Vec<TableSchema>,
    pub(crate) origins: BTreeMap<OriginId, NodeId>,
    pub(crate) files: Vec<FileRecord>,
    pub(crate) tombstones: BTreeMap<TableId, Vec<RangeTombstone>>,
    pub(crate) notes: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) flushed: Lsn,
    pub(crate) max_hlc: Hlc,
    pub(crate) next_file: u64,
    pub(crate) hold: Option<Lsn>,
    /// How many changes there were.
    pub(crate) changes: u64,
}

impl Contents {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Contents {
            next_file: 1,
            ..Contents::default()
        }
    }

    /// Whether the numbers are such as a store counts.
    ///
    /// # Errors
    /// `Corrupt` where they are not.
    fn check_numbers(&self) -> Result<()> {
        let counted = [self.changes, self.flushed.0, self.next_file]
            .into_iter()
            .chain(self.hold.map(|hold| hold.0))
            .chain(self.files.iter().map(|file| file.id));
        match counted.max() {
            Some(highest) if highest >= NUMBER_MAX => {
                Err(corrupt(format!("it counts up to {highest}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether these are `node`'s, if one is given.
    pub(crate) fn check_owner(&self, node: Option<NodeId>) -> Result<()> {
        let owner = self.origins.get(&OriginId(0));
        match node {
            Some(node) if owner != Some(&node) => Err(Error::conflict(format!(
                "the data directory belongs to node {}, not {node}",
                owner.map_or_else(|| "?".to_owned(), ToString::to_string)
            ))
            .with_hint("use the data directory with the identity that it was made with")),
            _ => Ok(()),
        }
    }
}

/// Whether there is a manifest: whether the directory holds a store.
pub(crate) fn exists(disk: &Arc<dyn Disk>) -> bool {
    disk.exists(PATH)
}

pub(crate) struct Manifest {
    disk: Arc<dyn Disk>,
    sealer: Arc<EntrySealer>,
    node: NodeId,
    /// Taken after `database`.
    copy: Mutex<Copy>,
    database: Mutex<Option<Database>>,
    /// Set for good once nobody can tell what is on the disk.
    broken: Arc<AtomicBool>,
}

impl Manifest {
    /// Opens the manifest, making a new one for `node` if there is none.
    ///
    /// # Errors
    /// `Conflict` when it belongs to another node, or is encrypted without a keyring or the reverse;
    /// `Corrupt` when it is not a manifest of a known format or its checksums do not hold.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        node: NodeId,
        keyring: Option<&Arc<Keyring>>,
    ) -> Result<(Manifest, Contents)> {
        let sealer = Arc::new(EntrySealer::new(keyring));
        if disk.exists(NEW_PATH) {
            disk.remove(NEW_PATH)?;
        }
        let broken = Arc::new(AtomicBool::new(false));
        if !disk.exists(PATH) {
            if let Some(left) = left_behind(disk.as_ref())? {
                return Err(Error::corrupt(format!(
                    "the manifest is missing, while the directory holds {left}"
                ))
                .with_hint("activestore doctor --repair makes it anew from what is there"));
            }
            // Made beside its place and moved there whole: a crash leaves all of it or nothing.
            let file = disk.create(NEW_PATH)?;
            let database = open_database(DiskBackend::new(file, &broken))?;
            tables::create(&database, FORMAT, node, &sealer)?;
            drop(database);
            let file = disk.open(NEW_PATH)?;
            file.sync_data()?;
            disk.rename(NEW_PATH, PATH)?;
            disk.sync_dir("")?;
        }
        let database = reopen(disk, &broken)?;
        let contents = tables::load(&database, FORMAT, Some(node), &sealer)?;
        let copy = Copy::of(disk, &contents, &sealer);
        let manifest = Manifest {
            disk: Arc::clone(disk),
            sealer,
            node,
            copy: Mutex::new(copy),
            database: Mutex::new(Some(database)),
            broken,
        };
        Ok((manifest, contents))
    }

    /// Everything that it holds now.
    ///
    /// # Errors
    /// `Poisoned` after a failed sync; as the disk.
    pub(crate) fn contents(&self) -> Result<Contents> {
        let mut slot = self.database.lock();
        if self.broken.load(Ordering::SeqCst) {
            return Err(unsynced());
        }
        let database = match slot.take() {
            Some(database) => database,
            None => self.reopen()?,
        };
        let contents = tables::load(&database, FORMAT, Some(self.node), &self.sealer);
        *slot = Some(database);
        contents
    }

    /// Carries out one change, durably, all of it or nothing.
    ///
    /// # Errors
    /// `DiskFull` and others: nothing changed, try again. `Poisoned`: after a failed sync, whether
    /// the change is there will show at the next start.
    pub(crate) fn commit(&self, edit: &Edit) -> Result<()> {
        let mut slot = self.database.lock();
        if self.broken.load(Ordering::SeqCst) {
            return Err(unsynced());
        }
        let database = match slot.take() {
            Some(database) => database,
            None => self.reopen()?,
        };
        let number = tables::changes(&database)? + 1;
        let Err(error) = tables::commit(&database, edit, number, &self.sealer) else {
            self.tell(edit, number, &database);
            *slot = Some(database);
            return Ok(());
        };
        // redb takes no transaction after one that failed underneath. Opened again, the file tells
        // whether the failed one is in it: a failure may have come after the deciding write.
        drop(database);
        if self.broken.load(Ordering::SeqCst) {
            return Err(unsynced());
        }
        let found = self.reopen().and_then(|database| {
            let found = tables::changes(&database)?;
            if found == number {
                self.tell(edit, number, &database);
            }
            *slot = Some(database);
            Ok(found)
        });
        match found {
            Ok(found) if found == number => Ok(()),
            Ok(_) => Err(error),
            Err(_) => {
                self.broken.store(true, Ordering::SeqCst);
                Err(unsynced())
            }
        }
    }

    /// Writes the file and its copy anew, so that they hold what counts and nothing of what they held
    /// before.
    ///
    /// # Errors
    /// As [`Manifest::commit`]; the old file is in place then, or the new one, which says the same.
    pub(crate) fn rewrite(&self) -> Result<()> {
        let mut slot = self.database.lock();
        if self.broken.load(Ordering::SeqCst) {
            return Err(unsynced());
        }
        let database = match slot.take() {
            Some(database) => database,
            None => self.reopen()?,
        };
        if self.disk.exists(NEW_PATH) {
            self.disk.remove(NEW_PATH)?;
        }
        let file = self.disk.create(NEW_PATH)?;
        // A sync of the new file that fails says nothing about the old one.
        let unused = Arc::new(AtomicBool::new(false));
        let copy = open_database(DiskBackend::new(Arc::clone(&file), &unused))?;
        tables::copy(&database, &copy)?;
        drop((database, copy));
        file.sync_data()?;
        self.disk.rename(NEW_PATH, PATH)?;
        if let Err(error) = self.disk.sync_dir("") {
            // Which of the two a start will find is unknown, and changes go into one.
            self.broken.store(true, Ordering::SeqCst);
            tracing::warn!(%error, "the manifest's new file may not have its name");
            return Err(unsynced());
        }
        let database = self.reopen()?;
        let contents = tables::load(&database, FORMAT, Some(self.node), &self.sealer)?;
        *slot = Some(database);
        self.copy.lock().rewrite(&contents)
    }

    /// Ends the use of the file; the next change would open it again.
    pub(crate) fn close(&self) {
        *self.database.lock() = None;
    }

    fn tell(&self, edit: &Edit, number: u64, database: &Database) {
        let state = || tables::load(database, FORMAT, Some(self.node), &self.sealer);
        self.copy.lock().tell(edit, number, state);
    }

    fn reopen(&self) -> Result<Database> {
        reopen(&self.disk, &self.broken)
    }
}

fn reopen(disk: &Arc<dyn Disk>, broken: &Arc<AtomicBool>) -> Result<Database> {
    open_database(DiskBackend::new(disk.open(PATH)?, broken))
}

/// What a directory without a manifest holds that only a store with one can have made.
pub(crate) fn left_behind(disk: &dyn Disk) -> Result<Option<&'static str>> {
    Ok(if disk.exists(copy::PATH) {
        Some("its copy")
    } else if !disk.list(crate::store::SST_DIR)?.is_empty() {
        Some("SSTables")
    } else if !disk.list(crate::wal::WAL_DIR)?.is_empty() {
        Some("a write-ahead log")
    } else {
        None
    })
}

fn unsynced() -> Error {
    Error::poisoned("the storage failed: the manifest could not be made durable")
        .with_hint("nothing more is written; check the disk and start the node again")
}

fn open_database(backend: impl StorageBackend) -> Result<Database> {
    // redb trusts what its checksums cover, and may panic on what they do not: a check of the whole
    // file, which is small, turns decay into an error.
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        builder.set_check_integrity_on_open(true);
        builder.create_with_backend(backend)
    }));
    match opened {
        Ok(opened) => opened.map_err(|error| storage(error.into())),
        Err(_) => Err(corrupt("it cannot be opened")),
    }
}

fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("the manifest is damaged: {what}"))
        .with_hint("activestore doctor --repair rebuilds it from its copy")
}

/// What a failure of redb means to the caller.
fn storage(error: redb::Error) -> Error {
    match error {
        redb::Error::Io(error) => {
            let error = Error::from(error);
            if error.kind() == activestore_types::ErrorKind::DiskFull {
                Error::disk_full("there is no space left for the manifest")
                    .with_hint("free disk space; nothing is lost and reads go on")
            } else {
                error.context("the manifest")
            }
        }
        redb::Error::Corrupted(what) => corrupt(what),
        redb::Error::UpgradeRequired(version) => {
            corrupt(format!("file format {version} is not known"))
        }
        other => Error::internal(format!("the manifest: {other}")),
    }
}

#[cfg(test)]
mod tests;
