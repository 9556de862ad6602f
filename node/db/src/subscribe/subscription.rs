//! One subscription as its subscriber sees it: the rows that are there, if it asked for them; what the log holds
//! from its place on; then what is written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_query::{
    Param, {Rows, WhenSlow},
};
use activestore_store::backup::LogPin;
use activestore_types::{Error, Hlc, Lsn, Result};
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::changes::Told;
use super::channel::{Channel, Taken};
use super::definitions::Definitions;
use super::follower::Live;
use super::look::Looking;
use super::reader::{Stretch, read_on};
use super::token::Place;
use super::wish::Wish;
use super::{Seat, Subscribers};
use crate::db::{Db, Inner};

/// While a subscriber reads what a table holds the log is kept for it, until so much was written beside that.
const HELD_LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A stamp that is further ahead than this is of a clock that went ahead.
const CLOCKS_APART_MS: u64 = 1000;

/// Rows on their way to a subscriber. Dropping it ends it.
pub struct Subscription {
    inner: Arc<Inner>,
    subscribers: Arc<Subscribers>,
    live: Arc<Live>,
    schema: SchemaRef,
    key_schema: SchemaRef,
    ready: VecDeque<Told>,
    phase: Phase,
    /// Keeps the log while the table is read, with what was written to it before.
    pin: Option<(LogPin, u64)>,
    /// Until it has ended.
    seat: Option<Seat>,
}

enum Phase {
    Snapshot(Rows),
    /// It reads the log by itself.
    CatchUp(Option<JoinHandle<Result<Step>>>),
    Live,
    Ended,
}

/// What was read of the log.
struct Step {
    told: Vec<Told>,
    /// Whether the log held no more.
    at_end: bool,
}

impl Subscription {
    pub(super) async fn begin(db: &Db, wish: Wish, from: Option<&str>) -> Result<Subscription> {
        let inner = db.inner.clone();
        let subscribers = inner.subscribers.clone();
        let given = from
            .map(|token| Place::read(token, inner.node))
            .transpose()?;
        let seat = Seat::take(&subscribers, inner.options.subscribers_max)?;
        let known = Definitions::now(&inner);
        let query = wish.compile(&inner).await?;
        let kept = given.filter(|place| reaches(&inner, *place));
        if given.is_some() && kept.is_none() && !wish.statement.snapshot {
            return Err(out_of_reach(&inner));
        }
        let mut pin = None;
        let snapshot = kept.is_none() && wish.statement.snapshot;
        if snapshot {
            pin = Some((inner.store.pin_log(), inner.store.log_bytes()));
        }
        // All that is committed from here on is told; the rows, and the highest stamp, are looked at after it.
        let newest = Place::behind(inner.store.last_lsn());
        let highest = inner.store.max_hlc();
        let ahead = clocks_went_ahead(&inner).is_some();
        let mut ready = VecDeque::new();
        let token = kept.unwrap_or(newest).token(inner.node);
        let phase = if snapshot {
            let engine = inner.engine_of(&wish.principal);
            let rows = engine
                .query(&wish.statement.sql, &Param::all(&wish.params))
                .await?;
            Phase::Snapshot(rows)
        } else {
            ready.push_back(Told::Live { token });
            Phase::CatchUp(None)
        };
        let place = kept.unwrap_or(newest);
        let highest = (kept.is_none() || ahead).then_some(highest);
        let schema = query.output().clone();
        let mut looking = Looking::new(
            query,
            known,
            wish.statement.leaving,
            inner.node,
            place,
            highest,
        );
        if snapshot {
            looking.was_read(inner.store.last_lsn());
        }
        let channel = Channel::new(
            inner.node,
            inner.options.subscriber_bytes_max,
            wish.statement.when_slow,
            place,
            subscribers.room.clone(),
        );
        subscribers.counts.begun.fetch_add(1, Ordering::Relaxed);
        Ok(Subscription {
            key_schema: looking.key_schema().clone(),
            live: Arc::new(Live {
                id: subscribers.next_id(),
                channel: Arc::new(channel),
                wish,
                looking: Mutex::new(looking),
            }),
            inner,
            subscribers,
            schema,
            ready,
            phase,
            pin,
            seat: Some(seat),
        })
    }

    /// The columns of the rows that are told.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns of the keys of rows that are gone.
    pub fn key_schema(&self) -> &SchemaRef {
        &self.key_schema
    }

    /// Whether it still tells what the table held, which computes where it is asked.
    pub fn reads_table(&self) -> bool {
        matches!(self.phase, Phase::Snapshot(_))
    }

    /// The place behind everything that was told, where nothing waits: a subscriber that is seldom told anything gets
    /// it now and then, so that the log still reaches back to it.
    pub fn position(&self) -> Option<String> {
        match self.phase {
            Phase::Live if self.ready.is_empty() => {
                let place = self.live.channel.position()?;
                Some(place.token(self.inner.node))
            }
            _ => None,
        }
    }

