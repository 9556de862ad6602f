//! Sealed segments that wait for their acknowledgement, kept in redb so that a segment, its place in
//! the hash chain and the log position it reaches to become durable together.
//!
//! Invariants: sequences are consecutive; `cursor` is the first log record that no sealed segment
//! holds; a segment leaves the queue only when the receiver has said that it is durable there.
//! In an encrypted directory a segment is kept encrypted under its sequence, one of a partition that
//! has a data key of its own under that; the state is numbers and hashes and stays plain.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use activestore_env::{Keyring, ValueSealer};
use activestore_sync_proto::{ChainHash, SealedSegment};
use activestore_types::{Epoch, Error, ErrorKind, Lsn, NodeId, Result};
use parking_lot::{Mutex, RwLock};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

const SEGMENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("segments");
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
const STATE_KEY: &str = "state";
const WIPE_KEY: &str = "wipe";
const CACHE_BYTES: usize = 1024 * 1024;

/// Where the queue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueueState {
    pub(crate) epoch: Epoch,
    /// The sequence of the newest sealed segment; 0 before the first.
    pub(crate) last_sealed: u64,
    /// The hash of the newest sealed segment: the next one's `prev_hash`.
    pub(crate) last_hash: ChainHash,
    /// The highest acknowledged sequence.
    pub(crate) acknowledged: u64,
    /// The hash of the highest acknowledged segment.
    pub(crate) acknowledged_hash: ChainHash,
    /// The first log record not sealed yet.
    pub(crate) cursor: Lsn,
    /// Rows in the segments that wait.
    pub(crate) pending_rows: u64,
    /// Bytes in the segments that wait.
    pub(crate) pending_bytes: u64,
}

impl QueueState {
    fn fresh(epoch: Epoch, cursor: Lsn) -> Self {
        QueueState {
            epoch,
            last_sealed: 0,
            last_hash: ChainHash::GENESIS,
            acknowledged: 0,
            acknowledged_hash: ChainHash::GENESIS,
            cursor,
            pending_rows: 0,
            pending_bytes: 0,
        }
    }
}

/// What becomes a segment.
pub(crate) struct Payload {
    pub(crate) rows: u64,
    pub(crate) bytes: bytes::Bytes,
    /// The data key of its own that its partition has.
    pub(crate) own: Option<u32>,
}

/// The queue of one node.
pub(crate) struct Queue {
    node: NodeId,
    path: PathBuf,
    /// Held for writing while the file is replaced.
    database: RwLock<Database>,
    /// The sequence from whose acknowledgement on the file is to be wiped.
    owed: Mutex<Option<u64>>,
    sealer: Option<ValueSealer>,
    state: Mutex<QueueState>,
}

impl Queue {
    /// Opens or makes the queue; `epoch` and `cursor` are used only when it is new.
    pub(crate) fn open(
        path: &Path,
        node: NodeId,
        epoch: Epoch,
        cursor: Lsn,
        keyring: Option<&Arc<Keyring>>,
    ) -> Result<Self> {
        remove(&new_path(path))?;
        let database = create(path)?;
        let fresh = QueueState::fresh(epoch, cursor);
        let write = database.begin_write().map_err(failed)?;
        let (state, owed) = {
            write.open_table(SEGMENTS).map_err(failed)?;
            let table = write.open_table(STATE).map_err(failed)?;
            let owed = table.get(WIPE_KEY).map_err(failed)?;
            let owed =
                owed.and_then(|bytes| Some(u64::from_le_bytes(bytes.value().try_into().ok()?)));
            let kept = table.get(STATE_KEY).map_err(failed)?;
            let state = match kept {
                Some(bytes) => postcard::from_bytes(bytes.value()).map_err(|error| {
                    Error::corrupt(format!("the outbox's state cannot be read: {error}"))
                })?,
                None => fresh,
            };
            (state, owed)
        };
        write.commit().map_err(failed)?;
        Ok(Queue {
            node,
            path: path.to_owned(),
            database: RwLock::new(database),
            owed: Mutex::new(owed),
            sealer: keyring.map(|keyring| keyring.values("outbox")),
            state: Mutex::new(state),
        })
    }

    /// Where the queue stands now.
    pub(crate) fn state(&self) -> QueueState {
        *self.state.lock()
    }

