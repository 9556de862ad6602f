//! What the cloud's machine is set to, reports and wants: plain data.

use std::time::Duration;

use activestore_types::{Epoch, Error, Result};

use crate::call::CloudCall;
use crate::digest::TableDigest;
use crate::frame::Frame;
use crate::limits::Limits;

/// A receipt is half a kilobyte: while rows keep coming, an edge gets one a minute.
const RECEIPT_EVERY: Duration = Duration::from_secs(60);

/// The cloud's settings for one connection.
#[derive(Clone, Copy, Debug)]
pub struct DownlinkOptions {
    /// What may wait here to be applied.
    pub limits: Limits,
    /// How long an offer of definitions waits for an answer before it is repeated.
    pub offer_again: Duration,
    /// How long the edge is asked to wait after a failure that passes.
    pub retry_after: Duration,
    /// The same segment is asked for again after this long.
    pub wanted_again: Duration,
    /// How long without progress before the first unacknowledged segment of the stream is sent again;
    /// doubles up to eightfold.
    pub resend_after: Duration,
    /// Between two receipts of one epoch at least this long passes.
    pub receipt_every: Duration,
}

impl Default for DownlinkOptions {
    fn default() -> Self {
        DownlinkOptions {
            limits: Limits::default(),
            offer_again: Duration::from_secs(30),
            retry_after: Duration::from_secs(2),
            wanted_again: Duration::from_millis(500),
            resend_after: Duration::from_secs(30),
            receipt_every: RECEIPT_EVERY,
        }
    }
}

/// Something worth a log line or a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudEvent {
    /// The handshake is done.
    Live {
        /// The epoch shipped.
        epoch: Epoch,
        /// What is durable here.
        durable_seq: u64,
    },
    /// A segment is durable and was acknowledged.
    Applied {
        /// Its number.
        seq: u64,
        /// Its rows.
        rows: u64,
    },
    /// A segment came that was durable already.
    Repeated {
        /// Its number.
        seq: u64,
    },
    /// The epoch is set aside: its history is not the one known here.
    Quarantined {
        /// The epoch.
        epoch: Epoch,
        /// What does not fit, in one sentence.
        reason: String,
    },
    /// A segment was refused.
    Refused {
        /// Its number.
        seq: u64,
        /// Why.
        error: Error,
    },
    /// The edge adopted definitions, or said why not.
    CatalogApplied {
        /// Their version.
        version: u64,
        /// Why not.
        error: Option<String>,
    },
    /// A comparison is done.
    Verified {
        /// From [`Downlink::verify`].
        id: u64,
        /// This end's digests of the edge's cells.
        here: Result<Vec<TableDigest>>,
        /// The edge's digests.
        there: Result<Vec<TableDigest>>,
    },
    /// The edge follows this node's stream from there on.
    Followed {
        /// The last segment it holds.
        seq: u64,
    },
    /// The edge fetches the tables anew.
    ToldToStartOver {
        /// Why, in one sentence.
        reason: String,
    },
    /// The edge holds the stream durably up to there.
    DownAcknowledged {
        /// The sequence.
        seq: u64,
    },
    /// The edge could not take a segment of the stream; it gets it again.
    DownRefused {
        /// The sequence.
        seq: u64,
        /// Why, in one sentence.
        reason: String,
    },
    /// A receipt was sent.
    ReceiptIssued {
        /// The epoch.
        epoch: Epoch,
        /// The last segment it covers.
        seq: u64,
    },
    /// A host call failed; it is tried again when asked again.
    Trouble(Error),
}

/// What the driver has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudOutput {
    /// Send a frame.
    Send(Frame),
    /// Run a call and feed its answer back.
    Call(CloudCall),
    /// Report.
    Event(CloudEvent),
    /// Close the connection; the machine is of no use afterwards.
    Disconnect {
        /// Why, in one sentence.
        reason: String,
    },
}
