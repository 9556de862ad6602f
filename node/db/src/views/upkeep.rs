//! One view: what of the log it has seen, what of it is behind, and the steps that bring it up to date.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use activestore_catalog::{CatalogState, ViewDef};
use activestore_query::ViewQuery;
use activestore_types::{Error, Lsn, NamedBatch, Result, TableId, TableName, TableSchema};
use tokio::runtime::Runtime;

use super::compute::Difference;
use super::dirty::Dirty;
use super::late::LateRows;
use super::reference::{Joined, expiry_note, noted_expiry};
use super::saved::{Region, Saved};
use crate::db::Inner;
use crate::write::effect::{Effects, Erasure};

/// After a failure a view waits so long, and twice as long after each further one …
const WAITS_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// … up to this.
const WAITS_AFTER_FAILURE_MAX: Duration = Duration::from_secs(60);
/// While nothing is to be done for a view, its place is noted after so much of the log.
const NOTED_EVERY_BYTES: u64 = 4 * 1024 * 1024;
/// The log is held back for a view that is behind for so much of it; then what it has seen becomes a region.
const HELD_LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A view and its state, in the hands of the one thread that keeps views.
pub(super) struct Upkeep {
    pub(super) id: TableId,
    pub(super) name: TableName,
    pub(super) def: ViewDef,
    /// The query, where it could be understood.
    pub(super) query: Option<Arc<ViewQuery>>,
    /// What is durable.
    pub(super) saved: Saved,
    /// Whether it is.
    pub(super) is_noted: bool,
    /// The next record to look at.
    pub(super) next: Lsn,
    pub(super) dirty: Dirty,
    /// What of the tables that it looks something up in is not in it.
    pub(super) joined: Joined,
    /// What is noted of when rows of theirs expire first.
    pub(super) noted_expiry: Option<u64>,
    /// When the first of them does.
    pub(super) wakes_at: Option<Duration>,
    pub(super) newest_ns: i64,
    pub(super) late: u64,
    /// Those that are not in their table yet.
    pub(super) late_rows: LateRows,
    /// When it is to be worked on next.
    pub(super) due: Duration,
    pub(super) error: Option<String>,
    pub(super) failures: u32,
    /// Why a part of this round's work could not be computed.
    pub(super) ailing: Option<Error>,
    /// When what could not be computed is tried again.
    pub(super) retry_at: Duration,
    /// Rounds that were tried.
    pub(super) tries: u64,
    /// Windows of the next step of a region.
    pub(super) step: usize,
    /// The log's length when its place was noted.
    noted_at_bytes: u64,
    /// The extent of the region that is worked on, when it was begun.
    pub(super) extent: Option<(i64, i64)>,
    /// Since when it is behind.
    pub(super) behind_since: Option<Duration>,
    pub(super) done: Done,
    /// Rows of tables that were read to compute it.
    pub(super) rows_read: Cell<u64>,
}

/// What was done for a view since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    pub(super) rows_looked_at: u64,
    pub(super) rows_read: u64,
    pub(super) rows_written: u64,
    pub(super) rows_deleted: u64,
    pub(super) failures: u64,
    pub(super) rebuilds: u64,
    /// Rows of reference tables whose change was followed, and rows of the base that were found for them.
    pub(super) references_followed: u64,
    pub(super) references_found: u64,
    pub(super) late_kept: u64,
    pub(super) late_lost: u64,
}

impl Upkeep {
    pub(super) fn new(inner: &Inner, view: &TableSchema, def: &ViewDef) -> Upkeep {
        let last = inner.store.last_lsn();
        let noted = Saved::read(&inner.store, view.id);
        let is_noted = noted.is_some();
        let saved = noted.unwrap_or_else(|| Saved::new(&inner.store, view.id, last));
        let noted_expiry = noted_expiry(&inner.store, view.id);
        let joins = inner.catalog.state().joined.contains_key(&view.name);
        let joined = match joins {
            true => Joined::new(noted_expiry, is_noted),
            false => Joined::default(),
        };
        let mut upkeep = Upkeep {
            id: view.id,
            name: view.name.clone(),
            def: def.clone(),
            query: None,
            is_noted,
            next: Lsn(saved.upto.saturating_add(1)),
            dirty: Dirty::default(),
            joined,
            noted_expiry,
            wakes_at: None,
            newest_ns: saved.newest_ns,
            late: saved.late,
            late_rows: LateRows::default(),
            due: Duration::ZERO,
            error: None,
            failures: 0,
            ailing: None,
            retry_at: Duration::ZERO,
            tries: 0,
            step: 1,
            noted_at_bytes: inner.store.log_bytes(),
            extent: None,
            behind_since: None,
            done: Done::default(),
            rows_read: Cell::new(0),
            saved,
        };
        upkeep.dirty.regions.clone_from(&upkeep.saved.regions);
        upkeep
    }

