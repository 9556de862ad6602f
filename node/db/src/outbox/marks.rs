//! Where in the log the segments end, for receipts: a receipt names a segment, and by its mark it is known
//! which log records it covers, and that it speaks of the segment that was sealed.
//!
//! Marks live in memory. What was sealed before the start has none, but for the last segment and the last
//! acknowledged one, which the queue knows; so after a start a receipt may cover less than it could, never more.

use std::collections::{BTreeMap, VecDeque};

use activestore_sync_proto::ChainHash;
use activestore_types::{Epoch, Lsn, Result, SyncClass};
use parking_lot::Mutex;

use super::Sealer;
use super::chain::{Chain, Standing};

/// Marks of an epoch that no receipt covers yet, at most; then every second of the older half goes.
const MARKS_MAX: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Mark {
    seq: u64,
    hash: ChainHash,
    /// Everything below this is in segments up to `seq`.
    reach: Lsn,
}

/// The marks of every epoch that is sealed.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<BTreeMap<Epoch, VecDeque<Mark>>>);

/// A chain of segments that receipts speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shipped {
    pub(crate) epoch: Epoch,
    /// The newest sealed segment.
    pub(crate) last_sealed: u64,
    /// The first log record of which no segment holds what belongs to the chain; the end of all for a backlog,
    /// to which nothing is added.
    pub(crate) cursor: Lsn,
}

impl Shipped {
    fn of(chain: &Chain, standing: &Standing) -> Self {
        Shipped {
            epoch: chain.epoch,
            last_sealed: chain.last_sealed,
            cursor: match chain.class {
                SyncClass::Live => standing.cursor,
                SyncClass::Alarm | SyncClass::Control => standing.urgent,
                // What is left of chains of which something was let go is added to.
                SyncClass::Backlog if standing.let_go.rest == Some(chain.epoch) => Lsn(0),
                SyncClass::Backlog => Lsn(u64::MAX),
            },
        }
    }
}

impl Marks {
    /// Segments were sealed, and this is where the outbox stands now.
    pub(super) fn sealed(&self, standing: &Standing) {
        let mut epochs = self.0.lock();
        epochs.retain(|epoch, _| {
            let closed = standing.closed.iter().any(|closed| closed.epoch == *epoch);
            closed || standing.chain(*epoch).is_some()
        });
        for chain in &standing.chains {
            let marks = epochs.entry(chain.epoch).or_default();
            // A full outbox may have taken back what nobody has seen of the chain's end.
            while marks
                .back()
                .is_some_and(|mark| mark.seq > chain.last_sealed)
            {
                marks.pop_back();
            }
            if marks
                .back()
                .is_some_and(|mark| mark.seq == chain.last_sealed)
            {
                continue;
            }
            marks.push_back(Mark {
                seq: chain.last_sealed,
                hash: chain.last_hash,
                reach: Shipped::of(chain, standing).cursor,
            });
            if marks.len() > MARKS_MAX {
                let mut place = 0_usize;
                marks.retain(|_| {
                    place += 1;
                    place > MARKS_MAX / 2 || !place.is_multiple_of(2)
                });
            }
        }
    }

    fn hash_at(&self, epoch: Epoch, seq: u64) -> Option<ChainHash> {
        let epochs = self.0.lock();
        let marks = epochs.get(&epoch)?;
        let at = marks.binary_search_by_key(&seq, |mark| mark.seq).ok()?;
        marks.get(at).map(|mark| mark.hash)
    }

    /// The log records below this are in segments up to `seq`.
    fn reach(&self, epoch: Epoch, seq: u64) -> Option<Lsn> {
        let epochs = self.0.lock();
        let marks = epochs.get(&epoch)?;
        let before = marks.partition_point(|mark| mark.seq <= seq);
        marks.get(before.checked_sub(1)?).map(|mark| mark.reach)
    }

    /// A receipt covers up to there: what is older is never asked for again.
    fn covered_up_to(&self, epoch: Epoch, seq: u64) {
        if let Some(marks) = self.0.lock().get_mut(&epoch) {
            let before = marks.partition_point(|mark| mark.seq < seq);
            marks.drain(..before);
        }
    }
}

impl Sealer {
    /// Every chain that receipts are to speak of.
    pub(crate) fn shipped(&self) -> Vec<Shipped> {
        let standing = self.standing();
        let closed = standing.closed.iter().map(|closed| Shipped {
            epoch: closed.epoch,
            last_sealed: closed.last_sealed,
            cursor: Lsn(u64::MAX),
        });
        let chains = standing.chains.iter();
        let chains = chains.map(|chain| Shipped::of(chain, &standing));
        chains.chain(closed).collect()
    }

    /// The hash of a segment; `None` where this node has let go of it.
    pub(crate) fn hash_at(&self, epoch: Epoch, seq: u64) -> Result<Option<ChainHash>> {
        match self.shared.marks.hash_at(epoch, seq) {
            Some(hash) => Ok(Some(hash)),
            None => self.queue().hash_at(epoch, seq),
        }
    }

    /// The log records below this hold nothing that is in a later segment of the chain than `seq`; `None` where
    /// that is not known.
    pub(crate) fn reach(&self, chain: Shipped, seq: u64) -> Option<Lsn> {
        if seq >= chain.last_sealed {
            return Some(chain.cursor);
        }
        self.shared.marks.reach(chain.epoch, seq)
    }

    /// A receipt that covers this much is held.
    pub(crate) fn covered_up_to(&self, epoch: Epoch, seq: u64) -> Result<()> {
        self.shared.marks.covered_up_to(epoch, seq);
        self.queue().covered_up_to(epoch, seq)
    }
}

#[cfg(test)]
mod tests;
