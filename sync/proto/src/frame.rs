//! The frames of the conversation: plain data, no behaviour beyond checking their own bounds. From version
//! 2 on segments flow both ways: `Segment`, `Ack`, `Wanted` and `Reject` then serve the cloud's stream too,
//! with the parts of edge and cloud exchanged.

mod down;
mod health;
mod lanes;

use activestore_types::{Epoch, Error, NodeId, Result, SyncClass, TableName};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::digest::TableDigest;
use crate::limits::{
    BLOB_CHUNK_BYTES, BLOB_REQUEST_BYTES, Limits, MAX_BLOB_BYTES, MAX_DIGEST_TABLES,
    MAX_FRAME_BYTES, MAX_NAME_BYTES, MAX_REASON_BYTES,
};
use crate::receipt::Receipt;
use crate::reconcile::{Answer, Question};
use crate::segment::{ChainHash, SealedSegment};

pub use down::{Follow, Following, Rows, RowsRequest, StartOver};
pub use health::{CLOCK_STEP_MS, Health, PluginHealth};
pub use lanes::{Lane, LaneHeld, LaneOffer};

/// The edge's first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::limits::PROTOCOL_VERSION`] of the sender.
    pub protocol: u16,
    /// The edge; must be the one its certificate names.
    pub node: NodeId,
    /// Its name for people.
    pub name: String,
    /// The epoch it ships.
    pub epoch: Epoch,
    /// The lowest sequence without acknowledgement.
    pub first_unacked: u64,
    /// The highest sealed sequence; 0 for none.
    pub last_sealed: u64,
    /// The hash of segment `first_unacked - 1`.
    pub acked_hash: ChainHash,
    /// The cloud's catalog version it holds; 0 for none.
    pub catalog_version: u64,
    /// What it can take.
    pub limits: Limits,
}

/// The cloud's answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The epoch this answer is about.
    pub epoch: Epoch,
    /// Everything up to here is durable in the cloud; 0 for nothing yet.
    pub durable_seq: u64,
    /// The hash of segment `durable_seq`.
    pub durable_hash: ChainHash,
    /// The cloud's catalog version.
    pub catalog_version: u64,
    /// The cloud's wall clock, milliseconds since 1970.
    pub wall_ms: u64,
    /// What the cloud can take.
    pub limits: Limits,
}

/// One segment on its way up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentFrame {
    /// The epoch it belongs to.
    pub epoch: Epoch,
    /// The highest sealed sequence when it was sent: how far the edge is behind.
    pub last_sealed: u64,
    /// The segment.
    pub segment: SealedSegment,
    /// The class of its lane; only the sender's transport asks for it.
    #[serde(skip)]
    pub class: SyncClass,
}

/// The cloud cannot take a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The epoch.
    pub epoch: Epoch,
    /// The segment.
    pub seq: u64,
    /// Why, in one sentence.
    pub reason: String,
    /// Whether the same segment may be taken later without anybody acting.
    pub retryable: bool,
    /// How long to wait before the next try, in milliseconds.
    pub retry_after_ms: u64,
}

/// The cloud has other definitions than the edge; they are fetched like a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogOffer {
    /// Their version.
    pub version: u64,
    /// SHA-256 of the encoded bundle.
    pub sha256: [u8; 32],
    /// Its length, in bytes.
    pub bytes: u64,
}

