//! How a gateway is started.

use std::net::SocketAddr;
use std::time::Duration;

#[cfg(feature = "flight")]
use crate::flight::FlightOptions;
#[cfg(feature = "pgwire")]
use crate::pg::PgOptions;

const MIB: usize = 1024 * 1024;

/// What it listens to, and its bounds.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Requests answered at once; more are turned away with 503.
    pub requests_max: usize,
    /// Open connections; more wait in the system's queue.
    pub connections_max: usize,
    /// The largest request body, in bytes, packed or unpacked.
    pub body_bytes_max: usize,
    /// Bytes of request bodies held at once; a request above it is turned away with 503.
    pub bodies_bytes_max: usize,
    /// Threads that run statements.
    pub query_threads: usize,
    /// How long requests may go on after a shutdown was asked for.
    pub drain_max: Duration,
    /// How often a subscriber hears something though nothing was written.
    pub heartbeat: Duration,
    /// Whether metrics are shown to who does not log in.
    pub metrics_open: bool,
    /// The Arrow Flight SQL wire, where there is to be one.
    #[cfg(feature = "flight")]
    pub flight: Option<FlightOptions>,
    /// The PostgreSQL wire, where there is to be one.
    #[cfg(feature = "pgwire")]
    pub pg: Option<PgOptions>,
}

impl GatewayOptions {
    /// The defaults.
    pub fn listening_on(listen: SocketAddr) -> Self {
        GatewayOptions {
            listen,
            requests_max: 64,
            connections_max: 512,
            body_bytes_max: 16 * MIB,
            bodies_bytes_max: 64 * MIB,
            query_threads: 2,
            drain_max: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            metrics_open: true,
            #[cfg(feature = "flight")]
            flight: None,
            #[cfg(feature = "pgwire")]
            pg: None,
        }
    }
}
