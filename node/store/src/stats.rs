//! Counters of what the store does and of what goes wrong, and what it shows of its files.

use std::sync::atomic::{AtomicU64, Ordering};

use activestore_sst::SstMeta;
use activestore_types::{Lsn, TableId, TableName};

use crate::governor::PauseReason;

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
    /// Bytes of SSTables that compactions read and replaced.
    pub compaction_read_bytes: u64,
    /// Nanoseconds that compactions took, without the waits.
    pub compaction_ns: u64,
    /// Nanoseconds that compactions waited for their rate limit or for the end of a pause.
    pub compaction_wait_ns: u64,
    /// Bytes of the files that the next merge of each table would read; 0 where all is in order.
    pub pending_compaction_bytes: u64,
    /// Why compaction is asked to rest now; empty where it is not.
    pub compaction_paused: Vec<PauseReason>,
    /// Bytes of SSTables that hold nothing that a read would show, estimated from what merges left
    /// out.
    pub garbage_bytes: u64,
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
    /// Bytes of the files' indexes and dictionaries that are in memory, about.
    pub index_bytes: u64,
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

impl StoreStats {
    /// Bytes of SSTables written for each byte that was flushed, since the store was opened; the log
    /// is counted apart. 1 before the first flush.
    pub fn write_amplification(&self) -> f64 {
        write_amplification(self.flush_bytes, self.compaction_bytes)
    }

    /// Bytes of SSTables for each byte that reads could show, estimated.
    pub fn space_amplification(&self) -> f64 {
        space_amplification(self.sst_bytes, self.garbage_bytes)
    }
}

fn write_amplification(flushed: u64, compacted: u64) -> f64 {
    if flushed == 0 {
        return 1.0;
    }
    (flushed as f64 + compacted as f64) / flushed as f64
}

fn space_amplification(bytes: u64, garbage: u64) -> f64 {
    let shown = bytes.saturating_sub(garbage).max(1);
    (bytes as f64 / shown as f64).max(1.0)
}

/// What the store tells of one table's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// The table's id.
    pub table: TableId,
    /// Its name.
    pub name: TableName,
    /// How its files are merged: `time_window` or `levelled`.
    pub policy: &'static str,
    /// Bytes written by its flushes since the store was opened.
    pub flush_bytes: u64,
    /// Bytes written by its compactions since the store was opened.
    pub compaction_bytes: u64,
    /// As [`StoreStats::garbage_bytes`].
    pub garbage_bytes: u64,
    /// As [`StoreStats::pending_compaction_bytes`].
    pub pending_compaction_bytes: u64,
    /// Its files, by window and level.
    pub groups: Vec<FileGroup>,
}

impl TableStats {
    /// As [`StoreStats::write_amplification`].
    pub fn write_amplification(&self) -> f64 {
        write_amplification(self.flush_bytes, self.compaction_bytes)
    }

    /// As [`StoreStats::space_amplification`].
    pub fn space_amplification(&self) -> f64 {
        let bytes = self.groups.iter().map(|group| group.bytes).sum();
        space_amplification(bytes, self.garbage_bytes)
    }
}

/// The files of a table in one window (of a table merged by windows of time) and of one level; those
/// of a partition with a data key of its own by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileGroup {
    /// The data key of the partition whose rows alone they hold, if it has one of its own.
    pub own_key: Option<u32>,
    /// When the window begins, in nanoseconds since 1970; `None` without windows.
    pub window_start_ns: Option<i64>,
    /// The level: 0 as flushed.
    pub level: u8,
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their row fragments.
    pub rows: u64,
}

/// A compaction that runs or ran, as `system.compactions` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactionInfo {
    /// The table's id.
    pub table: TableId,
    /// The table's name.
    pub name: TableName,
    /// How the table's files are merged: `time_window` or `levelled`.
    pub policy: &'static str,
    /// Why it ran.
    pub reason: &'static str,
    /// The level of the new files.
    pub level: u8,
    /// The files it replaced.
    pub inputs: Vec<u64>,
    /// The files it made.
    pub outputs: Vec<u64>,
    /// Bytes of the files it replaced.
    pub bytes_in: u64,
    /// Bytes written, so far while it runs.
    pub bytes_out: u64,
    /// Row fragments read.
    pub rows_in: u64,
    /// Row fragments written.
    pub rows_out: u64,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// How long it took, waits included, in milliseconds; `None` while it runs.
    pub duration_ms: Option<u64>,
    /// Why it failed, if it did.
    pub error: Option<String>,
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
    pub(crate) compaction_read_bytes: Counter,
    pub(crate) compaction_ns: Counter,
    pub(crate) compaction_wait_ns: Counter,
    pub(crate) orphans_removed: Counter,
}
