//! The threads that have requests delivered: what is due is looked up, checked against the grants of the moment, and
//! handed to the courier; what becomes of it is a commit of its own.

use std::sync::{Arc, Weak};
use std::time::Duration;

use activestore_catalog::ProcessorSource;
use activestore_plugin_host::Grants;
use activestore_store::{Note, WriteSet};
use activestore_types::{Error, Result};

use super::line::pause;
use super::{Job, Kept, kept};
use crate::db::{Db, Inner};
use crate::visit::Visits;

/// Requests that are under way at once: a host that does not answer holds up half of the others.
const THREADS: usize = 2;
/// How long a request is tried, counted from when it was sent.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often a request is tried that is answered, and not taken.
const ANSWERS_MAX: u32 = 16;
/// The longest that a receiver may have one wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What a receiver said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, 200 to 299 where it has taken the request.
    pub status: u16,
    /// How long it wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// Carries requests over HTTP.
pub trait Courier: Send + Sync {
    /// Sends one request with a header `idempotency-key`, follows no redirect, and gives what it was answered. It
    /// has to come to an end in some seconds.
    ///
    /// # Errors
    /// Why there is no answer.
    fn carry(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> std::result::Result<Answer, String>;
}

impl Db {
    /// Has requests of processors delivered from now on; without a courier they wait.
    ///
    /// # Errors
    /// When the machine has no thread left.
    pub fn deliver_by(&self, courier: Arc<dyn Courier>) -> Result<()> {
        for _ in 0..THREADS {
            let (inner, courier) = (Arc::downgrade(&self.inner), courier.clone());
            let (outgoing, visits) = (self.inner.outgoing.clone(), self.inner.visits.clone());
            let clock = self.inner.env.clock.clone();
            std::thread::Builder::new()
                .name("outgoing".to_owned())
                .spawn(move || {
                    while let Some(job) = outgoing.next(&|| clock.monotonic()) {
                        if carry_out(&job, &visits, &inner, courier.as_ref()).is_none() {
                            return;
                        }
                    }
                })?;
        }
        Ok(())
    }
}

/// `None` when the database has ended. It is not held while the courier is on its way.
fn carry_out(
    job: &Job,
    visits: &Arc<Visits>,
    inner: &Weak<Inner>,
    courier: &dyn Courier,
) -> Option<()> {
    let looked_up = visits.enter(inner)?.look_up(job);
    let outcome = match looked_up {
        Ok(request) => {
            let mut headers = request.headers.clone();
            headers.push(("idempotency-key".to_owned(), request.id()));
            match courier.carry(&request.method, &request.url, &headers, &request.body) {
                Ok(answer) => Outcome::of(answer),
                Err(error) => Outcome::Unanswered(error),
            }
        }
        Err(why) => Outcome::GivenUp(why.message().to_owned()),
    };
    visits.enter(inner)?.conclude(job, outcome);
    Some(())
}

/// What became of an attempt.
enum Outcome {
    Delivered,
    /// It was answered, and may be taken another time.
    Answered(u16, Option<Duration>),
    Unanswered(String),
    GivenUp(String),
}

impl Outcome {
    fn of(answer: Answer) -> Self {
        match answer.status {
            200..=299 => Outcome::Delivered,
            408 | 425 | 429 | 500..=599 => Outcome::Answered(answer.status, answer.retry_after),
            status @ 300..=399 => Outcome::GivenUp(format!(
                "it was answered {status}, and no redirect is followed"
            )),
            status => Outcome::GivenUp(format!("it was answered {status}")),
        }
    }
}

impl Inner {
    /// The request, if it may be sent.
    fn look_up(&self, job: &Job) -> Result<Kept> {
        let note = self.store.note(&kept::key(&job.processor, job.number));
        let note = note.ok_or_else(|| Error::not_found("it is gone"))?;
        let state = self.catalog.state();
        let grants = match state.processors.get(&job.processor).map(|def| &def.source) {
            Some(ProcessorSource::Plugin(plugin)) => {
                Grants::parse(&state.plugin(&plugin.name)?.grants)?
            }
            _ => Grants::default(),
        };
        if !grants.reach(&job.target) {
            return Err(Error::denied(format!(
                "the plugin is not granted http:{} any more",
                job.target
            )));
        }
        Kept::read(&note)
    }

