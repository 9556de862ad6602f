//! What happened to this node's sync, as people read it: `system.sync_events`, a ring of bounded length.
//!
//! Events are kept in memory and written beside the rows at most once a minute, and when the database is shut down: so
//! they cost the flash one sync a minute while things happen and none while nothing does, and a crash costs the last
//! minute of them. What happens again and again, as receipts do, is one event that says how often.

mod report;
mod telling;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use activestore_env::Clock;
use activestore_store::Note;
use activestore_types::NodeId;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

pub use report::{EventReport, EventsAfter};
pub(crate) use telling::step_text;
pub(crate) use writer::{read, start};

/// How many events are kept; the oldest go.
pub(crate) const EVENTS_KEPT_MAX: usize = 1_000;
/// Bytes of an event's sentence.
const TEXT_BYTES_MAX: usize = 512;
/// How often events are written at most.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// An event that repeats another of its kind within this time is counted with it.
const REPEATS_WITHIN_MS: u64 = 60 * 60 * 1_000;
/// Before a running number: an event.
const PREFIX: &[u8] = b"event/";

/// What happened. The order is part of what is on disk: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A connection is there.
    Connected,
    /// A connection is gone.
    Disconnected,
    /// A chain of segments was set aside for a new epoch: two nodes remember it otherwise.
    EpochSetAside,
    /// A segment was refused.
    SegmentRefused,
    /// Rows were set aside.
    RowsSetAside,
    /// A receipt was issued or kept.
    Receipt,
    /// A receipt was not true.
    ReceiptRefused,
    /// Rows that the cloud holds were dropped here.
    Evicted,
    /// Rows that could go by their age do not.
    EvictionBlocked,
    /// Writes were refused, since too much waits for the cloud.
    OutboxFull,
    /// The cloud's tables are fetched anew.
    FetchBegun,
    /// They are here.
    FetchDone,
    /// A rollout went a step.
    Rollout,
    /// Definitions were adopted or refused.
    Definitions,
    /// Two nodes compared what they hold.
    Compared,
    /// This node's clock differs from the cloud's.
    ClockOffset,
    /// An edge joined, or renewed its certificate.
    Enrolled,
    /// An edge is not let in any more.
    TurnedAway,
    /// What waited for a further cloud was let go, for it is one no more.
    CloudLetGo,
    /// A sink cannot send what it has to.
    SinkFailing,
    /// It sends again.
    SinkRecovered,
    /// Events of a sink were left out: it was too far behind.
    SinkSkipped,
    /// A receiver did not want an event of a sink.
    SinkRefused,
    /// Late rows of a view could not be written into their table.
    LateRowsLost,
}

impl Kind {
    /// As `system.sync_events` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Connected => "connected",
            Kind::Disconnected => "disconnected",
            Kind::EpochSetAside => "epoch_set_aside",
            Kind::SegmentRefused => "segment_refused",
            Kind::RowsSetAside => "rows_set_aside",
            Kind::Receipt => "receipt",
            Kind::ReceiptRefused => "receipt_refused",
            Kind::Evicted => "evicted",
            Kind::EvictionBlocked => "eviction_blocked",
            Kind::OutboxFull => "outbox_full",
            Kind::FetchBegun => "fetch_begun",
            Kind::FetchDone => "fetch_done",
            Kind::Rollout => "rollout",
            Kind::Definitions => "definitions",
            Kind::Compared => "compared",
            Kind::ClockOffset => "clock_offset",
            Kind::Enrolled => "enrolled",
            Kind::TurnedAway => "turned_away",
            Kind::CloudLetGo => "cloud_let_go",
            Kind::SinkFailing => "sink_failing",
            Kind::SinkRecovered => "sink_recovered",
            Kind::SinkSkipped => "sink_skipped",
            Kind::SinkRefused => "sink_refused",
            Kind::LateRowsLost => "late_rows_lost",
        }
    }

    /// Whether many in a row are one event that counts them.
    fn repeats(self) -> bool {
        matches!(
            self,
            Kind::Receipt
                | Kind::ReceiptRefused
                | Kind::SegmentRefused
                | Kind::RowsSetAside
                | Kind::OutboxFull
                | Kind::TurnedAway
                | Kind::Evicted
                | Kind::EvictionBlocked
                | Kind::SinkFailing
                | Kind::SinkRecovered
                | Kind::SinkSkipped
                | Kind::SinkRefused
                | Kind::LateRowsLost
        )
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// When it happened first, by this node's clock, in milliseconds since 1970.
    pub(crate) first_ms: u64,
    /// When it happened last.
    pub(crate) last_ms: u64,
    pub(crate) kind: Kind,
    /// The other node.
    pub(crate) node: Option<NodeId>,
    /// How often.
    pub(crate) times: u64,
    /// The last one, as a sentence.
    pub(crate) text: String,
}

