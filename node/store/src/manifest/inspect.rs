//! The manifest for who examines and repairs a directory that no store has open: reading it without
//! changing a byte, and putting a new one in the place of a damaged one.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use activestore_env::{Disk, DiskFile, Keyring};
use activestore_types::{Error, NodeId, Result};
use parking_lot::Mutex;
use redb::StorageBackend;

use super::backend::DiskBackend;
use super::seal::EntrySealer;
use super::{Contents, FORMAT, NEW_PATH, PATH, open_database, tables};

/// Reads the manifest as it is on the disk; `node` is whose it must be, if that is known.
///
/// # Errors
/// `NotFound` where there is none; otherwise as when a store opens it.
pub(crate) fn read(
    disk: &Arc<dyn Disk>,
    node: Option<NodeId>,
    keyring: Option<&Arc<Keyring>>,
) -> Result<Contents> {
    if !disk.exists(PATH) {
        return Err(Error::not_found("the manifest is missing"));
    }
    let database = open_database(Draft::over(disk.open(PATH)?)?)?;
    tables::load(&database, FORMAT, node, &EntrySealer::new(keyring))
}

/// Makes a manifest of these contents beside its place, durably.
///
/// # Errors
/// As the disk.
pub(crate) fn prepare(
    disk: &Arc<dyn Disk>,
    contents: &Contents,
    node: NodeId,
    keyring: Option<&Arc<Keyring>>,
) -> Result<()> {
    let sealer = EntrySealer::new(keyring);
    if disk.exists(NEW_PATH) {
        disk.remove(NEW_PATH)?;
    }
    let file = disk.create(NEW_PATH)?;
    let broken = Arc::new(AtomicBool::new(false));
    let database = open_database(DiskBackend::new(file, &broken))?;
    tables::create(&database, FORMAT, node, &sealer)?;
    let changes = contents.changes.max(1);
    tables::commit(&database, &contents.as_edit(), changes, &sealer)?;
    drop(database);
    disk.open(NEW_PATH)?.sync_data()?;
    Ok(())
}

/// Moves what [`prepare`] made to its place, durably.
///
/// # Errors
/// As the disk.
pub(crate) fn install(disk: &Arc<dyn Disk>) -> Result<()> {
    disk.rename(NEW_PATH, PATH)?;
    Ok(disk.sync_dir("")?)
}

const PAGE_BYTES: u64 = 4096;

/// A file with changes that stay in memory: redb tidies up after a crash when it opens a database,
/// and an examination must leave the disk as it is.
struct Draft {
    file: Arc<dyn DiskFile>,
    state: Mutex<DraftState>,
}

struct DraftState {
    length: u64,
    /// Where the file's own bytes end: it may have been cut and lengthened again.
    base: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Draft {
    fn over(file: Arc<dyn DiskFile>) -> Result<Draft> {
        let length = file.len()?;
        Ok(Draft {
            file,
            state: Mutex::new(DraftState {
                length,
                base: length,
                pages: BTreeMap::new(),
            }),
        })
    }

    fn page(&self, state: &DraftState, page: u64) -> io::Result<Vec<u8>> {
        if let Some(bytes) = state.pages.get(&page) {
            return Ok(bytes.clone());
        }
        let mut bytes = vec![0; PAGE_BYTES as usize];
        let start = page * PAGE_BYTES;
        let own = state.base.saturating_sub(start).min(PAGE_BYTES);
        let own = usize::try_from(own).unwrap_or_default();
        if let Some(own) = bytes.get_mut(..own) {
            self.file.read_exact_at(start, own)?;
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").finish_non_exhaustive()
    }
}

/// The part of a page that a range of a file covers: page, first byte in it, bytes.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let end = offset + length as u64;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let within = at % PAGE_BYTES;
        let bytes = (PAGE_BYTES - within).min(end - at);
        let part = (at / PAGE_BYTES, within as usize, bytes as usize);
        at += bytes;
        Some(part)
    })
}

impl StorageBackend for Draft {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.state.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.state.lock();
        let mut done = 0;
        for (page, within, bytes) in parts(offset, out.len()) {
            let from = self.page(&state, page)?;
            if let (Some(to), Some(from)) = (
                out.get_mut(done..done + bytes),
                from.get(within..within + bytes),
            ) {
                to.copy_from_slice(from);
            }
            done += bytes;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut state = self.state.lock();
        if len < state.base {
            state.base = len;
        }
        let kept = len.div_ceil(PAGE_BYTES);
        state.pages.retain(|page, _| *page < kept);
        if let Some(page) = state.pages.get_mut(&(len / PAGE_BYTES)) {
            page.iter_mut()
                .skip((len % PAGE_BYTES) as usize)
                .for_each(|byte| *byte = 0);
        }
        state.length = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.state.lock();
        let mut done = 0;
        for (page, within, bytes) in parts(offset, data.len()) {
            let mut to = self.page(&state, page)?;
            if let (Some(to), Some(from)) = (
                to.get_mut(within..within + bytes),
                data.get(done..done + bytes),
            ) {
                to.copy_from_slice(from);
            }
            state.pages.insert(page, to);
            done += bytes;
        }
        state.length = state.length.max(offset + data.len() as u64);
        Ok(())
    }
}
