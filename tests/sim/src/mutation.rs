//! Defects that are put in on purpose: the checks must find each of them.

use std::sync::Arc;

use activestore_sync_proto::reconcile::Holdings;
use activestore_sync_proto::{
    Follow, FollowAnswer, Health, Inbox, PeerStatus, Progress, Receipt, SealedSegment, TableDigest,
};
use activestore_types::{Epoch, Labels, NodeId, Result};
use bytes::Bytes;

/// A deliberate defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    None,
    /// The cloud acknowledges before rows are durable: a process that ends then forgets them.
    AcknowledgesEarly,
    /// The cloud looks at sequences alone, not at whose epoch they are.
    IgnoresEpochs,
    /// The cloud lets every edge follow its stream from where it stands, whatever was let go since.
    NeverStartsOver,
}

/// An inbox with a defect.
pub struct Mutated {
    pub inner: Arc<dyn Inbox>,
    pub mutation: Mutation,
    /// What [`Mutation::AcknowledgesEarly`] has acknowledged; gone with the process.
    pub held: std::sync::Mutex<Vec<(NodeId, Epoch, SealedSegment)>>,
}

impl Mutated {
    fn apply_held(&self) -> Result<()> {
        for (node, epoch, segment) in self.held.lock().unwrap().drain(..) {
            self.inner.apply(node, epoch, &segment)?;
        }
        Ok(())
    }
}

impl Inbox for Mutated {
    fn progress(&self, node: NodeId, epoch: Epoch) -> Result<Option<Progress>> {
        if self.mutation == Mutation::AcknowledgesEarly {
            self.apply_held()?;
        }
        self.inner.progress(node, epoch)
    }

    fn apply(&self, node: NodeId, epoch: Epoch, segment: &SealedSegment) -> Result<()> {
        match self.mutation {
            Mutation::AcknowledgesEarly => {
                self.apply_held()?;
                let held = (node, epoch, segment.clone());
                self.held.lock().unwrap().push(held);
                Ok(())
            }
            Mutation::IgnoresEpochs => match self.inner.apply(node, epoch, segment) {
                // "I have that number already."
                Err(_) => Ok(()),
                done => done,
            },
            _ => self.inner.apply(node, epoch, segment),
        }
    }

    fn catalog_version(&self) -> u64 {
        self.inner.catalog_version()
    }

    fn forget(&self, node: NodeId, epoch: Epoch) -> Result<()> {
        self.inner.forget(node, epoch)
    }

    fn attest(&self, node: NodeId, epoch: Epoch) -> Result<Option<Receipt>> {
        self.inner.attest(node, epoch)
    }

    fn holdings(&self) -> Option<&dyn Holdings> {
        self.inner.holdings()
    }

    fn member(&self, node: NodeId, labels: &Labels) {
        self.inner.member(node, labels);
    }

    fn health(&self, node: NodeId, health: Health) {
        self.inner.health(node, health);
    }

    fn catalog_bundle(&self, node: NodeId) -> Result<(u64, Vec<u8>)> {
        self.inner.catalog_bundle(node)
    }

    fn blob(&self, sha256: [u8; 32]) -> Result<Option<Bytes>> {
        self.inner.blob(sha256)
    }

    fn digests(&self, origin: NodeId) -> Result<Vec<TableDigest>> {
        self.inner.digests(origin)
    }

    fn peer_seen(&self, status: PeerStatus) {
        self.inner.peer_seen(status);
    }

    fn follow(&self, node: NodeId, follow: &Follow) -> Result<FollowAnswer> {
        let answer = self.inner.follow(node, follow)?;
        if self.mutation == Mutation::NeverStartsOver
            && follow.epoch != Epoch(0)
            && let FollowAnswer::StartOver(start) = &answer
        {
            return Ok(FollowAnswer::Fits {
                last_sealed: start.seq,
            });
        }
        Ok(answer)
    }

    fn down_position(&self) -> Option<(Epoch, u64)> {
        self.inner.down_position()
    }

    fn down_segment(&self, epoch: Epoch, seq: u64) -> Result<Option<SealedSegment>> {
        self.inner.down_segment(epoch, seq)
    }

    fn down_acknowledged(&self, node: NodeId, epoch: Epoch, seq: u64) -> Result<()> {
        self.inner.down_acknowledged(node, epoch, seq)
    }

    fn down_rows(&self, cursor: &[u8]) -> Result<(Bytes, Option<Bytes>)> {
        self.inner.down_rows(cursor)
    }

    fn on_down_sealed(&self, waker: Box<dyn Fn() + Send + Sync>) {
        self.inner.on_down_sealed(waker);
    }
}
