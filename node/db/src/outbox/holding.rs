//! What of the log is held: a gateway seals it two ways, up to its cloud and down to its edges, and what either of
//! them has not looked at stays.

use std::sync::Arc;

use activestore_store::Store;
use activestore_types::Lsn;
use parking_lot::Mutex;

use super::direction::Direction;

type Wake = Box<dyn Fn() + Send + Sync>;

/// The log's hold, shared by all that follow the log.
pub(crate) struct LogHold {
    store: Arc<Store>,
    held: Mutex<Held>,
    wakes: Arc<Mutex<[Option<Wake>; 2]>>,
}

#[derive(Debug)]
struct Held {
    from: [Option<Lsn>; 2],
    /// Whether everybody who follows the log has said from where. Until then the hold is left where it was.
    all_told: bool,
}

fn place(direction: Direction) -> usize {
    usize::from(direction.is_up())
}

impl LogHold {
    /// `waits` is whether the hold stays where it was until [`LogHold::all_told`].
    pub(crate) fn new(store: Arc<Store>, waits: bool) -> Self {
        let wakes: Arc<Mutex<[Option<Wake>; 2]>> = Arc::default();
        let woken = wakes.clone();
        store.on_waiting_for_hold(Box::new(move || {
            woken.lock().iter().flatten().for_each(|wake| wake());
        }));
        LogHold {
            store,
            held: Mutex::new(Held {
                from: [None; 2],
                all_told: !waits,
            }),
            wakes,
        }
    }

    /// Who follows the log this way needs it from there on; with `None` it needs nothing.
    pub(crate) fn hold(&self, direction: Direction, from: Option<Lsn>) {
        let mut held = self.held.lock();
        if let Some(slot) = held.from.get_mut(place(direction)) {
            *slot = from;
        }
        self.tell(&held);
    }

    /// Everybody who follows the log after the start has said from where.
    pub(crate) fn all_told(&self) {
        let mut held = self.held.lock();
        let waited = !std::mem::replace(&mut held.all_told, true);
        if waited {
            self.tell(&held);
        }
    }

    /// Told under the lock, so that an older word never overtakes a newer one.
    fn tell(&self, held: &Held) {
        if held.all_told {
            self.store
                .hold_log(held.from.iter().flatten().min().copied());
        }
    }

    /// `wake` is called where the store waits for the hold to be moved up.
    pub(crate) fn wake_by(&self, direction: Direction, wake: Wake) {
        if let Some(slot) = self.wakes.lock().get_mut(place(direction)) {
            *slot = Some(wake);
        }
    }
}

#[cfg(test)]
mod tests;
