//! The window over links that are simulated packet by packet: how much of a link is used, how long its queue gets, and how
//! much a full one throws away.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Arrivals;

const PACKET: u64 = 1400;

/// A link in one direction; acknowledgements come back after half of the round trip, eight packets in one.
#[derive(Clone, Copy)]
struct Link {
    bytes_per_s: f64,
    round_trip: Duration,
    loss: f64,
    queue_bytes: f64,
    /// How uneven the way is.
    jitter: Duration,
}

impl Link {
    fn new(kbit: f64, round_trip_ms: u64, loss: f64, queue_bytes: f64) -> Link {
        Link {
            bytes_per_s: kbit * 125.0,
            round_trip: Duration::from_millis(round_trip_ms),
            loss,
            queue_bytes,
            jitter: Duration::ZERO,
        }
    }
}

/// A generator that a seed decides (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What sends: by the window that is tested, or by halving it at each loss, as most of the Internet does.
enum Sender {
    Arrivals(Box<Arrivals>),
    Halving { window: f64, until: Duration },
}

impl Sender {
    fn window(&self) -> u64 {
        match self {
            Sender::Arrivals(arrivals) => arrivals.window(),
            Sender::Halving { window, .. } => *window as u64,
        }
    }
}

fn ours() -> Sender {
    let packet = u16::try_from(PACKET).unwrap();
    Sender::Arrivals(Box::new(Arrivals::new(packet)))
}

struct Flow {
    sender: Sender,
    under_way: u64,
    /// What comes of the packets that were sent: when it is known, when it was sent, and whether it arrived.
    known: BTreeMap<(Duration, u64), (Duration, bool)>,
    together: VecDeque<(Duration, Duration)>,
    next_send: Duration,
    arrived: u64,
}

/// What a run showed, from a moment on.
#[derive(Default)]
struct Seen {
    sent: u64,
    overflowed: u64,
    waits: Vec<Duration>,
}

struct Net {
    link: Link,
    random: Random,
    begun: Instant,
    now: Duration,
    free_at: Duration,
    sequence: u64,
    flows: Vec<Flow>,
    seen: Seen,
}

impl Net {
    fn new(link: Link, seed: u64, senders: Vec<Sender>) -> Net {
        let flows = senders.into_iter().map(|sender| Flow {
            sender,
            under_way: 0,
            known: BTreeMap::new(),
            together: VecDeque::new(),
            next_send: Duration::ZERO,
            arrived: 0,
        });
        Net {
            link,
            random: Random(seed),
            begun: Instant::now(),
            now: Duration::ZERO,
            free_at: Duration::ZERO,
            sequence: 0,
            flows: flows.collect(),
            seen: Seen::default(),
        }
    }

    fn one(link: Link, seed: u64) -> Net {
        Net::new(link, seed, vec![ours()])
    }

