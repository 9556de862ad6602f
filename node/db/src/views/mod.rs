//! Materialized views: tables that hold what a query over another table says, kept up to date from the log.
//!
//! One thread follows the committed records for all views ([`keeper`]) and marks the groups and windows that each
//! touches ([`look`], [`dirty`]), also of tables that a view looks something up in ([`reference`], [`follow`]). Every so
//! often the marked ones are computed anew from the table ([`compute`]) and what differs is written ([`work`],
//! [`regions`], [`upkeep`]), with the view's place in the log in the same record ([`saved`]). Nothing is added up from record to record:
//! an update, a delete, a late row or a merge with another node's write cannot make a view wrong, and after a crash the same
//! groups are computed once more.

mod age;
mod compute;
mod defining;
mod dirty;
mod erased;
mod expiring;
mod follow;
mod keeper;
mod late;
mod late_table;
mod look;
mod reference;
mod regions;
mod report;
mod saved;
mod sessions;
mod upkeep;
mod work;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use activestore_catalog::CatalogState;
use activestore_env::Clock;
use activestore_types::{Error, Lsn, Result, TableId, TableName};
use parking_lot::{Condvar, Mutex};

use crate::db::Inner;
use crate::outbox::opening::OUTBOX_FILE;
use crate::write::effect::Effects;
use keeper::Keeper;
pub(crate) use report::ViewReport;
use saved::{PREFIX, Saved};

/// The thread's work begins anew so long after a panic.
const WAITS_AFTER_PANIC: Duration = Duration::from_secs(5);
/// How long somebody who waits for a view sleeps before it looks again by itself.
const NAP: Duration = Duration::from_millis(200);

/// The views of a node, as everybody but their thread sees them.
pub(crate) struct Views {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    woken: Condvar,
    /// The thread has done something.
    told: Condvar,
    /// Whether anybody has to be told of a commit.
    followed: AtomicBool,
    closing: AtomicBool,
    log_awaited: AtomicBool,
    /// Whether the log is left as it is held: for an outbox that is not opened now.
    leaves_log: AtomicBool,
}

#[derive(Default)]
struct State {
    running: bool,
    dirty: bool,
    /// Views that somebody waits for.
    hurry: BTreeSet<TableId>,
    /// Definitions changed.
    redefined: bool,
    reports: Vec<ViewReport>,
}

impl Views {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Views {
            clock,
            state: Mutex::default(),
            woken: Condvar::new(),
            told: Condvar::new(),
            followed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            log_awaited: AtomicBool::new(false),
            leaves_log: AtomicBool::new(false),
        }
    }

    /// Records were committed.
    pub(crate) fn wake(&self) {
        if !self.followed.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.dirty, true) {
            self.woken.notify_one();
        }
    }

    /// Definitions changed.
    pub(crate) fn redefined(&self) {
        self.state.lock().redefined = true;
        self.woken.notify_one();
    }

    /// Ends the thread for good; it ends between two steps.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        let _state = self.state.lock();
        self.woken.notify_all();
        self.told.notify_all();
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Whether the log stays held as it was, for an outbox that is not opened now.
    pub(crate) fn leaves_log(&self) -> bool {
        self.leaves_log.load(Ordering::Acquire)
    }

    /// The store waits for the log to be let go. Must not call back into the store.
    fn await_log(&self) {
        self.log_awaited.store(true, Ordering::Release);
        self.state.lock().dirty = true;
        self.woken.notify_one();
    }

    fn log_is_awaited(&self) -> bool {
        self.log_awaited.load(Ordering::Acquire)
    }

    fn log_went(&self) {
        self.log_awaited.store(false, Ordering::Release);
    }

    /// Waits until there is something to do: records that were committed, but not before `looks_at`, or views that
    /// are due. The views that somebody waits for; `None` ends the thread.
    fn wait(&self, looks_at: Duration, due: Option<Duration>) -> Option<BTreeSet<TableId>> {
        let mut state = self.state.lock();
        loop {
            if self.is_closing() {
                state.running = false;
                return None;
            }
            if !state.hurry.is_empty() || state.redefined || self.log_is_awaited() {
                break;
            }
            let by = match (state.dirty, due) {
                (true, Some(due)) => Some(looks_at.min(due)),
                (true, None) => Some(looks_at),
                (false, due) => due,
            };
            let now = self.clock.monotonic();
            match by {
                Some(by) if by <= now => break,
                Some(by) => {
                    self.woken.wait_for(&mut state, by.saturating_sub(now));
                }
                None => self.woken.wait(&mut state),
            }
        }
        state.dirty = false;
        state.redefined = false;
        Some(std::mem::take(&mut state.hurry))
    }

    /// Whether the thread may end, since there is no view; if so it has ended.
    fn ends(&self) -> bool {
        let mut state = self.state.lock();
        if state.redefined {
            return false;
        }
        // With the thread goes what it told, before another one may tell something.
        state.reports.clear();
        self.stops(&mut state);
        true
    }

    fn stops(&self, state: &mut State) {
        state.running = false;
        self.followed.store(false, Ordering::Release);
        self.told.notify_all();
    }

    /// The thread: does the work until that ends, and anew where it panics, as a plugin's defect may make it.
    fn outlive_panics(&self, mut work: impl FnMut() -> Result<()>) {
        loop {
            let worked = catch_unwind(AssertUnwindSafe(&mut work));
            let mut state = self.state.lock();
            match worked {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    tracing::error!(%error, "materialized views are not kept until the node starts anew");
                    return self.stops(&mut state);
                }
                Err(_) => {
                    tracing::error!(
                        "the thread that keeps materialized views panicked; it begins anew"
                    );
                }
            }
            let until = self.clock.monotonic() + WAITS_AFTER_PANIC;
            loop {
                let left = until.saturating_sub(self.clock.monotonic());
                if self.is_closing() || left.is_zero() {
                    break;
                }
                self.woken.wait_for(&mut state, left);
            }
            if self.is_closing() {
                return self.stops(&mut state);
            }
            state.redefined = true;
        }
    }

    fn tell(&self, reports: Vec<ViewReport>) {
        self.state.lock().reports = reports;
        self.told.notify_all();
    }

    /// How the views stand, as far as the thread has looked.
    pub(crate) fn reports(&self) -> Vec<ViewReport> {
        self.state.lock().reports.clone()
    }

    /// Waits until a view holds everything that was committed up to a record, and nothing that had expired by a moment.
    ///
    /// # Errors
    /// The view's own where it cannot be brought up to date; `Closed` where the node shuts down; `NotFound` where the view
    /// was dropped.
    fn settled(
        &self,
        view: TableId,
        (upto, now_ms): (Lsn, u64),
        is_defined: &dyn Fn() -> bool,
    ) -> Result<()> {
        let mut state = self.state.lock();
        let of = |state: &State| {
            let report = state.reports.iter().find(|report| report.id == view);
            report.cloned()
        };
        let tries = of(&state).map_or(0, |report| report.tries);
        loop {
            if self.is_closing() || !state.running {
                return Err(Error::closed("the node keeps no views now"));
            }
            if let Some(report) = of(&state) {
                if report.holds(upto, now_ms) {
                    return Ok(());
                }
                // The first may have begun before.
                if let Some(error) = report.error.filter(|_| report.tries > tries + 1) {
                    return Err(Error::conflict(format!(
                        "{} could not be brought up to date: {error}",
                        report.name
                    )));
                }
            }
            if !is_defined() {
                return Err(Error::not_found("the view was dropped"));
            }
            state.hurry.insert(view);
            self.woken.notify_one();
            self.told.wait_for(&mut state, NAP);
        }
    }
}

