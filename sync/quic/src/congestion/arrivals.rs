//! How much may be under way on a link, told from what arrives and how long it takes. The rate at which a link delivers, times
//! the shortest round trip, is what it holds; a little more keeps it busy, and anything beyond that only waits in a modem's
//! queue, where an alarm waits behind it, or is thrown away there. Losses by themselves say nothing on a radio.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets that may be under way before anything is known of the link.
const PACKETS_FIRST: u64 = 16;
/// Packets that always may be.
const PACKETS_LEAST: u64 = 4;
/// The rate is the best of so many rounds in which there was enough to send.
const ROUNDS_OF_RATE: usize = 10;
/// The shortest round trip is that of so many rounds …
const ROUNDS_OF_DELAY: usize = 12;
/// … and of so long at least.
const DELAY_KEPT: Duration = Duration::from_secs(2);
/// In the beginning a link is full where a round brings no more than this over the best before it …
const GROWTH: f64 = 1.25;
/// … so many times, …
const FLAT_ROUNDS: u32 = 2;
/// … or where packets wait for this share of the shortest round trip, …
const WAIT_SHARE: u32 = 8;
/// … and for this long at least: radios are uneven.
const WAIT_LEAST: Duration = Duration::from_millis(15);
/// … so many of them, one after the other, for as long.
const WAITING_PACKETS: u32 = 16;
/// How much is under way from round to round, in parts of what the link holds: two rounds that look for more, one in which
/// what waits runs off and the shortest round trip shows, and rounds that keep the link busy.
const GAINS: [f64; 8] = [1.3, 1.3, 0.75, 1.1, 1.1, 1.1, 1.1, 1.1];
/// The round in which nothing should wait.
const LOW: usize = 2;
/// A search that found so much more is gone on with.
const FOUND: f64 = 1.12;
/// What may be under way for acknowledgements that come together, at most: so many packets …
const PACKETS_TOGETHER: u64 = 8;
/// … or what arrives in this time, which is as long as a peer holds one back.
const TOGETHER: Duration = Duration::from_millis(30);
/// More than this is never made up for.
const LOSS_MAX: f64 = 0.4;
/// How much of what was counted of losses remains from one cycle to the next.
const LOSS_KEPT: f64 = 0.8;

/// What a connection does about its window.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Twice as much in each round, until the link is full.
    Begin { best: f64, flat: u32 },
    /// Until what waits in the link's queue has run off.
    RunOff { rounds: u32 },
    /// The link is known: at this place of [`GAINS`].
    Known { at: usize },
}

const BEGIN: Phase = Phase::Begin { best: 0.0, flat: 0 };

/// From a moment until something that was sent after it is acknowledged.
#[derive(Clone, Copy, Debug)]
struct Round {
    begun: Instant,
    /// What had arrived when it began.
    arrived: u64,
    shortest: Option<Duration>,
    /// Whether there was too little to send at some time in it.
    idle: bool,
}

/// Of what was sent while nothing should have waited: what is lost of that, a full queue did not drop.
#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    from: Option<Instant>,
    until: Option<Instant>,
    arrived: f64,
    lost: f64,
}

impl Losses {
    fn counts(&self, sent: Instant) -> bool {
        self.from.is_some_and(|from| sent >= from) && self.until.is_none_or(|until| sent < until)
    }

    fn share(&self) -> f64 {
        if self.lost > 0.0 {
            (self.lost / (self.lost + self.arrived)).min(LOSS_MAX)
        } else {
            0.0
        }
    }
}

/// Packets that came one after the other, each of which had waited.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    since: Instant,
    /// What had arrived with the first of them.
    arrived: u64,
    packets: u32,
}

/// The window of one connection over one path.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    packet: u64,
    window: u64,
    phase: Phase,
    arrived: u64,
    round: Option<Round>,
    /// When the round before began, and what had arrived then.
    before: Option<(Instant, u64)>,
    /// In bytes a second.
    rates: VecDeque<f64>,
    delays: VecDeque<(Instant, Duration)>,
    waiting: Option<Waiting>,
    losses: Losses,
}

