//! What the store's threads share, and the steps that change it: apply a group, freeze, publish.
//!
//! Locks, in the order in which they are taken: `erasing`, `sealing`, `compacting`, `structure`, `visible`, `version`, `notes`,
//! `frozen`. `visible` is held for writing while a group is applied, so that a snapshot sees whole
//! commits; `structure` while the manifest and the files of the version change.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use activestore_env::Env;
use activestore_sst::BlockCache;
use activestore_types::{Error, Hlc, Lsn, Result, TableId};
use parking_lot::{Condvar, Mutex, RwLock};

use super::origins::OriginMap;
use super::settled::Settled;
use crate::disks::SstDisks;
use crate::governor::Governor;
use crate::group::{CheckedSet, GroupQueue, Pending, Steps};
use crate::manifest::Manifest;
use crate::memtable::Memtable;
use crate::note::Notes;
use crate::options::{StoreOptions, WalSync};
use crate::stats::Counters;
use crate::version::Version;
use crate::wal::encoded::Encoded;
use crate::wal::{Appended, Wal};
use crate::worker::history::History;
use crate::write_set::Note;

/// Sets of frozen memtables that may wait for their flush; a commit that finds as many waits.
pub const FROZEN_MAX: usize = 2;

/// Memtables that were frozen together, and with them everything up to one log record.
pub(crate) struct Generation {
    /// The last record whose rows and notes are in here or in earlier generations.
    pub(crate) last: Lsn,
    pub(crate) tables: Vec<(TableId, Arc<Memtable>)>,
    pub(crate) notes: Vec<Note>,
    pub(crate) max_hlc: Hlc,
}

#[derive(Default)]
pub(crate) struct Frozen {
    pub(crate) generations: VecDeque<Arc<Generation>>,
    /// The last record that was frozen.
    pub(crate) last: Lsn,
    /// Flushes that ended, well or not.
    pub(crate) attempts: u64,
    /// Why the latest one failed.
    pub(crate) error: Option<Error>,
}

pub(crate) struct Shared {
    pub(crate) env: Env,
    /// The disk as SSTables see it: encrypted where the store is.
    pub(crate) sst_disks: SstDisks,
    pub(crate) options: StoreOptions,
    pub(crate) counters: Counters,
    /// Shared by all files.
    pub(crate) blocks: Arc<BlockCache>,
    pub(crate) wal: Wal,
    pub(crate) manifest: Manifest,
    pub(crate) queue: GroupQueue,
    pub(crate) origins: Arc<OriginMap>,
    pub(crate) notes: RwLock<Notes>,
    pub(crate) version: RwLock<Arc<Version>>,
    pub(crate) visible: RwLock<()>,
    pub(crate) structure: Mutex<()>,
    /// Held by whoever merges files.
    pub(crate) compacting: Mutex<()>,
    /// Held by whoever erases; taken before all others.
    pub(crate) erasing: Mutex<()>,
    /// Held for reading by a commit from when it looks up the partitions' keys until it is done: who
    /// has changed them waits here for those that still took the old ones. Taken after `erasing`.
    pub(crate) sealing: RwLock<()>,
    pub(crate) frozen: Mutex<Frozen>,
    pub(crate) frozen_changed: Condvar,
    pub(crate) last: AtomicU64,
    pub(crate) flushed: AtomicU64,
    pub(crate) max_hlc: AtomicU64,
    pub(crate) next_file: AtomicU64,
    /// Memory of the active memtables.
    pub(crate) active_bytes: AtomicU64,
    /// The log's length when the latest generation was frozen.
    pub(crate) frozen_at_bytes: AtomicU64,
    pub(crate) hold: Mutex<Option<Lsn>>,
    /// Wakes who holds the log, where the store waits for it to move on.
    pub(crate) holder: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
    /// First records that backups under way need; taken after `hold`.
    pub(crate) pins: Mutex<Vec<Lsn>>,
    pub(crate) settled: Mutex<Settled>,
    pub(crate) closed: AtomicBool,
    pub(crate) signal: Signal,
    pub(crate) governor: Governor,
    pub(crate) history: History,
}

