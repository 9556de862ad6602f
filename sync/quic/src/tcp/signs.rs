//! Signs of life over TCP. The kernel finds a link that carries nothing; what it cannot see is a machine in between that goes
//! on acknowledging bytes, or takes none, for a peer that is gone. So a ping has to be answered.
//!
//! A ping waits behind what the kernel and the network hold already, so time counts from the last byte that came, and from
//! the last moment at which a kernel that was full took more: on a slow link it does all the while. A machine that
//! swallows what it gets is found at once where little is sent, and otherwise when the windows of the conversation are full.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::transport::TransportOptions;

/// What was sent may go unacknowledged for so long at least, since TCP backs off after each loss.
const SILENCE_MIN: Duration = Duration::from_secs(5);
/// A sign of life goes after so many of the times after which QUIC sends one, where the time to find a dead link leaves
/// room for it: what translates addresses keeps TCP for far longer than UDP, and a sign and its answer cost twice as
/// much.
const KEEP_ALIVES: u32 = 2;
/// An answer may take so many round trips, however soon a silent peer should be given up.
const ANSWER_RTTS: u32 = 3;
/// No ping waits for its answer.
const ANSWERED: u64 = u64::MAX;

/// After which silence a sign of life goes, if any does.
pub(super) fn every(options: &TransportOptions) -> Option<Duration> {
    let keep_alive = options.keep_alive?;
    // Both together take no longer than over QUIC, as far as TCP can be that quick.
    let room = (keep_alive + options.idle_timeout).saturating_sub(SILENCE_MIN);
    Some((keep_alive * KEEP_ALIVES).min(room).max(keep_alive))
}

/// How long what was sent may go unacknowledged, and a sign of life unanswered.
pub(super) fn patience(options: &TransportOptions) -> Duration {
    let later = match (every(options), options.keep_alive) {
        (Some(every), Some(keep_alive)) => every.saturating_sub(keep_alive),
        _ => Duration::ZERO,
    };
    options.idle_timeout.saturating_sub(later).max(SILENCE_MIN)
}

/// What moved last over a connection, and whether a ping waits for its answer.
#[derive(Debug)]
pub(crate) struct Signs {
    started: Instant,
    /// Microseconds after the start, as all of these.
    moved: AtomicU64,
    asked: AtomicU64,
}

impl Signs {
    pub(super) fn new() -> Signs {
        Signs {
            started: Instant::now(),
            moved: AtomicU64::new(0),
            asked: AtomicU64::new(ANSWERED),
        }
    }

    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Bytes came, or left a kernel that was full.
    pub(super) fn moved(&self) {
        self.moved.store(self.now_us(), Ordering::Relaxed);
    }

    /// A ping goes now.
    pub(super) fn asked(&self) {
        let now = self.now_us();
        // The first that is not answered counts.
        let order = Ordering::Relaxed;
        let _ = self.asked.compare_exchange(ANSWERED, now, order, order);
    }

    pub(super) fn answered(&self) {
        self.asked.store(ANSWERED, Ordering::Relaxed);
    }

    /// When the peer counts as gone if nothing moves any more: nobody answers, or a write that began then is stuck.
    fn gone_at(&self, patience: Duration, writing_since: Option<u64>) -> Option<Instant> {
        let asked = Some(self.asked.load(Ordering::Relaxed)).filter(|asked| *asked != ANSWERED);
        let waits = asked.into_iter().chain(writing_since).min()?;
        let since = waits.max(self.moved.load(Ordering::Relaxed));
        Some(self.started + Duration::from_micros(since) + patience)
    }

    /// Returns once the peer counts as gone. What waits is looked at when this begins.
    pub(super) async fn gone(&self, patience: Duration, writing_since: Option<u64>) {
        loop {
            match self.gone_at(patience, writing_since) {
                None => return std::future::pending().await,
                Some(at) if at <= Instant::now() => return,
                Some(at) => tokio::time::sleep_until(at).await,
            }
        }
    }
}

/// The patience with a peer whose round trip is known.
pub(super) fn patience_at(patience: Duration, rtt: Duration) -> Duration {
    patience.max(rtt * ANSWER_RTTS)
}

#[cfg(test)]
mod tests;
