//! What becomes of events that were on their way.

use std::sync::Arc;
use std::time::Duration;

use activestore_types::{ErrorKind, KeyHint, NamedBatch, Result, TableName};
use arrow::array::TimestampNanosecondArray;

use super::Worker;
use crate::db::Inner;
use crate::events::Kind;
use crate::outgoing::pause;
use crate::sinks::port::{Carried, Parcel, Setback};
use crate::subscribe::Spot;
use crate::system::{batch, text};
use crate::write::effect::Effects;

/// The longest that a receiver may have one wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

impl Worker {
    /// What became of parcels that were on their way.
    pub(super) fn conclude(&mut self, inner: &Inner, parcels: &[Parcel], carried: Carried) {
        let taken = carried.taken.min(parcels.len());
        for _ in 0..taken {
            self.pass_one();
        }
        self.counts.sent += taken as u64;
        if taken > 0 {
            self.refusals = 0;
        }
        match carried.setback {
            None => {
                self.recovered(inner);
                let whole = self.ready.as_ref().map_or(1, |ready| ready.options.batch);
                self.batch = self.batch.saturating_mul(2).clamp(1, whole);
            }
            Some(Setback::Later(why, after)) => {
                // Part of the pause stays until a whole batch went through: some brokers take one, and close.
                if taken > 0 {
                    self.tries /= 2;
                }
                self.setback(inner, &why, after);
            }
            Some(Setback::Refused(why)) => {
                let left = parcels.len() - taken;
                if left > 1 {
                    // One of them is not wanted, and the others do not go with it.
                    self.batch = left.div_ceil(2);
                    self.counts.retried += 1;
                    return;
                }
                self.refusals = self.refusals.saturating_add(1);
                let attempts = self
                    .ready
                    .as_ref()
                    .map_or(1, |ready| ready.options.attempts);
                if self.refusals >= attempts {
                    let body = parcels.get(taken).map(|parcel| parcel.body.as_slice());
                    self.refuse(inner, &why, body.unwrap_or_default());
                    return;
                }
                self.counts.retried += 1;
                self.wait_for(inner, self.refusals, None);
                self.error = Some(why);
            }
        }
    }

    /// The first event is not wanted, and left out; a table may keep it.
    pub(super) fn refuse(&mut self, inner: &Inner, why: &str, body: &[u8]) {
        let id = self.queue.front().and_then(|(changes, next)| {
            let change = changes.list.get(*next)?;
            Some(changes.token(change))
        });
        let id = id.unwrap_or_default();
        let into = self
            .ready
            .as_ref()
            .and_then(|ready| ready.options.refused_into.clone());
        if let Some(into) = into
            && let Err(error) = self.set_aside(inner, into, &id, why, body)
        {
            let error = error.context("what the receiver refused cannot be set aside");
            if error.kind() != ErrorKind::DiskFull {
                return self.setback(inner, &error.to_string(), None);
            }
            // To wait would hold the log, and so keep the disk full.
            tracing::warn!(sink = %self.name, %error, "an event that was refused is counted alone");
        }
        let text = format!("sink {} left out event {id}: {why}", self.name);
        tracing::warn!(sink = %self.name, id, why, "a receiver does not want an event; it is left out");
        inner.events.tell(Kind::SinkRefused, None, text);
        self.pass_one();
        self.counts.refused += 1;
        (self.refusals, self.retry_at) = (0, Duration::ZERO);
        if self.tries == 0 {
            self.error = None;
        }
    }

    fn set_aside(
        &self,
        inner: &Inner,
        into: TableName,
        id: &str,
        why: &str,
        body: &[u8],
    ) -> Result<()> {
        let body = String::from_utf8_lossy(body);
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
            ("event", text([body])),
        ])?;
        let mut row = NamedBatch::from_record_batch(into, &row);
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
