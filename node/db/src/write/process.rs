//! Runs the processors of a write, those that its outputs meet in turn included, and gathers what
//! has to be committed together.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_store::Note;
use activestore_types::{Error, NamedBatch, Result};
use parking_lot::MutexGuard;

use super::processor::{PendingState, Refused, Runtime, Source};
use super::rejected::note_rejected;
use super::resolve::{Staged, resolve};
use crate::db::Inner;
use crate::outgoing::{Outgoing, Ticket};
use crate::plugins::Loaded;

/// How many processors rows may pass in a row, so that two that feed each other end.
const DEPTH_MAX: usize = 4;

/// A write after its processors.
pub(crate) struct Processed<'a> {
    pub(crate) staged: Vec<Staged>,
    pub(crate) notes: Vec<Note>,
    /// Rows that processors sent, among those staged.
    pub(crate) sent: u64,
    /// Rows that processors refused.
    pub(crate) rejected: u64,
    /// Whether timers were set.
    pub(crate) timers: bool,
    pub(crate) turn: Option<Turn<'a>>,
}

/// The right to run processors, held until the commit: the state that a processor read must be the state
/// that it replaces. When it ends without a commit, the instances that ran are dropped with what they
/// remember of the batch.
pub(crate) struct Turn<'a> {
    ran: Vec<Arc<Runtime>>,
    /// Requests that the processors sent.
    tickets: Vec<Ticket>,
    outgoing: &'a Outgoing,
    _processing: MutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// Ends the turn after the commit.
    pub(crate) fn committed(mut self) {
        self.ran.clear();
        self.outgoing.committed(std::mem::take(&mut self.tickets));
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.ran.iter().for_each(|runtime| runtime.forget());
    }
}

impl Inner {
    pub(crate) fn process(&self, staged: Vec<Staged>) -> Result<Processed<'_>> {
        let plugins = self.plugins.current();
        let touched = staged
            .iter()
            .any(|batch| plugins.processors_on(&batch.schema.name).next().is_some());
        if !touched {
            return Ok(Processed {
                staged,
                notes: Vec::new(),
                sent: 0,
                rejected: 0,
                timers: false,
                turn: None,
            });
        }
        let mut wave = Wave::begin(self);
        wave.run(staged)?;
        wave.finish()?;
        wave.end()
    }
}

/// Rows on their way through processors. It has the processors to itself from its begin to the commit.
pub(super) struct Wave<'a> {
    inner: &'a Inner,
    turn: Turn<'a>,
    plugins: Arc<Loaded>,
    pub(super) state: PendingState<'a>,
    now_ns: i64,
    staged: Vec<Staged>,
    /// What processors sent and no processor has seen.
    next: Vec<Staged>,
    refused: Vec<Refused>,
    sent: u64,
    timers: bool,
}

impl<'a> Wave<'a> {
    pub(super) fn begin(inner: &'a Inner) -> Self {
        let turn = Turn {
            _processing: inner.processing.lock(),
            ran: Vec::new(),
            tickets: Vec::new(),
            outgoing: &inner.outgoing,
        };
        Wave {
            turn,
            // Those that are in force now: while this thread waited, others may have been put in their
            // place and have gone on from the state that these remember.
            plugins: inner.plugins.current(),
            state: PendingState::new(&inner.store, &inner.outgoing, inner.env.rng.as_ref()),
            now_ns: inner.wall_ns(),
            inner,
            staged: Vec::new(),
            next: Vec::new(),
            refused: Vec::new(),
            sent: 0,
            timers: false,
        }
    }

    /// Whether a processor is one of those that may run.
    pub(super) fn is_in_force(&self, runtime: &Arc<Runtime>) -> bool {
        self.plugins.is_in_force(runtime)
    }

    /// The moment that all of it happens at.
    pub(super) fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// Notes that timers were set.
    pub(super) fn set_timers(&mut self, set: bool) {
        self.timers |= set;
    }

    /// Notes that a processor runs.
    pub(super) fn ran(&mut self, runtime: &Arc<Runtime>) {
        self.turn.ran.push(runtime.clone());
    }

    /// Shows batches to the processors of their tables.
    fn run(&mut self, batches: Vec<Staged>) -> Result<()> {
        let (clock, plugins) = (&self.inner.env.clock, self.plugins.clone());
        for mut batch in batches {
            let mut runtimes: Vec<Arc<Runtime>> =
                plugins.processors_on(&batch.schema.name).cloned().collect();
            // Models first, so that plugins see the score.
            runtimes.sort_by_key(|runtime| matches!(runtime.source, Source::Plugin(_)));
            for runtime in runtimes {
                if batch.rows == 0 {
                    break;
                }
                if !runtime.awake.load(Ordering::Acquire) {
                    continue; // it will be shown these rows as old ones
                }
                self.ran(&runtime);
                let started = clock.monotonic();
                let outcome = runtime.run(&mut batch, &mut self.state, self.now_ns);
                let spent = clock.monotonic().saturating_sub(started);
                runtime
                    .busy_ns
                    .fetch_add(spent.as_nanos() as u64, Ordering::Relaxed);
                let outcome = outcome?;
                self.refused.extend(outcome.refused);
                self.timers |= outcome.timers;
                self.send(outcome.sent)?;
            }
            if batch.rows > 0 {
                self.staged.push(batch);
            }
        }
        Ok(())
    }

    /// Takes rows that a processor sends.
    pub(super) fn send(&mut self, sent: Vec<NamedBatch>) -> Result<()> {
        let inner = self.inner;
        for batch in sent {
            let staged = resolve(&inner.catalog, &batch, inner.new_keyspaces(), &|schema| {
                inner.store.put_schema(schema.clone())
            })?;
            self.sent += staged.rows as u64;
            // What a processor sends follows every statement that it saw.
            self.next.push(Staged {
                place: usize::MAX,
                ..staged
            });
        }
        Ok(())
    }

    /// Shows what processors sent to the processors of those tables, until nothing more is sent.
    pub(super) fn finish(&mut self) -> Result<()> {
        for _ in 1..DEPTH_MAX {
            if self.next.is_empty() {
                return Ok(());
            }
            let wave = std::mem::take(&mut self.next);
            self.run(wave)?;
        }
        if self.next.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "rows passed {DEPTH_MAX} processors in a row and would pass another"
        ))
        .with_hint("two processors feed each other; drop one of them"))
    }

    /// What has to be committed together.
    pub(super) fn end(mut self) -> Result<Processed<'a>> {
        let (mut notes, tickets) = self.state.into_notes();
        self.turn.tickets = tickets;
        note_rejected(self.inner, &self.refused, &mut notes)?;
        Ok(Processed {
            staged: self.staged,
            notes,
            sent: self.sent,
            rejected: self.refused.len() as u64,
            timers: self.timers,
            turn: Some(self.turn),
        })
    }
}
