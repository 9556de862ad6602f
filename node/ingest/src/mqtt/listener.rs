//! The listener inside the node: accepts connections, each a task of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use activestore_types::{Error, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::committer::Committer;
use super::connection;
use super::hub::Hub;
use super::mapping::Mapping;
use super::stats::{Counters, MqttCounts, MqttStats, count};
use crate::mqtt_config::{MqttConfig, MqttLogin};
use crate::sink::RowSink;

/// Payload bytes of all connections that may wait for their write.
pub(super) const WAITING_BYTES_MAX: usize = 16 << 20;

/// How long a shutdown waits for the connections' last acknowledgements.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// How a listener works.
#[derive(Clone)]
pub struct MqttOptions {
    /// `HOST:PORT`; port 0 picks a free one.
    pub listen: String,
    /// From topics to tables.
    pub mapping: Mapping,
    /// Name and password that clients must give; none means anybody.
    pub login: Option<MqttLogin>,
    /// Connections at a time.
    pub connections_max: usize,
    /// The largest packet in bytes.
    pub packet_bytes_max: usize,
    /// Messages of one connection that may wait for their write.
    pub inflight_max: usize,
    /// How long a new connection has for its CONNECT.
    pub connect_timeout: Duration,
    /// How long a peer may take to accept what is sent to it.
    pub send_timeout: Duration,
    /// The time in nanoseconds since 1970, for rows without one.
    pub now_ns: fn() -> i64,
}

impl MqttOptions {
    /// The options that the configuration's section says.
    ///
    /// # Errors
    /// `Invalid` for a rule or limit that cannot be.
    pub fn new(listen: impl Into<String>, config: &MqttConfig) -> Result<Self> {
        if config.connections_max == 0 || config.inflight_max == 0 || config.packet_bytes_max < 128
        {
            return Err(Error::invalid(
                "mqtt: connections_max and inflight_max must be at least 1, packet_bytes_max at least 128",
            ));
        }
        Ok(MqttOptions {
            listen: listen.into(),
            mapping: Mapping::new(&config.topics)?,
            login: config.login.clone(),
            connections_max: config.connections_max,
            packet_bytes_max: config.packet_bytes_max,
            inflight_max: config.inflight_max,
            connect_timeout: Duration::from_secs(config.connect_timeout_s.max(1)),
            send_timeout: Duration::from_secs(config.send_timeout_s.max(1)),
            now_ns: system_now_ns,
        })
    }
}

/// The system's time in nanoseconds since 1970.
pub(super) fn system_now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

/// What the connections share.
pub(super) struct Shared {
    pub(super) options: MqttOptions,
    pub(super) sink: Arc<dyn RowSink>,
    pub(super) committer: Committer,
    pub(super) hub: Arc<Hub>,
    pub(super) counters: Arc<Counters>,
    pub(super) waiting_bytes: Arc<Semaphore>,
}

/// A running listener. Dropping it closes every connection.
pub struct MqttListener {
    local_addr: SocketAddr,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl MqttListener {
    /// Binds the address and starts to accept.
    ///
    /// # Errors
    /// `Conflict` where the port is in use, `Invalid` for an address that cannot be bound.
    pub async fn start(options: MqttOptions, sink: Arc<dyn RowSink>) -> Result<MqttListener> {
        let cannot = |error: std::io::Error| {
            let message = format!("MQTT cannot listen on {}: {error}", options.listen);
            if error.kind() == std::io::ErrorKind::AddrInUse {
                Error::conflict(message).with_hint("another program has the port; give another one")
            } else {
                Error::invalid(message)
            }
        };
        let socket = TcpListener::bind(&options.listen).await.map_err(cannot)?;
        let local_addr = socket.local_addr().map_err(cannot)?;
        let counters = Counters::new();
        let shared = Arc::new(Shared {
            committer: Committer::start(sink.clone()),
            hub: Hub::new(counters.clone()),
            counters: counters.clone(),
            waiting_bytes: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
            options,
            sink,
        });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(socket, shared, stopped));
        Ok(MqttListener {
            local_addr,
            counters,
            stop,
            task,
        })
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What has happened so far.
    pub fn stats(&self) -> MqttStats {
        self.counters.snapshot()
    }

    /// What it counts, for who wants to read that again.
    pub fn counts(&self) -> MqttCounts {
        MqttCounts(self.counters.clone())
    }

    /// Stops accepting, lets each connection send the acknowledgements of writes under way, and
    /// closes them.
    pub async fn shutdown(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

async fn accept(socket: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "an MQTT connection failed");
                    count(&shared.counters.connections_dropped);
                }
                continue;
            }
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let full = connections.len() >= shared.options.connections_max;
                connections.spawn(serve(stream, peer, shared.clone(), stop.clone(), full));
                if full {
                    // Refusals take a place too, so that a flood of them is bounded.
                    while connections.len() > shared.options.connections_max + REFUSALS_MAX {
                        connections.join_next().await;
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "MQTT cannot accept a connection");
                // Out of file descriptors, most likely: others have to close first.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(socket);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_TIMEOUT * 2, all)
        .await
        .is_err()
    {
        connections.shutdown().await;
    }
}

/// Connections beyond the limit that are being told so at a time.
const REFUSALS_MAX: usize = 32;

/// Counts the connection as open for as long as it lives.
struct Open<'a>(&'a Counters);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    full: bool,
) {
    count(&shared.counters.connections_total);
    count(&shared.counters.connections);
    let _open = Open(&shared.counters);
    let _ = stream.set_nodelay(true);
    connection::serve(stream, peer, &shared, stop, full).await;
}

/// How long the last acknowledgements of a closing connection are waited for.
pub(super) const DRAIN_TIMEOUT: Duration = SHUTDOWN_TIMEOUT;
