//! The store: one directory, one write-ahead log, any number of tables.
//!
//! Invariants:
//! - an acknowledged commit is in the log and synced (as the options ask for), or in SSTables that
//!   the manifest names; recovery finds it in one of the two, and nothing that was never committed;
//! - a log segment is given back only when the manifest says that its records are flushed and no
//!   one holds them;
//! - a snapshot sees each commit whole or not at all;
//! - memory is bounded: active memtables, [`FROZEN_MAX`] sets of frozen ones, the commit queue and
//!   the notes each have a limit, and who would pass it waits or is refused.

mod divide;
pub mod encryption;
mod evict;
mod open;
pub(crate) mod origins;
mod own;
pub(crate) mod settled;
pub(crate) mod shared;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use activestore_env::Env;
use activestore_types::{
    Error, Hlc, Lsn, NodeId, OriginId, Result, RowBatch, TableId, TableSchema,
};
use parking_lot::Mutex;

use crate::backup::{self, Backup, LogPin};
use crate::governor::PauseReason;
use crate::group::CheckedSet;
use crate::manifest::Edit;
use crate::memtable::{Memtable, RowKeys};
use crate::options::StoreOptions;
use crate::read::Snapshot;
use crate::stats::{CompactionInfo, SstInfo, StoreStats, TableStats};
use crate::version::{Origins, TableVersion, Version};
use crate::worker;
use crate::write_set::{LogRecord, Note, WriteSet};
use shared::Shared;

pub use shared::FROZEN_MAX;

/// The folder of the SSTables.
pub(crate) const SST_DIR: &str = "sst";

/// Where an SSTable lies.
pub(crate) fn sst_path(id: u64) -> String {
    format!("{SST_DIR}/{id:012}.sst")
}

/// An open store. Shared between threads; dropping it closes it.
pub struct Store {
    shared: Arc<Shared>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store in `env`'s disk, making it if there is none, and recovers what a crash left.
    ///
    /// # Errors
    /// `Conflict` when the directory belongs to another node, or is not encrypted where a keyring
    /// was given; `Denied` when it is encrypted and none was; `Corrupt` when an acknowledged record
    /// or a file is damaged or missing; as the disk.
    pub fn open(env: Env, options: StoreOptions) -> Result<Arc<Store>> {
        let background = options.background;
        let shared = Arc::new(open::open(env, options)?);
        worker::tend_own_keys(&shared)?;
        let workers = if background {
            // What the log left in memory is as much as there ever was: it is written out before
            // more comes in. A failure is tried again by the thread that flushes.
            worker::flush_frozen(&shared);
            worker::spawn(&shared)?
        } else {
            worker::run_due(&shared);
            Vec::new()
        };
        Ok(Arc::new(Store {
            shared,
            workers: Mutex::new(workers),
        }))
    }

    /// Adds a table, or replaces its definition by a later one. Durable on return.
    ///
    /// # Errors
    /// `Invalid` for a definition that is none, or that changes the key or a column's type; as the
    /// disk.
    pub fn put_schema(&self, schema: Arc<TableSchema>) -> Result<()> {
        schema.validate()?;
        self.shared.check()?;
        let _structure = self.shared.structure.lock();
        if let Some(table) = self.shared.version().table(schema.id) {
            if table.schema == schema {
                return Ok(());
            }
            check_change(&table.schema, &schema)?;
        }
        self.change(&Edit {
            schemas: vec![Arc::clone(&schema)],
            ..Edit::default()
        })?;
        let mut slot = self.shared.version.write();
        let table = match slot.table(schema.id) {
            Some(table) => TableVersion {
                schema,
                ..table.as_ref().clone()
            },
            None => TableVersion::new(schema),
        };
        *slot = Arc::new(slot.with_table(table));
        Ok(())
    }