    /// What is told next; waits for it. After an error there is nothing more. Nothing is lost where the future is
    /// dropped before it is done.
    ///
    /// # Errors
    /// `Overloaded` where the subscriber did not keep up; `Denied` where it may not read the table any more;
    /// `NotFound` where the table was dropped; `Closed` where the node shuts down.
    pub async fn next(&mut self) -> Option<Result<Told>> {
        let told = self.advance().await;
        if let Some(Err(_)) | None = &told {
            self.phase = Phase::Ended;
            self.seat = None;
            self.subscribers.leave(self.live.id);
        }
        told
    }

    async fn advance(&mut self) -> Option<Result<Told>> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Some(Ok(told));
            }
            match &mut self.phase {
                Phase::Snapshot(rows) => match rows.stream.next().await {
                    Some(Ok(batch)) if batch.num_rows() == 0 => {}
                    Some(batch) => {
                        self.mind_pin();
                        return Some(batch.map(Told::Snapshot));
                    }
                    None => {
                        let place = self.live.looking.lock().after();
                        let token = place.token(self.inner.node);
                        self.ready.push_back(Told::Live { token });
                        self.phase = Phase::CatchUp(None);
                    }
                },
                Phase::CatchUp(step) => {
                    let running = step.get_or_insert_with(|| {
                        let (inner, live) = (self.inner.clone(), self.live.clone());
                        tokio::task::spawn_blocking(move || live.read_on(&inner))
                    });
                    let done = running.await;
                    *step = None;
                    let done = done.unwrap_or_else(|error| {
                        Err(Error::internal(format!("reading the log failed: {error}")))
                    });
                    if let Err(error) = done.and_then(|step| self.take_step(step)) {
                        return Some(Err(error));
                    }
                }
                Phase::Live => match self.live.channel.take() {
                    Taken::Told(told) => return Some(Ok(told)),
                    Taken::Ended(error) => return Some(Err(error)),
                    Taken::Nothing => self.live.channel.arrival().await,
                },
                Phase::Ended => return None,
            }
        }
    }

    /// Lets the log go once too much was written while the table is read; that is found out if it matters.
    fn mind_pin(&mut self) {
        let written = self.inner.store.log_bytes();
        if let Some((_, before)) = &self.pin
            && written.saturating_sub(*before) > HELD_LOG_BYTES_MAX
        {
            self.pin = None;
        }
    }

    fn take_step(&mut self, step: Step) -> Result<()> {
        self.mind_pin();
        for told in &step.told {
            if let Told::Changes(changes) = told {
                let events = &self.subscribers.counts.events;
                events.fetch_add(changes.list.len() as u64, Ordering::Relaxed);
            }
        }
        self.ready.extend(step.told);
        if step.at_end && self.subscribers.join(&self.inner, &self.live)? {
            let after = self.live.looking.lock().after();
            self.live.channel.seen(after);
            self.pin = None;
            self.phase = Phase::Live;
        }
        Ok(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscribers.leave(self.live.id);
    }
}

impl Live {
    /// Reads the next part of the log for itself.
    fn read_on(&self, inner: &Inner) -> Result<Step> {
        let mut looking = self.looking.lock();
        match read_on(inner, &self.wish, &mut looking)? {
            Stretch::Read(changes, at_end) => Ok(Step {
                told: changes.into_iter().map(Told::Changes).collect(),
                at_end,
            }),
            Stretch::Gone(_) if self.wish.statement.when_slow == WhenSlow::Disconnect => {
                Err(out_of_reach(inner))
            }
            Stretch::Gone(_) => {
                let place = Place::behind(inner.store.last_lsn());
                looking.skip_to(place);
                let token = place.token(inner.node);
                Ok(Step {
                    told: vec![Told::Dropped {
                        events: None,
                        token,
                    }],
                    at_end: false,
                })
            }
        }
    }
}

/// The highest stamp that there is, where others' clocks went ahead: own writes may be stamped below what is there.
pub(super) fn clocks_went_ahead(inner: &Inner) -> Option<Hlc> {
    let highest = inner.store.max_hlc();
    let expected = Hlc::from_ms(inner.wall_ms().saturating_add(CLOCKS_APART_MS));
    (highest > expected).then_some(highest)
}

/// Whether the log holds everything behind a place.
fn reaches(inner: &Inner, place: Place) -> bool {
    let (first, last) = (inner.store.first_log_lsn(), inner.store.last_lsn());
    place.next() >= first && place.next() <= Lsn(last.0.saturating_add(1))
}

fn out_of_reach(inner: &Inner) -> Error {
    Error::conflict(format!(
        "the log does not hold what follows the token: it begins at record {}",
        inner.store.first_log_lsn().0
    ))
    .with_hint("begin WITH (snapshot = true): it tells what the table holds and goes on from there")
}
