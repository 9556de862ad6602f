//! A consistent picture of an open store, to be copied while writing goes on: the SSTables of one
//! moment (immutable; open, so that a merge cannot take them away), the log from where it is held up
//! to that moment, and the manifest as its copy tells it. It copies nothing itself and knows no
//! place to copy to.
//!
//! Steps: 1. pin the log, so that nothing a follower still needs is given back; 2. flush: from here on
//! everything committed before is in SSTables; 3. under the lock under which files change, read the
//! manifest and open what it names; 4. copy at leisure; 5. drop the picture, and with it the pin.
//! A directory that holds exactly these files becomes a store by [`install`].

use std::sync::Arc;

use activestore_env::{Disk, DiskFile, Keyring};
use activestore_sst::Sst;
use activestore_types::{Error, Lsn, NodeId, Result};

use crate::disks::SstDisks;
use crate::manifest::{EntrySealer, copy, inspect};
use crate::store::shared::Shared;
use crate::store::sst_path;

/// Keeps the log from a record on, for as long as it lives.
pub struct LogPin {
    pub(crate) shared: Arc<Shared>,
    pub(crate) from: Lsn,
}

impl LogPin {
    /// The first record that is kept.
    pub fn from(&self) -> Lsn {
        self.from
    }
}

impl Drop for LogPin {
    fn drop(&mut self) {
        let mut pins = self.shared.pins.lock();
        if let Some(at) = pins.iter().position(|pin| *pin == self.from) {
            pins.swap_remove(at);
        }
        drop(pins);
        self.shared.signal.raise();
    }
}

/// What a store consists of at one moment. The files can be read until it is dropped.
pub struct Backup {
    /// The last commit that is in it.
    pub lsn: Lsn,
    /// Whose store it is.
    pub node: NodeId,
    /// The files, each with the path that it must have.
    pub files: Vec<BackupFile>,
    /// Goes last: the log's files are read while it is there.
    _pin: LogPin,
}

/// One file of a [`Backup`].
pub struct BackupFile {
    /// Its path in the data directory.
    pub path: String,
    /// How many bytes are to be copied.
    pub bytes: u64,
    /// Whether the store never has other bytes under this path: they need copying once.
    pub immutable: bool,
    source: Source,
}

enum Source {
    File(Arc<dyn DiskFile>),
    Memory(Vec<u8>),
}

impl BackupFile {
    /// Reads up to `out.len()` bytes and returns how many; fewer only at the end.
    ///
    /// # Errors
    /// As the disk.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        let left = self.bytes.saturating_sub(offset);
        let wanted = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        let out = out.get_mut(..wanted).unwrap_or_default();
        match &self.source {
            Source::File(file) => Ok(file.read_at(offset, out)?),
            Source::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let from = bytes.get(start..).unwrap_or_default();
                let length = from.len().min(out.len());
                if let (Some(to), Some(from)) = (out.get_mut(..length), from.get(..length)) {
                    to.copy_from_slice(from);
                }
                Ok(length)
            }
        }
    }
}

/// Takes the picture; the caller has flushed after it pinned the log.
pub(crate) fn take(shared: &Arc<Shared>, pin: LogPin) -> Result<Backup> {
    let disk = &shared.env.disk;
    let _structure = shared.structure.lock();
    let mut contents = shared.manifest.contents()?;
    let lsn = contents.flushed;
    let mut files = Vec::with_capacity(contents.files.len() + 8);
    for record in &contents.files {
        let path = sst_path(record.id);
        let file = disk.open(&path)?;
        files.push(BackupFile {
            bytes: file.len()?,
            path,
            immutable: true,
            source: Source::File(file),
        });
    }
    for part in shared.wal.parts(pin.from, lsn)? {
        files.push(BackupFile {
            path: part.path,
            bytes: part.bytes,
            immutable: false,
            source: Source::File(part.file),
        });
    }
    contents.hold = (pin.from <= lsn).then_some(pin.from);
    let sealer = EntrySealer::new(shared.options.encryption.as_ref());
    let manifest = copy::encode(&contents, &sealer)?;
    files.push(BackupFile {
        path: copy::PATH.to_owned(),
        bytes: manifest.len() as u64,
        immutable: false,
        source: Source::Memory(manifest),
    });
    Ok(Backup {
        lsn,
        node: shared.options.node,
        files,
        _pin: pin,
    })
}

/// Makes a store of the files of a [`Backup`], copied to `disk` under their paths: builds the
/// manifest. `keyring` is that of an encrypted directory. May be called again after it was cut off.
/// Returns how many files were left out, because their partition's key was destroyed since.
///
/// # Errors
/// `Conflict` when they are another node's; `Corrupt` when the copy of the manifest, or a file that
/// it names, is not what was backed up; as the disk.
pub fn install(disk: &Arc<dyn Disk>, node: NodeId, keyring: Option<&Arc<Keyring>>) -> Result<u64> {
    let told = copy::read(disk.as_ref(), copy::PATH, &EntrySealer::new(keyring))?;
    if let Some(damage) = told.damage {
        return Err(damage);
    }
    let mut contents = told.contents;
    contents.check_owner(Some(node))?;
    let tables = SstDisks::new(disk, keyring);
    let mut kept = Vec::with_capacity(contents.files.len());
    let mut erased = 0;
    for record in std::mem::take(&mut contents.files) {
        let path = sst_path(record.id);
        if let (Some(own), Some(keyring)) = (tables.own_key_of(&path)?, keyring)
            && !keyring.holds(own)
        {
            // The first start removes it, as it does all that no manifest names.
            erased += 1;
            continue;
        }
        if *Sst::open(tables.common(), &path)?.meta() != record.meta {
            return Err(Error::corrupt(format!(
                "{path} is not the file that the manifest names"
            )));
        }
        kept.push(record);
    }
    contents.files = kept;
    inspect::prepare(disk, &contents, node, keyring)?;
    inspect::install(disk)?;
    Ok(erased)
}
