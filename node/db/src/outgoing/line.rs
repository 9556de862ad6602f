//! The requests of one processor in memory: a lane for each host, whose first one is tried until it is
//! delivered or given up. Moments are of the monotonic clock.

use std::collections::BTreeMap;
use std::time::Duration;

use activestore_plugin_host::HttpTarget;

/// Requests of a processor that were given up and are kept.
const DEAD_MAX: usize = 100;
const DEAD_BYTES_MAX: usize = 512 << 10;
/// The first pause after a failure; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
pub(super) struct Line {
    lanes: BTreeMap<HttpTarget, Lane>,
    /// Those that were given up: bytes by number.
    dead: BTreeMap<u64, usize>,
    delivered: u64,
    failed: u64,
    died: u64,
}

#[derive(Debug, Default)]
struct Lane {
    /// Bytes by number.
    waiting: BTreeMap<u64, usize>,
    /// When the first one may be tried.
    due: Duration,
    /// Whether a thread has the first one.
    taken: bool,
    /// How often the first one failed, and how often of these it was answered.
    tries: u32,
    answered: u32,
    error: String,
}

/// How a processor's requests fare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// They wait, with so many bytes.
    pub(crate) waiting: u64,
    pub(crate) waiting_bytes: u64,
    /// Were given up and are kept.
    pub(crate) dead: u64,
    /// Since the start: delivered, attempts that failed, given up.
    pub(crate) delivered: u64,
    pub(crate) failed: u64,
    pub(crate) died: u64,
}

/// How the request fares that is first in its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    pub(crate) tries: u32,
    pub(crate) error: String,
}

/// What a line has to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// This one, the oldest of those that are due.
    Take(u64, HttpTarget),
    /// One at that moment.
    At(Duration),
    /// None that no thread has.
    Nothing,
}

impl Line {
    /// One more waits.
    pub(super) fn wait(&mut self, number: u64, target: HttpTarget, bytes: usize) {
        let lane = self.lanes.entry(target).or_default();
        lane.waiting.insert(number, bytes);
    }

    /// One more is kept that was given up.
    pub(super) fn bury(&mut self, number: u64, bytes: usize) {
        self.dead.insert(number, bytes);
    }

    /// Requests and bytes that wait.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let lanes = self.lanes.values();
        lanes.fold((0, 0), |(count, bytes), lane| {
            let of_lane: usize = lane.waiting.values().sum();
            (count + lane.waiting.len(), bytes + of_lane)
        })
    }

    pub(super) fn pick(&self, now: Duration) -> Pick {
        let mut due: Option<Duration> = None;
        let mut oldest: Option<(u64, &HttpTarget)> = None;
        for (target, lane) in &self.lanes {
            let Some(number) = lane.waiting.keys().next().filter(|_| !lane.taken) else {
                continue;
            };
            if lane.due > now {
                due = Some(due.map_or(lane.due, |due| due.min(lane.due)));
            } else if oldest.is_none_or(|(other, _)| *number < other) {
                oldest = Some((*number, target));
            }
        }
        match (oldest, due) {
            (Some((number, target)), _) => Pick::Take(number, target.clone()),
            (None, Some(at)) => Pick::At(at),
            (None, None) => Pick::Nothing,
        }
    }

    /// A thread has the one that was picked.
    pub(super) fn take(&mut self, target: &HttpTarget) {
        if let Some(lane) = self.lanes.get_mut(target) {
            lane.taken = true;
        }
    }

    /// The one that was taken does not wait any more: it was delivered, or is given up.
    pub(super) fn done(&mut self, number: u64, target: &HttpTarget, delivered: bool) {
        let mut bytes = 0;
        if let Some(lane) = self.lanes.get_mut(target) {
            bytes = lane.waiting.remove(&number).unwrap_or(0);
            lane.taken = false;
            (lane.tries, lane.answered) = (0, 0);
            if lane.waiting.is_empty() {
                self.lanes.remove(target);
            }
        }
        if delivered {
            self.delivered += 1;
        } else {
            self.died += 1;
            self.dead.insert(number, bytes);
        }
    }

    /// Which of those that were given up go, so that one more can be kept.
    pub(super) fn too_many_dead(&self, number: u64, target: &HttpTarget) -> Vec<u64> {
        let lane = self.lanes.get(target);
        let more = lane
            .and_then(|lane| lane.waiting.get(&number))
            .unwrap_or(&0);
        let mut count = self.dead.len() + 1;
        let mut bytes = self.dead.values().sum::<usize>() + more;
        let mut gone = Vec::new();
        for (number, of_it) in &self.dead {
            if count <= DEAD_MAX && bytes <= DEAD_BYTES_MAX {
                break;
            }
            count -= 1;
            bytes -= of_it;
            gone.push(*number);
        }
        gone
    }

    pub(super) fn exhume(&mut self, gone: &[u64]) {
        gone.iter().for_each(|number| {
            self.dead.remove(number);
        });
    }

    /// The one that was taken failed; how often it was tried and answered by now.
    pub(super) fn failed(
        &mut self,
        target: &HttpTarget,
        answered: bool,
        error: &str,
    ) -> (u32, u32) {
        self.failed += 1;
        let Some(lane) = self.lanes.get_mut(target) else {
            return (0, 0);
        };
        lane.tries = lane.tries.saturating_add(1);
        lane.answered += u32::from(answered);
        error.clone_into(&mut lane.error);
        (lane.tries, lane.answered)
    }

    /// The one that was taken waits for another try.
    pub(super) fn again(&mut self, target: &HttpTarget, at: Duration) {
        if let Some(lane) = self.lanes.get_mut(target) {
            lane.taken = false;
            lane.due = at;
        }
    }

    pub(super) fn figures(&self) -> Figures {
        let (waiting, bytes) = self.waiting();
        Figures {
            waiting: waiting as u64,
            waiting_bytes: bytes as u64,
            dead: self.dead.len() as u64,
            delivered: self.delivered,
            failed: self.failed,
            died: self.died,
        }
    }

    pub(super) fn tried(&self, number: u64) -> Option<Try> {
        let mut lanes = self.lanes.values();
        let lane = lanes.find(|lane| lane.waiting.keys().next() == Some(&number))?;
        (lane.tries > 0).then(|| Try {
            tries: lane.tries,
            error: lane.error.clone(),
        })
    }
}

/// How long to wait after so many failures: between half of a span and all of it, by a random number, so that
/// many nodes do not come back at once.
pub(crate) fn pause(tries: u32, random: u64) -> Duration {
    let span = PAUSE
        .saturating_mul(1 << tries.saturating_sub(1).min(16))
        .min(PAUSE_MAX);
    let half = span / 2;
    half + half.mul_f64(random as f64 / u64::MAX as f64)
}
