//! The calls a machine asks its host to run, and their answers, as data: the driver decides on which
//! thread they run. A machine has at most one call of each kind under way.

use activestore_types::{Epoch, Error, NodeId, Result};
use bytes::Bytes;

use crate::digest::TableDigest;
use crate::host::{Inbox, Outbox, OutboxPosition, PeerStatus, Progress, Replica};
use crate::segment::{SealedSegment, sha256};

/// A call of the edge's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeCall {
    /// Who and where the outbox is.
    Position,
    /// Read a segment.
    Segment {
        /// Its number.
        seq: u64,
    },
    /// Note an acknowledgement.
    Acknowledged {
        /// The epoch.
        epoch: Epoch,
        /// The last durable sequence.
        seq: u64,
    },
    /// Tell the outbox that a segment was refused.
    Refused {
        /// The segment.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// Start a new epoch.
    StartEpoch,
    /// Which blobs of the bundle are missing?
    MissingBlobs {
        /// The bundle.
        bundle: Bytes,
    },
    /// Keep a verified blob.
    PutBlob {
        /// Its name.
        sha256: [u8; 32],
        /// Its content.
        bytes: Vec<u8>,
    },
    /// Adopt a bundle.
    AdoptCatalog {
        /// Its version.
        version: u64,
        /// The bundle.
        bundle: Bytes,
    },
    /// Digests of this node's own cells.
    Digests,
    /// The cloud's clock was seen.
    ObserveClock {
        /// Its wall clock, milliseconds since 1970.
        server_wall_ms: u64,
        /// The round trip it came with.
        rtt: std::time::Duration,
    },
}

/// The answer to an [`EdgeCall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeReply {
    /// To `Position`.
    Position {
        /// This node.
        node: NodeId,
        /// Its name.
        name: String,
        /// Its epoch.
        epoch: Epoch,
        /// Where the outbox stands.
        position: OutboxPosition,
        /// The cloud's catalog version held.
        catalog_version: u64,
    },
    /// To `Segment`.
    Segment {
        /// The number asked for.
        seq: u64,
        /// What was read.
        segment: Result<Option<SealedSegment>>,
    },
    /// To `Acknowledged`.
    Acknowledged {
        /// The sequence told.
        seq: u64,
        /// Whether it was recorded.
        result: Result<()>,
    },
    /// To `StartEpoch`.
    EpochStarted(Result<()>),
    /// To `MissingBlobs`.
    MissingBlobs(Result<Vec<[u8; 32]>>),
    /// To `PutBlob`.
    BlobPut(Result<()>),
    /// To `AdoptCatalog`.
    CatalogAdopted {
        /// The version.
        version: u64,
        /// Whether it was adopted.
        result: Result<()>,
    },
    /// To `Digests`.
    Digests(Result<Vec<TableDigest>>),
    /// To calls without an answer.
    Done,
}

/// Runs a call of the edge's machine. Blocks as long as the host does.
pub fn run_edge_call(call: EdgeCall, outbox: &dyn Outbox, replica: &dyn Replica) -> EdgeReply {
    match call {
        EdgeCall::Position => {
            let (node, name, epoch) = outbox.identity();
            EdgeReply::Position {
                node,
                name,
                epoch,
                position: outbox.position(),
                catalog_version: replica.catalog_version(),
            }
        }
        EdgeCall::Segment { seq } => EdgeReply::Segment {
            seq,
            segment: outbox.segment(seq),
        },
        EdgeCall::Acknowledged { epoch, seq } => EdgeReply::Acknowledged {
            seq,
            result: outbox.acknowledged(epoch, seq),
        },
        EdgeCall::Refused { seq, reason } => {
            outbox.refused(seq, &reason);
            EdgeReply::Done
        }
        EdgeCall::StartEpoch => EdgeReply::EpochStarted(outbox.new_epoch()),
        EdgeCall::MissingBlobs { bundle } => {
            EdgeReply::MissingBlobs(replica.missing_blobs(&bundle))
        }
        EdgeCall::PutBlob { sha256, bytes } => EdgeReply::BlobPut(replica.put_blob(sha256, bytes)),
        EdgeCall::AdoptCatalog { version, bundle } => EdgeReply::CatalogAdopted {
            version,
            result: replica.adopt_catalog(version, &bundle),
        },
        EdgeCall::Digests => EdgeReply::Digests(replica.digests()),
        EdgeCall::ObserveClock {
            server_wall_ms,
            rtt,
        } => {
            replica.observe_clock(server_wall_ms, rtt);
            EdgeReply::Done
        }
    }
}

/// A call of the cloud's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudCall {
    /// How far is this epoch?
    Progress {
        /// The edge.
        node: NodeId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Apply a segment, durably.
    Apply {
        /// The edge.
        node: NodeId,
        /// Its epoch.
        epoch: Epoch,
        /// The segment.
        segment: SealedSegment,
    },
    /// The definitions to offer.
    Bundle,
    /// A blob.
    Blob {
        /// Its name.
        sha256: [u8; 32],
    },
    /// Digests of one edge's cells.
    Digests {
        /// The edge.
        origin: NodeId,
    },
    /// Keep what is known of the edge.
    PeerSeen(PeerStatus),
}

/// The answer to a [`CloudCall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudReply {
    /// To `Progress`.
    Progress {
        /// How far.
        progress: Result<Option<Progress>>,
        /// The catalog's version now.
        catalog_version: u64,
    },
    /// To `Apply`.
    Applied {
        /// The segment.
        seq: u64,
        /// Whether it is durable.
        result: Result<()>,
    },
    /// To `Bundle`: version, hash, content.
    Bundle(Result<(u64, [u8; 32], Bytes)>),
    /// To `Blob`.
    Blob {
        /// Its name.
        sha256: [u8; 32],
        /// Its content.
        bytes: Result<Option<Bytes>>,
    },
    /// To `Digests`.
    Digests(Result<Vec<TableDigest>>),
    /// To `PeerSeen`.
    PeerNoted,
}

/// Runs a call of the cloud's machine. Blocks as long as the host does.
pub fn run_cloud_call(call: CloudCall, inbox: &dyn Inbox) -> CloudReply {
    match call {
        CloudCall::Progress { node, epoch } => CloudReply::Progress {
            progress: inbox.progress(node, epoch),
            catalog_version: inbox.catalog_version(),
        },
        CloudCall::Apply {
            node,
            epoch,
            segment,
        } => CloudReply::Applied {
            seq: segment.seq,
            result: inbox.apply(node, epoch, &segment),
        },
        CloudCall::Bundle => CloudReply::Bundle(inbox.catalog_bundle().and_then(bundle_to_offer)),
        CloudCall::Blob { sha256 } => CloudReply::Blob {
            sha256,
            bytes: inbox.blob(sha256),
        },
        CloudCall::Digests { origin } => CloudReply::Digests(inbox.digests(origin)),
        CloudCall::PeerSeen(status) => {
            inbox.peer_seen(status);
            CloudReply::PeerNoted
        }
    }
}

fn bundle_to_offer((version, bundle): (u64, Vec<u8>)) -> Result<(u64, [u8; 32], Bytes)> {
    if bundle.len() as u64 > crate::limits::MAX_BLOB_BYTES {
        return Err(Error::invalid(format!(
            "the definitions take {} bytes where {} are allowed",
            bundle.len(),
            crate::limits::MAX_BLOB_BYTES
        )));
    }
    Ok((version, sha256(&bundle), Bytes::from(bundle)))
}
