//! What the edge's machine is set to, reports and wants: plain data.

use std::time::Duration;

use activestore_types::{Epoch, Error, Result, SyncClass};

use crate::call::EdgeCall;
use crate::digest::TableDigest;
use crate::frame::Frame;
use crate::limits::{Limits, PROTOCOL_VERSION};
use crate::reconcile::Report;

/// The edge's settings for one connection.
#[derive(Clone, Copy, Debug)]
pub struct UplinkOptions {
    /// The version of the conversation that both ends speak, as the transport found out.
    pub protocol: u16,
    /// Whether the cloud is the one that definitions and rows come down from. One of which it is not gets what goes up, and
    /// is told so when it offers any.
    pub follows: bool,
    /// What may be unacknowledged.
    pub limits: Limits,
    /// How long an unanswered greeting or blob request waits before it is repeated.
    pub ask_again: Duration,
    /// How long without progress before the first unacknowledged segment is sent again; doubles
    /// up to eightfold. A transport that keeps order and loses nothing needs it only as a net.
    pub resend_after: Duration,
    /// How long after a failure of a host, or a refusal, before the next try.
    pub retry_after: Duration,
    /// The same segment of the cloud's stream is asked for again after this long.
    pub wanted_again: Duration,
    /// How often the plugins are looked at, and the cloud told where something happened to one.
    pub health_look: Duration,
    /// The longest between two times that it is told of calls that went well.
    pub health_most: Duration,
    /// How long of silence before a ping; `None` leaves it to the transport.
    pub ping_every: Option<Duration>,
    /// How long of silence, with pings on, before the connection is given up.
    pub silent_after: Duration,
}

impl Default for UplinkOptions {
    fn default() -> Self {
        UplinkOptions {
            protocol: PROTOCOL_VERSION,
            follows: true,
            limits: Limits::default(),
            ask_again: Duration::from_secs(10),
            resend_after: Duration::from_secs(30),
            retry_after: Duration::from_secs(5),
            wanted_again: Duration::from_millis(500),
            health_look: Duration::from_secs(5),
            health_most: Duration::from_secs(600),
            ping_every: None,
            silent_after: Duration::from_secs(60),
        }
    }
}

/// How soon the driver should connect again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// At once: the reason is settled.
    Now,
    /// After its back-off.
    AfterBackoff,
}

/// Something worth a log line or a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeEvent {
    /// The handshake is done.
    Live {
        /// What the cloud holds durably.
        durable_seq: u64,
        /// The cloud's catalog version.
        catalog_version: u64,
    },
    /// The cloud holds everything up to `seq` of a chain, and the outbox knows.
    Acknowledged {
        /// The chain's class.
        class: SyncClass,
        /// The sequence.
        seq: u64,
    },
    /// This epoch's history does not fit the cloud's; a new epoch was asked for.
    EpochSetAside {
        /// Why, in one sentence.
        reason: String,
    },
    /// A segment was refused; it is kept.
    Refused {
        /// The segment.
        seq: u64,
        /// Why, in one sentence.
        reason: String,
    },
    /// Definitions were adopted.
    CatalogAdopted {
        /// Their version.
        version: u64,
    },
    /// Definitions could not be adopted; tried again later.
    CatalogFailed {
        /// Their version.
        version: u64,
        /// Why, in one sentence.
        reason: String,
    },
    /// A comparison is done.
    Verified {
        /// From [`Uplink::verify`].
        id: u64,
        /// This end's digests.
        here: Result<Vec<TableDigest>>,
        /// The cloud's digests.
        there: Result<Vec<TableDigest>>,
        /// Sealed segments that the cloud had not acknowledged when the comparison ended.
        behind: u64,
    },
    /// A comparison row by row is done.
    Compared {
        /// From [`crate::Uplink::compare`].
        id: u64,
        /// What it found.
        result: Result<Box<Report>>,
    },
    /// A comparison that the clock asked for is done.
    Scrubbed(Box<Report>),
    /// The cloud's stream goes on from where this node stands.
    Following {
        /// The last segment held.
        seq: u64,
        /// The highest sealed sequence.
        last_sealed: u64,
    },
    /// A segment of the cloud's stream is durable here.
    DownApplied {
        /// Its number.
        seq: u64,
        /// Its rows.
        rows: u64,
        /// The highest sealed sequence that is known.
        last_sealed: u64,
    },
    /// A segment of the cloud's stream could not be applied; it comes again.
    DownRefused {
        /// Its number.
        seq: u64,
        /// Why.
        error: Error,
    },
    /// The tables are fetched anew.
    StartedOver {
        /// Why, in one sentence.
        reason: String,
    },
    /// The tables are here.
    TablesFetched,
    /// A receipt was checked and is kept.
    ReceiptHeld {
        /// The epoch.
        epoch: Epoch,
        /// The last segment it covers.
        seq: u64,
    },
    /// A receipt is not true; it was not kept.
    ReceiptRefused {
        /// What does not hold.
        error: Error,
    },
    /// A host call failed; it is tried again.
    Trouble(Error),
}

/// What the driver has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeOutput {
    /// Send a frame.
    Send(Frame),
    /// Run a call and feed its answer back.
    Call(EdgeCall),
    /// Report.
    Event(EdgeEvent),
    /// Close the connection; the machine is of no use afterwards.
    Disconnect {
        /// Why, in one sentence.
        reason: String,
        /// When to come back.
        reconnect: Reconnect,
    },
}
