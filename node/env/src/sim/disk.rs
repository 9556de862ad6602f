//! The simulated disk: POSIX at its weakest, by seed.
//!
//! What is written is read back at once but survives [`SimDisk::crash`] only if it was synced; of
//! the rest, an arbitrary subset of 512-byte pieces and of directory entries survives. A crash
//! also cuts every open handle off, so that threads of the life before cannot reach into the next.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::inode::Inode;
use super::rng::SimRng;
use crate::{Disk, DiskFile};

/// What [`Disk::free_bytes`] says of a simulated disk without a capacity.
const UNLIMITED_BYTES: u64 = 1 << 40;

/// The longest simulated file: beyond it, a length is a defect of the caller.
const FILE_BYTES_MAX: u64 = 1 << 31;

/// Which faults the disk has. Operations are counted from 1 over the disk's life: every creation,
/// removal, renaming, write, change of length and sync counts; reads are counted on their own.
#[derive(Clone, Debug, Default)]
pub struct SimDiskOptions {
    /// This operation fails with an I/O error, once; what it was to do is half done or not at all.
    pub fail_op: Option<u64>,
    /// At this operation the power goes: it and all after it fail until [`SimDisk::crash`].
    pub power_cut_at: Option<u64>,
    /// This `sync_data`, counted from 1, fails with EIO and loses an arbitrary subset of what it
    /// was to make durable; later ones succeed without it.
    pub fail_sync: Option<u64>,
    /// How many bytes all files together may have; more is `StorageFull`.
    pub capacity_bytes: Option<u64>,
    /// This operation finds no space, once, whatever the capacity: what it was to write is partly
    /// written.
    pub full_at: Option<u64>,
    /// This read fails with an I/O error, once.
    pub fail_read: Option<u64>,
    /// This read returns half of what it was asked for, once, although the file goes on: as a file
    /// that a faulty file system shows cut.
    pub short_read: Option<u64>,
    /// In what this read returns one bit is not as it was written, once; the disk keeps the right one.
    pub flip_read: Option<u64>,
    /// Syncs say they are done and do nothing, as a drive with a volatile cache does.
    pub lying_sync: bool,
}

/// A disk in memory. Cloning shares it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    options: SimDiskOptions,
    rng: SimRng,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Name changes that no `sync_dir` has covered yet, oldest first.
    pending: Vec<NameChange>,
    dirs: BTreeSet<String>,
    ops: u64,
    syncs: u64,
    reads: u64,
    /// How many crashes there were; a handle of an earlier life is dead.
    life: u64,
    powered: bool,
}

enum NameChange {
    Create(String, u64),
    Remove(String),
    Rename(String, String, u64),
}

impl NameChange {
    fn dir(&self) -> &str {
        match self {
            NameChange::Create(path, _)
            | NameChange::Remove(path)
            | NameChange::Rename(_, path, _) => parent(path),
        }
    }

