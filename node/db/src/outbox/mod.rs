//! The edge's outbox: a thread follows the log, gathers this node's own rows of tables that travel
//! up, and seals them into segments of at most [`SEAL_BYTES`] or [`crate::DbOptions::seal_after`].
//!
//! A segment is cut only from committed records, and records are kept in the log until a durable
//! segment holds them, so a crash at any point seals again from where the queue stands.
//!
//! The same thread seals a cloud's stream, see [`crate::down`]: the rows of all nodes, of tables that travel
//! down.

mod direction;
pub(crate) mod filter;
mod grouping;
pub(crate) mod origins;
mod packing;
mod parts;
pub(crate) mod queue;
pub(crate) mod segment;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use activestore_catalog::{Catalog, Sharing};
use activestore_env::Env;
use activestore_store::{LogRecord, Store};
use activestore_sync_proto::{OutboxPosition, SealedSegment};
use activestore_types::{Epoch, Lsn, NodeId, Result, RowBatch, TableId, TableName};
use parking_lot::{Condvar, Mutex};

pub(crate) use direction::Direction;
use filter::{Filters, HeldBack, Passed};
use origins::Naming;
use packing::Packing;
pub(crate) use packing::no_rows;
use queue::{Payload, Queue};

use crate::plugins::Plugins;

/// A segment is sealed when the rows it would hold take about this much memory unpacked.
pub(crate) const SEAL_BYTES: usize = 1024 * 1024;
/// How much of the log is looked at in one step, in bytes.
const LOG_STEP_BYTES: usize = 4 * 1024 * 1024;
/// How long the thread pauses after a failure before it tries again; each further failure doubles it …
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// … up to this.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(16);

type Waker = Box<dyn Fn() + Send + Sync>;

/// What segments are made from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) env: Env,
    pub(crate) store: Arc<Store>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) plugins: Arc<Plugins>,
}

/// What waits for its acknowledgement, and the thread that seals.
pub(crate) struct Sealer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    direction: Direction,
    node: NodeId,
    name: String,
    env: Env,
    store: Arc<Store>,
    catalog: Arc<Catalog>,
    queue: Queue,
    seal_after: Duration,
    /// Held from when rows are read from the log until a segment holds them.
    sealing: Mutex<()>,
    dirty: Mutex<bool>,
    changed: Condvar,
    stopping: AtomicBool,
    waker: Mutex<Option<Waker>>,
    failures: AtomicU64,
    /// Why nothing can be sealed; `None` while it can.
    blocked: Mutex<Option<String>>,
    refused: Mutex<Option<String>>,
    filters: Filters,
}

impl Sealer {
    pub(crate) fn start(
        direction: Direction,
        node: NodeId,
        name: String,
        sources: Sources,
        queue: Queue,
        seal_after: Duration,
    ) -> Result<Self> {
        let Sources {
            env,
            store,
            catalog,
            plugins,
        } = sources;
        store.hold_log(Some(queue.state().cursor));
        let shared = Arc::new(Shared {
            filters: Filters::new(plugins, store.clone(), env.clone()),
            blocked: Mutex::new(None),
            direction,
            node,
            name,
            env,
            store,
            catalog,
            queue,
            seal_after,
            sealing: Mutex::new(()),
            dirty: Mutex::new(true),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
            waker: Mutex::new(None),
            failures: AtomicU64::new(0),
            refused: Mutex::new(None),
        });
        let held = Arc::downgrade(&shared);
        shared.store.on_waiting_for_hold(Box::new(move || {
            if let Some(shared) = held.upgrade() {
                shared.wake();
            }
        }));
        let worker = shared.clone();
        let thread = std::thread::Builder::new()
            .name("outbox".to_owned())
            .spawn(move || worker.run())?;
        Ok(Sealer {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Says that records were committed.
    pub(crate) fn wake(&self) {
        self.shared.wake();
    }

    /// Seals what is committed, now.
    pub(crate) fn seal(&self) -> Result<()> {
        self.shared.seal_all()
    }

    /// Seals what is committed and ends the thread.
    pub(crate) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the outbox thread panicked");
        }
    }

    /// Writes what waits to a new file.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<()> {
        self.shared.queue.copy_to(path)
    }