/// Everything that travels. The order of the variants is part of the format: append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// Edge: who I am and where I stand.
    Hello(Hello),
    /// Cloud: where we go on from.
    Welcome(Welcome),
    /// Edge: rows.
    Segment(SegmentFrame),
    /// Cloud: everything up to `seq` is durable.
    Ack {
        /// The epoch.
        epoch: Epoch,
        /// The last durable sequence.
        seq: u64,
    },
    /// Cloud: a segment is missing before the one that came; go on from `seq`.
    Wanted {
        /// The epoch.
        epoch: Epoch,
        /// The sequence wanted next.
        seq: u64,
    },
    /// Cloud: this epoch's history is not the one known here; start another.
    NeedNewEpoch {
        /// The epoch that is set aside.
        epoch: Epoch,
        /// What does not fit, in one sentence.
        reason: String,
    },
    /// Cloud: a segment cannot be taken.
    Reject(Reject),
    /// Cloud: there are other definitions.
    CatalogOffer(CatalogOffer),
    /// Edge: definitions adopted, or why not.
    CatalogApplied {
        /// The version offered.
        version: u64,
        /// Why it could not be adopted.
        error: Option<String>,
    },
    /// Edge: send a piece of a blob.
    BlobRequest {
        /// Its name.
        sha256: [u8; 32],
        /// The first byte wanted.
        offset: u64,
        /// How many bytes at most.
        length: u32,
    },
    /// Cloud: a piece of a blob.
    BlobChunk {
        /// Its name.
        sha256: [u8; 32],
        /// Where the piece begins.
        offset: u64,
        /// The blob's whole length, in bytes.
        total: u64,
        /// The piece.
        bytes: Bytes,
    },
    /// Cloud: this blob is not here.
    BlobMissing {
        /// Its name.
        sha256: [u8; 32],
        /// Why, in one sentence.
        reason: String,
    },
    /// Either: compute digests of the edge's own cells and send them.
    DigestRequest {
        /// Chosen by the asker, repeated in the reply.
        id: u64,
        /// The tables; empty for all.
        tables: Vec<TableName>,
    },
    /// Either: the digests asked for.
    DigestReply {
        /// From the request.
        id: u64,
        /// One entry per table that exists here.
        tables: Vec<TableDigest>,
        /// Why they could not be computed.
        error: Option<String>,
    },
    /// Either: I close the connection.
    Goodbye {
        /// Why, in one sentence.
        reason: String,
    },
    /// Either: are you there?
    Ping {
        /// Chosen by the asker, repeated in the answer.
        nonce: u64,
    },
    /// Either: I am.
    Pong {
        /// From the ping.
        nonce: u64,
        /// The answerer's wall clock, milliseconds since 1970.
        wall_ms: u64,
    },
    /// Edge, from version 2 on: where I stand in your stream.
    Follow(Follow),
    /// Cloud: the stream goes on from there.
    Following(Following),
    /// Cloud: it does not.
    StartOver(StartOver),
    /// Edge: the next rows, please.
    RowsRequest(RowsRequest),
    /// Cloud: the next rows.
    Rows(Rows),
    /// Edge, from version 3 on: another chain of segments that I ship.
    Lane(LaneOffer),
    /// Cloud: where it goes on from.
    LaneHeld(LaneHeld),
    /// Edge: nothing more comes in that chain, and I know that you hold all of it.
    LaneDone {
        /// The chain's epoch.
        epoch: Epoch,
    },
    /// Cloud, from version 3 on: signed, what I hold of you.
    Receipt(Receipt),
    /// Edge, from version 3 on: how my plugins do.
    Health(Health),
    /// Edge, from version 3 on: do we hold the same?
    Question(Box<Question>),
    /// Cloud: what of that differs.
    Answer(Answer),
    /// Edge, from version 3 on, behind its greeting: you get what I ship, and I follow another cloud.
    Apart,
}

