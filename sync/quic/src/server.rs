//! The cloud's end: listens, lets members in, admits joiners by token, and serves each in a task of
//! its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use activestore_sync_proto::{DownlinkOptions, Inbox, PeerStatus};
use activestore_types::{Epoch, Error, NodeId, Result};
use parking_lot::Mutex;
use quinn::{Connection, Endpoint, Incoming};
use rustls::pki_types::CertificateDer;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::certificate::node_of;
use crate::enrol;
use crate::failure::{self, CLOSE};
use crate::identity::CloudIdentity;
use crate::lanes::stopped;
use crate::peer_session;
use crate::tls::{self, ENROL_ALPN};
use crate::token_store::TokenStore;
use crate::transport::TransportOptions;

/// A connection must be authenticated and have greeted within this time.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Shutting down waits this long for sessions to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// What the cloud's end needs.
#[derive(Clone)]
pub struct ServerOptions {
    /// The UDP address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The cluster's authority and this node's certificate.
    pub identity: Arc<CloudIdentity>,
    /// Where segments go and definitions come from.
    pub inbox: Arc<dyn Inbox>,
    /// Who may join, and who has.
    pub tokens: Arc<TokenStore>,
    /// The protocol's settings.
    pub downlink: DownlinkOptions,
    /// The transport's settings.
    pub transport: TransportOptions,
    /// Connections at once, at most; more are refused.
    pub connections_max: usize,
    /// How often the definitions' version is looked at.
    pub catalog_every: Duration,
}

impl ServerOptions {
    /// The usual settings.
    pub fn new(
        listen: SocketAddr,
        identity: Arc<CloudIdentity>,
        inbox: Arc<dyn Inbox>,
        tokens: Arc<TokenStore>,
    ) -> Self {
        ServerOptions {
            listen,
            identity,
            inbox,
            tokens,
            downlink: DownlinkOptions::default(),
            transport: TransportOptions {
                keep_alive: None, // the edge keeps its connection alive
                ..TransportOptions::default()
            },
            connections_max: 10_000,
            catalog_every: Duration::from_millis(250),
        }
    }
}

/// A connected edge.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// What the protocol knows of it.
    pub status: PeerStatus,
    /// Where it is.
    pub address: SocketAddr,
    /// The smoothed round trip.
    pub rtt: Duration,
    /// UDP payload bytes sent to it in this connection.
    pub bytes_sent: u64,
    /// UDP payload bytes received from it in this connection.
    pub bytes_received: u64,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Edges let in.
    pub connections: u64,
    /// Connections refused, whatever the reason.
    pub refused: u64,
    /// Edges that joined or renewed.
    pub admitted: u64,
    /// Requests to join that were refused.
    pub admissions_refused: u64,
    /// Segments made durable.
    pub segments_applied: u64,
    /// Rows in them.
    pub rows_applied: u64,
    /// Segments that came again.
    pub segments_repeated: u64,
    /// Segments the database refused.
    pub segments_refused: u64,
    /// Epochs set aside because histories did not fit.
    pub epochs_quarantined: u64,
    /// Times an edge was told to fetch the tables anew.
    pub start_overs: u64,
    /// Acknowledgements of the stream that edges sent.
    pub down_acknowledged: u64,
    /// Receipts sent to edges.
    pub receipts_issued: u64,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    connections: Counter,
    refused: Counter,
    admitted: Counter,
    admissions_refused: Counter,
    pub(crate) segments_applied: Counter,
    pub(crate) rows_applied: Counter,
    pub(crate) segments_repeated: Counter,
    pub(crate) segments_refused: Counter,
    pub(crate) epochs_quarantined: Counter,
    pub(crate) start_overs: Counter,
    pub(crate) down_acknowledged: Counter,
    pub(crate) receipts_issued: Counter,
}

struct Peer {
    connection: Connection,
    node: NodeId,
    /// Known once the edge has greeted.
    epoch: Option<Epoch>,
    status: Option<PeerStatus>,
}

/// What the server's tasks and its handle share.
pub(crate) struct Shared {
    pub(crate) options: ServerOptions,
    pub(crate) counters: Counters,
    pub(crate) catalog: watch::Sender<u64>,
    /// Changes whenever the stream of rows grew.
    pub(crate) stream: watch::Sender<()>,
    pub(crate) stop: watch::Sender<bool>,
    peers: Mutex<BTreeMap<usize, Peer>>,
}

