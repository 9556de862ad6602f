//! The cloud's side: signs what the inbox made durable.

use std::sync::atomic::Ordering;

use activestore_store::WalSync;
use activestore_sync_proto::{Receipt, Statement};
use activestore_types::{Epoch, NodeId, Result};

use crate::db::Inner;

/// Receipts that are remembered for people, at most; the oldest go.
const REMEMBERED_MAX: usize = 65_536;

impl Inner {
    /// What is durable here of an edge's epoch, signed; `None` where there is nothing, and where this node
    /// signs nothing.
    pub(crate) fn attest(&self, node: NodeId, epoch: Epoch) -> Result<Option<Receipt>> {
        let Some(signer) = self.receipts.signer.get() else {
            return Ok(None);
        };
        // A commit is then answered before it is on the disk: nothing that can be promised to an auditor.
        if let WalSync::Interval(_) = self.options.wal_sync {
            return Ok(None);
        }
        let Some(progress) = self.signable(node, epoch)? else {
            return Ok(None);
        };
        let receipt = signer.sign(&Statement {
            cloud: self.node,
            edge: node,
            epoch,
            seq: progress.seq,
            hash: progress.hash,
            rows: progress.rows,
            issued_ms: self.wall_ms(),
        })?;
        self.receipts.issued_count.fetch_add(1, Ordering::Relaxed);
        let mut issued = self.receipts.issued.lock();
        issued.insert((node, epoch), receipt.clone());
        if issued.len() > REMEMBERED_MAX {
            let oldest = issued
                .iter()
                .min_by_key(|(_, receipt)| receipt.statement.issued_ms)
                .map(|(key, _)| *key);
            oldest.and_then(|key| issued.remove(&key));
        }
        Ok(Some(receipt))
    }
}
