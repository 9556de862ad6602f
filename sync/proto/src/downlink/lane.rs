//! One lane of an edge as the cloud has it, and whether the history of its chain is the one known here: a cloned or
//! rolled-back image, or a cloud that went back to an older state, is found out before a segment is taken.

use activestore_types::SyncClass;

use super::attesting::Durable;
use crate::flow::Receiving;
use crate::frame::{LaneHeld, LaneOffer};
use crate::host::Progress;
use crate::limits::Limits;

#[derive(Debug)]
pub(super) enum Stage {
    /// Waits until the greeting is answered.
    Offered,
    /// The host looks up the progress.
    Asking,
    /// Both ends agree; segments are taken.
    Receiving,
    /// The chain's history is not the one known here.
    SetAside { reason: String },
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) offer: LaneOffer,
    pub(super) stage: Stage,
    pub(super) receiving: Receiving,
    /// Whether a segment came for which there was no room beside those of all lanes.
    pub(super) passed_over: bool,
}

/// Why a chain that was offered so does not follow what is known here.
pub(super) fn misfit(offer: &LaneOffer, progress: Progress) -> Option<String> {
    let acked = offer.acked();
    if acked > progress.seq {
        Some(format!(
            "the cloud holds segments up to {} and the edge was told {acked}: the cloud's data is \
             older than what it acknowledged, or the edge spoke to another cloud",
            progress.seq
        ))
    } else if offer.last_sealed < progress.seq {
        Some(format!(
            "the cloud holds segments up to {} and the edge sealed only {}: the edge's data \
             directory is a copy or an older image",
            progress.seq, offer.last_sealed
        ))
    } else if acked == progress.seq && acked > 0 && offer.acked_hash != progress.hash {
        Some(format!(
            "segment {acked} is another one in the cloud than at the edge: its data directory is a \
             copy"
        ))
    } else {
        None
    }
}

impl Lane {
    pub(super) fn begin(&mut self, window: Limits, progress: Progress) {
        self.stage = Stage::Receiving;
        let window = window.of_class(self.offer.class);
        self.receiving.begin(self.offer.epoch, progress, window);
    }

    pub(super) fn held(&self) -> LaneHeld {
        let durable = self.receiving.durable();
        LaneHeld {
            epoch: self.offer.epoch,
            durable_seq: durable.seq,
            durable_hash: durable.hash,
        }
    }

    pub(super) fn durable(&self) -> Durable {
        Durable {
            epoch: self.offer.epoch,
            seq: self.receiving.durable_seq(),
            last_sealed: self.last_sealed(),
            ends: self.offer.class == SyncClass::Backlog,
        }
    }

    pub(super) fn last_sealed(&self) -> u64 {
        self.receiving.last_sealed().max(self.offer.last_sealed)
    }
}
