//! Spans that ended and wait to be sent.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::layer::Ended;

/// Spans that wait at most; those that come then are let go.
const WAITING_MAX: usize = 8_192;

/// Spans that are sent at once.
pub(super) const BATCH_MAX: usize = 512;

/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(1);

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    sent: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Ended>,
    /// Whether a batch is on its way.
    sending: bool,
    closed: bool,
}

impl Queue {
    /// A span ended.
    pub(super) fn push(&self, span: Ended) {
        let mut state = self.state.lock();
        if state.closed || state.waiting.len() >= WAITING_MAX {
            drop(state);
            self.lost(1);
            return;
        }
        state.waiting.push_back(span);
        if state.waiting.len() >= BATCH_MAX {
            self.changed.notify_all();
        }
    }

    /// The next spans to send, when there are enough or the first has waited enough; `None` at the end.
    pub(super) fn next(&self) -> Option<Vec<Ended>> {
        let mut state = self.state.lock();
        loop {
            let due = Instant::now() + LINGER;
            while state.waiting.len() < BATCH_MAX && !state.closed {
                if self.changed.wait_until(&mut state, due).timed_out() {
                    break;
                }
            }
            let count = state.waiting.len().min(BATCH_MAX);
            if count > 0 {
                state.sending = true;
                return Some(state.waiting.drain(..count).collect());
            }
            if state.closed {
                return None;
            }
        }
    }

    /// What became of the batch.
    pub(super) fn done(&self, count: usize, taken: bool) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        if taken {
            self.sent.fetch_add(count, Ordering::Relaxed);
        } else {
            self.lost(count);
        }
        self.state.lock().sending = false;
        self.changed.notify_all();
    }

    /// Waits before another attempt; whether there is to be one.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.closed {
            self.changed.wait_for(&mut state, pause);
        }
        !state.closed
    }

    /// No more spans come; waits until those that wait are sent, or for so long.
    pub(super) fn close(&self, most: Duration) {
        let until = Instant::now() + most;
        let mut state = self.state.lock();
        state.closed = true;
        self.changed.notify_all();
        while state.sending || !state.waiting.is_empty() {
            if self.changed.wait_until(&mut state, until).timed_out() {
                return;
            }
        }
    }

    /// Spans that were sent, and that were let go.
    pub(super) fn counts(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.sent), read(&self.dropped))
    }

    fn lost(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}