    /// Understands the query, and looks whether the view's place is one of this log.
    pub(super) fn begin(&mut self, inner: &Inner, runtime: &Runtime) {
        self.compile(inner, runtime);
        // One beyond it is of another log: of before a crash that lost its end, or of a backup.
        if self.saved.upto.max(self.saved.late_upto) > inner.store.last_lsn().0 {
            self.missed(inner, "the log ends before it");
        }
    }

    /// The log does not hold what follows its place: everything is looked at again, but for what the table may have
    /// lost to its age since.
    pub(super) fn missed(&mut self, inner: &Inner, why: &str) {
        tracing::warn!(view = %self.name, place = self.next.0, why, "the log cannot be read where the view stands; it is computed anew");
        self.dirty.forget();
        self.dirty.add(Region::all());
        self.joined.forget();
        self.next = Lsn(inner.store.last_lsn().0.saturating_add(1));
        // Of another log it says nothing of the rows that come.
        self.saved.late_upto = 0;
        self.done.rebuilds += 1;
    }

    /// The moment before which the base may have lost rows to their age: windows of then are kept as they are.
    pub(super) fn floor_ns(&self, inner: &Inner) -> Option<i64> {
        inner.kept_since_ns(&inner.catalog.state(), &self.def.base)
    }

    /// The moment up to which rows are expected to be there.
    pub(super) fn watermark_ns(&self) -> Option<i64> {
        let behind = i64::try_from(self.def.lateness_ms.saturating_mul(1_000_000));
        (self.newest_ns > i64::MIN)
            .then(|| self.newest_ns.saturating_sub(behind.unwrap_or(i64::MAX)))
    }

    /// Whether all that it has seen is in it.
    pub(super) fn is_current(&self) -> bool {
        let marked = !self.dirty.is_empty() || self.joined.has_work();
        !marked && self.late_rows.is_empty() && self.is_noted
    }

    /// Whether it has as much as it can remember, and no more of the log is to be looked at before it is worked on.
    pub(super) fn is_full(&self) -> bool {
        self.dirty.is_full() || self.joined.is_full() || self.late_rows.is_full()
    }

    /// Understands the query anew.
    pub(super) fn compile(&mut self, inner: &Inner, runtime: &Runtime) {
        match runtime.block_on(inner.engine.view(&self.def.query)) {
            Ok(query) => self.query = Some(Arc::new(query)),
            Err(error) => self.failed(inner, &error),
        }
    }

    /// When there is something to be done for it: what is behind at its time, what could not be computed later.
    pub(super) fn due_at(&self) -> Option<Duration> {
        let marked = self.dirty.has_work() || self.joined.has_work();
        let works = marked || !self.late_rows.is_empty() || !self.is_noted;
        let works = works.then_some(self.due);
        let expires = self.wakes_at.map(|moment| moment.max(self.due));
        let retries = self
            .dirty
            .has_aside()
            .then_some(self.due.max(self.retry_at));
        works.into_iter().chain(retries).chain(expires).min()
    }

    /// It cannot go on.
    pub(super) fn failed(&mut self, inner: &Inner, error: &Error) {
        self.due = self.fails(inner, error);
    }

    /// A part of it could not be computed, which the others do not wait for.
    pub(super) fn ails(&mut self, inner: &Inner, error: &Error) {
        self.retry_at = self.fails(inner, error);
    }

    /// Notes a failure. When what failed is tried again.
    fn fails(&mut self, inner: &Inner, error: &Error) -> Duration {
        let text = error.to_string();
        if self.error.as_ref() != Some(&text) {
            tracing::warn!(view = %self.name, %error, "a materialized view could not be brought up to date; it is tried again");
        }
        self.error = Some(text);
        self.done.failures += 1;
        self.failures = self.failures.saturating_add(1);
        let waits = WAITS_AFTER_FAILURE.saturating_mul(1 << (self.failures - 1).min(10));
        inner.env.clock.monotonic() + waits.min(WAITS_AFTER_FAILURE_MAX)
    }

    /// Writes what changes, with the view's place where nothing is left that is marked.
    pub(super) fn write(
        &mut self,
        inner: &Inner,
        difference: Difference,
        last: bool,
    ) -> Result<()> {
        let view = self.schema(inner)?;
        let mut effects = Effects::default();
        let (mut written, mut deleted) = (0, 0);
        if let Some(rows) = &difference.upserts {
            written = rows.num_rows();
            let rows = NamedBatch::from_record_batch(view.name.clone(), rows);
            effects.upserts.push(inner.resolve_one(&rows)?);
        }
        if let Some(keys) = difference.gone {
            deleted = keys.num_rows();
            effects
                .erasures
                .push((1, Erasure::Rows { schema: view, keys }));
        }
        let changes = written + deleted > 0;
        self.done.rows_looked_at += difference.looked_at as u64;
        if !changes && !last {
            return Ok(());
        }
        self.commit(inner, effects, last)?;
        self.done.rows_written += written as u64;
        self.done.rows_deleted += deleted as u64;
        Ok(())
    }

