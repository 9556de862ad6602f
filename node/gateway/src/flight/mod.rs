//! The Arrow Flight SQL wire: what drivers of ADBC, JDBC and Arrow itself talk to, over gRPC. Rows go out and come in
//! as columns; statements run where those of HTTP do, and under the same rights.

mod actions;
mod catalog;
mod connection;
mod door;
mod fault;
mod info;
mod ingest;
mod metered;
mod params;
mod prepared;
mod put;
mod query;
mod service;
mod session;
mod statement;
mod tally;
mod told;
mod update;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use activestore_types::Result;
use arrow_flight::flight_service_server::FlightServiceServer;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::Server;

use crate::certificate::Certificate;
use crate::listener::bind;
use crate::server::Shared;
use connection::Connections;
use door::Door;
use prepared::PreparedStatements;
use service::Service;
use session::Sessions;
pub(crate) use tally::Tally;

const MIB: usize = 1024 * 1024;
/// What a connection may send before somebody reads it, of all its calls together. As much may lie in memory for each
/// connection, so it is small; over a line of 100 ms it is 5 MB/s.
const WINDOW_BYTES: u32 = 512 * 1024;
/// Calls that a connection may have under way.
const CALLS_OF_CONNECTION_MAX: u32 = 32;
/// The headers of a call.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// After how long without a frame a client is asked whether it is there, and how long it may take to say so.
const KEEPALIVE: Duration = Duration::from_secs(120);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(20);

/// How the Arrow Flight SQL wire is started.
#[derive(Clone, Debug)]
pub struct FlightOptions {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Whether another port will do where that one is in use.
    pub or_any_port: bool,
    /// Open connections; one more is closed.
    pub connections_max: usize,
    /// Calls answered at once, of all connections; one more is turned away.
    pub calls_max: usize,
    /// The largest message, in bytes: a batch of rows that comes in.
    pub message_bytes_max: usize,
    /// How long a client may take to begin its connection.
    pub startup_max: Duration,
    /// How long a statement may take.
    pub statement_timeout: Option<Duration>,
    /// Prepared statements of all clients.
    pub prepared_max: usize,
    /// The certificate, where the wire is to be encrypted.
    pub tls: Option<FlightTls>,
}

impl FlightOptions {
    /// The defaults.
    pub fn listening_on(listen: SocketAddr) -> Self {
        FlightOptions {
            listen,
            or_any_port: false,
            connections_max: 128,
            calls_max: 64,
            message_bytes_max: 16 * MIB,
            startup_max: Duration::from_secs(10),
            statement_timeout: None,
            prepared_max: 1000,
            tls: None,
        }
    }
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct FlightTls(Certificate);

impl FlightTls {
    /// Reads a chain of certificates and the key of its first, both as PEM.
    ///
    /// # Errors
    /// `Invalid`, naming the file that cannot be used.
    pub fn read(certificates: &Path, key: &Path) -> Result<FlightTls> {
        let settings = "flight_tls_cert and flight_tls_key";
        Certificate::read(certificates, key, settings, &[b"h2"]).map(FlightTls)
    }
}

/// What every call sees.
pub(super) struct Flight {
    shared: Arc<Shared>,
    options: FlightOptions,
    tally: Arc<Tally>,
    sessions: Sessions,
    prepared: PreparedStatements,
    calls: Arc<Semaphore>,
}

/// A running listener.
pub(crate) struct FlightWire {
    pub(crate) local_addr: SocketAddr,
    accepting: JoinHandle<()>,
    serving: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl FlightWire {
    /// Binds and starts to answer.
    ///
    /// # Errors
    /// As [`crate::Gateway::start`].
    pub(crate) async fn start(options: FlightOptions, shared: Arc<Shared>) -> Result<FlightWire> {
        let listener = bind(
            options.listen,
            options.or_any_port,
            "Arrow Flight SQL",
            "--flight",
        )
        .await?;
        let local_addr = listener.local_addr()?;
        let tally = Arc::new(Tally::default());
        // Nothing else sets it: one listener a gateway.
        let _ = shared.flight.set(tally.clone());
        let flight = Arc::new(Flight {
            shared,
            sessions: Sessions::default(),
            prepared: PreparedStatements::new(options.prepared_max, tally.clone()),
            calls: Arc::new(Semaphore::new(options.calls_max)),
            tally,
            options,
        });
        let (connections, incoming) = Connections::new(&flight);
        let accepting = tokio::spawn(connections.accept(listener));
        let service = FlightServiceServer::new(Service(flight.clone()))
            .max_decoding_message_size(flight.options.message_bytes_max);
        let (stop, mut stopping) = watch::channel(false);
        let server = Server::builder()
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_concurrent_streams(CALLS_OF_CONNECTION_MAX)
            .http2_max_header_list_size(HEADERS_BYTES_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
            .add_service(Door::new(service, flight));
        let serving = tokio::spawn(async move {
            let stopped = async move {
                // A dropped sender means the same as a sent stop.
                let _ = stopping.wait_for(|stopping| *stopping).await;
            };
            if let Err(error) = server.serve_with_incoming_shutdown(incoming, stopped).await {
                tracing::error!(%error, "the Arrow Flight SQL listener failed");
            }
        });
        Ok(FlightWire {
            local_addr,
            accepting,
            serving,
            stop,
        })
    }

    /// Takes no more; calls under way may end within a time.
    pub(crate) async fn shutdown(self, drain_max: Duration) {
        self.accepting.abort();
        // Nobody who hears it means that nobody is there.
        let _ = self.stop.send(true);
        let mut serving = self.serving;
        if timeout(drain_max, &mut serving).await.is_err() {
            tracing::warn!(
                "calls of Arrow Flight SQL clients still under way at shutdown were cut off"
            );
            serving.abort();
        }
    }
}
