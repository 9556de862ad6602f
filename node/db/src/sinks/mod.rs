//! Sinks: what is written to a table, sent on to a web hook or a broker as it comes, in order and at least once.
//!
//! Each sink has a thread ([`worker`]) that reads the log from the sink's place on with the machinery of subscriptions
//! ([`crate::subscribe::LogReader`]), hands what its query tells to a [`Carrier`] and tries again until it is taken. Its
//! place is a note ([`saved`]), written a second after something was delivered at the latest: so a crash repeats what
//! was sent in that second, under the same ids, and loses nothing. The log is held for sinks, up to a bound for each.

mod kept;
mod port;
mod report;
mod saved;
mod worker;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use activestore_catalog::{CatalogState, Change, SinkAddress, SinkChange, SinkDef};
use activestore_env::Clock;
use activestore_query::{LiveFor, SinkStatement};
use activestore_store::WriteSet;
use activestore_types::{Error, Lsn, Result};
use parking_lot::{Condvar, Mutex};

use crate::db::{Db, Inner};
use crate::sql::SqlOutcome;
use crate::subscribe::Spot;
pub use port::{Carried, Carrier, Parcel, Setback, SinkLine};
use report::SinkReport;
pub(crate) use report::sinks;
use saved::{Counts, PREFIX, Saved, tidied};
use worker::Worker;

/// A sink's thread begins anew so long after a panic.
const WAITS_AFTER_PANIC: Duration = Duration::from_secs(5);

/// The sinks of a node, as everybody but their threads sees them.
pub(crate) struct Sinks {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    woken: Condvar,
    /// Whether anybody has to be told of a commit.
    followed: AtomicBool,
    closing: AtomicBool,
}

#[derive(Default)]
struct State {
    carrier: Option<Arc<dyn Carrier>>,
    seen: Seen,
    log_bytes: u64,
    /// By a sink's own number.
    all: BTreeMap<[u8; 16], Standing>,
}

/// How much has happened; a thread that has seen it all may wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    commits: u64,
    /// Other definitions, or an end.
    news: u64,
    /// How often somebody has waited for the log to be let go.
    awaited: u64,
}

/// One sink, as its thread has told last.
struct Standing {
    name: String,
    /// The first record that it needs, after what is durable.
    needs: Lsn,
    /// What is not noted yet.
    unnoted: Option<Saved>,
    report: Option<SinkReport>,
    runs: bool,
}

impl Sinks {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Sinks {
            clock,
            state: Mutex::default(),
            woken: Condvar::new(),
            followed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }
    }

    /// Records were committed, and so much was appended to the log since the store was opened.
    pub(crate) fn wake(&self, log_bytes: u64) {
        if !self.followed.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock();
        state.seen.commits += 1;
        state.log_bytes = state.log_bytes.max(log_bytes);
        drop(state);
        self.woken.notify_all();
    }

    /// Ends the threads for good, each as soon as its receiver has answered or kept silent for long enough. Nobody waits
    /// for that.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.state.lock().seen.news += 1;
        self.woken.notify_all();
    }

    /// The store waits for the log to be let go. Must not call back into the store.
    fn await_log(&self) {
        self.state.lock().seen.awaited += 1;
        self.woken.notify_all();
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn seen(&self) -> Seen {
        self.state.lock().seen
    }

    /// Waits until there is something new, until a moment, or until the log has grown to so many bytes; records that are
    /// committed count if `for_commits`. False when the database ends.
    fn wait(&self, seen: Seen, until: Duration, for_commits: bool, log_bytes: u64) -> bool {
        let mut state = self.state.lock();
        loop {
            if self.is_closing() {
                return false;
            }
            let now = state.seen;
            let is_new = (now.news, now.awaited) != (seen.news, seen.awaited);
            let left = until.saturating_sub(self.clock.monotonic());
            let has_commits = now.commits != seen.commits;
            let has_grown = has_commits && state.log_bytes >= log_bytes;
            if is_new || (for_commits && has_commits) || has_grown || left.is_zero() {
                return true;
            }
            self.woken.wait_for(&mut state, left);
        }
    }

    fn report(&self, id: [u8; 16]) -> Option<SinkReport> {
        self.state.lock().all.get(&id)?.report.clone()
    }
}

impl Db {
    /// Has sinks send what they have from now on; without a carrier it waits, and the log is held for them.
    ///
    /// # Errors
    /// When the machine has no thread left.
    pub fn carry_by(&self, carrier: Arc<dyn Carrier>) -> Result<()> {
        self.inner.sinks.state.lock().carrier = Some(carrier);
        self.inner.run_sinks()
    }

    /// Makes a sink: it tells of what is written from the answer on. Its query is understood under the rights of who makes
    /// it, and runs under the node's from then on.
    pub(crate) async fn create_sink(&self, statement: SinkStatement) -> Result<SqlOutcome> {
        let made = || SqlOutcome::definition("CREATE SINK");
        let state = self.inner.catalog.state();
        if statement.if_not_exists && state.sinks.contains_key(&statement.name) {
            return Ok(made());
        }
        let query = self
            .engine()
            .live(LiveFor::Sink, &statement.query, &[])
            .await?;
        let address = SinkAddress::parse(&statement.address)?;
        for column in address.columns() {
            if query.output().field_with_name(column).is_err() {
                let has = query.output().fields().iter();
                let has: Vec<&str> = has.map(|field| field.name().as_str()).collect();
                return Err(Error::invalid(format!(
                    "the topic names column '{column}', which the sink's query does not give"
                ))
                .with_hint(format!("its columns are {}", has.join(", "))));
            }
        }
        let mut id = [0; 16];
        self.inner.env.rng.fill(&mut id);
        let change = SinkChange::Create {
            def: SinkDef {
                name: statement.name.clone(),
                id,
                base: query.table().name.clone(),
                query: statement.query,
                address: statement.address,
                options: statement.options,
                paused: false,
            },
            if_not_exists: statement.if_not_exists,
        };
        let inner = self.inner.clone();
        self.blocking(move || {
            let state = inner.change(Change::Sink(change))?;
            if state
                .sinks
                .get(&statement.name)
                .is_some_and(|def| def.id == id)
            {
                inner.begin_sink(&statement.name, id)?;
            }
            inner.run_sinks()
        })
        .await?;
        Ok(made())
    }
}

