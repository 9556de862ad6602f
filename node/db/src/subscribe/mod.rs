//! `SUBSCRIBE`: rows of a table as they are written, to whoever asked for them.
//!
//! One thread follows the committed records of the log for all subscribers ([`follower`]), asks each one's query of
//! their rows ([`look`]) and puts what it comes to into queues with a bound ([`channel`]). Who begins at an
//! earlier place reads the log by itself until it has come up with that thread ([`subscription`]).
//!
//! What is told is the state of rows, at least once, each key's in order: whoever keeps the last that was told of each
//! key holds what a SELECT shows. The log is not held for anybody: who falls behind what it keeps is told so.

mod bounds;
mod changes;
mod channel;
mod definitions;
mod follower;
mod look;
mod reader;
mod subscription;
mod token;
mod wish;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use activestore_query::{LiveFor, Statement, Subscribe, WhenSlow, parse};
use activestore_types::{Error, ErrorKind, Lsn, Result};
use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use crate::counters::Figures;
use crate::db::{Db, Inner};
use channel::Room;
use follower::Live;
use wish::Wish;

pub use bounds::Bounds;
pub(crate) use bounds::decoded as key_value;
pub use changes::{Change, Changes, Told, What};
pub(crate) use reader::{LogReader, Spot, Stretch};
pub use subscription::Subscription;

/// The queues of all subscribers hold together what so many full ones do.
const FULL_QUEUES: usize = 8;

/// What happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    begun: AtomicU64,
    refused: AtomicU64,
    events: AtomicU64,
    dropped: AtomicU64,
    slow: AtomicU64,
}

/// Who is subscribed.
pub(crate) struct Subscribers {
    state: Mutex<State>,
    woken: Condvar,
    /// Whether anybody has to be told of a commit.
    followed: AtomicU64,
    seats: AtomicU64,
    room: Arc<Room>,
    counts: Counts,
    /// When tokens were looked at last, in milliseconds since the start.
    looked_ms: AtomicU64,
}

#[derive(Default)]
struct State {
    live: Vec<Arc<Live>>,
    /// The record that the thread looks at next, for all who are live.
    next: Lsn,
    running: bool,
    dirty: bool,
    closed: bool,
    last_id: u64,
}

impl Db {
    /// Subscribes to rows as they are written: `SUBSCRIBE SELECT …`, or the SELECT alone; `params` fill `$1`, …. With
    /// a token of an earlier event it goes on behind that.
    ///
    /// # Errors
    /// `Invalid` for what cannot be subscribed to and for what is no token; `NotFound` for an unknown table; `Denied`
    /// for lack of a grant; `Conflict` where the log does not reach back to the token; `Overloaded` where as many are
    /// subscribed as may be.
    pub async fn subscribe(
        &self,
        sql: &str,
        params: &[Value],
        from: Option<&str>,
    ) -> Result<Subscription> {
        let mut statements = parse(sql)?;
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
            return Err(Error::invalid("what is subscribed to is one query"));
        };
        let statement = match statement {
            Statement::Subscribe(statement) => statement,
            Statement::Query { sql } => Subscribe {
                sql,
                snapshot: false,
                leaving: false,
                when_slow: WhenSlow::default(),
                after: None,
            },
            other => {
                self.checked(|rights| rights.check(&other))?;
                return Err(
                    Error::invalid("only a query can be subscribed to").with_hint(
                        "SUBSCRIBE SELECT device, ts, temp FROM plant.readings WHERE temp > 80",
                    ),
                );
            }
        };
        self.subscribe_to(statement, params.to_vec(), from).await
    }

    /// The same of a statement that was read.
    ///
    /// # Errors
    /// As [`Db::subscribe`].
    pub async fn subscribe_to(
        &self,
        statement: Subscribe,
        params: Vec<Value>,
        from: Option<&str>,
    ) -> Result<Subscription> {
        // Which tables may be read is asked where it is compiled.
        self.check_admitted()?;
        let own = statement.after.clone();
        let wish = Wish {
            statement,
            params,
            principal: self.principal.clone(),
            by: LiveFor::Subscription,
        };
        let begun = Subscription::begin(self, wish, from.or(own.as_deref())).await;
        begun.map_err(|error| {
            if error.kind() == ErrorKind::Denied {
                let denied = &self.inner.logins.counts.denied;
                denied.fetch_add(1, Ordering::Relaxed);
            }
            self.rights().told(error)
        })
    }
}

impl Subscribers {
    pub(crate) fn new(bytes_of_one: usize) -> Self {
        Subscribers {
            state: Mutex::default(),
            woken: Condvar::new(),
            followed: AtomicU64::new(0),
            seats: AtomicU64::new(0),
            room: Arc::new(Room {
                bytes_max: bytes_of_one.saturating_mul(FULL_QUEUES),
                ..Room::default()
            }),
            counts: Counts::default(),
            looked_ms: AtomicU64::new(0),
        }
    }

