//! Timers of processors: kept among the notes, so that they are as durable as the rows. A thread waits for
//! the next one; what a processor sends when its timers go off, what it remembers and the end of the
//! timers are one log record.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use activestore_plugin_host::Processed;
use activestore_store::{Note, Store};
use activestore_types::{Error, Result};
use parking_lot::{Condvar, Mutex};

use super::gates::Way;
use super::process::Wave;
use super::processor::{Runtime, Source, prefixed};
use super::replay::progress_key;
use crate::db::Inner;
use crate::plugins::ms_to_ns;
use crate::visit::Visits;

/// Timers that one call is told of at most; the others go off right after.
const DUE_MAX: usize = 1_024;
/// How long the thread sleeps at most while there are timers: the wall clock may be set meanwhile.
const NAP: Duration = Duration::from_secs(1);

/// The prefix of a processor's timers among the store's notes.
pub(crate) fn timer_prefix(processor: &str) -> Vec<u8> {
    format!("timer/{processor}/").into_bytes()
}

/// What a processor's timers, as it set them now, are as notes.
pub(crate) fn timer_notes(
    timers: &[(Vec<u8>, Option<i64>)],
    now_ns: i64,
) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let value = |after_ns: i64| now_ns.saturating_add(after_ns).to_le_bytes().to_vec();
    timers
        .iter()
        .map(|(key, after_ns)| (key.clone(), after_ns.map(value)))
        .collect()
}

/// A processor's timers as (key, when), in the order of their time.
pub(crate) fn timers(store: &Store, processor: &str) -> Vec<(Vec<u8>, i64)> {
    let prefix = timer_prefix(processor);
    let mut timers: Vec<(Vec<u8>, i64)> = store
        .notes(&prefix)
        .into_iter()
        .filter_map(|(key, value)| {
            let at_ns = i64::from_le_bytes(value.try_into().ok()?);
            Some((key.strip_prefix(prefix.as_slice())?.to_vec(), at_ns))
        })
        .collect();
    timers.sort_by(|(a_key, a), (b_key, b)| (a, a_key).cmp(&(b, b_key)));
    timers
}

/// Wakes the thread when timers were set.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    state: Mutex<AlarmState>,
    changed: Condvar,
    closing: Condvar,
}

#[derive(Debug, Default)]
struct AlarmState {
    set: bool,
    closed: bool,
}

impl Alarm {
    /// Timers may have been set.
    pub(crate) fn set(&self) {
        self.state.lock().set = true;
        self.changed.notify_one();
    }

    /// The thread is to end.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
        self.closing.notify_all();
    }

    /// Waits for so long; whether to go on.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        self.closing
            .wait_while_for(&mut state, |state| !state.closed, time);
        !state.closed
    }

    /// Waits until timers are set or, where there are some, for a while. Whether to go on.
    fn wait(&self, next: Option<Duration>) -> bool {
        let mut state = self.state.lock();
        if !state.set && !state.closed {
            match next {
                Some(next) => {
                    self.changed.wait_for(&mut state, next.min(NAP));
                }
                None => self.changed.wait(&mut state),
            }
        }
        state.set = false;
        !state.closed
    }
}

/// Starts the thread that lets timers go off; it ends with the database.
///
/// # Errors
/// When the machine has no thread left.
pub(crate) fn start(inner: &Arc<Inner>) -> Result<()> {
    let alarm = inner.alarm.clone();
    let visits = inner.visits.clone();
    let inner = Arc::downgrade(inner);
    std::thread::Builder::new()
        .name("timers".to_owned())
        .spawn(move || run(&alarm, &visits, &inner))?;
    Ok(())
}

fn run(alarm: &Alarm, visits: &Arc<Visits>, inner: &Weak<Inner>) {
    // What was set before the start may be due.
    let mut next = Some(Duration::ZERO);
    while alarm.wait(next) {
        let Some(inner) = visits.enter(inner) else {
            return;
        };
        inner.replay_where_asked();
        next = inner.let_go_off();
    }
}

