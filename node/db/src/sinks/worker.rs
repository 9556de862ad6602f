//! The thread of one sink: it reads, sends, tries again, and notes how far it is.

mod bearer;
mod outcome;
mod pace;
mod place;
mod reading;
mod suspicion;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use activestore_catalog::{SinkDef, SinkOptions};
use activestore_types::{Error, Lsn, Result};

use super::port::{Carrier, Parcel, SinkLine};
use super::saved::{Counts, Saved};
use super::{Seen, Sinks};
use crate::db::Inner;
use crate::subscribe::{Changes, LogReader, Spot};
use crate::visit::Visits;
use bearer::Bearer;
use pace::Pace;
use suspicion::Suspicion;

/// How long after a delivery its place is noted at the latest: what a crash repeats.
const NOTED_EVERY: Duration = Duration::from_secs(1);
/// Looks at the log are so far apart.
const GATHER: Duration = Duration::from_millis(20);
/// How long a thread sleeps at most.
const NAP: Duration = Duration::from_secs(5);
/// While something is on its way, it looks so often whether too much of the log is held for it …
const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// … and while it waits, after so much more of the log at the earliest.
const LOOKS_AFTER_BYTES: u64 = 1 << 20;

/// A sink, in the hands of its thread.
pub(super) struct Worker {
    name: String,
    id: [u8; 16],
    carrier: Arc<dyn Carrier>,
    /// What it was made ready for; `None` until it was.
    ready: Option<Ready>,
    /// Begun with the first event.
    bearer: Option<Bearer>,
    /// Of what waits: the changes, and the next of each.
    queue: VecDeque<(Changes, usize)>,
    /// Behind what was delivered, and behind what was read.
    spot: Option<Spot>,
    read_to: Option<Spot>,
    at_end: bool,
    read_at: Duration,
    /// Since when the first event waits for others.
    head_since: Option<Duration>,
    /// Events of one batch now: less where one of them is not wanted, or they take too long.
    pace: Pace,
    /// The last event of a batch that did not go through: it goes again as it was composed, under the same key.
    composed: Option<String>,
    /// Whether what was on its way was left out meanwhile: too much of the log was held for it.
    overtaken: bool,
    /// Failures in a row, and refusals of the first event.
    tries: u32,
    refusals: u32,
    suspicion: Suspicion,
    /// How often the first event could not be put into the table for refused ones.
    unkept: u32,
    /// Whether it was told that it fails: once, until a whole batch went through.
    is_failing: bool,
    /// The record that the last reading failed at, and one that was tried so often.
    failed_at: Option<Lsn>,
    unread: Option<(Lsn, u32)>,
    retry_at: Duration,
    error: Option<String>,
    counts: Counts,
    noted: Noted,
    /// It looks at what is held of the log once that has grown so far.
    look_at: u64,
}

/// The definition, read, and what is made of it.
struct Ready {
    def: SinkDef,
    options: SinkOptions,
    /// Away while something is on its way.
    line: Option<Box<dyn SinkLine>>,
    /// Begun anew after an error.
    reader: Option<LogReader>,
}

/// What was noted last.
#[derive(Default)]
struct Noted {
    spot: Option<Spot>,
    counts: Counts,
    at: Duration,
    log_bytes: u64,
}

/// What a thread does next.
enum Next {
    /// There is more to do.
    Again,
    /// It waits until then, or for commits as well.
    Wait(Duration, bool),
    /// This goes to the receiver.
    Carry(Vec<Parcel>),
    /// The sink is no more.
    Gone,
}

impl Worker {
    pub(super) fn new(name: String, id: [u8; 16], carrier: Arc<dyn Carrier>) -> Worker {
        Worker {
            name,
            id,
            carrier,
            ready: None,
            bearer: None,
            queue: VecDeque::new(),
            spot: None,
            read_to: None,
            at_end: false,
            read_at: Duration::ZERO,
            head_since: None,
            pace: Pace::new(1),
            composed: None,
            overtaken: false,
            tries: 0,
            refusals: 0,
            suspicion: Suspicion::default(),
            unkept: 0,
            is_failing: false,
            failed_at: None,
            unread: None,
            retry_at: Duration::ZERO,
            error: None,
            counts: Counts::default(),
            noted: Noted::default(),
            look_at: u64::MAX,
        }
    }

    /// The thread's work, until the sink or the database is no more. The database is not held while something is on its
    /// way.
    pub(super) fn run(mut self, sinks: &Sinks, visits: &Arc<Visits>, weak: &Weak<Inner>) {
        let mut awaited = sinks.seen().awaited;
        loop {
            let seen = sinks.seen();
            let Some(inner) = visits.enter(weak) else {
                return;
            };
            let is_awaited = std::mem::replace(&mut awaited, seen.awaited) != seen.awaited;
            let next = self.step(&inner, is_awaited);
            drop(inner);
            let goes_on = match next {
                Next::Gone => return,
                Next::Again => !sinks.is_closing(),
                Next::Wait(until, for_commits) => self.waits(sinks, seen, until, for_commits),
                Next::Carry(parcels) => self.carries(parcels, sinks, visits, weak),
            };
            if !goes_on {
                return;
            }
        }
    }

    fn waits(&self, sinks: &Sinks, seen: Seen, until: Duration, for_commits: bool) -> bool {
        let until = until.min(sinks.clock.monotonic() + NAP);
        sinks.wait(seen, until, for_commits, self.look_at)
    }

