//! Passes: how many edges are on their way in, from their connection until their greeting is answered.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A pass is held for no longer than this: some round trips of a satellite.
const PASS_HELD: Duration = Duration::from_secs(2);

/// Edges on their way in.
#[derive(Default)]
pub(crate) struct UnderWay {
    count: AtomicUsize,
    pub(super) fewer: Notify,
}

impl UnderWay {
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

/// One of them, until it is dropped: once the edge's greeting is answered, or it is gone.
pub(crate) struct Pass(Arc<Place>);

/// What a pass holds.
struct Place {
    under_way: Arc<UnderWay>,
    given_back: AtomicBool,
}

impl Place {
    fn give_back(&self) {
        if !self.given_back.swap(true, Ordering::AcqRel) {
            self.under_way.count.fetch_sub(1, Ordering::AcqRel);
            self.under_way.fewer.notify_one();
        }
    }
}

impl Pass {
    pub(super) fn take(under_way: &Arc<UnderWay>) -> Pass {
        under_way.count.fetch_add(1, Ordering::AcqRel);
        Pass(Arc::new(Place {
            under_way: under_way.clone(),
            given_back: AtomicBool::new(false),
        }))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// The passes that were given, the oldest first. One whose edge takes its time is given back for it: what such an edge
/// costs from then on is memory, and some that never go on must not keep everybody else out.
#[derive(Default)]
pub(super) struct Given(VecDeque<(Instant, Weak<Place>)>);

impl Given {
    pub(super) fn remember(&mut self, pass: &Pass) {
        let until = Instant::now() + PASS_HELD;
        self.0.push_back((until, Arc::downgrade(&pass.0)));
    }

    /// Gives back those that were held for too long; when to look again.
    pub(super) fn expire(&mut self) -> Option<Instant> {
        let now = Instant::now();
        while let Some((until, place)) = self.0.front() {
            if *until > now {
                return Some(*until);
            }
            if let Some(place) = place.upgrade() {
                place.give_back();
            }
            self.0.pop_front();
        }
        None
    }
}