impl Inner {
    /// Lets the timers that are due go off; how long until the next one, where there is one.
    fn let_go_off(&self) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        for runtime in self.plugins.current().all_processors() {
            if !matches!(runtime.source, Source::Plugin(_)) {
                continue;
            }
            let wait = match self.fire(runtime) {
                Ok(wait) => wait,
                Err(error) => {
                    runtime.failed_beside_writes("the timers of a processor failed", &error);
                    Some(NAP)
                }
            };
            next = match (next, wait) {
                (Some(next), Some(wait)) => Some(next.min(wait)),
                (next, wait) => next.or(wait),
            };
        }
        next
    }

    /// Lets one processor's timers go off that are due; how long until its next one.
    fn fire(&self, runtime: &Arc<Runtime>) -> Result<Option<Duration>> {
        let name = &runtime.def.name;
        let now_ns = self.wall_ns();
        match timers(&self.store, name).first() {
            None => return Ok(None),
            Some((_, at_ns)) if *at_ns > now_ns => return Ok(Some(until(*at_ns, now_ns))),
            Some(_) => {}
        }
        self.admit()?;
        let state = self.catalog.state();
        let into = runtime.def.into.iter();
        let into = into.filter_map(|table| state.tables.get(table).cloned());
        let source = state.table(&runtime.def.table)?.clone();
        let _passage = self
            .gates
            .pass_blocking(self.gates_of(into.map(|schema| (schema, Way::Together))));
        let mut wave = Wave::begin(self);
        if !wave.is_in_force(runtime) {
            return Ok(Some(Duration::ZERO)); // another was put in its place meanwhile
        }
        // Others may have moved them until the turn was ours.
        let mut due = timers(&self.store, name);
        let later = due
            .partition_point(|(_, at_ns)| *at_ns <= now_ns)
            .min(DUE_MAX);
        due.truncate(later);
        if due.is_empty() {
            return Ok(Some(Duration::ZERO));
        }
        let gone: Vec<(Vec<u8>, Option<Vec<u8>>)> =
            due.iter().map(|(key, _)| (key.clone(), None)).collect();
        wave.state
            .add(prefixed(&timer_prefix(name), gone).into_iter())?;
        wave.ran(runtime);
        let sent = runtime.timers_went_off(&source, &due, &mut wave.state, now_ns)?;
        wave.send(sent)?;
        wave.finish()?;
        let processed = wave.end()?;
        let staged = self.join_staged(processed.staged, &[])?;
        let set = self.stamp(staged, Vec::new(), processed.notes);
        let rows = set.batches.iter().map(|batch| batch.rows as u64).sum();
        self.commit(set)?;
        if let Some(turn) = processed.turn {
            turn.committed();
        }
        self.counts.rows_written.fetch_add(rows, Ordering::Relaxed);
        runtime
            .timers_fired
            .fetch_add(due.len() as u64, Ordering::Relaxed);
        // Look again at once: there may be more.
        Ok(Some(Duration::ZERO))
    }

    /// The wall clock as [`Inner::wall_ms`] corrects it, in nanoseconds since 1970.
    pub(crate) fn wall_ns(&self) -> i64 {
        ms_to_ns(self.wall_ms())
    }

    /// Forgets what processors left that are no more: their state, their timers and their requests.
    pub(crate) fn forget_processors(&self, gone: &[String]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        // What is under way for them is committed before they are looked for.
        let _turn = self.processing.lock();
        let prefixes = gone
            .iter()
            .flat_map(|name| {
                [
                    super::processor::state_prefix(name),
                    timer_prefix(name),
                    crate::outgoing::prefix(name),
                ]
            })
            .chain(gone.iter().map(|name| progress_key(name)));
        let notes: Vec<Note> = prefixes
            .flat_map(|prefix| self.store.notes(&prefix))
            .map(|(key, _)| Note { key, value: None })
            .collect();
        gone.iter().for_each(|name| self.outgoing.forget(name));
        if notes.is_empty() {
            return Ok(());
        }
        self.store
            .commit(activestore_store::WriteSet {
                notes,
                ..Default::default()
            })
            .map(|_| ())
    }

    /// At the start: forgets the same of processors whose drop a crash cut off.
    pub(crate) fn forget_lost_processors(&self) -> Result<()> {
        let state = self.catalog.state();
        let notes = [b"processor/".as_slice(), b"timer/", b"replay/", b"http/"]
            .map(|prefix| self.store.notes(prefix));
        let mut gone: Vec<String> = notes
            .iter()
            .flatten()
            .filter_map(|(key, _)| {
                let name = key.split(|byte| *byte == b'/').nth(1)?;
                Some(String::from_utf8_lossy(name).into_owned())
            })
            .filter(|name| !state.processors.contains_key(name))
            .collect();
        gone.sort();
        gone.dedup();
        self.forget_processors(&gone)
    }
}

fn until(at_ns: i64, now_ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(at_ns.saturating_sub(now_ns)).unwrap_or(0))
}

impl Runtime {
    /// What the processor sends because of its timers; what it remembers goes to `state`.
    fn timers_went_off(
        &self,
        source: &activestore_types::TableSchema,
        due: &[(Vec<u8>, i64)],
        state: &mut super::processor::PendingState<'_>,
        now_ns: i64,
    ) -> Result<Vec<activestore_types::NamedBatch>> {
        let Source::Plugin(plugin) = &self.source else {
            return Err(Error::internal("a model has no timers"));
        };
        let done: Processed = self.with_instance(
            plugin,
            &source.arrow(),
            source.version,
            state,
            now_ns,
            |instance, own| instance.on_timer(due, own),
        )?;
        Ok(self.sent(&done.outputs))
    }

    /// Notes what failed outside of a write; it is tried again.
    pub(super) fn failed_beside_writes(&self, what: &str, error: &Error) {
        let first = self.failures.fetch_add(1, Ordering::Relaxed) == 0;
        if first {
            tracing::warn!(processor = self.def.name, %error, what);
        }
        *self.last_error.lock() = Some(error.to_string());
    }
}