    /// Goes on for so long, in steps of a millisecond; `busy` says whether there is something to send.
    fn run(&mut self, seconds: f64, busy: impl Fn(Duration) -> bool) -> u64 {
        self.seen = Seen::default();
        let before: u64 = self.flows.iter().map(|flow| flow.arrived).sum();
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            for place in 0..self.flows.len() {
                self.hear(place, busy(self.now));
                if busy(self.now) {
                    self.send(place);
                }
            }
            self.now += Duration::from_millis(1);
        }
        self.flows.iter().map(|flow| flow.arrived).sum::<u64>() - before
    }

    fn hear(&mut self, place: usize, busy: bool) {
        let (now, begun) = (self.now, self.begun);
        let flow = &mut self.flows[place];
        let mut heard = false;
        while let Some(entry) = flow.known.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (at, _) = *entry.key();
            let (sent, arrived) = entry.remove();
            if arrived {
                flow.together.push_back((at, sent));
                continue;
            }
            flow.under_way -= PACKET;
            match &mut flow.sender {
                Sender::Arrivals(arrivals) => arrivals.lost(begun + sent, PACKET, false),
                Sender::Halving { window, until } => {
                    if sent >= *until {
                        *window = (*window / 2.0).max(4.0 * PACKET as f64);
                        *until = now;
                    }
                }
            }
        }
        let late = flow
            .together
            .front()
            .is_some_and(|(at, _)| now >= *at + Duration::from_millis(25));
        while flow.together.len() >= 8 || (late && !flow.together.is_empty()) {
            for (_, sent) in flow.together.drain(..flow.together.len().min(8)) {
                heard = true;
                flow.under_way -= PACKET;
                flow.arrived += PACKET;
                match &mut flow.sender {
                    Sender::Arrivals(arrivals) => {
                        arrivals.acknowledged(begun + now, begun + sent, PACKET, !busy);
                    }
                    Sender::Halving { window, .. } => {
                        *window += (PACKET * PACKET) as f64 / *window;
                    }
                }
            }
        }
        if heard && let Sender::Arrivals(arrivals) = &mut flow.sender {
            arrivals.under_way(flow.under_way);
        }
    }

    fn send(&mut self, place: usize) {
        loop {
            let flow = &mut self.flows[place];
            let window = flow.sender.window();
            if flow.under_way + PACKET > window || flow.next_send > self.now {
                return;
            }
            // As quinn paces: a quarter faster than the window in each round trip.
            let pause = self.link.round_trip.as_secs_f64() * PACKET as f64 / (1.25 * window as f64);
            flow.next_send = flow
                .next_send
                .max(self.now.saturating_sub(Duration::from_millis(2)))
                + Duration::from_secs_f64(pause);
            flow.under_way += PACKET;
            if let Sender::Arrivals(arrivals) = &mut flow.sender {
                arrivals.sent(self.begun + self.now);
            }
            self.sequence += 1;
            let half = self.link.round_trip / 2;
            let waits = self.free_at.saturating_sub(self.now);
            self.seen.sent += 1;
            self.seen.waits.push(waits);
            let queued = waits.as_secs_f64() * self.link.bytes_per_s;
            let overflows = queued + PACKET as f64 > self.link.queue_bytes;
            if overflows {
                self.seen.overflowed += 1;
            } else {
                let takes = Duration::from_secs_f64(PACKET as f64 / self.link.bytes_per_s);
                self.free_at = self.free_at.max(self.now) + takes;
            }
            let arrives = !overflows && self.random.next() >= self.link.loss;
            let there = self.free_at.max(self.now) + half;
            let back = there + half + self.link.jitter.mul_f64(self.random.next());
            // A loss is noticed by what is acknowledged an eighth of a round trip later.
            let known = if arrives {
                back
            } else {
                back + self.link.round_trip / 8
            };
            let flow = &mut self.flows[place];
            flow.known
                .insert((known, self.sequence), (self.now, arrives));
        }
    }

    fn wait_at(&mut self, share: f64) -> Duration {
        self.seen.waits.sort();
        let place = (self.seen.waits.len() - 1) as f64 * share;
        self.seen.waits[place as usize]
    }
}

/// Share of what a link can bring, how long the queue was for half and for nearly all packets, and what it threw away.
fn steady(link: Link, seed: u64) -> (f64, Duration, Duration, f64) {
    let mut net = Net::one(link, seed);
    net.run(30.0, |_| true);
    let arrived = net.run(60.0, |_| true);
    let could = link.bytes_per_s * 60.0 * (1.0 - link.loss);
    let thrown = net.seen.overflowed as f64 / net.seen.sent as f64;
    (
        arrived as f64 / could,
        net.wait_at(0.5),
        net.wait_at(0.95),
        thrown,
    )
}

#[test]
fn links_of_all_kinds_are_full_and_their_queues_are_not() {
    let links = [
        ("satellite", Link::new(1000.0, 600, 0.05, 150_000.0)),
        (
            "satellite, not a loss",
            Link::new(1000.0, 600, 0.0, 150_000.0),
        ),
        ("poor satellite", Link::new(256.0, 1200, 0.10, 80_000.0)),
        ("modem", Link::new(10_000.0, 60, 0.01, 500_000.0)),
        ("wire", Link::new(50_000.0, 20, 0.0, 250_000.0)),
        ("short queue", Link::new(5000.0, 100, 0.01, 30_000.0)),
        ("a third is lost", Link::new(1000.0, 200, 0.30, 100_000.0)),
        (
            "uneven radio",
            Link {
                jitter: Duration::from_millis(40),
                ..Link::new(4000.0, 80, 0.02, 400_000.0)
            },
        ),
    ];
    for (name, link) in links {
        for seed in 0..4 {
            let (used, half, most, thrown) = steady(link, seed);
            let shown = format!(
                "{name}, seed {seed}: {used:.2} used, queue {half:?} and {most:?}, {thrown:.3} thrown away"
            );
            println!("{shown}");
            assert!(used > 0.8, "{shown}");
            let held = link.round_trip / 3 + Duration::from_millis(60);
            assert!(half < held && most < held * 2, "{shown}");
            assert!(thrown < 0.1, "{shown}");
        }
    }
}

