//! What a store is told when it is opened. Settings are data: nothing here reads a file.

use std::sync::Arc;
use std::time::Duration;

use activestore_env::Keyring;
use activestore_types::NodeId;

/// When a commit's bytes are made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalSync {
    /// One sync a commit, before it is acknowledged.
    Always,
    /// One sync for all commits that are waiting, before they are acknowledged.
    Batch,
    /// Commits are acknowledged once written; a sync follows at least this often. A power cut loses
    /// at most what came since the last one; a killed process loses nothing.
    Interval(Duration),
}

/// The settings of a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// This node: what [`activestore_types::OriginId`] 0 stands for. A directory belongs to one.
    pub node: NodeId,
    /// Memory that the active memtables of all tables may take together before they are frozen and
    /// flushed, in bytes. Up to [`crate::store::FROZEN_MAX`] such sets wait beside it.
    pub memtable_bytes: usize,
    /// Memory that commits on their way may take together, in bytes: their rows, their keys and their
    /// log records, until they are answered. Who would pass it waits; one commit is always let in.
    pub queue_bytes_max: usize,
    /// Memory for encoded vectors of files that point reads came by, in bytes; 0 keeps none. See
    /// [`activestore_sst::BlockCache`].
    pub block_cache_bytes: usize,
    /// Memory for rows that point reads found in files lately, in bytes; 0 keeps none.
    pub row_cache_bytes: usize,
    /// Memory for parts of the files' indexes and for their dictionaries, in bytes. What is asked for is read
    /// again when it was let go.
    pub index_cache_bytes: usize,
    /// Log bytes after which memtables are flushed even if they are small, so that the log of a
    /// node that writes mostly notes stays short.
    pub wal_flush_bytes: u64,
    /// Length of a log segment, in bytes.
    pub wal_segment_bytes: u64,
    /// When commits become durable.
    pub wal_sync: WalSync,
    /// Memory that all notes may take, in bytes; beyond it, a commit that adds notes is refused.
    pub note_bytes_max: usize,
    /// Whether flushes and compactions run on a thread of the store. Without it they run inside the
    /// commit that makes them due: slower, but every step happens in a fixed order.
    pub background: bool,
    /// Whether files are compacted without being asked.
    pub auto_compact: bool,
    /// The keys of an encrypted directory, from [`crate::open_keyring`]; `None` for a plain one. A
    /// directory stays what it was made as.
    pub encryption: Option<Arc<Keyring>>,
    /// How fast compaction writes at most, in bytes per second; `None`: as fast as it can. It goes
    /// faster where flushed files pile up.
    pub compaction_bytes_s: Option<u64>,
    /// Memory that a merge takes for the rows it has decoded, in bytes, about.
    pub merge_bytes_max: usize,
    /// Memory that a flush and a merge take each for the rows they encode next, in bytes, about.
    pub group_bytes_max: usize,
}

/// The largest memtables that a memory budget gives: larger ones gain nothing.
const MEMTABLE_BYTES_MAX: usize = 64 << 20;

impl StoreOptions {
    /// The settings of a small edge node.
    pub fn new(node: NodeId) -> Self {
        StoreOptions {
            node,
            memtable_bytes: 8 << 20,
            queue_bytes_max: 16 << 20,
            block_cache_bytes: 8 << 20,
            row_cache_bytes: 4 << 20,
            index_cache_bytes: 16 << 20,
            wal_flush_bytes: 64 << 20,
            wal_segment_bytes: 16 << 20,
            wal_sync: WalSync::Batch,
            note_bytes_max: 16 << 20,
            background: true,
            auto_compact: true,
            encryption: None,
            compaction_bytes_s: None,
            merge_bytes_max: 16 << 20,
            group_bytes_max: 32 << 20,
        }
    }

    /// The settings of a node whose store may take so much memory, in bytes. All that grows has a
    /// part: of 32, the memtables 6 (the active ones and two frozen sets of 2 each), a merge 3, what
    /// is encoded 2 (a flush and a merge), notes 2, the commits on their way 2, what point reads keep 2, and
    /// the files' indexes 3; the rest is for the log's buffers, copies that live for a moment and what
    /// the allocator loses.
    pub fn within_memory(node: NodeId, memory_bytes: usize) -> Self {
        let part = memory_bytes / 32;
        StoreOptions {
            memtable_bytes: (2 * part).clamp(64 << 10, MEMTABLE_BYTES_MAX),
            merge_bytes_max: (3 * part).clamp(256 << 10, 64 << 20),
            group_bytes_max: part.clamp(64 << 10, 32 << 20),
            note_bytes_max: 2 * part,
            queue_bytes_max: (2 * part).clamp(64 << 10, 64 << 20),
            block_cache_bytes: 3 * part / 2,
            row_cache_bytes: part / 2,
            index_cache_bytes: (3 * part).max(64 << 10),
            ..StoreOptions::new(node)
        }
    }
}
