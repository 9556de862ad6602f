//! Eviction at an edge: rows that are older than a table's `keep_local` go from this node, as far as receipts of the
//! cloud cover them. Nothing of it travels.
//!
//! A thread of the database looks every few seconds, which costs a look at the bounds of some files, and when a receipt came. Before anything goes, a note says up
//! to which time rows may be gone: who compares this node with another one leaves out what is older.

mod evicted;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use activestore_catalog::{CatalogState, Keeping};
use activestore_store::Eviction as Bounds;
use activestore_types::{Hlc, Lsn, Result, TableId, TableName, TableSchema};
use parking_lot::{Condvar, Mutex};

pub(crate) use evicted::{EvictedRows, evicted_key};

use crate::db::{Db, Inner};
use crate::events::Kind;
use crate::options::Role;
use crate::visit::Visits;

/// How often the thread looks for rows that have become old.
const EVERY: Duration = Duration::from_secs(10);

/// Memtables are flushed for the sake of old rows in them this often at most.
const FLUSH_EVERY: Duration = Duration::from_secs(600);

/// Why nothing goes of a table of which not everything leaves.
const NOT_WHOLE: &str = "not everything of it leaves this node, so no receipt covers its rows; \
                         evict_after_receipt = false drops them all the same";

/// Wakes the thread, and what it says of each table.
#[derive(Debug, Default)]
pub(crate) struct Eviction {
    state: Mutex<State>,
    changed: Condvar,
    /// Held by who drops rows.
    turn: Mutex<()>,
    /// Whether the cloud has told the time since the start.
    pub(crate) clock_known: AtomicBool,
    /// When rows were last flushed so that they can go.
    flushed: Mutex<Option<Duration>>,
    /// Why old rows of a table stay, of those where it is so.
    waiting: Mutex<BTreeMap<TableId, String>>,
}

#[derive(Debug, Default)]
struct State {
    woken: bool,
    closed: bool,
}

impl Eviction {
    /// A receipt came, or the definitions changed.
    pub(crate) fn wake(&self) {
        self.state.lock().woken = true;
        self.changed.notify_one();
    }

    /// The thread is to end.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits until it is woken or, where there is something to look for, for a while. Whether to go on.
    fn wait(&self, looking: bool) -> bool {
        let mut state = self.state.lock();
        if !state.woken && !state.closed {
            if looking {
                self.changed.wait_for(&mut state, EVERY);
            } else {
                self.changed.wait(&mut state);
            }
        }
        state.woken = false;
        !state.closed
    }

    /// Whether rows that are in memory may be brought to a file now, so that they can go: files are not to
    /// become small for rows that come late again and again.
    fn may_flush(&self, inner: &Inner) -> bool {
        let now = inner.env.clock.monotonic();
        let mut flushed = self.flushed.lock();
        let due = flushed.is_none_or(|at| now.saturating_sub(at) >= FLUSH_EVERY);
        if due {
            *flushed = Some(now);
        }
        due
    }

    /// Why old rows of a table stay.
    pub(crate) fn waiting(&self, table: TableId) -> Option<String> {
        self.waiting.lock().get(&table).cloned()
    }

    fn say(&self, table: TableId, why: Option<String>) {
        let mut waiting = self.waiting.lock();
        match why {
            Some(why) => waiting.insert(table, why),
            None => waiting.remove(&table),
        };
    }
}

/// Starts the thread at an edge; it ends with the database.
///
/// # Errors
/// When the machine has no thread left.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<()> {
    inner.mind_keeping(&inner.catalog.state());
    if inner.options.role != Role::Edge || !inner.options.evicts {
        return Ok(());
    }
    let eviction = inner.eviction.clone();
    let visits = inner.visits.clone();
    let inner = Arc::downgrade(inner);
    std::thread::Builder::new()
        .name("eviction".to_owned())
        .spawn(move || run(&eviction, &visits, &inner))?;
    Ok(())
}

fn run(eviction: &Eviction, visits: &Arc<Visits>, inner: &Weak<Inner>) {
    let mut looking = true;
    while eviction.wait(looking) {
        let Some(inner) = visits.enter(inner) else {
            return;
        };
        inner.evict_all();
        looking = !inner.catalog.state().keeping.is_empty();
    }
}

impl Db {
    /// Before which time rows of a table may be gone from this node, in nanoseconds since 1970, though the
    /// cloud has them; `None` where none are.
    pub fn evicted_before(&self, table: &TableName) -> Option<i64> {
        let schema = self.table_schema(table)?;
        self.inner.evicted_rows(&schema)?.before_ns
    }
}

