//! Requests over HTTP that processors send. They are notes of the log record that holds what the processor made
//! of the same rows, and wait there until a [`Courier`] has brought them to their host: in the order of each
//! processor and host, again and again, and over restarts. What is kept here is where they lie and how they fare.

mod deliver;
mod kept;
mod line;
mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use activestore_plugin_host::{HttpRequest, HttpTarget};
use activestore_store::Store;
use activestore_types::{Error, Result};
use parking_lot::{Condvar, Mutex};

pub use deliver::{Answer, Courier};
pub(crate) use kept::{Kept, prefix};
pub(crate) use line::pause;
pub(crate) use line::{Figures, Try};
use line::{Line, Pick};
pub(crate) use report::outgoing;

/// Requests of one processor that may wait, and bytes of them.
const WAITING_MAX: usize = 1_000;
const WAITING_BYTES_MAX: usize = 2 << 20;

/// A request on its way into the queue.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    processor: String,
    number: u64,
    target: HttpTarget,
    bytes: usize,
}

/// A note's key and what it is set to.
type Change = (Vec<u8>, Option<Vec<u8>>);

/// Where requests lie that wait, and how they fare.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// By processor.
    lines: BTreeMap<String, Line>,
    /// The number of the last request.
    last: u64,
    closed: bool,
}

impl Outgoing {
    /// With what the store's notes hold.
    pub(crate) fn open(store: &Store) -> Self {
        let mut queue = Queue::default();
        for (key, value) in store.notes(kept::PREFIX) {
            let Some((processor, number)) = kept::place(&key) else {
                continue;
            };
            queue.last = queue.last.max(number);
            let line = queue.lines.entry(processor).or_default();
            match Kept::read(&value) {
                Ok(kept) => match kept.target() {
                    Some(target) if kept.dead.is_none() => line.wait(number, target, kept.bytes()),
                    _ => line.bury(number, kept.bytes()),
                },
                // Whoever asks for it is told; it is not sent.
                Err(_) => line.bury(number, value.len()),
            }
        }
        Outgoing {
            queue: Mutex::new(queue),
            changed: Condvar::new(),
        }
    }

    /// Requests of a processor as notes, beside `pending` that are not committed yet.
    ///
    /// # Errors
    /// `Overloaded` when as many wait as may.
    pub(crate) fn admit(
        &self,
        processor: &str,
        requests: Vec<HttpRequest>,
        pending: &[Ticket],
        now_ns: i64,
        id: &dyn Fn() -> [u8; 16],
    ) -> Result<(Vec<Change>, Vec<Ticket>)> {
        if requests.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut queue = self.queue.lock();
        let (mut count, mut bytes) = queue.lines.get(processor).map_or((0, 0), Line::waiting);
        for ticket in pending
            .iter()
            .filter(|ticket| ticket.processor == processor)
        {
            count += 1;
            bytes += ticket.bytes;
        }
        count += requests.len();
        bytes += requests.iter().map(HttpRequest::bytes).sum::<usize>();
        if count > WAITING_MAX || bytes > WAITING_BYTES_MAX {
            return Err(Error::overloaded(format!(
                "{count} requests of {bytes} bytes would wait to be sent where {WAITING_MAX} of {WAITING_BYTES_MAX} bytes may"
            ))
            .with_hint("system.outgoing says why those that wait are not delivered"));
        }
        let now_ms = u64::try_from(now_ns / 1_000_000).unwrap_or(0);
        let mut changes = Vec::with_capacity(requests.len());
        let mut tickets = Vec::with_capacity(requests.len());
        for request in requests {
            queue.last = (queue.last + 1).max(u64::try_from(now_ns).unwrap_or(0));
            let target = HttpTarget::of(&request.url)?;
            let kept = Kept::new(request, id(), now_ms);
            changes.push((kept::key(processor, queue.last), Some(kept.write()?)));
            tickets.push(Ticket {
                processor: processor.to_owned(),
                number: queue.last,
                target,
                bytes: kept.bytes(),
            });
        }
        Ok((changes, tickets))
    }

    /// They are durable.
    pub(crate) fn committed(&self, tickets: Vec<Ticket>) {
        if tickets.is_empty() {
            return;
        }
        let mut queue = self.queue.lock();
        for ticket in tickets {
            let line = queue.lines.entry(ticket.processor).or_default();
            line.wait(ticket.number, ticket.target, ticket.bytes);
        }
        drop(queue);
        self.changed.notify_all();
    }

    /// Forgets a processor that is no more; its notes are removed by who calls.
    pub(crate) fn forget(&self, processor: &str) {
        self.queue.lock().lines.remove(processor);
    }

    /// What is to be sent next, once it is due; `None` when the database ends.
    fn next(&self, now: &dyn Fn() -> Duration) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return None;
            }
            let now = now();
            let mut due: Option<Duration> = None;
            let mut oldest: Option<Job> = None;
            for (processor, line) in &queue.lines {
                match line.pick(now) {
                    Pick::Take(number, target) => {
                        if oldest.as_ref().is_none_or(|other| number < other.number) {
                            oldest = Some(Job {
                                processor: processor.clone(),
                                number,
                                target,
                            });
                        }
                    }
                    Pick::At(at) => due = Some(due.map_or(at, |due| due.min(at))),
                    Pick::Nothing => {}
                }
            }
            if let Some(job) = oldest {
                if let Some(line) = queue.lines.get_mut(&job.processor) {
                    line.take(&job.target);
                }
                return Some(job);
            }
            match due {
                Some(at) => {
                    self.changed.wait_for(&mut queue, at.saturating_sub(now));
                }
                None => self.changed.wait(&mut queue),
            }
        }
    }

    /// Works on the line of a job, where its processor is there still.
    fn with_line<T>(&self, job: &Job, work: impl FnOnce(&mut Line) -> T) -> Option<T> {
        let mut queue = self.queue.lock();
        let done = queue.lines.get_mut(&job.processor).map(work);
        drop(queue);
        self.changed.notify_all();
        done
    }

    /// Nothing is sent from now on.
    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.changed.notify_all();
    }

    /// How a processor's requests fare.
    pub(crate) fn figures(&self, processor: &str) -> Figures {
        let queue = self.queue.lock();
        queue
            .lines
            .get(processor)
            .map_or_else(Figures::default, Line::figures)
    }

    /// How the request that a processor sends next to a host fares.
    pub(crate) fn tried(&self, processor: &str, number: u64) -> Option<Try> {
        self.queue.lock().lines.get(processor)?.tried(number)
    }
}

/// A request that is due.
#[derive(Clone, Debug)]
struct Job {
    processor: String,
    number: u64,
    target: HttpTarget,
}

#[cfg(test)]
pub(crate) mod tests;
