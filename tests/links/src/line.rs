//! A link as a gateway has it: a UDP relay with a rate, a delay, losses and a bounded queue in each
//! direction, which can be cut.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::random::Random;

/// What IPv4 and UDP add to each datagram, in bytes.
const HEADERS: usize = 28;
const POLL: Duration = Duration::from_millis(50);

/// What a direction is like.
#[derive(Clone, Copy)]
pub struct Quality {
    pub bits_per_s: f64,
    pub delay: Duration,
    /// Of a hundred datagrams.
    pub loss_percent: f64,
    /// What waits for the wire at most, in bytes; more is dropped.
    pub queue_bytes: f64,
}

/// What crossed one direction.
#[derive(Default)]
pub struct Meter {
    pub datagrams: AtomicU64,
    /// With the headers of IP and UDP.
    pub bytes: AtomicU64,
    pub lost: AtomicU64,
    pub overflowed: AtomicU64,
}

#[derive(Default)]
struct Shared {
    cut: AtomicBool,
    edge: Mutex<Option<SocketAddr>>,
    up: Meter,
    down: Meter,
}

/// The running link.
pub struct Line {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Line {
    pub fn start(cloud: SocketAddr, quality: Quality, seed: u64) -> Line {
        let near = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let far = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        far.connect(cloud).unwrap();
        let shared = Arc::new(Shared::default());
        let address = near.local_addr().unwrap();
        for up in [true, false] {
            let (from, to) = if up {
                (near.clone(), far.clone())
            } else {
                (far.clone(), near.clone())
            };
            let shared = shared.clone();
            std::thread::spawn(move || {
                let mut direction = Direction {
                    up,
                    shared,
                    quality,
                    random: Random::new(seed.wrapping_mul(2).wrapping_add(u64::from(up))),
                    free_at: Instant::now(),
                    waiting: VecDeque::new(),
                };
                direction.carry(&from, &to);
            });
        }
        Line { address, shared }
    }

    pub fn cut(&self, cut: bool) {
        self.shared.cut.store(cut, Ordering::Relaxed);
    }

    /// Bytes up and down with headers, datagrams up and down, lost and overflowed since the last call.
    pub fn take(&self) -> [u64; 6] {
        let Shared { up, down, .. } = &*self.shared;
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        [
            take(&up.bytes),
            take(&down.bytes),
            take(&up.datagrams),
            take(&down.datagrams),
            take(&up.lost) + take(&down.lost),
            take(&up.overflowed) + take(&down.overflowed),
        ]
    }
}

struct Direction {
    up: bool,
    shared: Arc<Shared>,
    quality: Quality,
    random: Random,
    /// When the wire is free again.
    free_at: Instant,
    waiting: VecDeque<(Instant, Vec<u8>)>,
}

impl Direction {
    fn carry(&mut self, from: &UdpSocket, to: &UdpSocket) {
        let mut buffer = vec![0_u8; 65_536];
        loop {
            let now = Instant::now();
            while self.waiting.front().is_some_and(|(due, _)| *due <= now) {
                let (_, datagram) = self.waiting.pop_front().unwrap();
                // UDP promises nothing, and neither does this link.
                let _ = if self.up {
                    to.send(&datagram)
                } else {
                    let edge = *self.shared.edge.lock().unwrap();
                    edge.map_or(Ok(0), |edge| to.send_to(&datagram, edge))
                };
            }
            let wait = self
                .waiting
                .front()
                .map_or(POLL, |(due, _)| due.saturating_duration_since(now));
            from.set_read_timeout(Some(wait.clamp(Duration::from_micros(100), POLL)))
                .unwrap();
            let Ok((length, sender)) = from.recv_from(&mut buffer) else {
                continue;
            };
            if self.up {
                *self.shared.edge.lock().unwrap() = Some(sender);
            }
            self.admit(&buffer[..length]);
        }
    }

    fn admit(&mut self, datagram: &[u8]) {
        if self.shared.cut.load(Ordering::Relaxed) {
            return;
        }
        let meter = if self.up {
            &self.shared.up
        } else {
            &self.shared.down
        };
        let now = Instant::now();
        let bytes = datagram.len() + HEADERS;
        let ahead = self.free_at.saturating_duration_since(now);
        if ahead.as_secs_f64() * self.quality.bits_per_s / 8.0 > self.quality.queue_bytes {
            meter.overflowed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        meter.datagrams.fetch_add(1, Ordering::Relaxed);
        meter.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let takes = Duration::from_secs_f64(bytes as f64 * 8.0 / self.quality.bits_per_s);
        self.free_at = self.free_at.max(now) + takes;
        if self.random.share() * 100.0 < self.quality.loss_percent {
            meter.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.waiting
            .push_back((self.free_at + self.quality.delay, datagram.to_vec()));
    }
}