/// The events of a database.
pub(crate) struct Events {
    clock: Arc<dyn Clock>,
    ring: Mutex<Ring>,
    closed: Condvar,
}

#[derive(Default)]
struct Ring {
    events: BTreeMap<u64, Event>,
    next: u64,
    /// Numbers whose notes are not as they should be.
    unwritten: BTreeSet<u64>,
    closed: bool,
}

impl Events {
    pub(crate) fn new(clock: Arc<dyn Clock>, kept: BTreeMap<u64, Event>) -> Self {
        let next = kept.last_key_value().map_or(1, |(last, _)| last + 1);
        // A crash takes the last minute's events along, but somebody may have read them and asks for those after their
        // numbers. There is less than one event a millisecond, so the clock is ahead of all that were given.
        let next = next.max(clock.wall_ms());
        Events {
            clock,
            ring: Mutex::new(Ring {
                events: kept,
                next,
                ..Ring::default()
            }),
            closed: Condvar::new(),
        }
    }

    /// Notes that something happened. Cheap: nothing is written.
    pub(crate) fn tell(&self, kind: Kind, node: Option<NodeId>, text: impl Into<String>) {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        let now_ms = self.clock.wall_ms();
        let mut ring = self.ring.lock();
        let ring = &mut *ring;
        let same = |event: &Event| {
            let since = now_ms.saturating_sub(event.first_ms);
            event.kind == kind && event.node == node && since < REPEATS_WITHIN_MS
        };
        let repeated = ring.events.iter_mut().rev().find(|(_, event)| same(event));
        match repeated.filter(|_| kind.repeats()) {
            Some((number, event)) => {
                event.times += 1;
                event.last_ms = now_ms;
                event.text = text;
                ring.unwritten.insert(*number);
            }
            None => {
                let event = Event {
                    first_ms: now_ms,
                    last_ms: now_ms,
                    kind,
                    node,
                    times: 1,
                    text,
                };
                ring.events.insert(ring.next, event);
                ring.unwritten.insert(ring.next);
                ring.next += 1;
            }
        }
        while ring.events.len() > EVENTS_KEPT_MAX {
            let gone = ring.events.pop_first();
            ring.unwritten.extend(gone.map(|(number, _)| number));
        }
    }

    /// The events that are kept, oldest first, each with its number.
    pub(crate) fn all(&self) -> Vec<(u64, Event)> {
        let ring = self.ring.lock();
        let events = ring.events.iter();
        events
            .map(|(number, event)| (*number, event.clone()))
            .collect()
    }

    /// Whether the event of that number is kept.
    pub(crate) fn keeps(&self, number: u64) -> bool {
        self.ring.lock().events.contains_key(&number)
    }

    /// What has to be noted for the ring to be there after a start.
    fn take_unwritten(&self) -> Vec<Note> {
        let mut ring = self.ring.lock();
        let numbers = std::mem::take(&mut ring.unwritten);
        let notes = numbers.into_iter().map(|number| Note {
            key: [PREFIX, &number.to_be_bytes()].concat(),
            value: ring
                .events
                .get(&number)
                .and_then(|event| postcard::to_stdvec(event).ok()),
        });
        notes.collect()
    }

    /// What could not be written is unwritten again.
    fn put_back(&self, notes: &[Note]) {
        let numbers = notes.iter().filter_map(|note| number(&note.key));
        self.ring.lock().unwritten.extend(numbers);
    }

    /// Waits until it is time to write; whether to go on.
    fn due(&self) -> bool {
        let mut ring = self.ring.lock();
        if !ring.closed {
            self.closed.wait_for(&mut ring, WRITE_EVERY);
        }
        !ring.closed
    }

    /// The thread is to end.
    pub(crate) fn close(&self) {
        self.ring.lock().closed = true;
        self.closed.notify_all();
    }
}

fn number(key: &[u8]) -> Option<u64> {
    let digits = key.get(PREFIX.len()..)?.try_into().ok()?;
    Some(u64::from_be_bytes(digits))
}

#[cfg(test)]
mod tests;
