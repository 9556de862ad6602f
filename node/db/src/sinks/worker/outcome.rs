//! Events on their way, and what becomes of them.

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use activestore_types::{DataType, Error, ErrorKind, KeyHint, NamedBatch, Result};
use arrow::array::TimestampNanosecondArray;

use super::bearer::{Bearer, Outcome};
use super::suspicion::Verdict;
use super::{LOOKS_EVERY, Worker};
use crate::db::Inner;
use crate::events::Kind;
use crate::outgoing::pause;
use crate::sinks::Sinks;
use crate::sinks::port::{Carried, Parcel, Setback};
use crate::subscribe::Spot;
use crate::system::{batch, optional, text};
use crate::visit::Visits;
use crate::write::effect::Effects;

/// The longest that a receiver may have one wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

impl Worker {
    /// Has parcels carried, and looks meanwhile whether too much of the log is held for them; false where the database
    /// ends.
    pub(super) fn carries(
        &mut self,
        parcels: Vec<Parcel>,
        sinks: &Sinks,
        visits: &Arc<Visits>,
        weak: &Weak<Inner>,
    ) -> bool {
        let outcome = self.outcome_of(parcels, visits, weak);
        let Some(inner) = visits.enter(weak) else {
            return false;
        };
        match outcome {
            Ok(outcome) => {
                if let Some(ready) = &mut self.ready {
                    ready.line = Some(outcome.line);
                }
                self.conclude(&inner, &outcome.parcels, outcome.carried);
            }
            Err(error) => {
                // The line is gone with its thread, and another one is made.
                self.overtaken = false;
                self.setback(&inner, &error.to_string(), None);
            }
        }
        self.tell(&inner);
        !sinks.is_closing()
    }

    fn outcome_of(
        &mut self,
        parcels: Vec<Parcel>,
        visits: &Arc<Visits>,
        weak: &Weak<Inner>,
    ) -> Result<Outcome> {
        let line = self.ready.as_mut().and_then(|ready| ready.line.take());
        let line = line.ok_or_else(|| Error::internal("the sink has no line to its receiver"))?;
        let bearer = match self.bearer.take() {
            Some(bearer) => bearer,
            None => Bearer::start()?,
        };
        bearer.send(line, parcels)?;
        // It ends since the line does: each try is bounded.
        loop {
            if let Some(outcome) = bearer.wait(LOOKS_EVERY)? {
                self.bearer = Some(bearer);
                return Ok(outcome);
            }
            if let Some(inner) = visits.enter(weak) {
                self.leaves_out_meanwhile(&inner);
            }
        }
    }

    /// Leaves out what is on its way with all that is too old, where too much of the log is held for it.
    fn leaves_out_meanwhile(&mut self, inner: &Inner) {
        if !self.is_too_far_behind(inner) {
            return;
        }
        self.skip(inner);
        self.overtaken = true;
        self.mind_place(inner, inner.env.clock.monotonic(), true);
        self.tell(inner);
    }

    /// What became of parcels that were on their way.
    fn conclude(&mut self, inner: &Inner, parcels: &[Parcel], carried: Carried) {
        let taken = carried.taken.min(parcels.len());
        self.counts.sent += taken as u64;
        let last = parcels.last().map(|parcel| parcel.id.clone());
        self.composed = last.filter(|_| !self.overtaken);
        if std::mem::take(&mut self.overtaken) {
            // They were counted as left out, and are behind the place.
            self.counts.skipped = self.counts.skipped.saturating_sub(taken as u64);
        } else {
            for _ in 0..taken {
                self.pass_one();
            }
        }
        if taken > 0 {
            self.refusals = 0;
            self.suspicion.answered();
        }
        let rest = parcels.get(taken..).unwrap_or_default();
        let options = self.ready.as_ref().map(|ready| &ready.options);
        let attempts = options.map_or(1, |options| options.attempts);
        let may_pass = |worker: &mut Worker, why: &str, after| {
            // Part of the pause stays until a whole batch went through: some brokers take one, and close.
            if taken > 0 {
                worker.tries /= 2;
            }
            worker.setback(inner, why, after);
        };
        match carried.setback {
            None => {
                self.composed = None;
                self.recovered(inner);
                self.pace.went(parcels.len());
            }
            Some(Setback::Later(why, after)) => {
                self.suspicion.answered();
                may_pass(self, &why, after);
            }
            Some(Setback::Away(why)) => may_pass(self, &why, None),
            Some(Setback::Late(why)) => {
                if self.pace.late(parcels.len(), taken) {
                    // Something else is sent from now on: soon.
                    (self.composed, self.tries) = (None, 0);
                }
                may_pass(self, &why, None);
            }
            Some(Setback::BrokeOff(why)) => {
                // Behind what was taken is the first that may be at fault, and it was not alone.
                let events = rest.len() + usize::from(taken > 0);
                match self.suspicion.broke_off(events, attempts) {
                    Verdict::Event(times) if self.composed.is_some() => {
                        let why = format!("the connection broke off upon it {times} times: {why}");
                        if self.refuse(inner, &why, rest.first()) {
                            self.suspicion.left_out();
                        }
                    }
                    verdict => {
                        if verdict == Verdict::Alone {
                            // Something else is sent from now on: soon.
                            self.tries = 0;
                        }
                        may_pass(self, &why, None);
                    }
                }
            }
            Some(Setback::Refused(why)) => {
                self.suspicion.answered();
                self.refused(inner, &why, rest, attempts);
            }
        }
    }

