//! The cloud's end: listens, lets members in, admits joiners by token, and serves each in a task of
//! its own.

mod passes;
mod peers;
mod reception;
mod standing;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use activestore_sync_proto::{DownlinkOptions, Inbox, PeerStatus};
use activestore_types::{Error, Result};
use parking_lot::Mutex;
use quinn::Endpoint;
use socket2::SockRef;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admission::AdmissionOptions;
use crate::failure;
use crate::identity::CloudIdentity;
use crate::link::Transport;
use crate::tcp_listener::TcpDoor;
use crate::tls;
use crate::token_store::TokenStore;
use crate::transport::TransportOptions;
use crate::udp;
pub(crate) use passes::Pass;
use passes::UnderWay;
use peers::Peer;

/// A connection must be authenticated and have greeted within this time.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What waits in the system until it is read: the first packets of some thousand edges that come at once.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// So many free ports of UDP are tried until one is free for TCP too.
const FREE_PORT_TRIES: u32 = 16;

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
    /// Whether edges that UDP does not reach are taken over TCP, at the same address and port.
    pub tcp: bool,
    /// Connections at once, at most; more are refused.
    pub connections_max: usize,
    /// How fast edges are let in.
    pub admission: AdmissionOptions,
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
            tcp: true,
            connections_max: 10_000,
            admission: AdmissionOptions::default(),
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
    /// What carries the connection.
    pub transport: Transport,
    /// The smoothed round trip.
    pub rtt: Duration,
    /// Payload bytes of UDP or TCP sent to it in this connection.
    pub bytes_sent: u64,
    /// Payload bytes of UDP or TCP received from it in this connection.
    pub bytes_received: u64,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Edges let in.
    pub connections: u64,
    /// Of these, over TCP.
    pub tcp_connections: u64,
    /// Of these, that resumed a session and were served from their first packet on.
    pub early_connections: u64,
    /// Connections refused, whatever the reason.
    pub refused: u64,
    /// Of these, turned away before a handshake, since too many came at once or are there.
    pub turned_away: u64,
    /// Edges that had to prove their address first, since many waited.
    pub asked_for_proof: u64,
    /// Edges that wait for their turn now.
    pub waiting: u64,
    /// Edges on their way in now.
    pub under_way: u64,
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
    tcp_connections: Counter,
    early_connections: Counter,
    refused: Counter,
    turned_away: Counter,
    asked_for_proof: Counter,
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

/// What the server's tasks and its handle share.
pub(crate) struct Shared {
    pub(crate) options: ServerOptions,
    pub(crate) counters: Counters,
    pub(crate) catalog: watch::Sender<u64>,
    /// Changes whenever the stream of rows grew.
    pub(crate) stream: watch::Sender<()>,
    pub(crate) stop: watch::Sender<bool>,
    /// Sessions that said goodbye because this end stops.
    leaving: AtomicU64,
    /// Edges that wait for their turn.
    waiting: AtomicUsize,
    under_way: Arc<UnderWay>,
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
    /// `Conflict` when the address is in use; when the identity cannot be used for TLS, or the list of
    /// members cannot be read.
    pub fn start(options: ServerOptions) -> Result<SyncServer> {
        let config = tls::server(&options.identity, options.transport.early_data)?;
        let (endpoint, door) = bind(&options, config)?;
        let local_addr = endpoint.local_addr()?;
        for (node, labels) in options.tokens.members()? {
            options.inbox.member(node, &labels);
        }
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
            leaving: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            under_way: Arc::default(),
            peers: Mutex::default(),
        });
        let task = tokio::spawn(reception::listen_on(shared.clone(), endpoint, door));
        // Ends by itself when the server stops.
        tokio::spawn(standing::watch(shared.clone()));
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
            let (bytes_sent, bytes_received) = peer.connection.traffic();
            Some(PeerInfo {
                status: peer.status.clone()?,
                address: peer.connection.remote_address(),
                transport: peer.connection.transport(),
                rtt: peer.connection.rtt(),
                bytes_sent,
                bytes_received,
            })
        };
        peers.values().filter_map(info).collect()
    }

    /// Counters since the start.
    pub fn stats(&self) -> ServerStats {
        let counters = &self.shared.counters;
        ServerStats {
            connections: counters.connections.get(),
            tcp_connections: counters.tcp_connections.get(),
            early_connections: counters.early_connections.get(),
            refused: counters.refused.get(),
            turned_away: counters.turned_away.get(),
            asked_for_proof: counters.asked_for_proof.get(),
            waiting: self.shared.waiting.load(Ordering::Relaxed) as u64,
            under_way: self.shared.under_way.count() as u64,
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
    /// Why a session ends because this end stops, with the moment at which the edge should come again: one after the
    /// other, as fast as they are let in.
    pub(crate) fn farewell(&self) -> String {
        let before = self.leaving.fetch_add(1, Ordering::Relaxed);
        let per_second = u64::from(self.options.admission.per_second.max(1));
        let pause = Duration::from_millis(before.saturating_mul(1000) / per_second);
        failure::come_again("the cloud shuts down", pause)
    }
}

/// Binds the UDP address and, where TCP is wanted, the same one of TCP.
fn bind(
    options: &ServerOptions,
    config: rustls::ServerConfig,
) -> Result<(Endpoint, Option<TcpDoor>)> {
    let listen = options.listen;
    let mut tries = if listen.port() == 0 {
        FREE_PORT_TRIES
    } else {
        1
    };
    loop {
        let mut quic = tls::quic_server(config.clone())?;
        quic.transport_config(options.transport.build()?);
        quic.migration(options.transport.migration);
        let endpoint = std::net::UdpSocket::bind(listen)
            .and_then(|socket| {
                // The system may allow less.
                let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
                udp::cloud_endpoint(socket, quic)
            })
            .map_err(|error| in_use(error, "UDP", listen))?;
        if !options.tcp {
            return Ok((endpoint, None));
        }
        let address = endpoint.local_addr()?;
        // Over TCP nobody sends early data, and TLS would hold as much of it as was sent.
        let mut over_tcp = config.clone();
        over_tcp.max_early_data_size = 0;
        match TcpDoor::open(address, over_tcp, options.transport) {
            Ok(door) => return Ok((endpoint, Some(door))),
            // A port that is free for UDP may be taken for TCP.
            Err(_) if tries > 1 => tries -= 1,
            Err(error) => return Err(in_use(error, "TCP", address)),
        }
    }
}

fn in_use(error: std::io::Error, protocol: &str, address: SocketAddr) -> Error {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        let error = Error::conflict(format!("the {protocol} address {address} is in use"));
        error.with_hint("choose another with --quic HOST:PORT, or port 0 for a free one; TCP can be turned off by [listen] sync_tcp = false")
    } else {
        Error::from(error).context(format!("the {protocol} address {address}"))
    }
}