impl Frame {
    /// A word for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Frame::Hello(_) => "hello",
            Frame::Welcome(_) => "welcome",
            Frame::Segment(_) => "segment",
            Frame::Ack { .. } => "ack",
            Frame::Wanted { .. } => "wanted",
            Frame::NeedNewEpoch { .. } => "need-new-epoch",
            Frame::Reject(_) => "reject",
            Frame::CatalogOffer(_) => "catalog-offer",
            Frame::CatalogApplied { .. } => "catalog-applied",
            Frame::BlobRequest { .. } => "blob-request",
            Frame::BlobChunk { .. } => "blob-chunk",
            Frame::BlobMissing { .. } => "blob-missing",
            Frame::DigestRequest { .. } => "digest-request",
            Frame::DigestReply { .. } => "digest-reply",
            Frame::Goodbye { .. } => "goodbye",
            Frame::Ping { .. } => "ping",
            Frame::Pong { .. } => "pong",
            Frame::Follow(_) => "follow",
            Frame::Following(_) => "following",
            Frame::StartOver(_) => "start-over",
            Frame::RowsRequest(_) => "rows-request",
            Frame::Rows(_) => "rows",
            Frame::Lane(_) => "lane",
            Frame::LaneHeld(_) => "lane-held",
            Frame::LaneDone { .. } => "lane-done",
            Frame::Receipt(_) => "receipt",
            Frame::Health(_) => "health",
            Frame::Question(_) => "question",
            Frame::Answer(_) => "answer",
            Frame::Apart => "apart",
        }
    }

    /// Whether every part keeps within the protocol's bounds.
    ///
    /// # Errors
    /// `Invalid`, naming the part that does not.
    pub fn check_bounds(&self) -> Result<()> {
        let long = |what: &str, bytes: usize, most: usize| {
            if bytes > most {
                return Err(Error::invalid(format!(
                    "a {} frame's {what} has {bytes} bytes where {most} are allowed",
                    self.name()
                )));
            }
            Ok(())
        };
        match self {
            Frame::Hello(hello) => {
                long("name", hello.name.len(), MAX_NAME_BYTES)?;
                LaneOffer::from(hello).check_bounds("hello")
            }
            Frame::Lane(offer) => offer.check_bounds("lane"),
            Frame::Segment(frame) => {
                if frame.segment.seq == 0 {
                    return Err(Error::invalid("a segment has the number 0"));
                }
                long("payload", frame.segment.payload.len(), MAX_FRAME_BYTES)
            }
            Frame::NeedNewEpoch { reason, .. }
            | Frame::Goodbye { reason }
            | Frame::BlobMissing { reason, .. }
            | Frame::Reject(Reject { reason, .. }) => {
                long("reason", reason.len(), MAX_REASON_BYTES)
            }
            Frame::CatalogApplied { error, .. } => long(
                "reason",
                error.as_ref().map_or(0, String::len),
                MAX_REASON_BYTES,
            ),
            Frame::CatalogOffer(offer) => blob_length(offer.bytes),
            Frame::BlobRequest { length, .. } => {
                long("length", *length as usize, BLOB_REQUEST_BYTES)
            }
            Frame::BlobChunk {
                offset,
                total,
                bytes,
                ..
            } => {
                blob_length(*total)?;
                long("piece", bytes.len(), BLOB_CHUNK_BYTES)?;
                if offset.saturating_add(bytes.len() as u64) > *total {
                    return Err(Error::invalid("a piece of a blob ends after the blob"));
                }
                Ok(())
            }
            Frame::DigestRequest { tables, .. } => {
                long("list of tables", tables.len(), MAX_DIGEST_TABLES)?;
                tables.iter().try_for_each(check_table)
            }
            Frame::DigestReply { tables, error, .. } => {
                long("list of tables", tables.len(), MAX_DIGEST_TABLES)?;
                long(
                    "reason",
                    error.as_ref().map_or(0, String::len),
                    MAX_REASON_BYTES,
                )?;
                tables
                    .iter()
                    .try_for_each(|digest| check_table(&digest.table))
            }
            Frame::StartOver(start) => start.check_bounds(),
            Frame::RowsRequest(request) => request.check_bounds(),
            Frame::Rows(rows) => rows.check_bounds(),
            Frame::Receipt(receipt) => receipt.check_bounds(),
            Frame::Health(health) => health.check_bounds(),
            Frame::Question(question) => question.check_bounds(),
            Frame::Answer(answer) => answer.check_bounds(),
            Frame::Apart
            | Frame::Follow(_)
            | Frame::Following(_)
            | Frame::Welcome(_)
            | Frame::Ack { .. }
            | Frame::Wanted { .. }
            | Frame::Ping { .. }
            | Frame::Pong { .. }
            | Frame::LaneHeld(_)
            | Frame::LaneDone { .. } => Ok(()),
        }
    }
}

fn blob_length(total: u64) -> Result<()> {
    if total > MAX_BLOB_BYTES {
        return Err(Error::invalid(format!(
            "a blob of {total} bytes is larger than the {MAX_BLOB_BYTES} allowed"
        )));
    }
    Ok(())
}

fn check_table(table: &TableName) -> Result<()> {
    if table.keyspace.len() > MAX_NAME_BYTES || table.table.len() > MAX_NAME_BYTES {
        return Err(Error::invalid("a table's name in a frame is too long"));
    }
    Ok(())
}