impl Inner {
    /// Tells the store how long rows are kept. Only an edge drops any.
    pub(crate) fn mind_keeping(&self, state: &CatalogState) {
        if self.options.role != Role::Edge {
            return;
        }
        for schema in state.tables.values() {
            let keeping = state.keeping.get(&schema.name);
            let keep_s = keeping.and_then(|keeping| keeping.keep_local_s);
            self.store
                .keep_local(schema.id, keep_s.map(Duration::from_secs));
        }
        self.eviction.wake();
    }

    /// Drops the rows of all tables that may go now. What fails is tried again.
    pub(crate) fn evict_all(&self) {
        let _turn = self.eviction.turn.lock();
        let state = self.catalog.state();
        for (table, keeping) in &state.keeping {
            let Some(schema) = state.tables.get(table) else {
                continue;
            };
            match self.evict_from(schema, *keeping) {
                Ok(why) => {
                    if let Some(why) = &why
                        && self.eviction.waiting(schema.id).as_ref() != Some(why)
                    {
                        let text = format!("old rows of {table} stay here: {why}");
                        self.events.tell(Kind::EvictionBlocked, None, text);
                    }
                    self.eviction.say(schema.id, why);
                }
                Err(error) => {
                    tracing::warn!(%error, %table, "old rows could not be dropped; tried again later");
                    self.eviction.say(schema.id, Some(error.to_string()));
                }
            }
        }
    }

    /// By which clock rows are old. A machine that starts with a clock of its own may believe in any year: until the
    /// cloud has told the time, it is no later than when the cloud signed last.
    fn eviction_clock(&self, keeping: Keeping) -> u64 {
        let now_ms = self.wall_ms();
        if !keeping.needs_receipt() || self.eviction.clock_known.load(Ordering::Relaxed) {
            return now_ms;
        }
        self.last_signed_ms()
            .map_or(now_ms, |signed_ms| signed_ms.min(now_ms))
    }

    /// Drops what may go of a table; why old rows stay, where some do.
    fn evict_from(&self, schema: &TableSchema, keeping: Keeping) -> Result<Option<String>> {
        let now_ms = self.eviction_clock(keeping);
        let bound = self.store.eviction_bound(schema.id, now_ms);
        let (Some(before_ns), Role::Edge) = (bound, self.options.role) else {
            return Ok(None);
        };
        // First: what is let go from now on is covered by nothing, and what was let go before says so below.
        let covered = self.covered(Some(&schema.name));
        let since = match keeping.needs_receipt() {
            false => None,
            true => match self.whole_since(schema)? {
                Some(since) => Some(since),
                None => return Ok(Some(NOT_WHOLE.to_owned())),
            },
        };
        let before = self.evicted_rows(schema).unwrap_or_default();
        // What was said to be gone stays said, though the clock were set back or more is kept now.
        let noted_ns = before
            .before_ns
            .map_or(before_ns, |said| said.max(before_ns));
        if self.store.has_unflushed_before(schema.id, before_ns) && self.eviction.may_flush(self) {
            self.store.flush()?;
        }
        let (covered, stamped_after) = match since {
            Some(since) => (covered, since),
            None => (Lsn(u64::MAX), Hlc::ZERO),
        };
        let bounds = Bounds {
            before_ns,
            covered,
            stamped_after,
        };
        let (may_go, left) = self.store.may_evict(schema.id, &bounds)?;
        if !may_go {
            return Ok(waits(keeping, left));
        }
        if before.before_ns != Some(noted_ns) {
            let rows = EvictedRows {
                before_ns: Some(noted_ns),
                ..before
            };
            self.note_evicted(schema, &rows)?;
        }
        let done = self.store.evict(schema.id, &bounds)?;
        if done.files > 0 {
            let rows = EvictedRows {
                before_ns: Some(noted_ns),
                rows: before.rows + done.rows,
                bytes: before.bytes + done.bytes,
            };
            self.note_evicted(schema, &rows)?;
            tracing::info!(
                table = %schema.name,
                rows = done.rows,
                bytes = done.bytes,
                "rows that the cloud holds were dropped here"
            );
            let text = format!(
                "{} rows of {} that the cloud holds were dropped here",
                done.rows, schema.name
            );
            self.events.tell(Kind::Evicted, None, text);
        }
        Ok(waits(keeping, done.left))
    }
}

/// Why files with old rows stay, where some do.
fn waits(keeping: Keeping, files: u64) -> Option<String> {
    let what = match keeping.needs_receipt() {
        true => "a receipt",
        false => "a merge",
    };
    (files > 0).then(|| format!("{files} files with older rows wait for {what}"))
}
