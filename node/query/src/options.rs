//! What the engine may use, and what it did.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What the engine may use.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Memory for sorts, joins and groups of all queries together, in bytes.
    pub memory_bytes: usize,
    /// The most that one query may have of it; `None` is all.
    pub query_memory_bytes: Option<usize>,
    /// How long one query may work; `None` is for ever. Time that its reader takes does not count.
    pub query_time: Option<Duration>,
    /// Parts that a scan is split into, at most: about the number of cores.
    pub partitions: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            memory_bytes: 64 << 20,
            query_memory_bytes: None,
            query_time: None,
            partitions: 2,
        }
    }
}

/// What the engine did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Queries taken on.
    pub queries: u64,
    /// Queries that ended with an error, planned or running.
    pub failed: u64,
    /// Queries refused because too many were running.
    pub refused: u64,
    /// Queries running now.
    pub running: u64,
    /// Memory that running queries hold, in bytes.
    pub memory_bytes: u64,
    /// Queries whose text was parsed and planned.
    pub planned: u64,
    /// Queries that ran by a plan that was kept, of a prepared statement or of the same text.
    pub plans_reused: u64,
    /// Plans that are kept by the texts of their statements.
    pub plans_kept: u64,
    /// About what those take, in bytes.
    pub plan_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) queries: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) planned: AtomicU64,
    pub(crate) plans_reused: AtomicU64,
}