    /// Appends the segments that hold every shippable record below `cursor`; all of them are durable
    /// on return, or none.
    pub(crate) fn append(&self, payloads: Vec<Payload>, cursor: Lsn) -> Result<()> {
        let mut state = self.state.lock();
        let mut next = *state;
        next.cursor = cursor;
        self.change(Durability::Immediate, |segments| {
            for payload in payloads {
                next = self.put(segments, next, payload)?;
            }
            Ok(next)
        })?;
        *state = next;
        Ok(())
    }

    /// Moves the cursor over records that hold nothing to ship. Not synced: after a crash the same
    /// records are looked at again.
    pub(crate) fn skip_to(&self, cursor: Lsn) -> Result<()> {
        let mut state = self.state.lock();
        let mut next = *state;
        next.cursor = cursor;
        self.change(Durability::None, |_| Ok(next))?;
        *state = next;
        Ok(())
    }

    /// A segment that waits.
    pub(crate) fn segment(&self, sequence: u64) -> Result<Option<SealedSegment>> {
        // Held while it reads: the file is not replaced meanwhile.
        let database = self.database.read();
        let read = database.begin_read().map_err(failed)?;
        let table = read.open_table(SEGMENTS).map_err(failed)?;
        let Some(bytes) = table.get(sequence).map_err(failed)? else {
            return Ok(None);
        };
        self.read_kept(sequence, bytes.value()).map(Some)
    }

    /// Drops what the receiver holds: every segment up to `sequence`. Not synced: after a crash a
    /// dropped segment is offered again, which the receiver answers with an acknowledgement.
    pub(crate) fn acknowledge(&self, sequence: u64) -> Result<()> {
        let mut state = self.state.lock();
        if sequence <= state.acknowledged || sequence > state.last_sealed {
            return Ok(());
        }
        let mut next = *state;
        self.change(Durability::None, |segments| {
            for dropped in state.acknowledged + 1..=sequence {
                if let Some(bytes) = segments.remove(dropped).map_err(failed)? {
                    let kept = self.read_kept(dropped, bytes.value())?;
                    next.pending_rows = next.pending_rows.saturating_sub(kept.rows);
                    next.pending_bytes =
                        next.pending_bytes.saturating_sub(kept.payload.len() as u64);
                    next.acknowledged_hash = kept.hash;
                }
            }
            next.acknowledged = sequence;
            Ok(next)
        })?;
        *state = next;
        drop(state);
        self.pay()
    }

    /// Starts the chain anew under another epoch; what waits is numbered again, and nothing is dropped
    /// but what a key was destroyed of since.
    pub(crate) fn restart(&self, epoch: Epoch) -> Result<()> {
        let mut state = self.state.lock();
        let mut next = QueueState::fresh(epoch, state.cursor);
        self.change(Durability::Immediate, |segments| {
            let mut waiting = Vec::new();
            for sequence in state.acknowledged + 1..=state.last_sealed {
                let Some(bytes) = segments.remove(sequence).map_err(failed)? else {
                    continue;
                };
                let own = self.own_key_of(bytes.value());
                match self.read_kept(sequence, bytes.value()) {
                    Ok(kept) => waiting.push(Payload {
                        rows: kept.rows,
                        bytes: kept.payload,
                        own,
                    }),
                    Err(error) if own.is_some() && error.kind() == ErrorKind::Denied => {}
                    Err(error) => return Err(error),
                }
            }
            for payload in waiting {
                next = self.put(segments, next, payload)?;
            }
            Ok(next)
        })?;
        *state = next;
        Ok(())
    }

    /// Lets go of everything that waits and starts the chain anew under another epoch.
    pub(crate) fn clear(&self, epoch: Epoch) -> Result<()> {
        let mut state = self.state.lock();
        let next = QueueState::fresh(epoch, state.cursor);
        self.change(Durability::Immediate, |segments| {
            segments.retain(|_, _| false).map_err(failed)?;
            Ok(next)
        })?;
        *state = next;
        drop(state);
        self.wipe()
    }

    /// The hash of a segment that is kept, or of the last one that was let go.
    pub(crate) fn hash_at(&self, sequence: u64) -> Result<Option<ChainHash>> {
        let state = *self.state.lock();
        if sequence == state.last_sealed {
            return Ok(Some(state.last_hash));
        }
        if sequence == state.acknowledged {
            return Ok(Some(state.acknowledged_hash));
        }
        Ok(self.segment(sequence)?.map(|segment| segment.hash))
    }

