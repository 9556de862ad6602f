//! The edge's side of what flows down: definitions and the files they need, adopted whole, and the rows of
//! [`crate::down`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use activestore_catalog::{Bundle, Change};
use activestore_store::{Note, WriteSet};
use activestore_sync_proto::reconcile::Holdings;
use activestore_sync_proto::{
    DownPosition, Health, Receipt, Replica, SealedSegment, StartOver, TableDigest,
};
use activestore_types::{Epoch, Error, NodeId, Result};

use crate::blobs::sha256;
use crate::db::Inner;
use crate::events::Kind;
use crate::outbox::News;
use crate::reconcile::Mirror;

/// The version of the cloud's definitions that are in force here.
pub(crate) const VERSION_NOTE: &[u8] = b"sync/catalog";

/// The edge's side of one database.
pub(crate) struct Adopter {
    pub(crate) inner: Arc<Inner>,
    pub(crate) mirror: Mirror,
}

/// The version of the cloud's definitions adopted last; 0 for none.
pub(crate) fn held_definitions(inner: &Inner) -> u64 {
    inner
        .store
        .note(VERSION_NOTE)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

impl Replica for Adopter {
    fn catalog_version(&self) -> u64 {
        held_definitions(&self.inner)
    }

    fn adopt_catalog(&self, version: u64, bytes: &[u8]) -> Result<()> {
        let inner = &self.inner;
        let change = Change::AdoptBundle(Bundle::decode(bytes)?);
        // What works here goes on working, or the definitions wait until they are mended.
        let next = inner.catalog.preview(change.clone())?;
        let rehearsed = inner.plugins.rehearse(&inner.catalog.state(), &next)?;
        // Adopting twice changes nothing, so a crash between the two steps is harmless.
        inner.change(change)?;
        drop(rehearsed);
        inner.store.commit(WriteSet {
            batches: Vec::new(),
            tombstones: Vec::new(),
            notes: vec![Note {
                key: VERSION_NOTE.to_vec(),
                value: Some(version.to_le_bytes().to_vec()),
            }],
        })?;
        // The record holds nothing to ship, and the log is held until the outbox has seen that.
        inner.wake_sealers(News::default());
        tracing::info!(version, "the cloud's definitions are in force");
        let text = format!("version {version} of the cloud's definitions is in force");
        inner.events.tell(Kind::Definitions, None, text);
        Ok(())
    }

    fn missing_blobs(&self, bytes: &[u8]) -> Result<Vec<[u8; 32]>> {
        Ok(Bundle::decode(bytes)?
            .blobs()
            .into_iter()
            .filter(|hash| !self.inner.blobs.holds(hash))
            .collect())
    }

    fn put_blob(&self, hash: [u8; 32], bytes: Vec<u8>) -> Result<()> {
        if sha256(&bytes) != hash {
            return Err(Error::corrupt(
                "a file from the cloud does not match its hash",
            ));
        }
        self.inner.blobs.put(&bytes).map(|_| ())
    }

    fn digests(&self) -> Result<Vec<TableDigest>> {
        self.inner.digests(Some(self.inner.node))
    }

    fn holdings(&self) -> Option<&dyn Holdings> {
        Some(&self.mirror)
    }

    fn observe_clock(&self, server_wall_ms: u64, rtt: Duration) {
        let here = self.inner.env.clock.wall_ms();
        let there = server_wall_ms.saturating_add(rtt.as_millis() as u64 / 2);
        let offset = there as i64 - here as i64;
        let before = self.inner.clock_offset_ms.swap(offset, Ordering::Relaxed);
        self.inner.tell_of_clock(before, offset);
        self.inner
            .eviction
            .clock_known
            .store(true, Ordering::Relaxed);
    }

    fn receipt(&self, receipt: &Receipt) -> Result<bool> {
        self.inner.take_receipt(receipt, None)
    }

    fn health(&self) -> Health {
        self.inner.plugin_health()
    }

    fn down_position(&self) -> Result<DownPosition> {
        self.inner.down_position()
    }

    fn start_over(&self, start: &StartOver) -> Result<()> {
        self.inner.start_over(start)
    }

    fn apply_down(&self, node: NodeId, epoch: Epoch, segment: &SealedSegment) -> Result<()> {
        self.inner.apply_down(node, epoch, segment)
    }

    fn apply_rows(
        &self,
        epoch: Epoch,
        from: &[u8],
        payload: &[u8],
        next: Option<&[u8]>,
    ) -> Result<()> {
        self.inner.apply_rows(epoch, from, payload, next)
    }
}