/// The running end of the cloud. Dropping it stops it without a farewell.
pub struct SyncServer {
    shared: Arc<Shared>,
    local_addr: SocketAddr,
    task: JoinHandle<()>,
}

impl SyncServer {
    /// Binds and starts in the background; call it inside a tokio runtime.
    ///
    /// # Errors
    /// `Conflict` when the address is in use; when the identity cannot be used for TLS.
    pub fn start(options: ServerOptions) -> Result<SyncServer> {
        let mut config = tls::server(&options.identity)?;
        config.transport_config(options.transport.build()?);
        let listen = options.listen;
        let endpoint = Endpoint::server(config, listen).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AddrInUse {
                Error::conflict(format!("the UDP address {listen} is in use"))
                    .with_hint("choose another with --quic HOST:PORT, or port 0 for a free one")
            } else {
                Error::from(error).context(format!("the UDP address {listen}"))
            }
        })?;
        let local_addr = endpoint.local_addr()?;
        let stream = watch::Sender::new(());
        let grown = stream.clone();
        options
            .inbox
            .on_down_sealed(Box::new(move || grown.send_replace(())));
        let shared = Arc::new(Shared {
            stream,
            catalog: watch::Sender::new(options.inbox.catalog_version()),
            options,
            counters: Counters::default(),
            stop: watch::Sender::new(false),
            peers: Mutex::default(),
        });
        let task = tokio::spawn(listen_on(shared.clone(), endpoint));
        Ok(SyncServer {
            shared,
            local_addr,
            task,
        })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The edges connected now and past their greeting.
    pub fn peers(&self) -> Vec<PeerInfo> {
        let peers = self.shared.peers.lock();
        let info = |peer: &Peer| {
            let stats = peer.connection.stats();
            Some(PeerInfo {
                status: peer.status.clone()?,
                address: peer.connection.remote_address(),
                rtt: peer.connection.rtt(),
                bytes_sent: stats.udp_tx.bytes,
                bytes_received: stats.udp_rx.bytes,
            })
        };
        peers.values().filter_map(info).collect()
    }

    /// Counters since the start.
    pub fn stats(&self) -> ServerStats {
        let counters = &self.shared.counters;
        ServerStats {
            connections: counters.connections.get(),
            refused: counters.refused.get(),
            admitted: counters.admitted.get(),
            admissions_refused: counters.admissions_refused.get(),
            segments_applied: counters.segments_applied.get(),
            rows_applied: counters.rows_applied.get(),
            segments_repeated: counters.segments_repeated.get(),
            segments_refused: counters.segments_refused.get(),
            epochs_quarantined: counters.epochs_quarantined.get(),
            start_overs: counters.start_overs.get(),
            down_acknowledged: counters.down_acknowledged.get(),
            receipts_issued: counters.receipts_issued.get(),
        }
    }

    /// Says goodbye to every edge and stops.
    pub async fn shutdown(mut self) {
        self.shared.stop.send_replace(true);
        // A task that panicked has nothing left to stop.
        let _ = (&mut self.task).await;
    }
}

impl Drop for SyncServer {
    fn drop(&mut self) {
        self.shared.stop.send_replace(true);
        self.task.abort();
    }
}

impl Shared {
    /// What the protocol knows of a connection's edge.
    pub(crate) fn seen(&self, connection: &Connection, status: PeerStatus) {
        if let Some(peer) = self.peers.lock().get_mut(&connection.stable_id()) {
            peer.status = Some(status);
        }
    }

    /// Closes what is left of this edge's earlier connections. Another epoch of the same node is
    /// another copy of it, which goes on.
    pub(crate) fn replace_older(&self, connection: &Connection, node: NodeId, epoch: Epoch) {
        let mut peers = self.peers.lock();
        for (id, peer) in peers.iter_mut() {
            if *id == connection.stable_id() {
                peer.epoch = Some(epoch);
            } else if peer.node == node && peer.epoch == Some(epoch) {
                peer.connection
                    .close(CLOSE, b"the edge connected again elsewhere");
            }
        }
    }
}