    /// Keeps a few bytes beside the segments under a name of the caller's, durably if that is asked for.
    pub(crate) fn keep(&self, name: &str, bytes: Option<&[u8]>, durably: bool) -> Result<()> {
        let database = self.database.read();
        let mut write = database.begin_write().map_err(failed)?;
        if !durably {
            write.set_durability(Durability::None).map_err(failed)?;
        }
        {
            let mut table = write.open_table(STATE).map_err(failed)?;
            match bytes {
                Some(bytes) => table.insert(name, bytes).map_err(failed)?,
                None => table.remove(name).map_err(failed)?,
            };
        }
        write.commit().map_err(failed)
    }

    /// What is kept under names that begin so.
    pub(crate) fn kept(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let database = self.database.read();
        let read = database.begin_read().map_err(failed)?;
        let table = read.open_table(STATE).map_err(failed)?;
        let mut all = Vec::new();
        for entry in table.range(prefix..).map_err(failed)? {
            let (name, bytes) = entry.map_err(failed)?;
            let Some(rest) = name.value().strip_prefix(prefix) else {
                break;
            };
            all.push((rest.to_owned(), bytes.value().to_vec()));
        }
        Ok(all)
    }

    /// Keeps the segments that are under one of the keys `past` under `own`, or under the common key;
    /// they stay what they are.
    pub(crate) fn reseal(&self, past: &[u32], own: Option<u32>) -> Result<()> {
        let Some(sealer) = &self.sealer else {
            return Ok(());
        };
        let state = self.state.lock();
        self.change(Durability::Immediate, |segments| {
            for sequence in state.acknowledged + 1..=state.last_sealed {
                let kept = segments.get(sequence).map_err(failed)?;
                let Some(kept) = kept.map(|kept| kept.value().to_vec()) else {
                    continue;
                };
                if self
                    .own_key_of(&kept)
                    .is_some_and(|key| past.contains(&key))
                {
                    let name = sequence.to_le_bytes();
                    let mut bytes = sealer.open_vec(&name, kept)?;
                    match own {
                        Some(own) => sealer.seal_under(own, &name, &mut bytes, 0)?,
                        None => sealer.seal(&name, &mut bytes, 0)?,
                    }
                    segments
                        .insert(sequence, bytes.as_slice())
                        .map_err(failed)?;
                }
            }
            Ok(*state)
        })
    }