    /// Removes a table with all its rows, and destroys the keys that partitions of it had. Snapshots
    /// that exist keep them. A table that does not exist is no error.
    ///
    /// # Errors
    /// As the disk.
    pub fn drop_table(&self, id: TableId) -> Result<()> {
        self.shared.check()?;
        // Nobody gives a partition of it a key meanwhile.
        let _erasing = self.shared.erasing.lock();
        let structure = self.shared.structure.lock();
        let Some(table) = self.shared.version().table(id).cloned() else {
            return Ok(());
        };
        self.change(&Edit {
            drop_tables: vec![id],
            ..Edit::default()
        })?;
        {
            let _visible = self.shared.visible.write();
            let mut slot = self.shared.version.write();
            *slot = Arc::new(slot.without_table(id));
        }
        self.shared.history.forget(id);
        worker::remove_files(
            &self.shared,
            table.files.iter().map(|file| file.path.as_str()),
        );
        drop(structure);
        if table.own.is_empty() {
            return Ok(());
        }
        // A flush or a merge that is under way may still write under the keys.
        self.flush()?;
        let _compacting = self.shared.compacting.lock();
        worker::forget_dropped(&self.shared)
    }

    /// The small number that stands for a node in this store's rows; given out at first use,
    /// durably.
    ///
    /// # Errors
    /// As the disk.
    pub fn origin_id(&self, node: NodeId) -> Result<OriginId> {
        let origins = &self.shared.origins;
        if let Some(id) = origins.id(node) {
            return Ok(id);
        }
        self.shared.check()?;
        let _structure = self.shared.structure.lock();
        if let Some(id) = origins.id(node) {
            return Ok(id);
        }
        let id = origins.next_id();
        self.change(&Edit {
            origins: vec![(id, node)],
            ..Edit::default()
        })?;
        origins.insert(id, node);
        Ok(id)
    }

    /// The same of a node that has one already.
    pub fn known_origin(&self, node: NodeId) -> Option<OriginId> {
        self.shared.origins.id(node)
    }

    /// The node that an origin stands for; `None` for one that was never given out.
    pub fn origin_node(&self, id: OriginId) -> Option<NodeId> {
        self.shared.origins.node(id)
    }

    /// Writes a set, whole or not at all. Returns when it is as durable as the options ask for, and
    /// visible to every snapshot taken from then on. Concurrent callers share one sync.
    ///
    /// # Errors
    /// `Invalid` for rows that do not fit their table and for more than 64 MiB; `NotFound` for an
    /// unknown table; `Overloaded` when the notes would pass their bound; `DiskFull` when there is
    /// no space, with nothing stored; `Poisoned` after a failure of the storage, when whether this
    /// set is stored will show at the next start; `Closed`.
    pub fn commit(&self, set: WriteSet) -> Result<Lsn> {
        let rows = set.rows();
        let result = self.commit_checked(set);
        match &result {
            Ok(_) => {
                self.shared.counters.commits.add(1);
                self.shared.counters.rows.add(rows);
            }
            Err(_) => self.shared.counters.commit_errors.add(1),
        }
        result
    }

    fn commit_checked(&self, set: WriteSet) -> Result<Lsn> {
        let shared = &self.shared;
        shared.check()?;
        worker::wait_for_room(shared)?;
        // Admitted before anything is made of it: who waits holds no more than it came with.
        let admission = shared.queue.admit(set.commit_bytes());
        // Until it is done: who gives a partition another key waits for what took the old one.
        let _sealing = shared.sealing.read();
        let version = shared.version();
        let keys = self.check_set(&version, &set)?;
        let record = match divide::divide(&version, &set, &keys)? {
            None => shared.wal.encode(&set, &[])?,
            Some(divided) => shared.wal.encode(&divided.common, &divided.apart)?,
        };
        let set = CheckedSet {
            batches: set.batches.into_iter().zip(keys).collect(),
            tombstones: set.tombstones,
            notes: set.notes,
        };
        let lsn = shared
            .queue
            .submit(record, set, shared.records_max(), &**shared)?;
        drop(admission);
        if !shared.options.background {
            worker::run_due(shared);
        }
        Ok(lsn)
    }