async fn listen_on(shared: Arc<Shared>, endpoint: Endpoint) {
    let mut stop = shared.stop.subscribe();
    let mut sessions = JoinSet::new();
    let places = Arc::new(Semaphore::new(shared.options.connections_max));
    let mut tick = tokio::time::interval(shared.options.catalog_every);
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                match places.clone().try_acquire_owned() {
                    Ok(place) => {
                        let shared = shared.clone();
                        sessions.spawn(async move {
                            receive(shared, incoming).await;
                            drop(place);
                        });
                    }
                    Err(_) => {
                        shared.counters.refused.add(1);
                        incoming.refuse();
                    }
                }
            }
            _ = tick.tick() => {
                let version = shared.options.inbox.catalog_version();
                shared.catalog.send_if_modified(|known| {
                    std::mem::replace(known, version) != version
                });
            }
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
            () = stopped(&mut stop) => break,
        }
    }
    let ending = async {
        while sessions.join_next().await.is_some() {}
        endpoint.close(CLOSE, b"the cloud shuts down");
        endpoint.wait_idle().await;
    };
    if tokio::time::timeout(CLOSE_TIMEOUT, ending).await.is_err() {
        tracing::warn!("some edges' sessions did not end in time");
    }
}

/// Authenticates one connection and serves it.
async fn receive(shared: Arc<Shared>, incoming: Incoming) {
    let address = incoming.remote_address();
    if let Err(error) = serve(&shared, incoming).await {
        shared.counters.refused.add(1);
        tracing::warn!(%address, "refused a connection: {error}");
    }
}

async fn serve(shared: &Arc<Shared>, incoming: Incoming) -> Result<()> {
    let failed = |error: quinn::ConnectionError| Error::denied(failure::at_cloud(&error));
    let connecting = incoming.accept().map_err(failed)?;
    let connection = tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting)
        .await
        .map_err(|_| Error::denied("the handshake took too long"))?
        .map_err(failed)?;
    let protocol = tls::agreed(&connection);
    let member = connection
        .peer_identity()
        .and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok())
        .and_then(|chain| chain.first().cloned())
        .map(|certificate| node_of(&certificate))
        .transpose()?;
    match protocol.as_deref() {
        Some(ENROL_ALPN) => enrol_one(shared, &connection, member).await,
        Some(name) if tls::version(name).is_some() => match member {
            Some(node) => serve_member(shared, connection, node).await,
            None => refuse(&connection, Error::denied("it has no certificate")),
        },
        _ => refuse(
            &connection,
            Error::denied("it speaks no protocol known here"),
        ),
    }
}

fn refuse(connection: &Connection, error: Error) -> Result<()> {
    connection.close(CLOSE, error.to_string().as_bytes());
    Err(error)
}

async fn enrol_one(
    shared: &Arc<Shared>,
    connection: &Connection,
    member: Option<NodeId>,
) -> Result<()> {
    let identity = shared.options.identity.clone();
    let tokens = shared.options.tokens.clone();
    let answering = enrol::answer(connection, member, identity, tokens);
    let outcome = tokio::time::timeout(HANDSHAKE_TIMEOUT, answering)
        .await
        .unwrap_or_else(|_| Err(Error::denied("joining took too long")));
    match outcome {
        Ok(node) => {
            shared.counters.admitted.add(1);
            tracing::info!(%node, address = %connection.remote_address(), "admitted an edge");
            Ok(())
        }
        Err(error) => {
            shared.counters.admissions_refused.add(1);
            connection.close(CLOSE, error.to_string().as_bytes());
            Err(error.context("an edge wanted to join"))
        }
    }
}

async fn serve_member(shared: &Arc<Shared>, connection: Connection, node: NodeId) -> Result<()> {
    let tokens = shared.options.tokens.clone();
    let admitted = tokio::task::spawn_blocking(move || tokens.admits(node))
        .await
        .map_err(|_| Error::internal("the list of members could not be read"))?;
    if let Err(error) = admitted {
        return refuse(&connection, error);
    }
    shared.counters.connections.add(1);
    let id = connection.stable_id();
    shared.peers.lock().insert(
        id,
        Peer {
            connection: connection.clone(),
            node,
            epoch: None,
            status: None,
        },
    );
    let reason = peer_session::run(shared.clone(), connection, node).await;
    shared.peers.lock().remove(&id);
    tracing::info!(%node, "an edge left: {reason}");
    Ok(())
}
