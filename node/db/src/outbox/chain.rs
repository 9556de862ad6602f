//! Where the outbox stands: its chains of segments and how far the log is sealed.
//!
//! There is one chain of live rows, one of alarms and one of control rows once there were any, and of backlogs
//! as many as outages left, each with an epoch of its own. Live rows are sealed in their own time, urgent ones
//! at once, so the log has two cursors. What lies between them was sealed as far as it is urgent.

use std::collections::BTreeMap;

use activestore_sync_proto::{ChainHash, OutboxChain, OutboxPosition};
use activestore_types::{Epoch, Lsn, SyncClass, TableId};
use serde::{Deserialize, Serialize};

use super::let_go::LetGo;

/// Backlogs that are done and wait for a receipt, at most.
const CLOSED_MAX: usize = 64;

/// One chain of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chain {
    pub(crate) class: SyncClass,
    pub(crate) epoch: Epoch,
    /// The sequence of the newest sealed segment; 0 before the first.
    pub(crate) last_sealed: u64,
    /// The hash of the newest sealed segment: the next one's `prev_hash`.
    pub(crate) last_hash: ChainHash,
    /// The highest acknowledged sequence.
    pub(crate) acknowledged: u64,
    /// The hash of the highest acknowledged segment.
    pub(crate) acknowledged_hash: ChainHash,
    /// Rows in the segments that wait.
    pub(crate) pending_rows: u64,
    /// Bytes in the segments that wait.
    pub(crate) pending_bytes: u64,
}

impl Chain {
    pub(super) fn fresh(class: SyncClass, epoch: Epoch) -> Self {
        Chain {
            class,
            epoch,
            last_sealed: 0,
            last_hash: ChainHash::GENESIS,
            acknowledged: 0,
            acknowledged_hash: ChainHash::GENESIS,
            pending_rows: 0,
            pending_bytes: 0,
        }
    }

    /// Segments that wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.last_sealed.saturating_sub(self.acknowledged)
    }

    /// As the protocol sees it.
    pub(super) fn offered(&self) -> OutboxChain {
        OutboxChain {
            class: self.class,
            epoch: self.epoch,
            position: OutboxPosition {
                first_unacked: self.acknowledged + 1,
                last_sealed: self.last_sealed,
                acked_hash: self.acknowledged_hash,
            },
        }
    }
}

/// A backlog that is shipped whole and of which no receipt says so yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closed {
    pub(crate) epoch: Epoch,
    pub(crate) last_sealed: u64,
    pub(crate) last_hash: ChainHash,
}

/// Where the whole outbox stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The first log record of which something may not be sealed: the log is held from here on.
    pub(crate) cursor: Lsn,
    /// The first log record whose urgent rows may not be sealed; never before `cursor`.
    pub(crate) urgent: Lsn,
    /// The tables whose rows of the records before `urgent` were taken as urgent. It changes only where both
    /// cursors stand at one place.
    pub(crate) classes: BTreeMap<TableId, SyncClass>,
    /// That of live rows is the first; backlogs come in their order, the oldest first.
    pub(crate) chains: Vec<Chain>,
    /// Backlogs that are done and not covered by a receipt.
    pub(crate) closed: Vec<Closed>,
    /// Rises whenever receipts will never say of all rows before that they arrived: an epoch was set aside, or a
    /// backlog's last receipt did not come.
    pub(crate) generation: u64,
    /// What was let go because the outbox was full. Older files end before it.
    pub(crate) let_go: LetGo,
}

/// How far the log was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// Everything before this record.
    All(Lsn),
    /// What is urgent of everything before this record.
    Urgent(Lsn),
}

impl Standing {
    pub(super) fn fresh(epoch: Epoch, cursor: Lsn) -> Self {
        Standing {
            cursor,
            urgent: cursor,
            classes: BTreeMap::new(),
            chains: vec![Chain::fresh(SyncClass::Live, epoch)],
            closed: Vec::new(),
            generation: 0,
            let_go: LetGo::default(),
        }
    }

    /// Lets go of backlogs that are done: a receipt of each is waited for, within a bound.
    pub(super) fn close_backlogs(&mut self) {
        let is_done = |chain: &Chain| chain.class == SyncClass::Backlog && chain.waiting() == 0;
        let done = self.chains.iter().filter(|chain| is_done(chain));
        self.closed.extend(done.map(|chain| Closed {
            epoch: chain.epoch,
            last_sealed: chain.last_sealed,
            last_hash: chain.last_hash,
        }));
        self.chains.retain(|chain| !is_done(chain));
        if self.closed.len() > CLOSED_MAX {
            self.disown();
        }
    }

    /// Receipts say nothing any more of what was sealed until now.
    pub(super) fn disown(&mut self) {
        self.generation += 1;
        self.closed.clear();
    }

    pub(super) fn moved(&mut self, sealed: Sealed) {
        match sealed {
            Sealed::All(next) => {
                self.cursor = self.cursor.max(next);
                self.urgent = self.urgent.max(next);
            }
            Sealed::Urgent(next) => self.urgent = self.urgent.max(next),
        }
    }

    /// The chain of live rows.
    pub(crate) fn live(&self) -> Chain {
        let first = self.chains.first().copied();
        first.unwrap_or_else(|| Chain::fresh(SyncClass::Live, Epoch::default()))
    }

    pub(crate) fn chain(&self, epoch: Epoch) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.epoch == epoch)
    }

    pub(super) fn chain_mut(&mut self, epoch: Epoch) -> Option<&mut Chain> {
        self.chains.iter_mut().find(|chain| chain.epoch == epoch)
    }

    /// Bytes in the segments that wait, in all chains.
    pub(crate) fn pending_bytes(&self) -> u64 {
        self.chains.iter().map(|chain| chain.pending_bytes).sum()
    }

    /// Segments that wait, in all chains.
    pub(crate) fn waiting(&self) -> u64 {
        self.chains.iter().map(Chain::waiting).sum()
    }

    /// The chains as they are to be shipped: live rows first, then the most urgent.
    pub(super) fn offered(&self) -> Vec<OutboxChain> {
        let mut chains: Vec<_> = self.chains.iter().map(Chain::offered).collect();
        if let Some(others) = chains.get_mut(1..) {
            others.sort_by_key(|chain| chain.class);
        }
        chains
    }

    /// How many of the segments up to those that are named here are not acknowledged; of chains that are gone, none.
    pub(crate) fn left_of(&self, segments: &[(Epoch, u64)]) -> u64 {
        let left = segments.iter().filter_map(|(epoch, sequence)| {
            let chain = self.chain(*epoch)?;
            Some(sequence.saturating_sub(chain.acknowledged))
        });
        left.sum()
    }

    /// Whether every segment that is named here was acknowledged, or is in no chain any more.
    pub(crate) fn holds_none_of(&self, segments: &[(Epoch, u64)]) -> bool {
        self.left_of(segments) == 0
    }
}

/// What becomes a segment.
pub(crate) struct Payload {
    pub(crate) rows: u64,
    pub(crate) bytes: bytes::Bytes,
    /// The data key of its own that its partition has.
    pub(crate) own: Option<u32>,
}
