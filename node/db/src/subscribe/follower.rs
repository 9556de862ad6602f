//! The one thread that follows the log for all subscribers of a node. It runs while there are some, and reads each
//! committed record once, whoever wants it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use activestore_store::LogRecord;
use activestore_types::{Error, ErrorKind, Lsn, Result};
use parking_lot::Mutex;

use super::Subscribers;
use super::changes::Changes;
use super::channel::{Channel, Pushed};
use super::definitions::Definitions;
use super::look::{Glance, Looking, dropped};
use super::token::Place;
use super::wish::Wish;
use crate::db::Inner;
use crate::visit::Visits;

/// How much of the log is looked at in one step, in bytes.
pub(super) const LOG_STEP_BYTES: usize = 1024 * 1024;
/// How long the thread waits for a word of new records before it looks by itself.
const NAP: Duration = Duration::from_millis(500);

/// How often it is asked whether those who subscribed are let in still, in milliseconds.
const LOOK_EVERY_MS: u64 = 1_000;

/// A subscriber that is told what comes.
pub(super) struct Live {
    pub(super) id: u64,
    pub(super) channel: Arc<Channel>,
    pub(super) wish: Wish,
    pub(super) looking: Mutex<Looking>,
}

impl Live {
    /// What the records come to for it; whether it goes on.
    fn tell(&self, inner: &Inner, glance: &mut Glance<'_>, records: &[LogRecord]) -> bool {
        let counts = &inner.subscribers.counts;
        let mut goes_on = true;
        let mut tell = |changes: Changes| {
            if !goes_on {
                return;
            }
            let events = changes.list.len() as u64;
            let counter = match self.channel.push(changes) {
                Pushed::Waits => &counts.events,
                Pushed::Dropped => &counts.dropped,
                Pushed::Ended => {
                    counts.slow.fetch_add(1, Ordering::Relaxed);
                    goes_on = false;
                    return;
                }
            };
            counter.fetch_add(events, Ordering::Relaxed);
        };
        let mut looking = self.looking.lock();
        if let Err(error) = looking.look(glance, records, &mut tell) {
            self.channel.end(error);
            return false;
        }
        if goes_on {
            self.channel.seen(looking.after());
        }
        goes_on
    }

    /// The records from its place on are gone; whether it goes on behind them.
    fn missed(&self, inner: &Inner, upto: Lsn) -> bool {
        let place = Place::behind(upto);
        let goes_on = self.channel.missed(place) != Pushed::Ended;
        if goes_on {
            self.looking.lock().skip_to(place);
        } else {
            inner
                .subscribers
                .counts
                .slow
                .fetch_add(1, Ordering::Relaxed);
        }
        goes_on
    }
}

/// Whether a subscription still stands under other definitions: its table is there, who has it may read it, and its
/// functions are those that it was compiled with.
///
/// # Errors
/// Why it does not.
pub(super) fn still_stands(
    inner: &Inner,
    wish: &Wish,
    looking: &mut Looking,
    before: &Definitions,
) -> Result<()> {
    let table = looking.query.table();
    let now = looking.definitions.clone();
    if now.state.table_by_id(table.id).is_none() {
        return Err(dropped(table));
    }
    wish.check(inner, looking)?;
    if before.compiles_otherwise(&now) {
        let query = futures::executor::block_on(wish.compile(inner))?;
        if query.output().fields() != looking.query.output().fields() {
            return Err(Error::conflict(format!(
                "what is asked of {} has other columns now",
                looking.query.table().name
            ))
            .with_hint("subscribe again, from the id of the last event on"));
        }
        looking.replace(query);
    }
    Ok(())
}

impl Subscribers {
    /// The thread's work: until nobody is left.
    pub(super) fn follow(&self, visits: &Arc<Visits>, inner: &Weak<Inner>) {
        while let Some(from) = self.wait(NAP) {
            let Some(inner) = visits.enter(inner) else {
                return;
            };
            self.mind(&inner);
            if let Err(error) = self.step(&inner, from) {
                tracing::warn!(%error, "the log could not be followed for subscribers");
                self.end_all(&error);
            }
        }
    }

    /// Ends those that do not stand any more.
    fn mind(&self, inner: &Inner) {
        let now = Definitions::now(inner);
        let looks = self.is_time(inner.env.clock.monotonic());
        for live in self.all() {
            // A token ends without a change of any definition.
            let admitted = || inner.rights_of(&live.wish.principal).admitted();
            if looks && let Err(error) = admitted() {
                live.channel.end(error);
                self.leave(live.id);
                continue;
            }
            let mut looking = live.looking.lock();
            let before = std::mem::replace(&mut looking.definitions, now.clone());
            if before.are(&now) {
                continue;
            }
            if let Err(error) = still_stands(inner, &live.wish, &mut looking, &before) {
                live.channel.end(error);
                self.leave(live.id);
            }
        }
    }

    /// Whether tokens are to be looked at again.
    fn is_time(&self, now: Duration) -> bool {
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let before_ms = self.looked_ms.load(Ordering::Relaxed);
        let due = now_ms.saturating_sub(before_ms) >= LOOK_EVERY_MS;
        if due {
            self.looked_ms.store(now_ms, Ordering::Relaxed);
        }
        due
    }

    /// Looks at what was committed from a record on.
    fn step(&self, inner: &Inner, from: Lsn) -> Result<()> {
        let store = &inner.store;
        let mut from = from;
        loop {
            let newest = store.last_lsn();
            if newest < from {
                return Ok(());
            }
            let records = match store.log(from, LOG_STEP_BYTES) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    // Nobody holds the log for a thread that does not keep up with it.
                    for live in self.go_to(Lsn(newest.0 + 1)) {
                        if !live.missed(inner, newest) {
                            self.leave(live.id);
                        }
                    }
                    return Ok(());
                }
                read => read?,
            };
            // Numbers without a record hold nothing.
            let upto = records.last().map_or(newest, |last| last.lsn);
            from = Lsn(upto.0 + 1);
            // Also where this thread never gets to the end of the log.
            self.mind(inner);
            let mut glance = Glance::new(inner);
            for live in self.go_to(from) {
                if !live.tell(inner, &mut glance, &records) {
                    self.leave(live.id);
                }
            }
        }
    }
}