impl Inner {
    /// At the start: holds the log for the sinks that there are, before anybody lets it go.
    pub(crate) fn open_sinks(self: &Arc<Self>) {
        let sinks = self.sinks.clone();
        self.hold.wake_sinks_by(Box::new(move || sinks.await_log()));
        let state = self.catalog.state();
        for def in state.sinks.values() {
            self.stand(&def.name, def.id);
        }
        self.hold_log_for_sinks();
    }

    /// A new sink: its place is durable before it is told of.
    fn begin_sink(&self, name: &str, id: [u8; 16]) -> Result<()> {
        let here = Spot::now(self);
        let saved = Saved::new(id, here.token, Counts::default(), None);
        self.store.commit(WriteSet {
            notes: vec![saved.note(name)?],
            ..WriteSet::default()
        })?;
        self.stand(name, id);
        self.hold_log_for_sinks();
        Ok(())
    }

    /// Puts a sink among those that there are.
    fn stand(&self, name: &str, id: [u8; 16]) {
        let saved = Saved::read(&self.store, name, id);
        let spot = saved.and_then(|saved| Spot::read(&saved.token, self).ok());
        let needs = spot.unwrap_or_else(|| Spot::now(self)).needs;
        let mut state = self.sinks.state.lock();
        state.all.entry(id).or_insert_with(|| Standing {
            name: name.to_owned(),
            needs,
            unnoted: None,
            report: None,
            runs: false,
        });
    }

    /// What an outbox needs that is not opened now nobody knows: then the log stays held as it was.
    fn hold_log_for_sinks(&self) {
        if self.views.leaves_log() {
            return;
        }
        // Told under the lock, so that an older word never overtakes a newer one.
        let state = self.sinks.state.lock();
        let from = state.all.values().map(|sink| sink.needs).min();
        self.hold.hold_for_sinks(from);
    }

    /// Definitions changed: those that are no more hold nothing.
    pub(crate) fn mind_sinks(&self, definitions: &CatalogState) {
        let known = |id: &[u8; 16]| definitions.sinks.values().any(|def| def.id == *id);
        let gone = {
            let mut state = self.sinks.state.lock();
            state.seen.news += 1;
            let before = state.all.len();
            state.all.retain(|id, _| known(id));
            state.all.len() < before
        };
        self.sinks.woken.notify_all();
        if gone {
            self.hold_log_for_sinks();
        }
    }

    /// Starts the threads that do not run, and forgets the places of sinks that are no more.
    ///
    /// # Errors
    /// When the machine has no thread left.
    fn run_sinks(self: &Arc<Self>) -> Result<()> {
        // Before the definitions: a place is noted after its sink was defined.
        let notes = self.store.notes(PREFIX);
        let notes = tidied(&notes, &self.catalog.state().sinks);
        if !notes.is_empty() {
            self.store.commit(WriteSet {
                notes,
                ..WriteSet::default()
            })?;
        }
        let mut state = self.sinks.state.lock();
        let Some(carrier) = state.carrier.clone() else {
            return Ok(());
        };
        for (id, standing) in &mut state.all {
            if standing.runs {
                continue;
            }
            let (name, id, carrier) = (standing.name.clone(), *id, carrier.clone());
            let (sinks, visits) = (self.sinks.clone(), self.visits.clone());
            let weak = Arc::downgrade(self);
            std::thread::Builder::new()
                .name("sink".to_owned())
                .spawn(move || {
                    sinks.outlive_panics(&name, || {
                        Worker::new(name.clone(), id, carrier.clone()).run(&sinks, &visits, &weak);
                    });
                })?;
            standing.runs = true;
        }
        self.sinks
            .followed
            .store(!state.all.is_empty(), Ordering::Release);
        Ok(())
    }

    /// Notes where the sinks stand: the last thing before the store is closed.
    pub(crate) fn note_sinks(&self) {
        let mut state = self.sinks.state.lock();
        let unnoted = state.all.values_mut();
        let notes: Vec<_> = unnoted
            .filter_map(|sink| sink.unnoted.take()?.note(&sink.name).ok())
            .collect();
        drop(state);
        if notes.is_empty() {
            return;
        }
        let noted = self.store.commit(WriteSet {
            notes,
            ..WriteSet::default()
        });
        if let Err(error) = noted {
            tracing::warn!(%error, "where sinks stand could not be noted; what they sent last is sent again");
        }
    }
}

impl Sinks {
    /// Does the work, and anew where it panics, as a plugin's defect may make it.
    fn outlive_panics(&self, name: &str, mut work: impl FnMut()) {
        while catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
            tracing::error!(
                sink = name,
                "the thread of a sink panicked; it begins anew where it stood"
            );
            let until = self.clock.monotonic() + WAITS_AFTER_PANIC;
            if !self.wait(self.seen(), until, false, u64::MAX) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