    /// The receiver does not want some of these, or the one.
    fn refused(&mut self, inner: &Inner, why: &str, rest: &[Parcel], attempts: u32) {
        let Some(composed) = self.composed.take() else {
            // It was left out meanwhile.
            return;
        };
        if rest.len() > 1 {
            // One of them is not wanted, and the others do not go with it.
            self.pace.refused(rest.len());
            self.counts.retried += 1;
            return;
        }
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals >= attempts {
            self.refuse(inner, why, rest.first());
            return;
        }
        self.composed = Some(composed);
        self.counts.retried += 1;
        self.wait_for(inner, self.refusals, None);
        self.error = Some(why.to_owned());
    }

    /// The first event is left out, and a table may keep it; whether it was.
    pub(super) fn refuse(&mut self, inner: &Inner, why: &str, parcel: Option<&Parcel>) -> bool {
        let first = self.next_events().next();
        let id = first.map(|(changes, change)| changes.token(change));
        let id = id.unwrap_or_default();
        let mut text = format!("sink {} left out event {id}: {why}", self.name);
        if let Err(error) = self.set_aside(inner, &id, why, parcel) {
            let error = error.context("what the receiver refused cannot be set aside");
            self.unkept = self.unkept.saturating_add(1);
            let attempts = self
                .ready
                .as_ref()
                .map_or(1, |ready| ready.options.attempts);
            // To wait for a disk would hold the log, and so keep it full.
            let passes = matches!(
                error.kind(),
                ErrorKind::Overloaded | ErrorKind::Closed | ErrorKind::Poisoned
            );
            if passes && self.unkept < attempts {
                self.setback(inner, &error.to_string(), None);
                return false;
            }
            tracing::warn!(sink = %self.name, %error, "an event that was refused is counted alone");
            text.push_str("; it is counted alone: ");
            text.push_str(error.message());
        }
        tracing::warn!(sink = %self.name, id, why, "a receiver does not want an event; it is left out");
        inner.events.tell(Kind::SinkRefused, None, text);
        self.pass_one();
        self.composed = None;
        self.counts.refused += 1;
        (self.refusals, self.retry_at) = (0, Duration::ZERO);
        if self.tries == 0 {
            self.error = None;
        }
        true
    }

    /// Puts an event into the table for refused ones, where there is one.
    fn set_aside(&self, inner: &Inner, id: &str, why: &str, parcel: Option<&Parcel>) -> Result<()> {
        let Some(ready) = &self.ready else {
            return Ok(());
        };
        let Some(into) = ready.options.refused_into.clone() else {
            return Ok(());
        };
        // What another node says of tables and processors was taken as it came.
        inner.catalog.state().check_no_way_back(&ready.def)?;
        let body = parcel.map(|parcel| String::from_utf8_lossy(&parcel.body));
        let row = batch(vec![
            ("sink", text([self.name.as_str()])),
            ("id", text([id])),
            (
                "at",
                Arc::new(TimestampNanosecondArray::from_iter_values(
                    [inner.wall_ns()],
                )),
            ),
            ("reason", text([why])),
            ("event", optional([body.map(Cow::into_owned)])),
        ])?;
        let mut row = NamedBatch::from_record_batch(into, &row);
        for column in row.columns.iter_mut().filter(|one| one.name == "event") {
            // Also where the first of them is none.
            column.declared = Some(DataType::Text);
        }
        row.create = Some(KeyHint {
            partition: vec!["sink".to_owned()],
            clustering: vec!["id".to_owned()],
        });
        let mut effects = Effects::default();
        effects.upserts.push(inner.resolve_one(&row)?);
        inner.refuse_views(&effects)?;
        inner.write_view(effects, Vec::new())
    }

    /// The first event is behind it.
    pub(super) fn pass_one(&mut self) {
        let Some((changes, next)) = self.queue.front_mut() else {
            return;
        };
        if let Some(change) = changes.list.get(*next) {
            self.spot = Some(Spot::behind(changes, change));
        }
        *next += 1;
        if *next >= changes.list.len() {
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            self.spot.clone_from(&self.read_to);
        }
        self.head_since = None;
        self.suspicion.passed();
        self.unkept = 0;
    }

    /// It goes on after a failure.
    pub(super) fn recovered(&mut self, inner: &Inner) {
        if std::mem::take(&mut self.is_failing) {
            let text = format!("sink {} sends again after {} tries", self.name, self.tries);
            tracing::info!(sink = %self.name, tries = self.tries, "a sink sends again");
            inner.events.tell(Kind::SinkRecovered, None, text);
        }
        (self.tries, self.refusals, self.retry_at) = (0, 0, Duration::ZERO);
        self.error = None;
    }

    /// It cannot go on now.
    pub(super) fn setback(&mut self, inner: &Inner, why: &str, after: Option<Duration>) {
        let now = inner.env.clock.monotonic();
        if now < self.retry_at {
            return;
        }
        self.counts.retried += 1;
        self.tries = self.tries.saturating_add(1);
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(sink = %self.name, why, "a sink could not send; it tries again");
            let text = format!("sink {} cannot send, and tries again: {why}", self.name);
            inner.events.tell(Kind::SinkFailing, None, text);
        }
        self.error = Some(why.to_owned());
        self.wait_for(inner, self.tries, after);
    }

    /// It tries again after a pause that grows.
    fn wait_for(&mut self, inner: &Inner, tries: u32, after: Option<Duration>) {
        let longest = self.ready.as_ref().map(|ready| ready.options.max_retry);
        let wait = pause(tries, inner.env.rng.next_u64());
        let wait = longest.map_or(wait, |longest| wait.min(longest));
        let after = after.unwrap_or_default().min(RETRY_AFTER_MAX);
        self.retry_at = inner.env.clock.monotonic() + wait.max(after);
    }
}