impl Arrivals {
    pub(super) fn new(packet: u16) -> Arrivals {
        let packet = u64::from(packet);
        Arrivals {
            packet,
            window: packet * PACKETS_FIRST,
            phase: BEGIN,
            arrived: 0,
            round: None,
            before: None,
            rates: VecDeque::new(),
            delays: VecDeque::new(),
            waiting: None,
            losses: Losses::default(),
        }
    }

    /// Bytes that may be under way.
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Bytes that may be under way before anything is known.
    pub(super) fn first_window(&self) -> u64 {
        self.packet * PACKETS_FIRST
    }

    /// Bytes a second that the link brings, once something did.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rates.iter().copied().reduce(f64::max)
    }

    fn delay(&self) -> Option<Duration> {
        self.delays.iter().map(|(_, delay)| *delay).min()
    }

    pub(super) fn packets_of(&mut self, packet: u16) {
        self.packet = u64::from(packet);
        self.window = self.window.max(self.packet * PACKETS_LEAST);
    }

    /// Something is sent.
    pub(super) fn sent(&mut self, now: Instant) {
        if self.round.is_none() {
            self.round = Some(self.begin(now));
        }
    }

    /// Something arrived; `idle` where there was too little to send.
    pub(super) fn acknowledged(&mut self, now: Instant, sent: Instant, bytes: u64, idle: bool) {
        self.arrived += bytes;
        if self.losses.counts(sent) {
            self.losses.arrived += bytes as f64;
        }
        let took = now.saturating_duration_since(sent);
        if matches!(self.phase, Phase::Begin { .. }) {
            if !idle {
                self.window += bytes;
            }
            if self.is_full(now, took) {
                self.phase = Phase::RunOff { rounds: 0 };
            }
        }
        let round = self.round.get_or_insert(Round {
            begun: sent,
            arrived: self.arrived.saturating_sub(bytes),
            shortest: None,
            idle,
        });
        round.idle |= idle;
        round.shortest = Some(round.shortest.map_or(took, |shortest| shortest.min(took)));
        if sent >= round.begun && now > round.begun {
            let ended = *round;
            self.end(now, ended);
            self.before = Some((ended.begun, ended.arrived));
            self.round = Some(self.begin(now));
        }
    }

    /// Whether the link has just become full: packets wait, one like the other. How fast they come then is what it brings.
    fn is_full(&mut self, now: Instant, took: Duration) -> bool {
        let Some(least) = self.delay() else {
            return false;
        };
        if took.saturating_sub(least) <= (least / WAIT_SHARE).max(WAIT_LEAST) {
            self.waiting = None;
            return false;
        }
        let arrived = self.arrived;
        let waiting = self.waiting.get_or_insert(Waiting {
            since: now,
            arrived,
            packets: 0,
        });
        waiting.packets += 1;
        if waiting.since == now {
            waiting.arrived = arrived;
        }
        let since = now.saturating_duration_since(waiting.since);
        if waiting.packets < WAITING_PACKETS || since < least / WAIT_SHARE {
            return false;
        }
        let brought = rate(arrived - waiting.arrived, since);
        self.waiting = None;
        self.rates.push_back(brought);
        true
    }

    /// All that one message of the peer acknowledges is told; so much is under way still.
    pub(super) fn under_way(&mut self, bytes: u64) {
        if matches!(self.phase, Phase::RunOff { .. }) && bytes <= self.held(1.0) {
            self.phase = Phase::Known { at: LOW + 1 };
        }
        self.settle();
    }

    /// Something is lost; `all` where nothing at all came for a long time.
    pub(super) fn lost(&mut self, sent: Instant, bytes: u64, all: bool) {
        if self.losses.counts(sent) {
            self.losses.lost += bytes as f64;
        }
        if all {
            // The link was cut, or is another one now.
            *self = Arrivals::new(u16::try_from(self.packet).unwrap_or(u16::MAX));
        }
    }

    fn begin(&self, now: Instant) -> Round {
        Round {
            begun: now,
            arrived: self.arrived,
            shortest: None,
            idle: false,
        }
    }

    /// A round is over.
    fn end(&mut self, now: Instant, round: Round) {
        let known = self.rate().unwrap_or(0.0);
        let alone = rate(self.arrived - round.arrived, now - round.begun);
        // Over two rounds it matters less that acknowledgements come together.
        let over_two = self.before.map_or(alone, |(then, arrived)| {
            rate(self.arrived - arrived, now.saturating_duration_since(then))
        });
        let taken = if matches!(self.phase, Phase::Begin { .. }) {
            alone
        } else {
            over_two
        };
        // Where there was too little to send, the link may bring more than this.
        if !round.idle || taken > known {
            self.rates.push_back(taken);
            if self.rates.len() > ROUNDS_OF_RATE {
                self.rates.pop_front();
            }
        }
        self.note_delay(now, round.shortest);
        self.phase = match self.phase {
            begin @ Phase::Begin { .. } if round.idle => begin,
            Phase::Begin { best, .. } if alone >= best * GROWTH => Phase::Begin {
                best: alone,
                flat: 0,
            },
            Phase::Begin { flat, .. } if flat >= FLAT_ROUNDS => Phase::RunOff { rounds: 0 },
            Phase::Begin { best, flat } => Phase::Begin {
                best,
                flat: flat + 1,
            },
            Phase::RunOff { rounds } if rounds >= FLAT_ROUNDS => Phase::Known { at: LOW + 1 },
            Phase::RunOff { rounds } => Phase::RunOff { rounds: rounds + 1 },
            // What a search finds arrives in the round after it.
            Phase::Known { at } if at + 1 == LOW && !round.idle && alone > known * FOUND => {
                Phase::Known { at }
            }
            Phase::Known { at } => Phase::Known {
                at: (at + 1) % GAINS.len(),
            },
        };
        match self.phase {
            Phase::Known { at: LOW } => {
                self.losses.from = Some(now);
                self.losses.until = None;
                self.losses.arrived *= LOSS_KEPT;
                self.losses.lost *= LOSS_KEPT;
            }
            _ if self.losses.until.is_none() => self.losses.until = Some(now),
            _ => {}
        }
        self.settle();
    }

    /// Notes the shortest round trip of a round.
    fn note_delay(&mut self, now: Instant, shortest: Option<Duration>) {
        self.delays.extend(shortest.map(|shortest| (now, shortest)));
        while self.delays.len() > ROUNDS_OF_DELAY
            && self
                .delays
                .front()
                .is_some_and(|(then, _)| now - *then > DELAY_KEPT)
        {
            self.delays.pop_front();
        }
    }

    /// What the link holds, times so much, in bytes.
    fn held(&self, gain: f64) -> u64 {
        let (Some(rate), Some(delay)) = (self.rate(), self.delay()) else {
            return self.first_window();
        };
        // What is lost behind the link was under way as well.
        let sent = rate / (1.0 - self.losses.share());
        let together = (sent * TOGETHER.as_secs_f64()) as u64;
        (gain * sent * delay.as_secs_f64()) as u64 + together.min(PACKETS_TOGETHER * self.packet)
    }

    fn settle(&mut self) {
        let gain = match self.phase {
            Phase::Begin { .. } => return,
            Phase::RunOff { .. } => GAINS.get(LOW),
            Phase::Known { at } => GAINS.get(at),
        };
        let held = self.held(gain.copied().unwrap_or(1.0));
        self.window = held.max(self.packet * PACKETS_LEAST);
    }
}

fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64().max(1e-6)
}

#[cfg(test)]
mod tests;
