//! What a further cloud may do with this node: sign for what it holds, and compare it. Its definitions and its rows have no
//! way in, and neither has its clock.

use std::sync::Arc;
use std::time::Duration;

use activestore_sync_proto::reconcile::Holdings;
use activestore_sync_proto::{Receipt, Replica, TableDigest};
use activestore_types::{Error, Result};

use super::Further;
use crate::reconcile::Mirror;

/// The node as a further cloud meets it.
pub(super) struct Copied {
    pub(super) further: Arc<Further>,
    pub(super) mirror: Mirror,
}

fn not_from_here() -> Error {
    Error::denied("this node takes its definitions from another cloud")
}

impl Replica for Copied {
    fn catalog_version(&self) -> u64 {
        0
    }

    fn adopt_catalog(&self, _version: u64, _bundle: &[u8]) -> Result<()> {
        Err(not_from_here())
    }

    fn missing_blobs(&self, _bundle: &[u8]) -> Result<Vec<[u8; 32]>> {
        Err(not_from_here())
    }

    fn put_blob(&self, _sha256: [u8; 32], _bytes: Vec<u8>) -> Result<()> {
        Err(not_from_here())
    }

    fn digests(&self) -> Result<Vec<TableDigest>> {
        let inner = &self.mirror.inner;
        let mut all = inner.digests(Some(inner.node))?;
        all.retain(|digest| self.further.outbox.addressee().takes(&digest.table));
        Ok(all)
    }

    fn holdings(&self) -> Option<&dyn Holdings> {
        Some(&self.mirror)
    }

    fn observe_clock(&self, _server_wall_ms: u64, _rtt: Duration) {}

    fn receipt(&self, receipt: &Receipt) -> Result<bool> {
        self.mirror
            .inner
            .take_receipt(receipt, Some(self.further.as_ref()))
    }
}
