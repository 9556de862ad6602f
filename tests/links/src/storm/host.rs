//! An edge that has nothing to ship and takes whatever definitions it is offered: what is left is the connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use activestore_sync_proto::{
    ChainHash, Outbox, OutboxPosition, Replica, SealedSegment, StartOver, TableDigest,
};
use activestore_types::{Epoch, NodeId, Result};

pub struct StormEdge {
    node: NodeId,
    epoch: Epoch,
    catalog: AtomicU64,
}

impl StormEdge {
    pub fn new(node: NodeId, epoch: Epoch) -> StormEdge {
        StormEdge {
            node,
            epoch,
            catalog: AtomicU64::new(0),
        }
    }
}

impl Outbox for StormEdge {
    fn identity(&self) -> (NodeId, String, Epoch) {
        (self.node, "one of a storm".to_owned(), self.epoch)
    }

    fn position(&self) -> OutboxPosition {
        OutboxPosition {
            first_unacked: 1,
            last_sealed: 0,
            acked_hash: ChainHash::GENESIS,
        }
    }

    fn segment(&self, _: Epoch, _: u64) -> Result<Option<SealedSegment>> {
        Ok(None)
    }

    fn acknowledged(&self, _: Epoch, _: u64) -> Result<()> {
        Ok(())
    }

    fn new_epoch(&self, _: Epoch) -> Result<()> {
        Ok(())
    }

    fn on_sealed(&self, _: Box<dyn Fn() + Send + Sync>) {}
}

impl Replica for StormEdge {
    fn catalog_version(&self) -> u64 {
        self.catalog.load(Ordering::Relaxed)
    }

    fn adopt_catalog(&self, version: u64, _: &[u8]) -> Result<()> {
        self.catalog.store(version, Ordering::Relaxed);
        Ok(())
    }

    fn missing_blobs(&self, _: &[u8]) -> Result<Vec<[u8; 32]>> {
        Ok(Vec::new())
    }

    fn put_blob(&self, _: [u8; 32], _: Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn digests(&self) -> Result<Vec<TableDigest>> {
        Ok(Vec::new())
    }

    fn observe_clock(&self, _: u64, _: Duration) {}

    fn start_over(&self, _: &StartOver) -> Result<()> {
        Ok(())
    }

    fn apply_down(&self, _: NodeId, _: Epoch, _: &SealedSegment) -> Result<()> {
        Ok(())
    }

    fn apply_rows(&self, _: Epoch, _: &[u8], _: &[u8], _: Option<&[u8]>) -> Result<()> {
        Ok(())
    }
}
