//! What the edge's end tells of itself.

use std::time::Duration;

use crate::allowance::BudgetStatus;
use crate::link::Transport;

/// How the edge's end stands.
#[derive(Clone, Debug, Default)]
pub struct ConnectionStatus {
    /// Whether this edge has joined a cluster.
    pub joined: bool,
    /// The cloud's address while connected and past the handshake.
    pub connected_to: Option<String>,
    /// What carries the connection while there is one.
    pub transport: Option<Transport>,
    /// The smoothed round trip while connected.
    pub rtt: Option<Duration>,
    /// Payload bytes of UDP or TCP sent since the start, over all connections.
    pub bytes_sent: u64,
    /// Payload bytes of UDP or TCP received since the start, over all connections.
    pub bytes_received: u64,
    /// Connections that got past the handshake since the start.
    pub connections: u64,
    /// The last sequence known to be durable in the cloud, of the live rows' current epoch.
    pub acknowledged_seq: u64,
    /// When the last acknowledgement came: wall clock, milliseconds since 1970.
    pub last_ack_wall_ms: Option<u64>,
    /// Sealed segments not acknowledged when the last acknowledgement came.
    pub behind: u64,
    /// New epochs started because histories did not fit.
    pub epochs_set_aside: u64,
    /// The cloud's catalog version adopted last since the start.
    pub catalog_version: Option<u64>,
    /// Segments of the cloud's stream that are not applied here, as far as known.
    pub down_behind: u64,
    /// Segments of the cloud's stream applied since the start.
    pub down_applied: u64,
    /// Whether the cloud's tables are being fetched anew.
    pub fetching: bool,
    /// Why rows are not sent now though they could be, and until when.
    pub waits: Option<String>,
    /// How the month's budget stands, where there is one.
    pub budget: Option<BudgetStatus>,
    /// What went wrong last, in one sentence; cleared by a successful handshake.
    pub last_error: Option<String>,
}
