//! Threads that outlive a call come to the database as visitors: it ends when the last of them has left,
//! so that who has shut it down can open its directory again at once.

use std::ops::Deref;
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};

use crate::db::Inner;

/// Who is inside.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    closed: bool,
}

impl Visits {
    /// Lets a thread in; `None` when the database has ended or is about to.
    pub(crate) fn enter(self: &Arc<Self>, inner: &Weak<Inner>) -> Option<Visit> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        let inner = inner.upgrade()?;
        state.inside += 1;
        Some(Visit {
            inner,
            _door: Door(self.clone()),
        })
    }

    /// Lets nobody in any more, and waits for those who are inside.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        self.left.wait_while(&mut state, |state| state.inside > 0);
    }
}

/// One thread's stay: it lets go of the database first, then of the door.
pub(crate) struct Visit {
    inner: Arc<Inner>,
    _door: Door,
}

struct Door(Arc<Visits>);

impl Deref for Visit {
    type Target = Arc<Inner>;

    fn deref(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.0.state.lock().inside -= 1;
        self.0.left.notify_all();
    }
}