    /// Notes where the view stands.
    pub(super) fn note(&mut self, inner: &Inner) -> Result<()> {
        self.commit(inner, Effects::default(), true)
    }

    /// Notes what is done of it, though not all is that it has seen.
    pub(super) fn note_so_far(&mut self, inner: &Inner) -> Result<()> {
        self.commit(inner, Effects::default(), false)
    }

    fn commit(&mut self, inner: &Inner, mut effects: Effects, last: bool) -> Result<()> {
        self.send_late_parts(inner)?;
        let mut saved = self.saved.clone();
        saved.regions = self.dirty.all_regions();
        let settled = last && self.dirty.count() == 0 && self.joined.is_idle();
        let expiry = (settled && self.joined.follows).then(|| self.joined.first_ms());
        if settled {
            saved.upto = self.next.0.saturating_sub(1);
            saved.newest_ns = self.newest_ns;
            saved.late = self.late;
        }
        let late = self.staged_late(inner, usize::MAX)?;
        if !late.is_empty() {
            effects.upserts.extend(late);
            saved.late_upto = self.next.0.saturating_sub(1);
            saved.late = self.late;
        }
        let mut notes = vec![saved.note(self.id)?];
        if let Some(first_ms) = expiry.filter(|_| expiry != self.noted_expiry) {
            notes.push(expiry_note(self.id, first_ms));
        }
        inner.write_view(effects, notes)?;
        self.late_written();
        self.noted_expiry = expiry.or(self.noted_expiry);
        self.saved = saved;
        self.is_noted = true;
        self.noted_at_bytes = inner.store.log_bytes();
        Ok(())
    }

    /// Keeps what the view needs of the log bounded: by a note of its place while there is nothing to be done, and by
    /// a region in the place of groups while it is behind.
    pub(super) fn mind_log(&mut self, inner: &Inner) {
        let behind = inner.store.log_bytes().saturating_sub(self.noted_at_bytes);
        let moved = self.saved.upto.saturating_add(1) < self.next.0;
        // Changed rows that are still so many could not be followed, and others do not wait for that.
        let stuck = behind >= HELD_LOG_BYTES_MAX || self.joined.is_full();
        if (stuck || self.late_rows.is_full())
            && let Err(error) = self.let_late_go(inner)
        {
            return self.failed(inner, &error);
        }
        let works = self.dirty.count() > 0 || !self.joined.is_idle();
        let idle = !works && moved && behind >= NOTED_EVERY_BYTES;
        let too_far = stuck || self.is_full();
        if works && too_far && self.query.is_some() {
            self.widen(stuck);
        } else if !idle && self.is_noted {
            return;
        }
        if let Err(error) = self.note(inner) {
            self.failed(inner, &error);
        }
    }

    /// Makes regions of what is marked, and, where the log is in the way, of changed rows that it looks up.
    fn widen(&mut self, also_joined: bool) {
        if let Some(query) = &self.query {
            self.dirty.widen(&query.windows);
        }
        if also_joined && self.joined.give_up() {
            self.dirty.add(Region::all());
        }
    }

    /// Whether rows that it looks up have expired since it was noted when they do.
    pub(super) fn expiry_is_over(&self, now_ms: u64) -> bool {
        let noted = self.noted_expiry;
        noted.is_some_and(|first| first <= now_ms)
            && Some(self.joined.first_ms()) != self.noted_expiry
    }

    /// Sets when rows that it looks up expire next.
    pub(super) fn mind_moments(&mut self, inner: &Inner) {
        let first = self.joined.expiring.first();
        self.wakes_at = first.map(|first_ms| {
            let left = Duration::from_millis(first_ms.saturating_sub(inner.wall_ms()));
            inner.env.clock.monotonic().saturating_add(left)
        });
    }

    /// Notes the view's place at once: somebody waits for the log. What is marked becomes a region.
    pub(super) fn let_log_go(&mut self, inner: &Inner) {
        let gone = self.let_late_go(inner).and_then(|()| {
            self.widen(true);
            if self.saved.upto.saturating_add(1) < self.next.0 {
                self.note(inner)?;
            }
            Ok(())
        });
        if let Err(error) = gone {
            self.failed(inner, &error);
        }
    }
}

impl Inner {
    /// The moment since which a table has all rows that it was given, where it does not keep them for ever.
    pub(super) fn kept_since_ns(&self, state: &CatalogState, table: &TableName) -> Option<i64> {
        let ttl_s = state.tables.get(table)?.ttl_s;
        let kept = state.keeping.get(table);
        let kept_s = kept.and_then(|keeping| keeping.keep_local_s);
        let kept_s = kept_s.filter(|_| self.options.role.has_cloud());
        let seconds = ttl_s.into_iter().chain(kept_s).min()?;
        let age = i64::try_from(seconds.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX);
        Some(self.wall_ns().saturating_sub(age))
    }
}
