//! What of the log is held: a gateway seals it two ways, up to its cloud and down to its edges, a node with several clouds
//! for each of them, and what any of them has not looked at stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_store::Store;
use activestore_types::Lsn;
use parking_lot::Mutex;

use super::addressee::LogFollower;

type Wake = Box<dyn Fn() + Send + Sync>;
type Wakes = Arc<Mutex<BTreeMap<LogFollower, Wake>>>;

/// The log's hold, shared by all that follow the log.
pub(crate) struct LogHold {
    store: Arc<Store>,
    held: Mutex<Held>,
    wakes: Wakes,
    /// Of the node's own views and sinks.
    wakes_own: Arc<Mutex<Vec<Wake>>>,
}

#[derive(Debug)]
struct Held {
    from: BTreeMap<LogFollower, Lsn>,
    /// What the materialized views of the node need, where it was said.
    views: Option<Option<Lsn>>,
    /// What its sinks need.
    sinks: Option<Lsn>,
    /// Whether everybody who follows the log has said from where. Until then the hold is left where it was.
    all_told: bool,
}

impl LogHold {
    /// `waits` is whether the hold stays where it was until [`LogHold::all_told`].
    pub(crate) fn new(store: Arc<Store>, waits: bool) -> Self {
        let wakes = Wakes::default();
        let woken = wakes.clone();
        let wakes_own = Arc::<Mutex<Vec<Wake>>>::default();
        let woken_own = wakes_own.clone();
        store.on_waiting_for_hold(Box::new(move || {
            woken.lock().values().for_each(|wake| wake());
            woken_own.lock().iter().for_each(|wake| wake());
        }));
        LogHold {
            store,
            held: Mutex::new(Held {
                from: BTreeMap::new(),
                views: None,
                sinks: None,
                all_told: !waits,
            }),
            wakes,
            wakes_own,
        }
    }

    /// The materialized views need the log from there on; with `None` they need nothing.
    pub(crate) fn hold_for_views(&self, from: Option<Lsn>) {
        let mut held = self.held.lock();
        if held.views.replace(from) != Some(from) {
            self.tell(&held);
        }
    }

    /// The same as [`LogHold::wake_by`] for the views.
    pub(crate) fn wake_views_by(&self, wake: Wake) {
        self.wakes_own.lock().push(wake);
    }

    /// The node's sinks need the log from there on; with `None` they need nothing.
    pub(crate) fn hold_for_sinks(&self, from: Option<Lsn>) {
        let mut held = self.held.lock();
        if std::mem::replace(&mut held.sinks, from) != from {
            self.tell(&held);
        }
    }

    /// The same as [`LogHold::wake_by`] for the sinks.
    pub(crate) fn wake_sinks_by(&self, wake: Wake) {
        self.wakes_own.lock().push(wake);
    }

    /// Who follows the log needs it from there on; with `None` it needs nothing.
    pub(crate) fn hold(&self, follower: &LogFollower, from: Option<Lsn>) {
        let mut held = self.held.lock();
        match from {
            Some(from) => held.from.insert(follower.clone(), from),
            None => held.from.remove(follower),
        };
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
            self.store.hold_log(
                held.from
                    .values()
                    .copied()
                    .chain(held.views.flatten())
                    .chain(held.sinks)
                    .min(),
            );
        }
    }

    /// `wake` is called where the store waits for the hold to be moved up.
    pub(crate) fn wake_by(&self, follower: &LogFollower, wake: Wake) {
        self.wakes.lock().insert(follower.clone(), wake);
    }
}

#[cfg(test)]
mod tests;
