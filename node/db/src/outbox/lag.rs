//! How far shipping is behind, by class: rows, bytes, and the age of the oldest row that waits.

use activestore_types::{Epoch, Result, SyncClass};

use parking_lot::Mutex;
use serde::Serialize;

use super::queue::Queue;
use super::segment::Segment;

/// What waits of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) class: SyncClass,
    /// Chains of it: of backlogs there may be several.
    pub(crate) chains: u64,
    pub(crate) segments: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// When the oldest row that waits was written, in milliseconds since 1970; `None` where none waits.
    pub(crate) oldest_ms: Option<u64>,
}

impl Lag {
    /// The age of the oldest row that waits, in seconds.
    pub(crate) fn age_s(&self, now_ms: u64) -> Option<f64> {
        let age_ms = now_ms.saturating_sub(self.oldest_ms?);
        Some(age_ms as f64 / 1000.0)
    }
}

/// What of one class of rows is sealed and not acknowledged.
#[derive(Clone, Debug, Serialize)]
pub struct ClassReport {
    /// `alarm`, `control`, `live` or `backlog`.
    pub class: &'static str,
    /// Segments.
    pub segments: u64,
    /// Rows in them.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long ago the oldest of the rows was written, in seconds; `null` where none waits.
    pub oldest_s: Option<f64>,
}

impl ClassReport {
    pub(crate) fn of(lag: &Lag, now_ms: u64) -> Self {
        ClassReport {
            class: lag.class.name(),
            segments: lag.segments,
            rows: lag.rows,
            bytes: lag.bytes,
            oldest_s: lag.age_s(now_ms),
        }
    }
}

/// When the oldest row of each chain's first waiting segment was written: read once for each.
#[derive(Default)]
pub(super) struct Oldest(Mutex<Vec<(Epoch, u64, Option<u64>)>>);

impl Oldest {
    /// What waits, of every class.
    pub(super) fn lags(&self, queue: &Queue) -> Vec<Lag> {
        let standing = queue.standing();
        let known = self.0.lock().clone();
        let mut read = Vec::new();
        let mut lags = SyncClass::ALL.map(|class| Lag {
            class,
            chains: 0,
            segments: 0,
            rows: 0,
            bytes: 0,
            oldest_ms: None,
        });
        for chain in standing.chains.iter().filter(|chain| chain.waiting() > 0) {
            let Some(lag) = lags.iter_mut().find(|lag| lag.class == chain.class) else {
                continue;
            };
            lag.chains += 1;
            lag.segments += chain.waiting();
            lag.rows += chain.pending_rows;
            lag.bytes += chain.pending_bytes;
            let (epoch, sequence) = (chain.epoch, chain.acknowledged + 1);
            let before = known
                .iter()
                .find(|(of, at, _)| (*of, *at) == (epoch, sequence));
            let oldest_ms = match before {
                Some((_, _, oldest_ms)) => *oldest_ms,
                // One that cannot be read is told where it is to be shipped.
                None => oldest_of(queue, epoch, sequence).ok().flatten(),
            };
            read.push((epoch, sequence, oldest_ms));
            lag.oldest_ms = [lag.oldest_ms, oldest_ms].into_iter().flatten().min();
        }
        *self.0.lock() = read;
        lags.to_vec()
    }
}

fn oldest_of(queue: &Queue, epoch: Epoch, sequence: u64) -> Result<Option<u64>> {
    match queue.segment(epoch, sequence)? {
        Some(segment) => Segment::unpack(&segment.payload)?.oldest_ms(),
        None => Ok(None),
    }
}