    /// What has to hold before a record is logged: whatever is in the log can be replayed.
    fn check_set(&self, version: &Version, set: &WriteSet) -> Result<Vec<RowKeys>> {
        let keys = set
            .batches
            .iter()
            .map(|batch: &RowBatch| Memtable::check(&table(version, batch.table)?.schema, batch))
            .collect::<Result<_>>()?;
        for tombstone in &set.tombstones {
            table(version, tombstone.table)?;
            if !tombstone.end.is_empty() && tombstone.end <= tombstone.start {
                return Err(Error::invalid("a range delete ends before it starts"));
            }
        }
        if !set.notes.is_empty() {
            let notes = self.shared.notes.read();
            let changes = set.notes.iter().map(Note::parts);
            notes.admit(changes, self.shared.options.note_bytes_max)?;
        }
        Ok(keys)
    }

    /// The highest stamp that was ever committed here.
    pub fn max_hlc(&self) -> Hlc {
        Hlc(self.shared.max_hlc.load(Ordering::Acquire))
    }

    /// Whether notes, changed like this, would take more than `eighths` of what they may; a commit is
    /// refused that takes them beyond the whole. No value removes a note.
    ///
    /// # Errors
    /// `Overloaded`, with how much it would be.
    pub fn admit_notes<'a>(
        &self,
        changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone,
        eighths: usize,
    ) -> Result<()> {
        let most = self.shared.options.note_bytes_max / 8 * eighths;
        self.shared.notes.read().admit(changes, most)
    }

    /// A note's value.
    pub fn note(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.shared.notes.read().get(key)
    }

    /// All notes whose key starts with `prefix`, as (key, value), by key.
    pub fn notes(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.shared.notes.read().with_prefix(prefix)
    }

    /// Committed records from `from` on, in order, until their bytes in the log pass `max_bytes`; at
    /// least one if there is one. Numbers may have gaps: a store that was closed leaves a mark.
    ///
    /// # Errors
    /// `NotFound` when the log does not hold `from` any more; `Corrupt` when a record is damaged.
    pub fn log(&self, from: Lsn, max_bytes: usize) -> Result<Vec<LogRecord>> {
        let from = Lsn(from.0.max(1));
        let (first, last) = (self.first_log_lsn(), self.last_lsn());
        if from < first {
            return Err(Error::not_found(format!(
                "the log starts at record {}; record {} is not kept any more",
                first.0, from.0
            ))
            .with_hint("hold the log from the record that is needed on"));
        }
        self.shared.wal.read(from, last, max_bytes)
    }

    /// The last committed record; 0 before the first.
    pub fn last_lsn(&self) -> Lsn {
        self.shared.last()
    }

    /// The first record that the log still holds, or the next one to come.
    pub fn first_log_lsn(&self) -> Lsn {
        self.shared.wal.first()
    }

    /// Bytes that were appended to the log since the store was opened.
    pub fn log_bytes(&self) -> u64 {
        self.shared.wal.bytes.get()
    }

    /// Bytes of the log that are kept for who needs it from a record on, in whole segments that lie behind it.
    pub fn log_bytes_behind(&self, from: Lsn) -> u64 {
        self.shared.wal.bytes_behind(from)
    }

    /// Keeps the records from `from` on readable, through restarts, until it is moved up or lifted
    /// with `None`. After a restart the hold stands where it last was, or a little before.
    pub fn hold_log(&self, from: Option<Lsn>) {
        let shared = &self.shared;
        let before = std::mem::replace(&mut *shared.hold.lock(), from);
        // Lifted or begun: the next start must know. Moved up: the next flush tells it.
        if before.is_some() != from.is_some() {
            let _structure = shared.structure.lock();
            let hold = *shared.hold.lock();
            let edit = Edit {
                hold: Some(hold),
                ..Edit::default()
            };
            if let Err(error) = self.change(&edit) {
                tracing::warn!(%error, "the hold on the log was not recorded");
            }
        }
        if shared.options.background {
            shared.signal.raise();
        } else {
            worker::run_due(shared);
        }
    }

    /// `wake` is called where the store waits for the hold on the log to be moved up, and must not
    /// call back into the store.
    pub fn on_waiting_for_hold(&self, wake: Box<dyn Fn() + Send + Sync>) {
        *self.shared.holder.lock() = Some(wake);
    }

    /// The table as it is now; later commits do not show.
    ///
    /// # Errors
    /// `NotFound` for an unknown table.
    pub fn snapshot(&self, id: TableId) -> Result<Snapshot> {
        let _visible = self.shared.visible.read();
        let version = self.shared.version();
        let table = table(&version, id)?;
        Ok(Snapshot::new(Arc::clone(table), self.origins()))
    }

    fn origins(&self) -> Origins {
        worker::origins(&self.shared)
    }

    /// Writes everything committed so far to SSTables and waits for it.
    ///
    /// # Errors
    /// Why it failed; it is tried again with the next one.
    pub fn flush(&self) -> Result<()> {
        self.shared.check()?;
        self.shared.freeze();
        worker::wait_for_flush(&self.shared)
    }

    /// Flushes, and merges all files of a table into one run. Takes as long as that takes.
    ///
    /// # Errors
    /// `NotFound` for an unknown table; why the flush or the merge failed.
    pub fn compact(&self, id: TableId) -> Result<()> {
        table(&self.shared.version(), id)?;
        self.flush()?;
        worker::compact_all(&self.shared, id)
    }

    /// Removes from every file of the directory the bytes of what was deleted from a table before
    /// the call: flushes, writes all files of the table anew, empties the log and writes the manifest
    /// anew. Takes as long as that takes, and writes zeros over the log's files. Keys of tombstones
    /// and rows that expired stay until [`Store::settle`] lets them go. What the file system has
    /// freed is out of reach; in an encrypted directory it is ciphertext.
    ///
    /// # Errors
    /// `NotFound` for an unknown table; `Conflict` when the log is held from an earlier record on:
    /// everything else was done, and the bytes are gone once the hold is moved up and this is called
    /// again; why a step failed.
    pub fn erase(&self, id: TableId) -> Result<()> {
        table(&self.shared.version(), id)?;
        self.shared.check()?;
        worker::erase(&self.shared, id)
    }

    /// Asks compaction to rest, for one more reason. Merges go on all the same where flushed files
    /// pile up, and where [`Store::compact`] waits for them.
    pub fn pause_compaction(&self, reason: PauseReason) {
        self.shared.governor.pause(reason);
    }

    /// Takes a reason back; compaction goes on when none is left.
    pub fn resume_compaction(&self, reason: PauseReason) {
        self.shared.governor.resume(reason);
        if self.shared.options.background {
            self.shared.signal.raise();
        }
    }

    /// The running compaction and the latest ones, newest first.
    pub fn compactions(&self) -> Vec<CompactionInfo> {
        self.shared.history.all()
    }

    /// What is to be told of each table's files, by table.
    pub fn table_stats(&self) -> Vec<TableStats> {
        worker::table_stats(&self.shared)
    }

    /// Keeps the log from the first record that is still needed now. The first step of a backup that
    /// has parts outside the store: what follows the log is copied after it and before
    /// [`Store::backup`], and finds its place in the log that the backup holds.
    pub fn pin_log(&self) -> LogPin {
        LogPin {
            from: self.shared.pin_log(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// A consistent picture of the store, to be copied while writing goes on: everything committed
    /// before the call, whole commits only. It holds open files and keeps the log from `pin` on.
    ///
    /// # Errors
    /// Why the flush that it starts with failed; as the disk.
    pub fn backup(&self, pin: LogPin) -> Result<Backup> {
        self.flush()?;
        backup::take(&self.shared, pin)
    }

    /// The counters.
    pub fn stats(&self) -> StoreStats {
        let shared = &self.shared;
        let counters = &shared.counters;
        let version = shared.version();
        let tables = self.table_stats();
        let files = || version.tables().flat_map(|table| &table.files);
        let notes = shared.notes.read();
        let (frozen, frozen_bytes) = shared.frozen_sets();
        StoreStats {
            commits: counters.commits.get(),
            commit_errors: counters.commit_errors.get(),
            rows: counters.rows.get(),
            groups: counters.groups.get(),
            stalls: counters.stalls.get(),
            wal_bytes: shared.wal.bytes.get(),
            wal_syncs: shared.wal.syncs.get(),
            wal_sync_ns: shared.wal.sync_ns.get(),
            wal_segments: shared.wal.segment_count() as u64,
            replayed_records: counters.replayed_records.get(),
            torn_tails: counters.torn_tails.get(),
            flushes: counters.flushes.get(),
            flush_errors: counters.flush_errors.get(),
            flush_bytes: counters.flush_bytes.get(),
            compactions: counters.compactions.get(),
            compaction_errors: counters.compaction_errors.get(),
            compaction_bytes: counters.compaction_bytes.get(),
            compaction_read_bytes: counters.compaction_read_bytes.get(),
            compaction_ns: counters.compaction_ns.get(),
            compaction_wait_ns: counters.compaction_wait_ns.get(),
            pending_compaction_bytes: sum(&tables, |table| table.pending_compaction_bytes),
            garbage_bytes: sum(&tables, |table| table.garbage_bytes),
            compaction_paused: shared.governor.reasons(),
            orphans_removed: counters.orphans_removed.get(),
            memtable_bytes: shared.active_bytes.load(Ordering::Relaxed),
            frozen_bytes,
            queue_bytes: shared.queue.bytes() as u64,
            frozen,
            notes: notes.len() as u64,
            note_bytes: notes.bytes() as u64,
            index_bytes: shared.blocks.index_bytes(),
            sst_files: files().count() as u64,
            sst_bytes: files().map(|file| file.sst.meta().bytes).sum(),
            sst_rows: files().map(|file| file.sst.meta().rows).sum(),
            memtable_rows: version
                .tables()
                .flat_map(|table| table.memtables())
                .map(|memtable| memtable.rows() as u64)
                .sum(),
            last_lsn: shared.last(),
            flushed_lsn: shared.flushed(),
            first_log_lsn: shared.wal.first(),
            poisoned: shared.wal.check().err().map(|error| error.to_string()),
        }
    }

    /// Every table, by id.
    pub fn tables(&self) -> Vec<TableId> {
        let version = self.shared.version();
        version.tables().map(|table| table.schema.id).collect()
    }

    /// Every SSTable, by table and number.
    pub fn sstables(&self) -> Vec<SstInfo> {
        let version = self.shared.version();
        let mut all: Vec<SstInfo> = version
            .tables()
            .flat_map(|table| {
                table.files.iter().map(|file| SstInfo {
                    id: file.id,
                    table: table.schema.id,
                    name: table.schema.name.clone(),
                    path: file.path.clone(),
                    meta: file.sst.meta().clone(),
                })
            })
            .collect();
        all.sort_by_key(|info| (info.table, info.id));
        all
    }

    /// Ends all writing and waits for the threads. What is in the log is not flushed: the next start
    /// replays it. Snapshots stay readable.
    ///
    /// # Errors
    /// Why the log could not be ended; everything acknowledged is durable all the same.
    pub fn close(&self) -> Result<()> {
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.shared.signal.raise();
        self.shared.frozen_changed.notify_all();
        for worker in self.workers.lock().drain(..) {
            // A worker that panicked has poisoned the log, which says so below.
            let _ = worker.join();
        }
        let closed = self.shared.wal.close();
        self.shared.manifest.close();
        closed
    }

    fn change(&self, edit: &Edit) -> Result<()> {
        worker::change(&self.shared, edit)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the store was not closed in order; the next start recovers it");
        }
    }
}

fn sum(tables: &[TableStats], of: impl Fn(&TableStats) -> u64) -> u64 {
    tables.iter().map(of).sum()
}

fn table(version: &Version, id: TableId) -> Result<&Arc<TableVersion>> {
    version
        .table(id)
        .ok_or_else(|| Error::not_found(format!("there is no table with the id {}", id.0)))
}

/// A later definition keeps the key, and the type of every column that it keeps.
fn check_change(before: &TableSchema, after: &TableSchema) -> Result<()> {
    if !before.key_columns().eq(after.key_columns()) {
        return Err(Error::invalid(format!(
            "the primary key of {} cannot change",
            before.name
        )));
    }
    for column in &before.columns {
        let kept = after.column_by_id(column.id);
        if kept.is_some_and(|kept| kept.data_type != column.data_type) {
            return Err(Error::invalid(format!(
                "column '{}' of {} cannot change its type",
                column.name, before.name
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