/// Wakes the worker threads. Each wake-up is counted, so that none is missed.
#[derive(Default)]
pub(crate) struct Signal {
    count: Mutex<u64>,
    raised: Condvar,
}

impl Signal {
    pub(crate) fn raise(&self) {
        *self.count.lock() += 1;
        self.raised.notify_all();
    }

    pub(crate) fn count(&self) -> u64 {
        *self.count.lock()
    }

    /// Waits until it was raised since `seen` was read, or the time is over.
    pub(crate) fn wait(&self, seen: u64, at_most: Option<Duration>) {
        let mut count = self.count.lock();
        while *count == seen {
            match at_most {
                None => self.raised.wait(&mut count),
                Some(at_most) => {
                    if self.raised.wait_for(&mut count, at_most).timed_out() {
                        return;
                    }
                }
            }
        }
    }
}

impl Steps for Shared {
    fn log(&self, records: &mut [Encoded]) -> Appended {
        self.counters.groups.add(1);
        self.wal.append(records)
    }

    /// Also freezes the memtables that have grown enough.
    fn apply(&self, first: Lsn, sets: impl Iterator<Item = CheckedSet>) -> Result<()> {
        let _visible = self.visible.write();
        let version = self.version();
        let count = self.apply_sets(&version, sets).map_err(|error| {
            // The records are durable and cannot be shown: only a new start can be trusted.
            self.wal.poison(&error)
        })?;
        if count > 0 {
            self.last.store(first.0 + count - 1, Ordering::Release);
        }
        if self.freeze_is_due() && self.frozen.lock().generations.len() < FROZEN_MAX {
            self.freeze_visible();
        }
        Ok(())
    }
}

impl Shared {
    pub(crate) fn version(&self) -> Arc<Version> {
        Arc::clone(&self.version.read())
    }

    pub(crate) fn last(&self) -> Lsn {
        Lsn(self.last.load(Ordering::Acquire))
    }

    pub(crate) fn flushed(&self) -> Lsn {
        Lsn(self.flushed.load(Ordering::Acquire))
    }