#[test]
fn the_beginning_is_quick_and_fills_no_queue() {
    for (link, within) in [
        (Link::new(1000.0, 600, 0.05, 150_000.0), 10.0),
        (Link::new(20_000.0, 50, 0.0, 250_000.0), 2.0),
    ] {
        for seed in 0..4 {
            let mut net = Net::one(link, seed);
            let arrived = net.run(within, |_| true);
            let could = link.bytes_per_s * within * (1.0 - link.loss);
            let used = arrived as f64 / could;
            let thrown = net.seen.overflowed as f64 / net.seen.sent as f64;
            println!("{used:.2} used, {:?}, {thrown:.3}", net.wait_at(0.99));
            assert!(used > 0.55 && thrown < 0.05, "{used} {thrown}");
        }
    }
}

#[test]
fn a_link_that_changes_is_followed() {
    let slow = Link::new(1000.0, 100, 0.02, 100_000.0);
    let quick = Link::new(8000.0, 100, 0.02, 100_000.0);
    let mut net = Net::one(quick, 7);
    net.run(20.0, |_| true);
    net.link = slow;
    net.run(10.0, |_| true);
    let arrived = net.run(20.0, |_| true);
    let (used, wait) = (arrived as f64 / (slow.bytes_per_s * 20.0), net.wait_at(0.9));
    println!("slow: {used:.2}, {wait:?}");
    assert!(
        used > 0.75 && wait < Duration::from_millis(300),
        "{used} {wait:?}"
    );
    net.link = quick;
    net.run(15.0, |_| true);
    let arrived = net.run(20.0, |_| true);
    let used = arrived as f64 / (quick.bytes_per_s * 20.0);
    println!("quick again: {used:.2}");
    assert!(used > 0.75, "{used}");
    // A longer way: the round trip that was the shortest is forgotten.
    net.link.round_trip = Duration::from_millis(400);
    net.run(30.0, |_| true);
    let arrived = net.run(20.0, |_| true);
    let used = arrived as f64 / (quick.bytes_per_s * 20.0);
    println!("farther: {used:.2}");
    assert!(used > 0.75, "{used}");
}

#[test]
fn times_without_anything_to_send_teach_nothing_wrong() {
    let link = Link::new(2000.0, 200, 0.02, 100_000.0);
    let mut net = Net::one(link, 3);
    net.run(20.0, |_| true);
    // A fifth of a second in each ten.
    net.run(120.0, |now| now.as_millis() % 10_000 < 200);
    let arrived = net.run(3.0, |_| true);
    let used = arrived as f64 / (link.bytes_per_s * 3.0);
    println!("{used:.2}");
    assert!(used > 0.7, "{used}");
}

#[test]
fn beside_one_that_fills_every_queue_it_gets_its_share() {
    let link = Link::new(4000.0, 80, 0.0, 60_000.0);
    let other = Sender::Halving {
        window: 20_000.0,
        until: Duration::ZERO,
    };
    let mut net = Net::new(link, 5, vec![ours(), other]);
    net.run(20.0, |_| true);
    let before = net.flows[0].arrived;
    let all = net.run(60.0, |_| true);
    let share = (net.flows[0].arrived - before) as f64 / all as f64;
    println!("{share:.2}");
    assert!((0.15..0.85).contains(&share), "{share}");
}

#[test]
fn many_of_one_kind_share_a_link() {
    let link = Link::new(4000.0, 200, 0.02, 200_000.0);
    let senders = (0..4).map(|_| ours());
    let mut net = Net::new(link, 9, senders.collect());
    net.run(30.0, |_| true);
    let before: Vec<u64> = net.flows.iter().map(|flow| flow.arrived).collect();
    let all = net.run(120.0, |_| true);
    let used = all as f64 / (link.bytes_per_s * 120.0);
    let thrown = net.seen.overflowed as f64 / net.seen.sent as f64;
    println!("{used:.2} used, {:?}, {thrown:.3}", net.wait_at(0.5));
    assert!(used > 0.85 && thrown < 0.1, "{used} {thrown}");
    for (flow, before) in net.flows.iter().zip(before) {
        let share = (flow.arrived - before) as f64 / all as f64;
        println!("{share:.2}");
        assert!((0.1..0.5).contains(&share), "{share}");
    }
}

#[test]
fn after_a_cut_it_begins_anew() {
    let mut net = Net::one(Link::new(1000.0, 300, 0.0, 100_000.0), 1);
    net.run(10.0, |_| true);
    let Sender::Arrivals(arrivals) = &mut net.flows[0].sender else {
        panic!("it is one");
    };
    assert!(arrivals.rate().is_some());
    arrivals.lost(net.begun, PACKET, true);
    assert_eq!(arrivals.window(), arrivals.first_window());
    assert_eq!(arrivals.rate(), None);
}
