//! The queue as the sync sees it.

use std::sync::atomic::Ordering;

use activestore_sync_proto::{LANES_VERSION, Outbox, OutboxChain, OutboxPosition, SealedSegment};
use activestore_types::{Epoch, NodeId, Result};

use super::{ROTATE_OVER, Sealer, Waker};

impl Outbox for Sealer {
    fn identity(&self) -> (NodeId, String, Epoch) {
        let shared = &self.shared;
        (shared.node, shared.name.clone(), shared.queue.live().epoch)
    }

    fn position(&self) -> OutboxPosition {
        self.shared.queue.live().offered().position
    }

    fn chains(&self) -> Vec<OutboxChain> {
        self.shared.queue.standing().offered()
    }

    fn connection(&self, protocol: Option<u16>) {
        let shared = &self.shared;
        if let Some(protocol) = protocol {
            let lanes = protocol >= LANES_VERSION;
            shared.lanes.store(lanes, Ordering::Release);
            if let Err(error) = shared.queue.miss_receipts() {
                tracing::warn!(%error, "receipts that did not come are still waited for");
            }
            // An old cloud takes one chain after the other: then one more would only make it slower.
            let rotated = if lanes {
                shared.queue.rotate(ROTATE_OVER)
            } else {
                Ok(false)
            };
            match rotated {
                Ok(true) => tracing::info!("what waited to be shipped goes behind live rows now"),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "what waits to be shipped stays before live rows");
                }
            }
        }
        shared.bell.away(protocol.is_none());
    }

    fn segment(&self, epoch: Epoch, seq: u64) -> Result<Option<SealedSegment>> {
        self.shared.queue.hand_out(epoch, seq)
    }

    fn acknowledged(&self, epoch: Epoch, seq: u64) -> Result<()> {
        self.shared
            .refused
            .lock()
            .take_if(|(refused, _)| *refused == epoch);
        self.shared.queue.acknowledge(epoch, seq)
    }

    fn refused(&self, epoch: Epoch, seq: u64, reason: &str) {
        tracing::warn!(
            seq,
            reason,
            "the cloud refused a segment; it is kept and offered again"
        );
        let by = self.shared.addressee.for_people();
        self.shared.events.segment_refused(&by, seq, reason);
        *self.shared.refused.lock() = Some((epoch, reason.to_owned()));
    }

    fn new_epoch(&self, epoch: Epoch) -> Result<()> {
        let after = self.shared.queue.restart(epoch)?;
        if let Some(after) = after {
            tracing::warn!(
                before = ?epoch,
                ?after,
                "this data directory is not the one the cloud knows; a new epoch starts"
            );
            let by = self.shared.addressee.for_people();
            self.shared.events.epoch_follows(&by, epoch, after);
        }
        Ok(())
    }

    fn on_sealed(&self, waker: Waker) {
        *self.shared.waker.lock() = Some(waker);
    }
}