    /// Seals everything that is committed, and keeps what waits under the keys `past` under `own`, or
    /// under the common key: then nothing that is to be shipped needs those keys any more.
    pub(crate) fn leave_keys(&self, past: &[u32], own: Option<u32>) -> Result<()> {
        let _sealing = self.shared.sealing.lock();
        self.shared.seal_committed()?;
        self.shared.queue.reseal(past, own)
    }

    /// As [`Queue::owe_wipe`].
    pub(crate) fn owe_wipe(&self) -> Result<u64> {
        self.shared.queue.owe_wipe()
    }

    /// Seals what is committed, lets go of everything that waits, and starts another chain.
    pub(crate) fn begin_anew(&self) -> Result<()> {
        let _sealing = self.shared.sealing.lock();
        self.shared.seal_committed()?;
        let epoch = Epoch(self.shared.env.rng.next_u64().max(1));
        self.shared.queue.clear(epoch)?;
        if let Some(waker) = self.shared.waker.lock().as_ref() {
            waker();
        }
        Ok(())
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.shared.queue
    }

    pub(crate) fn state(&self) -> queue::QueueState {
        self.shared.queue.state()
    }

    /// Failed attempts to seal since the start.
    pub(crate) fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }

    /// Why nothing can be sealed now; `None` while it can.
    pub(crate) fn blocked(&self) -> Option<String> {
        self.shared.blocked.lock().clone()
    }

    /// What of a table stayed here since the start.
    pub(crate) fn held_back(&self, table: &TableName) -> HeldBack {
        self.shared.filters.held_back(table)
    }

    /// What the receiver refused last, in its words.
    pub(crate) fn refused(&self) -> Option<String> {
        self.shared.refused.lock().clone()
    }
}

impl Shared {
    fn wake(&self) {
        *self.dirty.lock() = true;
        self.changed.notify_one();
    }