    /// Whether something waits that no key opens any more.
    pub(crate) fn lacks_a_key(&self, keyring: &Keyring) -> Result<bool> {
        let database = self.database.read();
        let read = database.begin_read().map_err(failed)?;
        let waiting = read.open_table(SEGMENTS).map_err(failed)?;
        for entry in waiting.iter().map_err(failed)? {
            let (_, kept) = entry.map_err(failed)?;
            let own = self.own_key_of(kept.value());
            if own.is_some_and(|own| !keyring.holds(own)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has the file wiped as soon as everything that waits now is acknowledged: at once where nothing
    /// waits. Returns how many segments do. It is kept through restarts.
    pub(crate) fn owe_wipe(&self) -> Result<u64> {
        let state = *self.state.lock();
        let waiting = state.last_sealed - state.acknowledged;
        if waiting == 0 {
            self.wipe()?;
            return Ok(0);
        }
        let database = self.database.read();
        let write = database.begin_write().map_err(failed)?;
        {
            let mut table = write.open_table(STATE).map_err(failed)?;
            let sequence = state.last_sealed.to_le_bytes();
            table
                .insert(WIPE_KEY, sequence.as_slice())
                .map_err(failed)?;
        }
        write.commit().map_err(failed)?;
        *self.owed.lock() = Some(state.last_sealed);
        Ok(waiting)
    }

    /// Wipes the file where that is owed and everything that was waited for is acknowledged.
    fn pay(&self) -> Result<()> {
        let owed = *self.owed.lock();
        match owed {
            Some(sequence) if self.state.lock().acknowledged >= sequence => self.wipe(),
            _ => Ok(()),
        }
    }

    fn own_key_of(&self, kept: &[u8]) -> Option<u32> {
        self.sealer.as_ref()?;
        ValueSealer::data_key_of(kept).filter(|key| Keyring::is_own(*key))
    }

    /// Writes the file anew with what waits, and fills the old one with zeros.
    pub(crate) fn wipe(&self) -> Result<()> {
        let new = new_path(&self.path);
        remove(&new)?;
        let state = self.state.lock();
        let mut database = self.database.write();
        copy(&database, *state, &new)?;
        let old = OpenOptions::new().write(true).open(&self.path)?;
        // Open before it has its name: from then on nothing may be written to the old one.
        let fresh = create(&new)?;
        std::fs::rename(&new, &self.path)?;
        *database = fresh;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        *self.owed.lock() = None;
        drop((database, state));
        let length = old.metadata()?.len();
        std::io::copy(&mut std::io::repeat(0).take(length), &mut &old)?;
        old.sync_all()?;
        Ok(())
    }

    /// Writes the queue as it is now to a new file, which must not exist; durable on return. What is
    /// encrypted is copied as it stands.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<()> {
        let state = self.state.lock();
        copy(&self.database.read(), *state, path)
    }

    fn change(
        &self,
        durability: Durability,
        edit: impl FnOnce(&mut redb::Table<'_, u64, &'static [u8]>) -> Result<QueueState>,
    ) -> Result<()> {
        change(&self.database.read(), durability, edit)
    }

    /// Seals one payload after `state` and stores it; returns the state that follows.
    fn put(
        &self,
        segments: &mut redb::Table<'_, u64, &'static [u8]>,
        mut state: QueueState,
        payload: Payload,
    ) -> Result<QueueState> {
        let Payload { rows, bytes, own } = payload;
        state.last_sealed += 1;
        let sealed = SealedSegment::seal(
            self.node,
            state.epoch,
            state.last_sealed,
            state.last_hash,
            rows,
            bytes,
        );
        state.last_hash = sealed.hash;
        state.pending_rows += rows;
        state.pending_bytes += sealed.payload.len() as u64;
        let mut bytes = postcard::to_stdvec(&sealed)
            .map_err(|error| Error::internal(format!("a segment cannot be kept: {error}")))?;
        let name = state.last_sealed.to_le_bytes();
        match (&self.sealer, own) {
            (None, _) => {}
            (Some(sealer), None) => sealer.seal(&name, &mut bytes, 0)?,
            (Some(sealer), Some(own)) => sealer.seal_under(own, &name, &mut bytes, 0)?,
        }
        segments
            .insert(state.last_sealed, bytes.as_slice())
            .map_err(failed)?;
        Ok(state)
    }

    fn read_kept(&self, sequence: u64, bytes: &[u8]) -> Result<SealedSegment> {
        let broken = |error: postcard::Error| {
            Error::corrupt(format!("a waiting segment cannot be read: {error}"))
        };
        match &self.sealer {
            None => postcard::from_bytes(bytes).map_err(broken),
            Some(sealer) => {
                let bytes = sealer
                    .open_vec(&sequence.to_le_bytes(), bytes.to_vec())
                    .map_err(|error| error.context("the outbox"))?;
                postcard::from_bytes(&bytes).map_err(broken)
            }
        }
    }
}

fn create(path: &Path) -> Result<Database> {
    Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create(path)
        .map_err(|error| Error::internal(format!("the outbox cannot be opened: {error}")))
}

/// Where a file lies that is to replace the queue's; one that is there was left by a crash.
fn new_path(path: &Path) -> PathBuf {
    path.with_extension("redb.new")
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Changes segments and state in one transaction.
fn change(
    database: &Database,
    durability: Durability,
    edit: impl FnOnce(&mut redb::Table<'_, u64, &'static [u8]>) -> Result<QueueState>,
) -> Result<()> {
    let mut write = database.begin_write().map_err(failed)?;
    write.set_durability(durability).map_err(failed)?;
    {
        let mut segments = write.open_table(SEGMENTS).map_err(failed)?;
        let next = edit(&mut segments)?;
        let bytes = postcard::to_stdvec(&next)
            .map_err(|error| Error::internal(format!("the outbox's state: {error}")))?;
        let mut table = write.open_table(STATE).map_err(failed)?;
        table.insert(STATE_KEY, bytes.as_slice()).map_err(failed)?;
    }
    write.commit().map_err(failed)
}

/// Writes what waits to a new file, as it stands.
fn copy(database: &Database, state: QueueState, path: &Path) -> Result<()> {
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
                if name.value() != WIPE_KEY {
                    table.insert(name.value(), bytes.value()).map_err(failed)?;
                }
            }
        }
        write.commit().map_err(failed)?;
    }
    change(&fresh, Durability::Immediate, |segments| {
        for entry in waiting.iter().map_err(failed)? {
            let (sequence, bytes) = entry.map_err(failed)?;
            segments
                .insert(sequence.value(), bytes.value())
                .map_err(failed)?;
        }
        Ok(state)
    })
}

fn failed(error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    match &error {
        redb::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => {
            Error::disk_full("the outbox cannot grow: the disk is full")
        }
        _ => Error::internal(format!("the outbox failed: {error}")),
    }
}
