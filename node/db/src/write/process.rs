//! Runs the processors of a write, those that its outputs meet in turn included, and gathers what
//! has to be committed together.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_store::Note;
use activestore_types::{Error, Result};
use parking_lot::MutexGuard;

use super::processor::{PendingState, Runtime, Source};
use super::rejected::note_rejected;
use super::resolve::{Staged, resolve};
use crate::db::Inner;

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
    /// Held until the commit: the state that a processor read must be the state that it replaces.
    pub(crate) turn: Option<MutexGuard<'a, ()>>,
}

impl Inner {
    pub(crate) fn process(&self, staged: Vec<Staged>) -> Result<Processed<'_>> {
        let plugins = self.plugins.current();
        let touched = staged
            .iter()
            .any(|batch| plugins.processors_on(&batch.schema.name).next().is_some());
        let mut done = Processed {
            staged: Vec::with_capacity(staged.len()),
            notes: Vec::new(),
            sent: 0,
            rejected: 0,
            turn: touched.then(|| self.processing.lock()),
        };
        if !touched {
            done.staged = staged;
            return Ok(done);
        }
        let mut state = PendingState::new(&self.store);
        let mut refused = Vec::new();
        let mut wave = staged;
        for depth in 0.. {
            let mut next = Vec::new();
            for mut batch in wave {
                let mut runtimes: Vec<Arc<Runtime>> =
                    plugins.processors_on(&batch.schema.name).cloned().collect();
                // Models first, so that plugins see the score.
                runtimes.sort_by_key(|runtime| matches!(runtime.source, Source::Plugin(_)));
                for runtime in runtimes {
                    if batch.rows == 0 {
                        break;
                    }
                    let started = self.env.clock.monotonic();
                    let outcome = runtime.run(&mut batch, &mut state);
                    let spent = self.env.clock.monotonic().saturating_sub(started);
                    runtime
                        .busy_ns
                        .fetch_add(spent.as_nanos() as u64, Ordering::Relaxed);
                    let outcome = outcome?;
                    refused.extend(outcome.refused);
                    if let Some(sent) = outcome.sent {
                        let sent =
                            resolve(&self.catalog, &sent, self.new_keyspaces(), &|schema| {
                                self.store.put_schema(schema.clone())
                            })?;
                        // What a processor sends follows every statement that it saw.
                        next.push(Staged {
                            place: usize::MAX,
                            ..sent
                        });
                    }
                }
                if batch.rows > 0 {
                    done.staged.push(batch);
                }
            }
            if next.is_empty() {
                break;
            }
            if depth + 1 == DEPTH_MAX {
                return Err(Error::invalid(format!(
                    "rows passed {DEPTH_MAX} processors in a row and would pass another"
                ))
                .with_hint("two processors feed each other; drop one of them"));
            }
            done.sent += next.iter().map(|batch| batch.rows as u64).sum::<u64>();
            wave = next;
        }
        done.rejected = refused.len() as u64;
        done.notes = state.into_notes();
        note_rejected(self, &refused, &mut done.notes)?;
        Ok(done)
    }
}
