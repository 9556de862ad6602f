//! Instances that wait for work. Taking one never blocks: the taker makes a new one when none waits.

use parking_lot::Mutex;

/// Idle items, at most a fixed number of them.
pub(crate) struct Pool<T> {
    idle: Mutex<Vec<T>>,
    max: usize,
}

impl<T> Pool<T> {
    /// As many as there are processors may wait.
    pub(crate) fn new() -> Self {
        Pool {
            idle: Mutex::new(Vec::new()),
            max: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.idle.lock().pop()
    }

    /// Keeps the item for the next taker, or drops it when enough are waiting.
    pub(crate) fn put(&self, item: T) {
        let mut idle = self.idle.lock();
        if idle.len() < self.max {
            idle.push(item);
        } else {
            // Dropping an instance unmaps memory: not under the lock.
            drop(idle);
            drop(item);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.idle.lock().len()
    }
}
