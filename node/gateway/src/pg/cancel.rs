//! Statements that run, by the secret with which their client may stop them from another connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Where a session puts what stops its statement.
type Slot = Arc<Mutex<Option<oneshot::Sender<()>>>>;

/// All sessions of a listener.
#[derive(Default)]
pub(super) struct Sessions {
    next: AtomicI32,
    slots: Mutex<HashMap<i32, (i32, Slot)>>,
}

/// A session's place among them.
pub(super) struct Seat {
    sessions: Arc<Sessions>,
    pub(super) number: i32,
    pub(super) secret: i32,
    slot: Slot,
}

impl Sessions {
    /// A place for a session with this secret.
    pub(super) fn seat(self: &Arc<Self>, secret: [u8; 8]) -> Seat {
        let secret = i64::from_be_bytes(secret);
        let secret = i32::try_from(secret & i64::from(i32::MAX)).unwrap_or(1);
        let slot = Slot::default();
        let mut slots = self.slots.lock();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            if let std::collections::hash_map::Entry::Vacant(entry) = slots.entry(number) {
                entry.insert((secret, slot.clone()));
                return Seat {
                    sessions: self.clone(),
                    number,
                    secret,
                    slot,
                };
            }
        }
    }

    /// Stops the statement of a session whose secret this is; whether there was one.
    pub(super) fn cancel(&self, number: i32, secret: i32) -> bool {
        let slot = match self.slots.lock().get(&number) {
            Some((known, slot)) if *known == secret => slot.clone(),
            _ => return false,
        };
        let stop = slot.lock().take();
        stop.is_some_and(|stop| stop.send(()).is_ok())
    }
}

impl Seat {
    /// A statement begins; what comes when it is to stop.
    pub(super) fn begin(&self) -> oneshot::Receiver<()> {
        let (stop, stopped) = oneshot::channel();
        *self.slot.lock() = Some(stop);
        stopped
    }

    /// It ended: there is nothing to stop.
    pub(super) fn end(&self) {
        self.slot.lock().take();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.sessions.slots.lock().remove(&self.number);
    }
}
