//! The one thread that keeps the views of a node. It runs while there are some, reads each committed record once for
//! all of them, and works on those that are due.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use activestore_store::WriteSet;
use activestore_types::{ErrorKind, Lsn, Result, TableId};
use tokio::runtime::Runtime;

use super::Views;
use super::look::Moment;
use super::saved::orphans;
use super::upkeep::Upkeep;
use crate::db::Inner;
use crate::visit::Visits;

/// How much of the log is looked at in one step, in bytes.
const LOG_STEP_BYTES: usize = 1024 * 1024;
/// Records gather for so long before they are looked at, and for no longer than half of a view's refresh.
const GATHER: Duration = Duration::from_millis(250);

/// The views, in the hands of the thread.
pub(super) struct Keeper {
    runtime: Runtime,
    all: Vec<Upkeep>,
}

/// One thread: what views take of the machine is bounded by what it does.
pub(super) fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime)
}

impl Keeper {
    /// # Errors
    /// When the machine has no room for a runtime.
    pub(super) fn new() -> Result<Keeper> {
        Ok(Keeper {
            runtime: runtime()?,
            all: Vec::new(),
        })
    }

    /// The thread's work: until there is no view any more.
    pub(super) fn run(mut self, views: &Views, visits: &Arc<Visits>, weak: &Weak<Inner>) {
        let mut looks_at = Duration::ZERO;
        let mut due = Some(Duration::ZERO);
        while let Some(hurry) = views.wait(looks_at, due) {
            let Some(inner) = visits.enter(weak) else {
                return;
            };
            if let Err(error) = self.mind_definitions(&inner) {
                tracing::warn!(%error, "the places of dropped views could not be forgotten; it is tried again");
            }
            if self.all.is_empty() {
                // Before another thread may take over, which holds it for itself.
                inner.hold_log_for_views(None);
                if views.ends() {
                    return;
                }
            }
            self.step(&inner, views, &hurry);
            self.all.iter_mut().for_each(|one| one.mind_moments(&inner));
            let now = inner.env.clock.monotonic();
            let gather = self.all.iter().map(|one| one.def.refresh_ms / 2).min();
            looks_at = now + GATHER.min(Duration::from_millis(gather.unwrap_or(0)));
            let behind = self.all.iter().filter_map(Upkeep::due_at);
            due = behind.map(|due| due.max(looks_at)).min();
        }
    }

    /// Takes up views that were made, and lets go of those that were dropped.
    fn mind_definitions(&mut self, inner: &Inner) -> Result<()> {
        let state = inner.catalog.state();
        let ids: Vec<TableId> = state
            .views
            .keys()
            .filter_map(|name| Some(state.tables.get(name)?.id))
            .collect();
        self.all.retain(|one| ids.contains(&one.id));
        for (name, def) in &state.views {
            let Some(view) = state.tables.get(name) else {
                continue;
            };
            if self.all.iter().all(|one| one.id != view.id) {
                let mut upkeep = Upkeep::new(inner, view, def);
                upkeep.begin(inner, &self.runtime);
                self.all.push(upkeep);
            }
        }
        let notes = orphans(&inner.store, &ids);
        if notes.is_empty() {
            return Ok(());
        }
        inner.store.commit(WriteSet {
            notes,
            ..WriteSet::default()
        })?;
        Ok(())
    }

    fn step(&mut self, inner: &Inner, views: &Views, hurry: &BTreeSet<TableId>) {
        let unread = self.read_log(inner, views).err();
        let now = inner.env.clock.monotonic();
        let goes_on = || !views.is_closing();
        for one in &mut self.all {
            if !goes_on() {
                return;
            }
            let hurry = hurry.contains(&one.id);
            one.mind_moments(inner);
            let due = hurry || one.is_full() || one.due_at().is_some_and(|due| due <= now);
            if due {
                one.work(inner, &self.runtime, hurry, &goes_on);
            } else {
                one.mind_log(inner);
            }
            if let Some(error) = &unread {
                one.failed(inner, error);
            }
            if views.log_is_awaited() {
                one.let_log_go(inner);
            }
            let at_end = one.next > inner.store.last_lsn();
            one.behind_since = match (one.is_current(), at_end) {
                (true, true) => None,
                // It holds what there was when the log was read.
                (true, false) => Some(now),
                (false, _) => one.behind_since.or(Some(now)),
            };
        }
        views.log_went();
        let places = self.all.iter().map(|one| one.saved.upto);
        let from = places.min().map(|upto| Lsn(upto.saturating_add(1)));
        inner.hold_log_for_views(from);
        views.tell(self.all.iter().map(|one| one.report(inner)).collect());
    }

    /// Shows the views what was committed, until there is nothing more or they have as much as they can remember.
    fn read_log(&mut self, inner: &Inner, views: &Views) -> Result<()> {
        let store = &inner.store;
        loop {
            let newest = store.last_lsn();
            // One that is full is worked on first, and the others do not wait for it.
            let open = self.all.iter().filter(|one| !one.is_full());
            let next = open.map(|one| one.next).min();
            let Some(from) = next.filter(|from| *from <= newest) else {
                return Ok(());
            };
            if views.is_closing() {
                return Ok(());
            }
            let records = match store.log(from, LOG_STEP_BYTES) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let first = store.first_log_lsn();
                    let lost = self.all.iter_mut().filter(|one| one.next < first);
                    lost.for_each(|one| one.missed(inner, "the log does not reach back to it"));
                    continue;
                }
                // It will never be readable, and is in the way of everything behind it.
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    let lost = self.all.iter_mut().filter(|one| one.next == from);
                    lost.for_each(|one| one.missed(inner, &error.to_string()));
                    continue;
                }
                read => read?,
            };
            // Numbers without a record hold nothing.
            let upto = records.last().map_or(newest, |last| last.lsn);
            let next = Lsn(upto.0.saturating_add(1));
            let now_ns = inner.wall_ns();
            let state = inner.catalog.state();
            for one in self.all.iter_mut().filter(|one| !one.is_full()) {
                let floor_ns = one.floor_ns(inner);
                let late = one.def.late.table();
                let late = late.and_then(|late| state.tables.get(late)).cloned();
                let at = Moment { now_ns, floor_ns };
                let looked = one.look(&records, next, at, late.as_deref());
                if let Err(error) = looked {
                    one.skip(next);
                    one.failed(inner, &error);
                }
            }
        }
    }
}
