//! The replication protocol between an edge and the cloud, as two state machines without I/O.
//!
//! [`Uplink`] is the edge's end of one connection, [`Downlink`] the cloud's. Each is fed frames,
//! answers of its host and the passing of time, and yields frames to send, calls for its host to
//! run and events to report. What must survive a connection (the sealed segments, the durable
//! progress) lives in the hosts: [`Outbox`] and [`Replica`] at the edge, [`Inbox`] in the cloud.
//! This crate opens no socket, reads no clock and draws no random number.
//!
//! Progress is (node, epoch, sequence). Segments are chained by hash, so a cloned or rolled-back
//! image is noticed at the first handshake and continues under a new epoch with nothing lost.
//! The cloud acknowledges a segment only after its host says that rows and progress are durable
//! together; a repeated segment changes nothing and is acknowledged again.
//!
//! An edge ships several chains side by side, each in a lane of its class: alarms do not wait for live rows, live
//! rows not for a backlog. Each has an epoch of its own and is agreed on, acknowledged and set aside by itself.
//!
//! Rows flow down the same way: the cloud seals one stream for all edges, each edge follows it from where
//! it stands. One that stands before what is kept, or in another epoch, starts over: it fetches the tables
//! piece by piece, by a cursor that says all, and then follows from the place that was noted first.
//!
//! ```
//! use activestore_sync_proto::{Frame, FrameReader, encode};
//!
//! let bytes = encode(&Frame::Ping { nonce: 7 }).unwrap();
//! let mut reader = FrameReader::new();
//! reader.push(&bytes);
//! assert_eq!(reader.next_frame().unwrap(), Some(Frame::Ping { nonce: 7 }));
//! ```

pub mod blob;
pub mod call;
pub mod codec;
pub mod digest;
pub mod downlink;
mod flow;
pub mod frame;
pub mod host;
pub mod limits;
pub mod receipt;
pub mod reconcile;
pub mod segment;
pub mod uplink;

pub use blob::BlobAssembly;
pub use call::{CloudCall, CloudReply, EdgeCall, EdgeReply, run_cloud_call, run_edge_call};
pub use codec::{FrameReader, decode, encode};
pub use digest::{DigestComparison, TableDigest};
pub use downlink::{CloudEvent, CloudOutput, Downlink, DownlinkOptions};
pub use frame::{
    CLOCK_STEP_MS, CatalogOffer, Follow, Following, Frame, Health, Hello, Lane, LaneHeld,
    LaneOffer, PluginHealth, Reject, Rows, RowsRequest, SegmentFrame, StartOver, Welcome,
};
pub use host::{
    DownPosition, FollowAnswer, Inbox, LaneStanding, Outbox, OutboxChain, OutboxPosition,
    PeerStatus, Progress, Replica,
};
pub use limits::{LANES_VERSION, Limits, OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION};
pub use receipt::{Receipt, ReceiptText, Signer, Statement, Verifier};
pub use segment::{ChainHash, SealedSegment};
pub use uplink::{EdgeEvent, EdgeOutput, Reconnect, Uplink, UplinkOptions};

/// Now, as the machines see it: passed in with every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Time since some fixed moment of this process; never runs backwards.
    pub monotonic: std::time::Duration,
    /// Wall-clock milliseconds since 1970, as this node believes.
    pub wall_ms: u64,
}
