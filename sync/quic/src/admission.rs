//! How fast edges are let in. After an outage or a restart all of them come at once, and each handshake costs far more
//! than a packet that says no: so only as many are under way, and as many begin in a second, as this node bears; a few
//! wait for a moment, in the order in which they came, and the others are refused before any cryptography and come again.
//! Decides by what it is told, without a clock.

use std::collections::VecDeque;
use std::time::Duration;

/// What the bucket of turns holds: so many may begin at once after a pause.
const BURST: Duration = Duration::from_millis(100);

/// How many edges are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionOptions {
    /// Edges that are on their way in at once, from their first packet to the answer to their greeting.
    pub handshakes: usize,
    /// Handshakes that begin in a second.
    pub per_second: u32,
    /// Edges that wait for their turn. Beyond half of them an edge has to prove its address first, which costs a packet
    /// each way and no memory.
    pub waiting: usize,
    /// How long one waits for its turn at most: less than an edge takes to believe that nobody answers, since what it
    /// does then costs both ends more than coming again.
    pub patience: Duration,
}

impl Default for AdmissionOptions {
    fn default() -> Self {
        AdmissionOptions {
            handshakes: 256,
            per_second: 200,
            waiting: 128,
            patience: Duration::from_millis(750),
        }
    }
}

/// What is done with one that came.
#[derive(Debug)]
pub(crate) enum Offered<T> {
    /// It waits for its turn, which may be now.
    Waits,
    /// It has to show first that it is where it says.
    Prove(T),
    /// Too many wait.
    Refuse(T),
}

/// What is done with one that waited.
#[derive(Debug)]
pub(crate) enum Turn<T> {
    Admit(T),
    /// It waited for too long.
    Refuse(T),
}

struct Waiting<T> {
    since: Duration,
    who: T,
}

/// Those who wait, and the turns that are left.
pub(crate) struct Gate<T> {
    options: AdmissionOptions,
    waiting: VecDeque<Waiting<T>>,
    /// Turns; below one nobody may begin.
    turns: f64,
    turns_at: Duration,
}

impl<T> Gate<T> {
    pub(crate) fn new(options: AdmissionOptions) -> Gate<T> {
        let mut gate = Gate {
            options,
            waiting: VecDeque::new(),
            turns: 0.0,
            turns_at: Duration::ZERO,
        };
        gate.turns = gate.turns_most();
        gate
    }

    /// One came at that moment; `proven` is whether its address is known to be its own.
    pub(crate) fn offer(&mut self, now: Duration, who: T, proven: bool) -> Offered<T> {
        if self.waiting.len() >= self.options.waiting.max(1) {
            return Offered::Refuse(who);
        }
        if !proven && self.waiting.len() >= self.options.waiting / 2 {
            return Offered::Prove(who);
        }
        self.waiting.push_back(Waiting { since: now, who });
        Offered::Waits
    }

    /// The next whose turn it is, while so many are on their way in.
    pub(crate) fn next(&mut self, now: Duration, under_way: usize) -> Option<Turn<T>> {
        self.refill(now);
        let first = self.waiting.front()?;
        if now.saturating_sub(first.since) >= self.options.patience {
            return self.waiting.pop_front().map(|one| Turn::Refuse(one.who));
        }
        if self.turns < 1.0 || under_way >= self.options.handshakes.max(1) {
            return None;
        }
        self.turns -= 1.0;
        self.waiting.pop_front().map(|one| Turn::Admit(one.who))
    }

    /// When [`Gate::next`] has to be asked again, if nothing else happens before.
    pub(crate) fn wakes(&self, now: Duration, under_way: usize) -> Option<Duration> {
        let first = self.waiting.front()?;
        let gives_up = first.since + self.options.patience;
        if under_way >= self.options.handshakes.max(1) {
            return Some(gives_up);
        }
        let missing = (1.0 - self.turns).max(0.0) / self.rate();
        Some(gives_up.min(now + Duration::from_secs_f64(missing)))
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn rate(&self) -> f64 {
        f64::from(self.options.per_second.max(1))
    }

    fn turns_most(&self) -> f64 {
        (self.rate() * BURST.as_secs_f64()).max(1.0)
    }

    fn refill(&mut self, now: Duration) {
        let since = now.saturating_sub(self.turns_at);
        self.turns = (self.turns + since.as_secs_f64() * self.rate()).min(self.turns_most());
        self.turns_at = self.turns_at.max(now);
    }
}

#[cfg(test)]
mod tests;
