//! Sealed segments and the chain of hashes that ties them together.
//!
//! The hash is SHA-256, so that two histories of one epoch cannot be made to look alike, neither by
//! chance nor by a peer that lies. This module does not know what a payload holds.

use std::fmt;

use activestore_types::{Epoch, NodeId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Separates the chain's hashes from every other use of SHA-256.
const CHAIN_DOMAIN: &[u8] = b"activestore segment 1\0";

/// The hash of a segment and, through `prev_hash`, of all before it in its epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// What the first segment of an epoch follows.
    pub const GENESIS: ChainHash = ChainHash([0; 32]);
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .take(4)
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A piece of the log, cut, closed and numbered: what travels from an edge to the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSegment {
    /// Its number in the epoch; the first is 1.
    pub seq: u64,
    /// The hash of the segment before it; [`ChainHash::GENESIS`] for the first.
    pub prev_hash: ChainHash,
    /// Its own hash, see [`SealedSegment::seal`].
    pub hash: ChainHash,
    /// Row writes and tombstones in the payload, for reports.
    pub rows: u64,
    /// The rows, encoded by the host; at most [`crate::limits::MAX_FRAME_BYTES`].
    pub payload: Bytes,
}

impl SealedSegment {
    /// Closes a segment: computes the hash that ties it to the one before.
    pub fn seal(
        node: NodeId,
        epoch: Epoch,
        seq: u64,
        prev_hash: ChainHash,
        rows: u64,
        payload: Bytes,
    ) -> Self {
        let hash = chain_hash(node, epoch, seq, prev_hash, rows, &payload);
        SealedSegment {
            seq,
            prev_hash,
            hash,
            rows,
            payload,
        }
    }

    /// Whether the hash is that of this content, written by `node` in `epoch`.
    pub fn verify(&self, node: NodeId, epoch: Epoch) -> bool {
        chain_hash(
            node,
            epoch,
            self.seq,
            self.prev_hash,
            self.rows,
            &self.payload,
        ) == self.hash
    }
}

fn chain_hash(
    node: NodeId,
    epoch: Epoch,
    seq: u64,
    prev_hash: ChainHash,
    rows: u64,
    payload: &[u8],
) -> ChainHash {
    let mut hasher = Sha256::new();
    hasher.update(CHAIN_DOMAIN);
    hasher.update(node.0);
    hasher.update(epoch.0.to_le_bytes());
    hasher.update(seq.to_le_bytes());
    hasher.update(prev_hash.0);
    hasher.update(rows.to_le_bytes());
    hasher.update(payload);
    ChainHash(hasher.finalize().into())
}

/// The SHA-256 of `bytes`: a blob's name.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