    /// Whether anything may still be written.
    pub(crate) fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed("the store is closed"));
        }
        self.wal.check()
    }

    /// Records that one leader may sync together.
    pub(crate) fn records_max(&self) -> usize {
        match self.options.wal_sync {
            WalSync::Always => 1,
            WalSync::Batch | WalSync::Interval(_) => usize::MAX,
        }
    }

    /// Applies the sets in their order; how many there were.
    fn apply_sets(&self, version: &Version, sets: impl Iterator<Item = CheckedSet>) -> Result<u64> {
        let mut max_hlc = Hlc::ZERO;
        let mut pending = Pending::default();
        let mut count = 0;
        for set in sets {
            count += 1;
            for (batch, keys) in set.batches {
                pending.push(batch, keys);
            }
            for tombstone in set.tombstones {
                if let Some(table) = version.table(tombstone.table) {
                    max_hlc = max_hlc.max(tombstone.hlc);
                    self.grow(&table.active, |memtable| {
                        memtable.append_tombstone(tombstone);
                        Ok(())
                    })?;
                }
            }
            if !set.notes.is_empty() {
                self.notes.write().apply(set.notes);
            }
        }
        for (id, batches) in pending.take() {
            // A table that was dropped in the meantime takes its rows with it.
            if let Some(table) = version.table(id) {
                max_hlc = batches
                    .iter()
                    .fold(max_hlc, |highest, (batch, _)| highest.max(batch.max_hlc()));
                self.grow(&table.active, |memtable| memtable.append_all(batches))?;
            }
        }
        self.max_hlc.fetch_max(max_hlc.0, Ordering::AcqRel);
        Ok(count)
    }

    fn grow(
        &self,
        memtable: &Memtable,
        append: impl FnOnce(&Memtable) -> Result<()>,
    ) -> Result<()> {
        let before = memtable.bytes();
        append(memtable)?;
        let grown = memtable.bytes().saturating_sub(before);
        self.active_bytes.fetch_add(grown as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the active memtables, or the log since they were begun, have grown enough.
    pub(crate) fn freeze_is_due(&self) -> bool {
        // Both are read without a lock; a freeze in between only makes the difference too small.
        let log_bytes = self
            .wal
            .bytes
            .get()
            .saturating_sub(self.frozen_at_bytes.load(Ordering::Relaxed));
        self.active_bytes.load(Ordering::Relaxed) >= self.options.memtable_bytes as u64
            || log_bytes >= self.options.wal_flush_bytes
    }

    /// Freezes what is in memory, so that a flush can take it. False if there is nothing new.
    pub(crate) fn freeze(&self) -> bool {
        let _visible = self.visible.write();
        self.freeze_visible()
    }

    /// The same, for who holds `visible`.
    fn freeze_visible(&self) -> bool {
        let last = self.last();
        if last <= self.frozen.lock().last {
            return false;
        }
        let mut slot = self.version.write();
        let mut next = Version::clone(&slot);
        let mut tables = Vec::new();
        for table in slot.tables().filter(|table| !table.active.is_empty()) {
            let mut table = table.as_ref().clone();
            let full = std::mem::replace(
                &mut table.active,
                Arc::new(Memtable::new(Arc::clone(&table.schema))),
            );
            tables.push((table.schema.id, Arc::clone(&full)));
            table.frozen.push(full);
            next = next.with_table(table);
        }
        let notes = self.notes.write().take_changes();
        *slot = Arc::new(next);
        drop(slot);
        self.active_bytes.store(0, Ordering::Relaxed);
        self.frozen_at_bytes
            .store(self.wal.bytes.get(), Ordering::Relaxed);
        let mut frozen = self.frozen.lock();
        frozen.last = last;
        frozen.generations.push_back(Arc::new(Generation {
            last,
            tables,
            notes,
            max_hlc: Hlc(self.max_hlc.load(Ordering::Acquire)),
        }));
        drop(frozen);
        self.signal.raise();
        true
    }

    /// How many sets of frozen memtables wait, and their memory in bytes.
    pub(crate) fn frozen_sets(&self) -> (u64, u64) {
        let frozen = self.frozen.lock();
        let memtables = frozen.generations.iter().flat_map(|set| &set.tables);
        let bytes = memtables.map(|(_, memtable)| memtable.bytes() as u64).sum();
        (frozen.generations.len() as u64, bytes)
    }

    /// Ends all writing after a failure of the storage that a retry cannot mend.
    pub(crate) fn poison(&self, error: &Error) -> Error {
        let error = self.wal.poison(error);
        self.frozen_changed.notify_all();
        error
    }

    /// Gives back the log segments that neither a flush nor a holder needs.
    pub(crate) fn release_log(&self) -> Result<()> {
        let keep = {
            let hold = self.hold.lock();
            let needed = self.needed(*hold);
            let pinned = self.pins.lock().iter().min().copied();
            pinned.map_or(needed, |pinned| pinned.min(needed))
        };
        self.wal.release_below(keep)
    }

    /// The first record that a flush or a holder needs.
    fn needed(&self, hold: Option<Lsn>) -> Lsn {
        let unflushed = Lsn(self.flushed().0 + 1);
        hold.map_or(unflushed, |hold| hold.min(unflushed))
    }

    /// Keeps the log from the first record that anybody needs now; returns that record. It ends with
    /// the removal from `pins`.
    pub(crate) fn pin_log(&self) -> Lsn {
        let hold = self.hold.lock();
        let from = self.needed(*hold);
        self.pins.lock().push(from);
        from
    }
}
