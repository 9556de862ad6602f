//! The calls of the edge's machine.

use activestore_types::{Epoch, NodeId, Result};
use bytes::Bytes;

use crate::digest::TableDigest;
use crate::frame::{Health, StartOver};
use crate::host::{DownPosition, Outbox, OutboxChain, Replica};
use crate::receipt::Receipt;
use crate::reconcile::{Comparing, Found, Step};
use crate::segment::SealedSegment;

/// A call of the edge's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeCall {
    /// Who and where the outbox is.
    Position {
        /// At a connection's beginning, the version of the conversation.
        begun: Option<u16>,
    },
    /// Read a segment.
    Segment {
        /// Its chain's epoch.
        epoch: Epoch,
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
        /// Its chain's epoch.
        epoch: Epoch,
        /// The segment.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// Give a chain a new epoch.
    StartEpoch {
        /// The one it has.
        epoch: Epoch,
    },
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
    /// How do the plugins do?
    Health,
    /// Digests of this node's own cells.
    Digests,
    /// The cloud's clock was seen.
    ObserveClock {
        /// Its wall clock, milliseconds since 1970.
        server_wall_ms: u64,
        /// The round trip it came with.
        rtt: std::time::Duration,
    },
    /// Check and keep a receipt.
    Receipt(Receipt),
    /// Where in the cloud's stream are we?
    DownPosition,
    /// Follow another stream, tables first.
    StartOver(StartOver),
    /// Apply a segment of the cloud's stream.
    ApplyDown {
        /// Whose stream.
        node: NodeId,
        /// Its epoch.
        epoch: Epoch,
        /// The segment.
        segment: SealedSegment,
    },
    /// Apply fetched rows.
    ApplyRows {
        /// The stream's epoch.
        epoch: Epoch,
        /// The cursor they were asked for at.
        from: Bytes,
        /// The rows.
        payload: Bytes,
        /// The cursor after them.
        next: Option<Bytes>,
    },
    /// Go on with a comparison.
    Compare {
        /// How far it is.
        comparing: Box<Comparing>,
        /// The answer to its last question, where it asked one.
        answer: Option<Result<Found, String>>,
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
        /// The outbox's chains, that of live rows first.
        chains: Vec<OutboxChain>,
        /// The cloud's catalog version held.
        catalog_version: u64,
    },
    /// To `Segment`.
    Segment {
        /// The chain asked for.
        epoch: Epoch,
        /// The number asked for.
        seq: u64,
        /// What was read.
        segment: Result<Option<SealedSegment>>,
    },
    /// To `Acknowledged`.
    Acknowledged {
        /// The chain.
        epoch: Epoch,
        /// The sequence told.
        seq: u64,
        /// Whether it was recorded.
        result: Result<()>,
    },
    /// To `StartEpoch`.
    EpochStarted {
        /// The epoch it had.
        epoch: Epoch,
        /// Whether it has another.
        result: Result<()>,
    },
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
    /// To `Receipt`: its epoch and segment, and whether it was kept.
    ReceiptTaken {
        /// The epoch.
        epoch: Epoch,
        /// The last segment it covers.
        seq: u64,
        /// Whether it was kept.
        result: Result<bool>,
    },
    /// To `Health`.
    Health(Health),
    /// To `DownPosition`.
    DownPosition(Result<DownPosition>),
    /// To `StartOver`, with what was asked and the version of the definitions that count from then on.
    StartedOver(StartOver, Result<u64>),
    /// To `ApplyDown`.
    DownApplied {
        /// The segment.
        seq: u64,
        /// Whether it is durable.
        result: Result<()>,
    },
    /// To `ApplyRows`.
    RowsApplied {
        /// The cursor after them.
        next: Option<Bytes>,
        /// Whether they are durable.
        result: Result<()>,
    },
    /// To `Compare`.
    Compared {
        /// How far it is now.
        comparing: Box<Comparing>,
        /// What comes next.
        step: Result<Step>,
    },
    /// To calls without an answer.
    Done,
}

/// Runs a call of the edge's machine. Blocks as long as the host does.
pub fn run_edge_call(call: EdgeCall, outbox: &dyn Outbox, replica: &dyn Replica) -> EdgeReply {
    match call {
        EdgeCall::Position { begun } => {
            if begun.is_some() {
                outbox.connection(begun);
            }
            let (node, name, _) = outbox.identity();
            EdgeReply::Position {
                node,
                name,
                chains: outbox.chains(),
                catalog_version: replica.catalog_version(),
            }
        }
        EdgeCall::Segment { epoch, seq } => EdgeReply::Segment {
            epoch,
            seq,
            segment: outbox.segment(epoch, seq),
        },
        EdgeCall::Acknowledged { epoch, seq } => EdgeReply::Acknowledged {
            epoch,
            seq,
            result: outbox.acknowledged(epoch, seq),
        },
        EdgeCall::Refused { epoch, seq, reason } => {
            outbox.refused(epoch, seq, &reason);
            EdgeReply::Done
        }
        EdgeCall::StartEpoch { epoch } => EdgeReply::EpochStarted {
            epoch,
            result: outbox.new_epoch(epoch),
        },
        EdgeCall::MissingBlobs { bundle } => {
            EdgeReply::MissingBlobs(replica.missing_blobs(&bundle))
        }
        EdgeCall::PutBlob { sha256, bytes } => EdgeReply::BlobPut(replica.put_blob(sha256, bytes)),
        EdgeCall::AdoptCatalog { version, bundle } => EdgeReply::CatalogAdopted {
            version,
            result: replica.adopt_catalog(version, &bundle),
        },
        EdgeCall::Health => EdgeReply::Health(replica.health()),
        EdgeCall::Digests => EdgeReply::Digests(replica.digests()),
        EdgeCall::ObserveClock {
            server_wall_ms,
            rtt,
        } => {
            replica.observe_clock(server_wall_ms, rtt);
            EdgeReply::Done
        }
        EdgeCall::Receipt(receipt) => EdgeReply::ReceiptTaken {
            epoch: receipt.statement.epoch,
            seq: receipt.statement.seq,
            result: replica.receipt(&receipt),
        },
        EdgeCall::DownPosition => EdgeReply::DownPosition(replica.down_position()),
        EdgeCall::StartOver(start) => {
            let result = replica.start_over(&start);
            let result = result.map(|()| replica.catalog_version());
            EdgeReply::StartedOver(start, result)
        }
        EdgeCall::ApplyDown {
            node,
            epoch,
            segment,
        } => EdgeReply::DownApplied {
            seq: segment.seq,
            result: replica.apply_down(node, epoch, &segment),
        },
        EdgeCall::ApplyRows {
            epoch,
            from,
            payload,
            next,
        } => EdgeReply::RowsApplied {
            result: replica.apply_rows(epoch, &from, &payload, next.as_deref()),
            next,
        },
        EdgeCall::Compare {
            mut comparing,
            answer,
        } => {
            let step = match replica.holdings() {
                Some(here) => comparing.step(here, answer),
                None => Ok(Step::Done(None)),
            };
            EdgeReply::Compared { comparing, step }
        }
    }
}