    fn step(&mut self, inner: &Inner, is_awaited: bool) -> Next {
        let state = inner.catalog.state();
        let Some(def) = state.sinks.get(&self.name).filter(|def| def.id == self.id) else {
            self.forget(inner);
            return Next::Gone;
        };
        let now = inner.env.clock.monotonic();
        self.arrive(inner);
        let next = match self.prepare(inner, def) {
            Ok(()) => self.advance(inner, def.paused, now),
            Err(error) => {
                if self.is_too_far_behind(inner) {
                    self.skip(inner);
                }
                self.setback(inner, &error.to_string(), None);
                Next::Wait(self.retry_at, false)
            }
        };
        self.mind_place(inner, now, is_awaited);
        self.look_at = self.looks_at(inner);
        self.tell(inner);
        next
    }

    /// Takes up its place, the first time.
    fn arrive(&mut self, inner: &Inner) {
        if self.spot.is_some() {
            return;
        }
        let saved = Saved::read(&inner.store, &self.name, self.id);
        let spot = saved.as_ref().map(|saved| Spot::read(&saved.token, inner));
        let end = Spot::now(inner);
        // One beyond the end is of another log: of before a crash that lost its end, or of a backup.
        let spot = match spot {
            Some(Ok(spot)) if spot.needs <= end.needs => spot,
            _ => end,
        };
        if let Some(saved) = saved {
            (self.counts, self.composed) = (saved.counts, saved.composed);
        }
        self.noted = Noted {
            spot: Some(spot.clone()),
            counts: self.counts,
            at: inner.env.clock.monotonic(),
            log_bytes: inner.store.log_bytes(),
        };
        self.read_to = Some(spot.clone());
        self.spot = Some(spot);
    }

    /// Reads the definition, where it is another one than before.
    fn prepare(&mut self, inner: &Inner, def: &SinkDef) -> Result<()> {
        if let Some(ready) = &mut self.ready {
            if std::mem::replace(&mut ready.def.paused, def.paused) && !def.paused {
                self.retry_at = Duration::ZERO;
            }
            if ready.def == *def {
                if ready.line.is_none() {
                    // It went with a thread that panicked.
                    let (address, options) = def.parsed()?;
                    ready.line = Some(self.carrier.line(&self.name, &address, &options)?);
                }
                return Ok(());
            }
            // Somebody has changed something: it is tried at once.
            (self.refusals, self.retry_at) = (0, Duration::ZERO);
            (self.suspicion, self.unkept) = (Suspicion::default(), 0);
        }
        if inner.env.clock.monotonic() < self.retry_at {
            return Err(Error::overloaded(
                self.error.clone().unwrap_or_else(|| "it waits".to_owned()),
            ));
        }
        let (address, options) = def.parsed()?;
        let line = self.carrier.line(&self.name, &address, &options)?;
        self.pace = Pace::new(options.batch);
        self.ready = Some(Ready {
            def: def.clone(),
            options,
            line: Some(line),
            reader: None,
        });
        // What waits may have been read for other options.
        self.read_again();
        Ok(())
    }

    /// Lets go of what waits; it is read once more.
    fn read_again(&mut self) {
        self.queue.clear();
        self.read_to.clone_from(&self.spot);
        self.head_since = None;
        self.at_end = false;
        if let Some(ready) = &mut self.ready {
            ready.reader = None;
        }
    }

    fn advance(&mut self, inner: &Inner, paused: bool, now: Duration) -> Next {
        if self.is_too_far_behind(inner) {
            self.skip(inner);
            return Next::Again;
        }
        if paused {
            return Next::Wait(Duration::MAX, false);
        }
        if now < self.retry_at {
            return Next::Wait(self.retry_at, false);
        }
        let wanted = self.wanted();
        let has_read = self.waiting() < wanted && !(self.at_end && now < self.read_at + GATHER);
        if has_read {
            match self.read(inner, now) {
                Ok(()) if self.waiting() < wanted && !self.at_end => return Next::Again,
                // What was read before it goes first.
                Err(error) if self.waiting() == 0 => {
                    if self.leaves_record_out(inner, &error) {
                        return Next::Again;
                    }
                    self.setback(inner, &error.to_string(), None);
                    return Next::Wait(self.retry_at, false);
                }
                Ok(()) | Err(_) => {}
            }
        }
        if self.waiting() == 0 {
            if self.tries > 0 && self.at_end {
                self.recovered(inner);
            }
            return self.rests(now, has_read);
        }
        let wanted = self.wanted();
        let since = *self.head_since.get_or_insert(now);
        let max_delay = self.ready.as_ref().map(|ready| ready.options.max_delay);
        let by = since + max_delay.unwrap_or_default();
        if self.waiting() < wanted && now < by {
            return match has_read {
                true => Next::Wait(by, true),
                false => Next::Wait(by.min(self.read_at + GATHER), false),
            };
        }
        match self.pack(inner) {
            parcels if parcels.is_empty() => Next::Again,
            parcels => Next::Carry(parcels),
        }
    }

    /// How many events go next: those of a batch that did not go through, where it is still there.
    fn wanted(&self) -> usize {
        if self.suspicion.goes_alone() {
            return 1;
        }
        let composed = self.composed.as_deref().and_then(|last| {
            let mut next = self.next_events().take(self.pace.events());
            next.position(|(changes, change)| changes.token(change) == last)
        });
        composed.map_or(self.pace.events(), |last| last + 1)
    }

    /// Nothing is there to be sent.
    fn rests(&self, now: Duration, has_read: bool) -> Next {
        if !has_read {
            return Next::Wait(self.read_at + GATHER, false);
        }
        let until = match self.counts == self.noted.counts {
            true => now + NAP,
            false => self.noted.at + NOTED_EVERY,
        };
        Next::Wait(until, true)
    }
}

#[cfg(test)]
mod tests;
