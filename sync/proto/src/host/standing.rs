//! How far the two ends are with each other: plain data that hosts and machines exchange.

use activestore_types::{Epoch, NodeId, SyncClass};
use bytes::Bytes;

use crate::frame::StartOver;
use crate::segment::ChainHash;

/// Where an edge stands in the cloud's stream; the default is "never followed any".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownPosition {
    /// The node whose stream it is.
    pub node: NodeId,
    /// Its epoch; 0 for none.
    pub epoch: Epoch,
    /// The last segment applied, or the one to follow after once the tables are fetched.
    pub progress: Progress,
    /// Where the fetching of the tables goes on; `None` when they are here.
    pub cursor: Option<Bytes>,
}

impl Default for DownPosition {
    fn default() -> Self {
        DownPosition {
            node: NodeId([0; 16]),
            epoch: Epoch::default(),
            progress: Progress::default(),
            cursor: None,
        }
    }
}

/// What the cloud says to an edge that wants to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowAnswer {
    /// No table's rows flow down.
    Nothing,
    /// The stream goes on from there.
    Fits {
        /// The highest sealed sequence.
        last_sealed: u64,
    },
    /// It does not; from now on it is kept from `seq` of the answer on.
    StartOver(StartOver),
}

/// How far a node's epoch has been applied; the default is "not at all".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    /// The last sequence applied.
    pub seq: u64,
    /// Its hash.
    pub hash: ChainHash,
}

/// How a lane stands, as the cloud sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneStanding {
    /// How urgent its rows are.
    pub class: SyncClass,
    /// Its chain's epoch.
    pub epoch: Epoch,
    /// Segments that the edge has sealed and that are not applied here, as far as it has said.
    pub behind: u64,
}

/// What the cloud knows of an edge, for `system.sync_peers` and `sync status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The edge.
    pub node: NodeId,
    /// Its name for people.
    pub name: String,
    /// The epoch it ships.
    pub epoch: Epoch,
    /// Whether a connection is up.
    pub connected: bool,
    /// What carries it, as the transport calls itself; the machine does not know.
    pub transport: Option<&'static str>,
    /// The last sequence applied here.
    pub durable_seq: u64,
    /// The last sequence the edge said it sealed.
    pub last_sealed: u64,
    /// Whether it takes rows from above; peers of the first version do not, nor those that follow another cloud.
    pub follows: bool,
    /// Every chain that it ships in this connection.
    pub lanes: Vec<LaneStanding>,
    /// The cloud's catalog version the edge holds.
    pub catalog_version: u64,
    /// When it was last heard of: this node's wall clock, milliseconds since 1970.
    pub seen_wall_ms: u64,
    /// The version of the definitions that it refused last, and why; `None` once it adopted some.
    pub refused_definitions: Option<(u64, String)>,
    /// What went wrong last in this connection, in one sentence.
    pub last_error: Option<String>,
}
