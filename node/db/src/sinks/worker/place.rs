//! How far a sink is: noted, told to the others, and what of the log it still needs.

use std::time::Duration;

use activestore_store::WriteSet;
use activestore_types::Lsn;

use super::{NOTED_EVERY, Worker};
use crate::db::Inner;
use crate::sinks::report::SinkReport;
use crate::sinks::saved::{Saved, key, removed};

/// The place of a sink that has nothing to send is noted after so much of the log.
const NOTED_EVERY_BYTES: u64 = 4 * 1024 * 1024;

impl Worker {
    /// Notes its place where it is time.
    pub(super) fn mind_place(&mut self, inner: &Inner, now: Duration, is_awaited: bool) {
        let moved = self.spot != self.noted.spot;
        let counted = self.counts != self.noted.counts;
        let log_bytes = inner.store.log_bytes();
        let by_time = counted && now >= self.noted.at + NOTED_EVERY;
        let by_bytes = moved && log_bytes.saturating_sub(self.noted.log_bytes) >= NOTED_EVERY_BYTES;
        if !(by_time || by_bytes || (is_awaited && moved)) {
            return;
        }
        // A commit that fails is tried again at the next occasion, and not before its time.
        (self.noted.at, self.noted.log_bytes) = (now, log_bytes);
        let Some(note) = self.saved().and_then(|saved| saved.note(&self.name).ok()) else {
            return;
        };
        let noted = inner.store.commit(WriteSet {
            notes: vec![note],
            ..WriteSet::default()
        });
        match noted {
            Ok(_) => {
                self.noted.spot.clone_from(&self.spot);
                self.noted.counts = self.counts;
            }
            Err(error) => {
                tracing::warn!(sink = %self.name, %error, "where a sink stands could not be noted; it is tried again");
            }
        }
    }

    pub(super) fn saved(&self) -> Option<Saved> {
        let token = self.spot.as_ref()?.token.clone();
        Some(Saved::new(
            self.id,
            token,
            self.counts,
            self.composed.clone(),
        ))
    }

    /// The sink was dropped: its place goes.
    pub(super) fn forget(&self, inner: &Inner) {
        if Saved::read(&inner.store, &self.name, self.id).is_none() {
            return;
        }
        let forgotten = inner.store.commit(WriteSet {
            notes: vec![removed(key(&self.name, self.id))],
            ..WriteSet::default()
        });
        if let Err(error) = forgotten {
            tracing::warn!(sink = %self.name, %error, "the place of a dropped sink could not be forgotten; it is at the next start");
        }
    }

    /// Tells the others how it stands, and lets go of the log that it needs no more.
    pub(super) fn tell(&self, inner: &Inner) {
        let needs = self.noted.spot.as_ref().map_or(Lsn(0), |spot| spot.needs);
        let unnoted = match self.counts == self.noted.counts {
            true => None,
            false => self.saved(),
        };
        let report = self.report(inner);
        let mut moved = false;
        if let Some(standing) = inner.sinks.state.lock().all.get_mut(&self.id) {
            moved = std::mem::replace(&mut standing.needs, needs) != needs;
            standing.unnoted = unnoted;
            standing.report = Some(report);
        }
        if moved {
            inner.hold_log_for_sinks();
        }
    }

    pub(super) fn report(&self, inner: &Inner) -> SinkReport {
        let first = self.queue.front();
        let first = first.and_then(|(changes, next)| changes.list.get(*next)?.stamp());
        let now = inner.env.clock.monotonic();
        let paused = self.ready.as_ref().is_some_and(|ready| ready.def.paused);
        let state = match (paused, self.tries > 0, self.at_end && self.queue.is_empty()) {
            (true, ..) => "paused",
            (false, true, _) => "failing",
            (false, false, true) => "current",
            (false, false, false) => "behind",
        };
        let wait = self.retry_at.saturating_sub(now);
        SinkReport {
            state,
            needs: self.spot.as_ref().map_or(Lsn(0), |spot| spot.needs),
            held_bytes: inner
                .store
                .log_bytes_behind(self.noted.spot.as_ref().map_or(Lsn(0), |spot| spot.needs)),
            waiting: self.waiting() as u64,
            first_ms: first.map(|stamp| stamp.wall_ms()),
            tries: self.tries,
            counts: self.counts,
            error: self.error.clone(),
            next_try_ms: (!wait.is_zero()).then(|| {
                let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                inner.wall_ms().saturating_add(wait)
            }),
        }
    }
}