    fn apply(self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameChange::Create(path, inode) => {
                names.insert(path, inode);
            }
            NameChange::Remove(path) => {
                names.remove(&path);
            }
            NameChange::Rename(from, to, inode) => {
                names.remove(&from);
                names.insert(to, inode);
            }
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn broken(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on the disk")
}

impl SimDisk {
    /// An empty disk; the seed decides what survives and how far a failed operation got.
    pub fn seeded(seed: u64, options: SimDiskOptions) -> SimDisk {
        SimDisk {
            state: Arc::new(Mutex::new(State {
                options,
                rng: SimRng::seeded(seed),
                inodes: BTreeMap::new(),
                next_inode: 1,
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                pending: Vec::new(),
                dirs: BTreeSet::new(),
                ops: 0,
                syncs: 0,
                reads: 0,
                life: 0,
                powered: true,
            })),
        }
    }

    /// Cuts the power and brings it back: only what was durable is left, and by seed some of the
    /// rest. A power cut that was asked for is over.
    pub fn crash(&self) {
        let mut state = self.state.lock();
        let state = &mut *state;
        for inode in state.inodes.values_mut() {
            inode.crash(&state.rng);
        }
        let keep = state.rng.below(3);
        for change in std::mem::take(&mut state.pending) {
            let kept = match keep {
                0 => false,
                1 => true,
                _ => state.rng.one_in(2),
            };
            if kept {
                change.apply(&mut state.durable_names);
            }
        }
        state.names.clone_from(&state.durable_names);
        let live: BTreeSet<u64> = state.names.values().copied().collect();
        state.inodes.retain(|id, _| live.contains(id));
        state.life += 1;
        state.powered = true;
        state.options.power_cut_at = None;
    }

    /// Replaces the faults.
    pub fn set_options(&self, options: SimDiskOptions) {
        self.state.lock().options = options;
    }

    /// The faults as they are.
    pub fn options(&self) -> SimDiskOptions {
        self.state.lock().options.clone()
    }

    /// How many operations there were.
    pub fn ops(&self) -> u64 {
        self.state.lock().ops
    }

    /// How many calls of `sync_data` there were.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// How many calls of `read_at` there were.
    pub fn reads(&self) -> u64 {
        self.state.lock().reads
    }

    /// Whether a power cut has happened that no [`SimDisk::crash`] has ended yet.
    pub fn is_dark(&self) -> bool {
        !self.state.lock().powered
    }

    /// Flips bits of a stored byte, as a decaying disk does.
    pub fn flip(&self, path: &str, offset: u64, mask: u8) {
        let mut state = self.state.lock();
        let inode = state.names.get(path).copied();
        if let Some(inode) = inode.and_then(|inode| state.inodes.get_mut(&inode)) {
            inode.flip(usize::try_from(offset).unwrap_or(usize::MAX), mask);
        }
    }

    /// A file's bytes as they are read; `None` when there is no such file.
    pub fn contents(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let inode = state.names.get(path)?;
        Some(state.inodes.get(inode)?.written.clone())
    }

    fn file(&self, inode: u64, life: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: self.clone(),
            inode,
            life,
        })
    }
}

/// How an operation is to go on.
enum Fate {
    Done,
    /// Fails, having done what it was to do (true) or nothing.
    Fails(bool, io::Error),
}

impl State {
    /// Counts an operation and decides its fate.
    fn begin(&mut self) -> io::Result<Fate> {
        if !self.powered {
            return Err(broken("the power is off"));
        }
        self.ops += 1;
        if self.options.power_cut_at.is_some_and(|at| self.ops >= at) {
            self.powered = false;
            return Ok(Fate::Fails(self.rng.one_in(2), broken("the power went")));
        }
        if self.options.fail_op == Some(self.ops) {
            return Ok(Fate::Fails(
                self.rng.one_in(2),
                broken("input/output error"),
            ));
        }
        if self.options.full_at == Some(self.ops) {
            return Ok(Fate::Fails(self.rng.one_in(2), full()));
        }
        Ok(Fate::Done)
    }

    /// Runs a change of names: the visible ones change at once, the durable ones later.
    fn rename(&mut self, change: NameChange) -> io::Result<()> {
        let (applied, error) = match self.begin()? {
            Fate::Done => (true, None),
            Fate::Fails(applied, error) => (applied, Some(error)),
        };
        if applied {
            match &change {
                NameChange::Create(path, inode) => self.names.insert(path.clone(), *inode),
                NameChange::Remove(path) => self.names.remove(path),
                NameChange::Rename(from, to, inode) => {
                    self.names.remove(from);
                    self.names.insert(to.clone(), *inode)
                }
            };
            self.pending.push(change);
        }
        error.map_or(Ok(()), Err)
    }

    fn lookup(&self, path: &str) -> io::Result<u64> {
        if !self.powered {
            return Err(broken("the power is off"));
        }
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{path}: no such file")))
    }

