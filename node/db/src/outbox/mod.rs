//! The edge's outbox: a thread follows the log, gathers this node's own rows of tables that travel
//! up, and seals them into segments of at most [`SEAL_BYTES`] or [`crate::DbOptions::seal_after`].
//!
//! A segment is cut only from committed records, and records are kept in the log until a durable
//! segment holds them, so a crash at any point seals again from where the queue stands.
//!
//! Rows of each class have a chain of segments of their own ([`chain`]), so that alarms neither wait for live
//! rows nor cut their segments short; live rows that an outage held up become a backlog when it ends.
//!
//! The same thread seals a cloud's stream, see [`crate::down`]: the rows of all nodes, of tables that travel
//! down.

mod addressee;
mod again;
pub(crate) mod by_table;
pub(crate) mod chain;
mod direction;
mod file;
pub(crate) mod filter;
mod grouping;
mod holding;
mod lag;
mod let_go;
mod limit;
mod marks;
pub(crate) mod opening;
pub(crate) mod origins;
mod packing;
mod parts;
mod port;
pub(crate) mod queue;
mod room;
mod sealing;
pub(crate) mod segment;
mod waking;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use activestore_catalog::Catalog;
use activestore_env::Env;
use activestore_store::Store;
use activestore_types::{Epoch, NodeId, Result, TableName};
use parking_lot::Mutex;

pub(crate) use addressee::{Addressee, LogFollower, cloud_for_people};
use chain::{Chain, Standing};
pub(crate) use direction::Direction;
use filter::{Filters, HeldBack};
pub(crate) use holding::LogHold;
pub use lag::ClassReport;
pub(crate) use lag::Lag;
use lag::Oldest;
pub(crate) use let_go::Gone;
pub use limit::LetGoReport;
use marks::Marks;
pub(crate) use packing::no_rows;
use queue::Queue;
use room::Room;
pub(crate) use waking::News;
use waking::{Bell, Work};

use crate::events::Events;
use crate::plugins::Plugins;

/// A segment is sealed when the rows it would hold take about this much memory unpacked.
pub(crate) const SEAL_BYTES: usize = 1024 * 1024;
/// How much of the log is looked at in one step, in bytes.
const LOG_STEP_BYTES: usize = 4 * 1024 * 1024;
/// How long the thread pauses after a failure before it tries again; each further failure doubles it …
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// … up to this.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(16);
/// Live rows become a backlog at reconnection when more than so many segments of them wait.
const ROTATE_OVER: u64 = 4;

type Waker = Box<dyn Fn() + Send + Sync>;

/// What segments are made from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) env: Env,
    pub(crate) store: Arc<Store>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) events: Arc<Events>,
    pub(crate) hold: Arc<LogHold>,
}

/// What waits for its acknowledgement, and the thread that seals.
pub(crate) struct Sealer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    addressee: Addressee,
    direction: Direction,
    node: NodeId,
    name: String,
    store: Arc<Store>,
    hold: Arc<LogHold>,
    catalog: Arc<Catalog>,
    queue: Queue,
    /// Held from when rows are read from the log until a segment holds them.
    sealing: Mutex<()>,
    bell: Bell,
    /// Whether urgent rows have chains of their own: not while the cloud is of a version that knows one.
    lanes: AtomicBool,
    waker: Mutex<Option<Waker>>,
    failures: AtomicU64,
    /// Why nothing can be sealed; `None` while it can.
    blocked: Mutex<Option<String>>,
    /// What the receiver refused last, and of which chain.
    refused: Mutex<Option<(Epoch, String)>>,
    events: Arc<Events>,
    filters: Filters,
    room: Room,
    oldest: Oldest,
    marks: Marks,
}

impl Sealer {
    pub(crate) fn start(
        addressee: Addressee,
        node: NodeId,
        name: String,
        sources: Sources,
        queue: Queue,
        seal_after: Duration,
    ) -> Result<Self> {
        let direction = addressee.direction();
        let Sources {
            env,
            store,
            catalog,
            plugins,
            events,
            hold,
        } = sources;
        hold.hold(&addressee.follower, Some(queue.cursor()));
        queue.note_handed(addressee.lets_sealed_go())?;
        let marks = Marks::default();
        marks.sealed(&queue.standing());
        let shared = Arc::new(Shared {
            marks,
            bell: Bell::new(env.clock.clone(), seal_after, direction.is_up()),
            room: Room::new(&addressee, &plugins, &store, &env),
            filters: Filters::new(plugins, store.clone(), env),
            blocked: Mutex::new(None),
            events,
            lanes: AtomicBool::new(direction.is_up()),
            oldest: Oldest::default(),
            addressee,
            direction,
            node,
            name,
            store,
            hold,
            catalog,
            queue,
            sealing: Mutex::new(()),
            waker: Mutex::new(None),
            failures: AtomicU64::new(0),
            refused: Mutex::new(None),
        });
        let held = Arc::downgrade(&shared);
        let wake = move || {
            if let Some(shared) = held.upgrade() {
                shared.bell.ring();
            }
        };
        shared
            .hold
            .wake_by(&shared.addressee.follower, Box::new(wake));
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
    pub(crate) fn committed(&self, news: News) {
        let lanes = self.shared.lanes.load(Ordering::Acquire);
        self.shared.bell.committed(News {
            urgent: news.urgent.filter(|_| lanes),
            ..news
        });
    }

    /// Whom this ships to.
    pub(crate) fn addressee(&self) -> &Addressee {
        &self.shared.addressee
    }

    /// Says that the definitions, and with them what is urgent, may have changed.
    pub(crate) fn redefined(&self) {
        self.shared.bell.look();
    }

    /// Seals what is committed, now.
    pub(crate) fn seal(&self) -> Result<()> {
        self.shared.seal_all()
    }

    /// Seals what is committed and ends the thread.
    pub(crate) fn stop(&self) {
        self.shared.bell.stop();
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
    pub(crate) fn owe_wipe(&self) -> Result<Vec<(Epoch, u64)>> {
        self.shared.queue.owe_wipe()
    }

    /// Seals what is committed, lets go of everything that waits, and starts another chain.
    pub(crate) fn begin_anew(&self) -> Result<()> {
        let _sealing = self.shared.sealing.lock();
        self.shared.seal_committed()?;
        self.shared.queue.clear()?;
        if let Some(waker) = self.shared.waker.lock().as_ref() {
            waker();
        }
        Ok(())
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.shared.queue
    }

    /// Where the chain of live rows stands; the only one of a stream.
    pub(crate) fn live(&self) -> Chain {
        self.shared.queue.live()
    }

    pub(crate) fn standing(&self) -> Standing {
        self.shared.queue.standing()
    }

    /// What waits, by class.
    pub(crate) fn lags(&self) -> Vec<Lag> {
        self.shared.oldest.lags(&self.shared.queue)
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
        let refused = self.shared.refused.lock();
        refused.as_ref().map(|(_, reason)| reason.clone())
    }
}

impl Shared {
    fn run(&self) {
        let mut pause = RETRY_PAUSE;
        loop {
            let work = self.bell.wait();
            let sealed = match work {
                Work::Urgent => self.seal_urgent(),
                Work::All | Work::Last => self.seal_all(),
            };
            match sealed {
                Ok(()) if work == Work::Urgent => {}
                Ok(()) => {
                    *self.blocked.lock() = None;
                    pause = RETRY_PAUSE;
                }
                Err(error) => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "rows could not be sealed for shipping; trying again");
                    *self.blocked.lock() = Some(error.to_string());
                    self.bell.failed(work, pause);
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                }
            }
            if work == Work::Last {
                return;
            }
        }
    }
}
