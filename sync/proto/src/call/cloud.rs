//! The calls of the cloud's machine.

use activestore_types::{Epoch, Error, NodeId, Result};
use bytes::Bytes;

use crate::digest::TableDigest;
use crate::frame::{Follow, Health};
use crate::host::{FollowAnswer, Inbox, PeerStatus, Progress};
use crate::receipt::Receipt;
use crate::reconcile::{self, Answer, Question};
use crate::segment::{SealedSegment, sha256};

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
    /// Forget how far a chain is that is done.
    Forget {
        /// The edge.
        node: NodeId,
        /// The chain's epoch.
        epoch: Epoch,
    },
    /// The definitions to offer.
    Bundle {
        /// The edge.
        node: NodeId,
    },
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
    /// Sign what is durable of an epoch.
    Attest {
        /// The edge.
        node: NodeId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Keep how its plugins do.
    Health {
        /// The edge.
        node: NodeId,
        /// What it said.
        health: Health,
    },
    /// Can the edge follow from there?
    Follow {
        /// The edge.
        node: NodeId,
        /// Where it stands.
        follow: Follow,
    },
    /// Where does the stream stand?
    DownPosition,
    /// Read a segment of the stream.
    DownSegment {
        /// The epoch.
        epoch: Epoch,
        /// Its number.
        seq: u64,
    },
    /// Note what the edge holds of the stream.
    DownAcknowledged {
        /// The edge.
        node: NodeId,
        /// The epoch.
        epoch: Epoch,
        /// The last durable sequence.
        seq: u64,
    },
    /// The next rows of the tables.
    DownRows {
        /// The request's number.
        id: u64,
        /// Where to go on.
        cursor: Bytes,
    },
    /// Compare what the edge wrote.
    Answer {
        /// The edge.
        node: NodeId,
        /// What it asks.
        question: Box<Question>,
    },
}

/// The answer to a [`CloudCall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudReply {
    /// To `Progress`.
    Progress {
        /// The epoch asked for.
        epoch: Epoch,
        /// How far.
        progress: Result<Option<Progress>>,
        /// The catalog's version now.
        catalog_version: u64,
    },
    /// To `Apply`.
    Applied {
        /// Its epoch.
        epoch: Epoch,
        /// The segment.
        seq: u64,
        /// Whether it is durable.
        result: Result<()>,
    },
    /// To `Forget`.
    Forgotten(Result<()>),
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
    /// To `Attest`.
    Attested {
        /// The epoch.
        epoch: Epoch,
        /// The receipt, where the host signs any.
        receipt: Result<Option<Receipt>>,
    },
    /// To `Health`.
    HealthNoted,
    /// To `Follow`.
    Followed {
        /// The [`Follow`]'s number.
        id: u64,
        /// What to answer.
        answer: Result<FollowAnswer>,
    },
    /// To `DownPosition`.
    DownPosition(Option<(Epoch, u64)>),
    /// To `DownSegment`.
    DownSegment {
        /// The epoch asked for.
        epoch: Epoch,
        /// The number asked for.
        seq: u64,
        /// What was read.
        segment: Result<Option<SealedSegment>>,
    },
    /// To `DownAcknowledged`.
    DownNoted {
        /// The epoch told.
        epoch: Epoch,
        /// The sequence told.
        seq: u64,
        /// Whether it was recorded.
        result: Result<()>,
    },
    /// To `DownRows`.
    DownRows {
        /// The request's number.
        id: u64,
        /// Rows and the cursor after them.
        piece: Result<(Bytes, Option<Bytes>)>,
    },
    /// To `Answer`.
    Answered(Answer),
}

/// Runs a call of the cloud's machine. Blocks as long as the host does.
pub fn run_cloud_call(call: CloudCall, inbox: &dyn Inbox) -> CloudReply {
    match call {
        CloudCall::Progress { node, epoch } => CloudReply::Progress {
            epoch,
            progress: inbox.progress(node, epoch),
            catalog_version: inbox.catalog_version(),
        },
        CloudCall::Apply {
            node,
            epoch,
            segment,
        } => CloudReply::Applied {
            epoch,
            seq: segment.seq,
            result: inbox.apply(node, epoch, &segment),
        },
        CloudCall::Forget { node, epoch } => CloudReply::Forgotten(inbox.forget(node, epoch)),
        CloudCall::Bundle { node } => {
            CloudReply::Bundle(inbox.catalog_bundle(node).and_then(bundle_to_offer))
        }
        CloudCall::Blob { sha256 } => CloudReply::Blob {
            sha256,
            bytes: inbox.blob(sha256),
        },
        CloudCall::Digests { origin } => CloudReply::Digests(inbox.digests(origin)),
        CloudCall::PeerSeen(status) => {
            inbox.peer_seen(status);
            CloudReply::PeerNoted
        }
        CloudCall::Attest { node, epoch } => CloudReply::Attested {
            epoch,
            receipt: inbox.attest(node, epoch),
        },
        CloudCall::Health { node, health } => {
            inbox.health(node, health);
            CloudReply::HealthNoted
        }
        CloudCall::Follow { node, follow } => CloudReply::Followed {
            id: follow.id,
            answer: inbox.follow(node, &follow),
        },
        CloudCall::DownPosition => CloudReply::DownPosition(inbox.down_position()),
        CloudCall::DownSegment { epoch, seq } => CloudReply::DownSegment {
            epoch,
            seq,
            segment: inbox.down_segment(epoch, seq),
        },
        CloudCall::DownAcknowledged { node, epoch, seq } => CloudReply::DownNoted {
            epoch,
            seq,
            result: inbox.down_acknowledged(node, epoch, seq),
        },
        CloudCall::DownRows { id, cursor } => CloudReply::DownRows {
            id,
            piece: inbox.down_rows(&cursor),
        },
        CloudCall::Answer { node, mut question } => {
            question.view.writer = node;
            CloudReply::Answered(match inbox.holdings() {
                Some(here) => reconcile::answer(&question, here),
                None => Answer {
                    id: question.id,
                    found: Err("this node compares no single rows".to_owned()),
                },
            })
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