    fn used_bytes(&self) -> u64 {
        self.names
            .values()
            .filter_map(|inode| self.inodes.get(inode))
            .map(|inode| inode.written.len() as u64)
            .sum()
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        let dir = parent(path);
        if state.names.contains_key(path) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{path}: the file exists"),
            ));
        }
        if !dir.is_empty() && !state.dirs.contains(dir) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{dir}: no such directory"),
            ));
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(inode, Inode::default());
        state.rename(NameChange::Create(path.to_owned(), inode))?;
        Ok(self.file(inode, state.life))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        let inode = state.lookup(path)?;
        Ok(self.file(inode, state.life))
    }

    fn exists(&self, path: &str) -> bool {
        let state = self.state.lock();
        state.names.contains_key(path) || state.dirs.contains(path)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        if !state.powered {
            return Err(broken("the power is off"));
        }
        Ok(state
            .names
            .keys()
            .filter(|path| parent(path) == dir)
            .map(|path| path.rsplit('/').next().unwrap_or(path).to_owned())
            .collect())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.lookup(path)?;
        state.rename(NameChange::Remove(path.to_owned()))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = state.lookup(from)?;
        state.rename(NameChange::Rename(from.to_owned(), to.to_owned(), inode))
    }

    fn create_dir_all(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        if !state.powered {
            return Err(broken("the power is off"));
        }
        let ends = dir.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([dir.len()]) {
            state.dirs.insert(dir.get(..end).unwrap_or(dir).to_owned());
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let state = &mut *state;
        if let Fate::Fails(_, error) = state.begin()? {
            return Err(error);
        }
        if state.options.lying_sync {
            return Ok(());
        }
        for change in std::mem::take(&mut state.pending) {
            if change.dir() == dir {
                change.apply(&mut state.durable_names);
            } else {
                state.pending.push(change);
            }
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state.lock();
        Ok(state
            .options
            .capacity_bytes
            .map_or(UNLIMITED_BYTES, |capacity| {
                capacity.saturating_sub(state.used_bytes())
            }))
    }
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
    life: u64,
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state.lock();
        if !state.powered || state.life != self.life {
            return Err(broken("the power is off"));
        }
        Ok(state)
    }

    fn change(&self, end: u64, run: impl FnOnce(&mut Inode, usize, bool)) -> io::Result<()> {
        let mut state = self.state()?;
        let state = &mut *state;
        if end > FILE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("a simulated file of {end} bytes"),
            ));
        }
        let (mut applied, mut error) = match state.begin()? {
            Fate::Done => (true, None),
            Fate::Fails(applied, error) => (applied, Some(error)),
        };
        let length = state
            .inodes
            .get(&self.inode)
            .map_or(0, |inode| inode.written.len() as u64);
        let grows = end.saturating_sub(length);
        if let Some(capacity) = state.options.capacity_bytes
            && grows > 0
            && state.used_bytes() + grows > capacity
        {
            applied = false;
            error = Some(full());
        }
        if let Some(inode) = state.inodes.get_mut(&self.inode) {
            run(inode, usize::try_from(end).unwrap_or(usize::MAX), applied);
        }
        error.map_or(Ok(()), Err)
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let state = self.state()?;
        Ok(state
            .inodes
            .get(&self.inode)
            .map_or(0, |inode| inode.written.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(len, |inode, len, applied| {
            if applied {
                inode.set_len(len);
            }
        })
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state()?;
        let state = &mut *state;
        state.reads += 1;
        let this = Some(state.reads);
        if state.options.fail_read == this {
            return Err(broken("input/output error"));
        }
        let Some(inode) = state.inodes.get(&self.inode) else {
            return Ok(0);
        };
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| inode.written.get(offset..))
            .unwrap_or_default();
        let mut length = rest.len().min(out.len());
        if state.options.short_read == this {
            length /= 2;
        }
        if let (Some(to), Some(from)) = (out.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        if state.options.flip_read == this && length > 0 {
            let at = usize::try_from(state.rng.below(length as u64)).unwrap_or_default();
            if let Some(byte) = out.get_mut(at) {
                *byte ^= 1 << state.rng.below(8);
            }
        }
        Ok(length)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(
            offset.saturating_add(bytes.len() as u64),
            |inode, end, applied| {
                // A write that fails may have got any part of the way.
                let part = if applied {
                    bytes.len()
                } else {
                    bytes.len() / 2
                };
                let start = end - bytes.len();
                let fits = inode.written.len().saturating_sub(start);
                let part = if applied { part } else { part.min(fits) };
                inode.write(start, bytes.get(..part).unwrap_or(bytes));
            },
        )
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let state = &mut *state;
        state.syncs += 1;
        let fate = state.begin()?;
        let Some(inode) = state.inodes.get_mut(&self.inode) else {
            return Ok(());
        };
        if let Fate::Fails(applied, error) = fate {
            if state.powered && !applied {
                inode.fail_sync(&state.rng);
            }
            return Err(error);
        }
        if state.options.fail_sync == Some(state.syncs) {
            inode.fail_sync(&state.rng);
            return Err(broken("input/output error"));
        }
        if !state.options.lying_sync {
            inode.sync();
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.len()? < len {
            self.set_len(len)?;
        }
        Ok(())
    }
}