    /// Records were committed, or definitions changed.
    pub(crate) fn wake(&self) {
        if self.followed.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.dirty, true) {
            self.woken.notify_one();
        }
    }

    /// Ends all subscriptions for good.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.end_all(&Error::closed("the node is shutting down"));
        self.woken.notify_all();
    }

    fn end_all(&self, error: &Error) {
        let live = std::mem::take(&mut self.state.lock().live);
        self.followed.store(0, Ordering::Release);
        for live in live {
            live.channel.end(error.clone());
        }
    }

    /// Waits until there is something to look at, or for a while; from which record on. `None` ends the thread.
    fn wait(&self, nap: Duration) -> Option<Lsn> {
        let mut state = self.state.lock();
        if !state.dirty && !state.closed && !state.live.is_empty() {
            self.woken.wait_for(&mut state, nap);
        }
        state.dirty = false;
        if state.closed || state.live.is_empty() {
            state.running = false;
            return None;
        }
        Some(state.next)
    }

    fn all(&self) -> Vec<Arc<Live>> {
        self.state.lock().live.clone()
    }

    /// Everything before a record is about to be told to those that are given; who comes later has to have seen it.
    fn go_to(&self, next: Lsn) -> Vec<Arc<Live>> {
        let mut state = self.state.lock();
        state.next = next;
        state.live.clone()
    }

    fn leave(&self, id: u64) {
        let mut state = self.state.lock();
        state.live.retain(|live| live.id != id);
        self.followed
            .store(state.live.len() as u64, Ordering::Release);
        if state.live.is_empty() {
            self.woken.notify_one();
        }
    }

    fn next_id(&self) -> u64 {
        let mut state = self.state.lock();
        state.last_id += 1;
        state.last_id
    }

    /// Takes a subscriber among those that are told what comes, if it has seen all that they have; whether it
    /// did.
    ///
    /// # Errors
    /// When the machine has no thread left; `Closed` while the database ends.
    fn join(self: &Arc<Self>, inner: &Arc<Inner>, live: &Arc<Live>) -> Result<bool> {
        let next = live.looking.lock().after().next();
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::closed("the node is shutting down"));
        }
        if state.running && next < state.next {
            return Ok(false);
        }
        if !state.running {
            state.next = next;
            let (subscribers, visits) = (self.clone(), inner.visits.clone());
            let weak = Arc::downgrade(inner);
            std::thread::Builder::new()
                .name("subscribers".to_owned())
                .spawn(move || subscribers.follow(&visits, &weak))?;
            state.running = true;
        }
        state.live.push(live.clone());
        state.dirty = true;
        self.followed
            .store(state.live.len() as u64, Ordering::Release);
        self.woken.notify_one();
        Ok(true)
    }
}

/// The place of one subscriber among those that there may be.
struct Seat(Arc<Subscribers>);

impl Seat {
    fn take(subscribers: &Arc<Subscribers>, max: usize) -> Result<Seat> {
        let taken = subscribers.seats.fetch_add(1, Ordering::AcqRel);
        let seat = Seat(subscribers.clone());
        if taken >= max as u64 {
            subscribers.counts.refused.fetch_add(1, Ordering::Relaxed);
            return Err(
                Error::overloaded(format!("{max} subscriptions are running"))
                    .with_hint("end one of them, or raise limits.subscribers"),
            );
        }
        Ok(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seats.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Inner {
    pub(crate) fn subscribe_figures(&self, all: &mut Figures) {
        let subscribers = &self.subscribers;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let behind = {
            let state = subscribers.state.lock();
            match state.live.is_empty() {
                true => 0,
                false => (self.store.last_lsn().0 + 1).saturating_sub(state.next.0),
            }
        };
        all.gauge(
            "activestore_subscribers",
            "Subscriptions that are running.",
            read(&subscribers.seats),
        );
        all.gauge(
            "activestore_subscribe_lag_records",
            "Records of the log that subscribers have not been told of yet.",
            behind as f64,
        );
        all.gauge(
            "activestore_subscribe_buffered_bytes",
            "Bytes of events that wait for their subscribers.",
            subscribers.room.bytes.load(Ordering::Relaxed) as f64,
        );
        let counts = &subscribers.counts;
        for (name, help, counter) in [
            (
                "activestore_subscribe_begun_total",
                "Subscriptions that were begun.",
                &counts.begun,
            ),
            (
                "activestore_subscribe_refused_total",
                "Subscriptions that were refused because as many were running as may.",
                &counts.refused,
            ),
            (
                "activestore_subscribe_events_total",
                "Events that were put into subscribers' buffers.",
                &counts.events,
            ),
            (
                "activestore_subscribe_dropped_total",
                "Events that were left out for subscribers that did not keep up.",
                &counts.dropped,
            ),
            (
                "activestore_subscribe_slow_total",
                "Subscriptions that ended because the subscriber did not keep up.",
                &counts.slow,
            ),
        ] {
            all.counter(name, help, read(counter));
        }
        self.sinks.count(self, all);
    }
}
