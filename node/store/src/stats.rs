//! Counters of what the store does and of what goes wrong, and what it shows of its files.

use std::sync::atomic::{AtomicU64, Ordering};

use activestore_sst::SstMeta;
use activestore_types::{Lsn, TableId, TableName};

/// A reading of the store's counters; those named by a plain noun count since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Commits acknowledged.
    pub commits: u64,
    /// Commits refused or failed.
    pub commit_errors: u64,
    /// Row fragments committed.
    pub rows: u64,
    /// Groups of commits written to the log, each with one write.
    pub groups: u64,
    /// Commits that had to wait for a flush because too many memtables were frozen.
    pub stalls: u64,
    /// Bytes appended to the log.
    pub wal_bytes: u64,
    /// Syncs of the log.
    pub wal_syncs: u64,
    /// Nanoseconds spent in them.
    pub wal_sync_ns: u64,
    /// Log segments in use now.
    pub wal_segments: u64,
    /// Log records replayed when the store was opened.
    pub replayed_records: u64,
    /// Torn tails cut when the store was opened: 0 or 1.
    pub torn_tails: u64,
    /// Flushes done.
    pub flushes: u64,
    /// Flushes that failed and are tried again.
    pub flush_errors: u64,
    /// Bytes of SSTables written by flushes.
    pub flush_bytes: u64,
    /// Compactions done.
    pub compactions: u64,
    /// Compactions that failed and are tried again.
    pub compaction_errors: u64,
    /// Bytes of SSTables written by compactions.
    pub compaction_bytes: u64,
    /// Left-over files removed when the store was opened.
    pub orphans_removed: u64,
    /// Memory of the active memtables now, in bytes, about.
    pub memtable_bytes: u64,
    /// Memory of the frozen memtables now, in bytes, about.
    pub frozen_bytes: u64,
    /// Memory of the commits on their way now, in bytes, about.
    pub queue_bytes: u64,
    /// Sets of frozen memtables that wait for a flush now.
    pub frozen: u64,
    /// Notes held now.
    pub notes: u64,
    /// Memory of the notes now, in bytes.
    pub note_bytes: u64,
    /// SSTables now.
    pub sst_files: u64,
    /// Their bytes.
    pub sst_bytes: u64,
    /// Their row fragments.
    pub sst_rows: u64,
    /// Row fragments in memtables now.
    pub memtable_rows: u64,
    /// The last record committed.
    pub last_lsn: Lsn,
    /// The last record whose rows are in SSTables.
    pub flushed_lsn: Lsn,
    /// The first record that the log still holds.
    pub first_log_lsn: Lsn,
    /// Why nothing can be written any more, if that is so.
    pub poisoned: Option<String>,
}

/// One SSTable, as `system.sstables` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SstInfo {
    /// The file's number.
    pub id: u64,
    /// The table's id.
    pub table: TableId,
    /// The table's name.
    pub name: TableName,
    /// Where it lies, relative to the data directory.
    pub path: String,
    /// What it says about itself.
    pub meta: SstMeta,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters that rise while the store works.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: Counter,
    pub(crate) commit_errors: Counter,
    pub(crate) rows: Counter,
    pub(crate) groups: Counter,
    pub(crate) stalls: Counter,
    pub(crate) replayed_records: Counter,
    pub(crate) torn_tails: Counter,
    pub(crate) flushes: Counter,
    pub(crate) flush_errors: Counter,
    pub(crate) flush_bytes: Counter,
    pub(crate) compactions: Counter,
    pub(crate) compaction_errors: Counter,
    pub(crate) compaction_bytes: Counter,
    pub(crate) orphans_removed: Counter,
}