    /// Makes durable what became of a request.
    fn conclude(&self, job: &Job, outcome: Outcome) {
        let again = |tries: u32, at_least: Duration| {
            let wait = pause(tries, self.env.rng.next_u64()).max(at_least);
            let at = self.env.clock.monotonic() + wait;
            self.outgoing
                .with_line(job, |line| line.again(&job.target, at));
        };
        let (error, answered, at_least) = match outcome {
            Outcome::Delivered => {
                return match self.put_kept(job, None, &[]) {
                    Ok(()) => {
                        self.outgoing
                            .with_line(job, |line| line.done(job.number, &job.target, true));
                    }
                    // It is sent once more, under the same key.
                    Err(error) => {
                        tracing::warn!(processor = job.processor, %error, "that a request was delivered cannot be kept");
                        again(1, Duration::ZERO);
                    }
                };
            }
            Outcome::GivenUp(why) => {
                self.outgoing
                    .with_line(job, |line| line.failed(&job.target, true, &why));
                return self.give_up(job, &why, &again);
            }
            Outcome::Answered(status, wait) => (
                format!("it was answered {status}"),
                true,
                wait.unwrap_or_default(),
            ),
            Outcome::Unanswered(error) => (error, false, Duration::ZERO),
        };
        let tried = self
            .outgoing
            .with_line(job, |line| line.failed(&job.target, answered, &error));
        let Some((tries, answers)) = tried else {
            return;
        };
        if tries == 1 {
            tracing::warn!(processor = job.processor, host = %job.target, error, "a request was not delivered; it is tried again");
        }
        if answers >= ANSWERS_MAX {
            self.give_up(job, &format!("{error}, as {answers} times before"), &again);
        } else if self.is_too_old(job) {
            let hours = AGE_MAX.as_secs() / 3600;
            self.give_up(job, &format!("{error}, and {hours} hours are over"), &again);
        } else {
            again(tries, at_least.min(RETRY_AFTER_MAX));
        }
    }

    fn is_too_old(&self, job: &Job) -> bool {
        let note = self.store.note(&kept::key(&job.processor, job.number));
        let kept = note.and_then(|note| Kept::read(&note).ok());
        kept.is_some_and(|kept| {
            let age_ms = self.wall_ms().saturating_sub(kept.created_ms);
            u128::from(age_ms) > AGE_MAX.as_millis()
        })
    }

    /// Keeps a request among the dead, in the place of the oldest where there are too many.
    fn give_up(&self, job: &Job, why: &str, again: &dyn Fn(u32, Duration)) {
        // Not while the processor is being dropped.
        let _turn = self.processing.lock();
        let Some(gone) = self
            .outgoing
            .with_line(job, |line| line.too_many_dead(job.number, &job.target))
        else {
            return;
        };
        let note = self.store.note(&kept::key(&job.processor, job.number));
        let mut dead = note.and_then(|note| Kept::read(&note).ok());
        if let Some(kept) = &mut dead {
            kept.dead = Some(why.to_owned());
        }
        match self.put_kept(job, dead.as_ref(), &gone) {
            Ok(()) => {
                tracing::warn!(processor = job.processor, host = %job.target, why, "a request was given up; it is in system.outgoing");
                self.outgoing.with_line(job, |line| {
                    line.exhume(&gone);
                    line.done(job.number, &job.target, false);
                });
            }
            Err(error) => {
                tracing::warn!(processor = job.processor, %error, "a request that is given up cannot be kept");
                again(1, Duration::ZERO);
            }
        }
    }

    /// Sets or removes the note of a request, and removes others of the same processor.
    fn put_kept(&self, job: &Job, kept: Option<&Kept>, gone: &[u64]) -> Result<()> {
        let removed = gone.iter().map(|number| Note {
            key: kept::key(&job.processor, *number),
            value: None,
        });
        let note = Note {
            key: kept::key(&job.processor, job.number),
            value: kept.map(Kept::write).transpose()?,
        };
        let notes = removed.chain([note]).collect();
        self.store
            .commit(WriteSet {
                notes,
                ..WriteSet::default()
            })
            .map(|_| ())
    }
}