/// Whether a node's log is held for views or sinks from its start on.
pub(crate) fn hold_the_log(state: &CatalogState) -> bool {
    !state.views.is_empty() || !state.sinks.is_empty()
}

impl Inner {
    /// At the start: holds the log for the views that there are, before anybody lets it go, and starts their thread.
    ///
    /// # Errors
    /// When the machine has no thread left.
    pub(crate) fn open_views(self: &Arc<Self>) -> Result<()> {
        let views = self.views.clone();
        self.hold.wake_views_by(Box::new(move || views.await_log()));
        let state = self.catalog.state();
        let places = state.views.keys().filter_map(|name| state.tables.get(name));
        let places = places.filter_map(|view| Saved::read(&self.store, view.id));
        let first = places.map(|saved| saved.upto.saturating_add(1)).min();
        let shut = self.outbox.is_none() && self.options.data_dir.join(OUTBOX_FILE).exists();
        self.views.leaves_log.store(shut, Ordering::Release);
        self.hold_log_for_views(first.map(Lsn));
        // Tools that open a directory for something else leave views as they are.
        let keeps = self.options.evicts;
        if keeps && (!state.views.is_empty() || !self.store.notes(PREFIX).is_empty()) {
            self.keep_views()?;
        }
        Ok(())
    }

    /// The views need the log from there on. What an outbox needs that is not opened now nobody knows: then the log stays held
    /// as it was, which is enough for views too.
    fn hold_log_for_views(&self, from: Option<Lsn>) {
        if !self.views.leaves_log() {
            self.hold.hold_for_views(from);
        }
    }

    /// Starts the thread where it does not run.
    ///
    /// # Errors
    /// When the machine has no thread left.
    fn keep_views(self: &Arc<Self>) -> Result<()> {
        let mut state = self.views.state.lock();
        state.redefined = true;
        if state.running {
            self.views.woken.notify_one();
            return Ok(());
        }
        let mut keeper = Some(Keeper::new()?);
        let (views, visits) = (self.views.clone(), self.visits.clone());
        let weak = Arc::downgrade(self);
        std::thread::Builder::new()
            .name("views".to_owned())
            .spawn(move || {
                views.outlive_panics(|| {
                    let keeper = keeper.take().map_or_else(Keeper::new, Ok)?;
                    keeper.run(&views, &visits, &weak);
                    Ok(())
                });
            })?;
        state.running = true;
        self.views.followed.store(true, Ordering::Release);
        Ok(())
    }

    /// Refuses effects on views, which nobody but their query writes.
    ///
    /// # Errors
    /// `Denied`, naming the view.
    pub(crate) fn refuse_views(&self, effects: &Effects) -> Result<()> {
        let state = self.catalog.state();
        if state.views.is_empty() {
            return Ok(());
        }
        let upserts = effects.upserts.iter().map(|batch| &batch.schema);
        let erasures = effects.erasures.iter().map(|(_, part)| part.schema());
        let schemas = upserts.chain(erasures);
        schemas
            .map(|schema| &schema.name)
            .try_for_each(|name| is_no_view(&state, name))
    }

    /// Refuses rows for a view before anybody asks whether they fit it.
    ///
    /// # Errors
    /// As [`Inner::refuse_views`].
    pub(crate) fn refuse_view(&self, name: &TableName) -> Result<()> {
        is_no_view(&self.catalog.state(), name)
    }
}

fn is_no_view(state: &CatalogState, name: &TableName) -> Result<()> {
    match state.views.get(name) {
        None => Ok(()),
        Some(view) => Err(Error::denied(format!(
            "{name} is a materialized view, and nobody but its query writes it"
        ))
        .with_hint(format!("write to {}, which it is made of", view.base))),
    }
}

#[cfg(test)]
mod tests;
