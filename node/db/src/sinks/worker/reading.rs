//! What a sink reads of the log, puts into its receiver's words, or leaves out since it is too far behind.

use std::time::Duration;

use activestore_catalog::OnBehind;
use activestore_types::{Error, ErrorKind, Lsn, Result};

use super::suspicion::Suspicion;
use super::{LOOKS_AFTER_BYTES, Worker};
use crate::db::Inner;
use crate::events::Kind;
use crate::sinks::port::Parcel;
use crate::subscribe::{Change, Changes, LogReader, Spot, Stretch, What};

/// Bytes of one event; a larger one is left out.
const EVENT_BYTES_MAX: usize = 4 << 20;
/// Bytes of one batch.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Steps of the log that are left out at once, before somebody else gets a turn.
const SKIPPED_STEPS: usize = 256;

impl Worker {
    pub(super) fn waiting(&self) -> usize {
        let all = self.queue.iter();
        all.map(|(changes, next)| changes.list.len().saturating_sub(*next))
            .sum()
    }

    /// Reads the next part of the log into the queue.
    pub(super) fn read(&mut self, inner: &Inner, now: Duration) -> Result<()> {
        let from = self.read_to.clone().unwrap_or_else(|| Spot::now(inner));
        self.read_at = now;
        let Some(ready) = &mut self.ready else {
            return Ok(());
        };
        let leaving = ready.options.leaving;
        let tells_gone = leaving || ready.options.deletes;
        self.failed_at = None;
        let mut reader = match ready.reader.take() {
            Some(reader) => reader,
            None => LogReader::begin(inner, &ready.def.query, leaving, tells_gone, &from)?,
        };
        match reader.read(inner) {
            Ok(Stretch::Read(changes, at_end)) => {
                self.at_end = at_end;
                self.read_to = Some(reader.spot(inner));
                ready.reader = Some(reader);
                for mut changes in changes {
                    if !tells_gone {
                        let is_row = |what: What| matches!(what, What::Upsert(_));
                        changes.list.retain(|change| is_row(change.what));
                    }
                    if !changes.list.is_empty() {
                        self.queue.push_back((changes, 0));
                    }
                }
                if self.queue.is_empty() {
                    self.spot.clone_from(&self.read_to);
                }
                Ok(())
            }
            Ok(Stretch::Gone(first)) => {
                self.queue.clear();
                self.stands_at(Spot::before(first, inner));
                self.left_out(inner, "events were left out, nobody knows how many: the log does not reach back to where it stood");
                Ok(())
            }
            // The record is another one than the place was given for: it is told whole, some of it twice.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.stands_at(Spot::before(from.needs, inner));
                Err(error)
            }
            Err(error) => {
                self.failed_at = reader.failed();
                Err(error)
            }
        }
    }

    /// A record that cannot be told, say since a function fails on a row of it, is left out after some attempts: nothing
    /// behind it would ever be sent. One that the store cannot give now is not.
    pub(super) fn leaves_record_out(&mut self, inner: &Inner, error: &Error) -> bool {
        let speaks_of_it = matches!(
            error.kind(),
            ErrorKind::Invalid | ErrorKind::Overloaded | ErrorKind::Internal
        );
        let Some(lsn) = self.failed_at.filter(|_| speaks_of_it) else {
            return false;
        };
        let tried = match self.unread {
            Some((before, tried)) if before == lsn => tried.saturating_add(1),
            _ => 1,
        };
        self.unread = Some((lsn, tried));
        let attempts = self.ready.as_ref().map(|ready| ready.options.attempts);
        if attempts.is_none_or(|attempts| tried < attempts) {
            return false;
        }
        self.pass_record(inner, lsn, error);
        true
    }

    /// Goes on behind a record, and says that nobody knows what was in it.
    fn pass_record(&mut self, inner: &Inner, lsn: Lsn, error: &Error) {
        self.stands_at(Spot::past(lsn, inner));
        (self.unread, self.refusals) = (None, 0);
        self.counts.skipped += 1;
        let what = format!(
            "the events of a record were left out, nobody knows how many (counted as one): it cannot be read: {error}"
        );
        self.left_out(inner, &what);
    }

    pub(super) fn stands_at(&mut self, spot: Spot) {
        if self.queue.is_empty() {
            self.spot = Some(spot.clone());
        }
        self.read_to = Some(spot);
        self.at_end = false;
    }

    /// What waits, the oldest first.
    pub(super) fn next_events(&self) -> impl Iterator<Item = (&Changes, &Change)> {
        self.queue.iter().flat_map(|(changes, next)| {
            let list = changes.list.iter().skip(*next);
            list.map(move |change| (changes, change))
        })
    }

    /// The next events in the receiver's words. One that is too large is left out, and so is one that there are no words
    /// for.
    pub(super) fn pack(&mut self, inner: &Inner) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        let mut bytes = 0;
        let Some(line) = self.ready.as_ref().and_then(|ready| ready.line.as_ref()) else {
            return parcels;
        };
        let mut unfit = None;
        for (changes, change) in self.next_events().take(self.wanted()) {
            let parcel = match line.parcel(changes, change) {
                Ok(parcel) if parcel.body.len() > EVENT_BYTES_MAX => {
                    unfit = Some("it is larger than 4 MiB".to_owned());
                    break;
                }
                Ok(parcel) => parcel,
                Err(error) => {
                    unfit = Some(format!("it cannot be put into words: {error}"));
                    break;
                }
            };
            bytes += parcel.body.len();
            if !parcels.is_empty() && bytes > BATCH_BYTES_MAX {
                break;
            }
            parcels.push(parcel);
        }
        if let Some(why) = unfit.filter(|_| parcels.is_empty()) {
            self.refuse(inner, &why, None);
        }
        parcels
    }

    /// Whether more of the log is held for it than may be.
    pub(super) fn is_too_far_behind(&self, inner: &Inner) -> bool {
        self.is_behind_by(inner, 1)
    }

    pub(super) fn is_behind_by(&self, inner: &Inner, part: u64) -> bool {
        let (Some(ready), Some(spot)) = (&self.ready, &self.spot) else {
            return false;
        };
        let held = inner.store.log_bytes_behind(spot.needs);
        ready.options.on_behind == OnBehind::Skip && held > (ready.options.hold_mib << 20) / part
    }

    /// How far the log grows before more of it can be held than may be.
    pub(super) fn looks_at(&self, inner: &Inner) -> u64 {
        let (Some(ready), Some(spot)) = (&self.ready, &self.spot) else {
            return u64::MAX;
        };
        if ready.options.on_behind != OnBehind::Skip {
            return u64::MAX;
        }
        let held = inner.store.log_bytes_behind(spot.needs);
        let left = (ready.options.hold_mib << 20).saturating_sub(held);
        let bytes = inner.store.log_bytes();
        bytes.saturating_add(left.max(LOOKS_AFTER_BYTES))
    }

    /// Leaves the oldest events out, until half of what may be held is.
    pub(super) fn skip(&mut self, inner: &Inner) {
        let before = self.counts.skipped;
        for _ in 0..SKIPPED_STEPS {
            if !self.is_behind_by(inner, 2) {
                break;
            }
            self.counts.skipped += self.waiting() as u64;
            self.queue.clear();
            self.spot.clone_from(&self.read_to);
            let now = inner.env.clock.monotonic();
            if let Err(error) = self.read(inner, now) {
                if let Some(lsn) = self.failed_at {
                    self.pass_record(inner, lsn, &error);
                    continue;
                }
                let what = format!(
                    "it goes on with what is written from now on; events were left out, nobody knows how many: the log could not be read: {error}"
                );
                self.stands_at(Spot::now(inner));
                self.left_out(inner, &what);
                break;
            }
        }
        (self.head_since, self.refusals, self.composed) = (None, 0, None);
        self.suspicion = Suspicion::default();
        let count = self.counts.skipped - before;
        if count == 0 {
            return;
        }
        let more = format!("{count} events were left out: too much of the log was held for it");
        self.left_out(inner, &more);
    }

    pub(super) fn left_out(&self, inner: &Inner, what: &str) {
        tracing::warn!(sink = %self.name, what, "a sink is too far behind");
        let text = format!("sink {}: {what}", self.name);
        inner.events.tell(Kind::SinkSkipped, None, text);
    }
}