    fn run(&self) {
        let mut pause = RETRY_PAUSE;
        loop {
            {
                let mut dirty = self.dirty.lock();
                if !*dirty && !self.stopping.load(Ordering::Acquire) {
                    self.changed.wait(&mut dirty);
                }
                *dirty = false;
            }
            let stopping = self.stopping.load(Ordering::Acquire);
            if !stopping {
                self.gather_time(self.seal_after);
            }
            if let Err(error) = self.seal_all() {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "rows could not be sealed for shipping; trying again");
                *self.blocked.lock() = Some(error.to_string());
                if stopping {
                    return;
                }
                self.gather_time(pause);
                pause = (pause * 2).min(RETRY_PAUSE_MAX);
                *self.dirty.lock() = true;
                continue;
            }
            *self.blocked.lock() = None;
            pause = RETRY_PAUSE;
            if stopping {
                return;
            }
        }
    }

    /// Lets rows gather for so long, so that a segment holds more than one write; ends early on a stop.
    fn gather_time(&self, time: Duration) {
        let mut dirty = self.dirty.lock();
        let until = self.env.clock.monotonic() + time;
        while !self.stopping.load(Ordering::Acquire) {
            let left = until.saturating_sub(self.env.clock.monotonic());
            if left.is_zero() {
                break;
            }
            self.changed.wait_for(&mut dirty, left);
        }
        *dirty = false;
    }

    /// Seals every committed record that is not sealed yet.
    fn seal_all(&self) -> Result<()> {
        let _sealing = self.sealing.lock();
        self.seal_committed()
    }

    /// The same, for who holds `sealing`.
    fn seal_committed(&self) -> Result<()> {
        loop {
            // A cursor that was moved over records with nothing to ship is not synced, and the log gives
            // them back all the same: after a crash it stands before the log's first record.
            let cursor = self.queue.state().cursor.max(self.store.first_log_lsn());
            let newest = self.store.last_lsn();
            let records = self.store.log(cursor, LOG_STEP_BYTES)?;
            let Some(last) = records.last() else {
                // Numbers without a record (a clean stop leaves one) hold nothing to ship.
                if newest >= cursor {
                    self.queue.skip_to(Lsn(newest.0 + 1))?;
                    self.store.hold_log(Some(Lsn(newest.0 + 1)));
                }
                return Ok(());
            };
            let next = Lsn(last.lsn.0 + 1);
            let (payloads, passed) = self.pack(&records)?;
            if payloads.is_empty() {
                self.queue.skip_to(next)?;
            } else {
                self.queue.append(payloads, next)?;
                if let Some(waker) = self.waker.lock().as_ref() {
                    waker();
                }
            }
            self.filters.count(passed);
            self.store.hold_log(Some(next));
        }
    }

    /// The shippable part of the records as segment payloads. Rows of tables of which not everything leaves
    /// come together first and pass their filter; what stayed here of them is told beside.
    fn pack(&self, records: &[LogRecord]) -> Result<(Vec<Payload>, Passed)> {
        let state = self.catalog.state();
        let shippable = |table| {
            state
                .table_by_id(table)
                .filter(|schema| self.direction.takes(schema.sync))
        };
        let node_of = |origin| self.store.origin_node(origin);
        let naming = (self.direction == Direction::Down).then_some(Naming {
            definitions: state.version,
            node_of: &node_of,
            covered: None,
        });
        let mut packing = Packing::new(naming.as_ref());
        let mut filtered: BTreeMap<TableId, Vec<&RowBatch>> = BTreeMap::new();
        for record in records {
            for batch in self.direction.rows_of(record) {
                let Some(schema) = shippable(batch.table) else {
                    continue;
                };
                let sharing = state.sharing.get(&schema.name);
                if self.direction == Direction::Up && sharing.is_some_and(Sharing::holds_back) {
                    filtered.entry(schema.id).or_default().push(batch);
                } else {
                    packing.rows(&self.store, schema, batch)?;
                }
            }
            for range in self.direction.ranges_of(record) {
                if let Some(schema) = shippable(range.table) {
                    packing.range(schema, range);
                }
            }
        }
        let mut passed = Passed::new();
        for (table, batches) in filtered {
            if let Some(schema) = shippable(table)
                && let Some(sharing) = state.sharing.get(&schema.name)
            {
                let (leaving, held) = self.filters.leaving(schema, sharing, &batches)?;
                for batch in &leaving {
                    packing.rows(&self.store, schema, batch)?;
                }
                passed.push((schema.name.clone(), held));
            }
        }
        Ok((packing.finish()?, passed))
    }
}

impl activestore_sync_proto::Outbox for Sealer {
    fn identity(&self) -> (NodeId, String, Epoch) {
        let shared = &self.shared;
        (shared.node, shared.name.clone(), shared.queue.state().epoch)
    }

    fn position(&self) -> OutboxPosition {
        let state = self.shared.queue.state();
        OutboxPosition {
            first_unacked: state.acknowledged + 1,
            last_sealed: state.last_sealed,
            acked_hash: state.acknowledged_hash,
        }
    }

    fn segment(&self, seq: u64) -> Result<Option<SealedSegment>> {
        self.shared.queue.segment(seq)
    }

    fn acknowledged(&self, epoch: Epoch, seq: u64) -> Result<()> {
        if epoch == self.shared.queue.state().epoch {
            *self.shared.refused.lock() = None;
            self.shared.queue.acknowledge(seq)?;
        }
        Ok(())
    }

    fn refused(&self, seq: u64, reason: &str) {
        tracing::warn!(
            seq,
            reason,
            "the cloud refused a segment; it is kept and offered again"
        );
        *self.shared.refused.lock() = Some(reason.to_owned());
    }

    fn new_epoch(&self) -> Result<()> {
        let epoch = Epoch(self.shared.env.rng.next_u64());
        tracing::warn!(
            ?epoch,
            "this data directory is not the one the cloud knows; a new epoch starts"
        );
        self.shared.queue.restart(epoch)
    }

    fn on_sealed(&self, waker: Waker) {
        *self.shared.waker.lock() = Some(waker);
    }
}
