//! Between the thread that follows the log and one subscriber: a queue with a bound in bytes, and what is done where
//! it is full.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use activestore_query::WhenSlow;
use activestore_types::{Error, NodeId};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::changes::{Changes, Told};
use super::token::Place;

/// What the queues of all subscribers hold together.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) bytes: AtomicUsize,
    pub(super) bytes_max: usize,
}

/// What waits for a subscriber.
pub(super) struct Channel {
    queue: Mutex<Queue>,
    arrived: Notify,
    bytes_max: usize,
    when_slow: WhenSlow,
    node: NodeId,
    room: Arc<Room>,
}

struct Queue {
    waiting: VecDeque<Item>,
    bytes: usize,
    /// Behind what everything is in the queue, or was.
    seen: Place,
    ended: Option<Error>,
}

enum Item {
    Changes(Changes, usize),
    /// Events that were left out here; `None` where nobody knows how many.
    Dropped(Option<u64>, Place),
}

/// What became of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Waits,
    Dropped,
    /// The subscription ends here.
    Ended,
}

/// What a subscriber takes from its queue.
pub(super) enum Taken {
    Told(Told),
    /// There is nothing now.
    Nothing,
    Ended(Error),
}

impl Channel {
    pub(super) fn new(
        node: NodeId,
        bytes_max: usize,
        when_slow: WhenSlow,
        seen: Place,
        room: Arc<Room>,
    ) -> Self {
        Channel {
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                bytes: 0,
                seen,
                ended: None,
            }),
            arrived: Notify::new(),
            bytes_max,
            when_slow,
            node,
            room,
        }
    }

    /// Puts changes behind those that wait. The first ones find room however large they are.
    pub(super) fn push(&self, changes: Changes) -> Pushed {
        let bytes = changes.bytes();
        let mut queue = self.queue.lock();
        if queue.ended.is_some() {
            return Pushed::Ended;
        }
        let dropping = matches!(queue.waiting.back(), Some(Item::Dropped(..)));
        // Who fell behind comes half way back before it is told more, so that gaps are few.
        let recovers = !dropping || queue.bytes <= self.bytes_max / 2;
        let own = recovers && queue.bytes.saturating_add(bytes) <= self.bytes_max;
        let held = self.room.bytes.load(Ordering::Relaxed);
        let all = held.saturating_add(bytes) <= self.room.bytes_max;
        if queue.bytes == 0 || (own && all) {
            self.room.bytes.fetch_add(bytes, Ordering::Relaxed);
            queue.bytes += bytes;
            queue.waiting.push_back(Item::Changes(changes, bytes));
            drop(queue);
            self.arrived.notify_one();
            return Pushed::Waits;
        }
        let events = changes.list.len() as u64;
        let upto = changes.list.last().map_or(queue.seen, |last| last.place);
        self.leave_out(queue, Some(events), upto)
    }

    /// Says that nobody knows what was missed up to a place: the log does not reach back.
    pub(super) fn missed(&self, upto: Place) -> Pushed {
        let queue = self.queue.lock();
        self.leave_out(queue, None, upto)
    }

    fn leave_out(
        &self,
        mut queue: MutexGuard<'_, Queue>,
        events: Option<u64>,
        upto: Place,
    ) -> Pushed {
        let pushed = match self.when_slow {
            WhenSlow::Disconnect => {
                let waits = std::mem::take(&mut queue.bytes);
                // It goes on from the last event that it has: what waits is not kept for one that may never take it.
                queue.waiting.clear();
                self.room.bytes.fetch_sub(waits, Ordering::Relaxed);
                queue.ended = Some(slow(waits));
                Pushed::Ended
            }
            WhenSlow::Drop => {
                if let Some(Item::Dropped(before, place)) = queue.waiting.back_mut() {
                    *before = before.zip(events).map(|(before, events)| before + events);
                    *place = upto;
                } else {
                    queue.waiting.push_back(Item::Dropped(events, upto));
                }
                Pushed::Dropped
            }
        };
        drop(queue);
        self.arrived.notify_one();
        pushed
    }

    /// Everything up to there is in the queue.
    pub(super) fn seen(&self, place: Place) {
        self.queue.lock().seen = place;
    }

    /// Behind what everything was taken, where nothing waits.
    pub(super) fn position(&self) -> Option<Place> {
        let queue = self.queue.lock();
        queue.waiting.is_empty().then_some(queue.seen)
    }

    /// No more comes, once what waits was taken.
    pub(super) fn end(&self, error: Error) {
        self.queue.lock().ended.get_or_insert(error);
        self.arrived.notify_one();
    }

    pub(super) fn take(&self) -> Taken {
        let mut queue = self.queue.lock();
        match queue.waiting.pop_front() {
            Some(Item::Changes(changes, bytes)) => {
                queue.bytes -= bytes;
                self.room.bytes.fetch_sub(bytes, Ordering::Relaxed);
                Taken::Told(Told::Changes(changes))
            }
            Some(Item::Dropped(events, upto)) => Taken::Told(Told::Dropped {
                events,
                token: upto.token(self.node),
            }),
            None => match &queue.ended {
                Some(error) => Taken::Ended(error.clone()),
                None => Taken::Nothing,
            },
        }
    }

    /// Waits until there may be something to take.
    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let left = self.queue.get_mut().bytes;
        self.room.bytes.fetch_sub(left, Ordering::Relaxed);
    }
}

fn slow(bytes: usize) -> Error {
    Error::overloaded(format!(
        "the subscriber did not keep up: {bytes} bytes wait for it"
    ))
    .with_hint(
        "go on from the id of the last event; on_slow = 'drop' leaves events out in place of ending",
    )
}

#[cfg(test)]
mod tests;
