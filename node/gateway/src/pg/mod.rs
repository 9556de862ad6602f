//! The PostgreSQL wire: what psql, drivers and tools of PostgreSQL talk to. Sessions are cheap while they are idle,
//! statements run where those of HTTP do, and under the same rights.

mod answer;
mod bounds;
mod cancel;
mod cell;
mod command;
mod copy;
mod copy_fields;
mod copy_in;
mod copying;
mod cursor;
mod drive;
mod extended;
mod fault;
mod feed;
mod kind;
mod lexed;
mod login;
mod message;
mod numeric;
mod param;
mod run;
mod sending;
mod session;
mod session_command;
mod settings;
mod split;
mod tally;
mod tls;
mod wire;
mod written;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use activestore_types::Result;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use tls::PgTls;

use crate::listener::bind;
use crate::server::Shared;
use cancel::Sessions;
use fault::{Fault, TOO_MANY_CONNECTIONS};
pub(crate) use tally::Tally;
use tally::one;
use wire::Wire;

const MIB: usize = 1024 * 1024;
/// How long to wait after the system refused a connection, when it is out of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// After how long without a packet a client is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// How the PostgreSQL wire is started.
#[derive(Clone, Debug)]
pub struct PgOptions {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Whether another port will do where that one is in use.
    pub or_any_port: bool,
    /// Open connections; one more is told so and closed.
    pub connections_max: usize,
    /// The longest message, in bytes: parameters of a statement, a piece of a COPY.
    pub message_bytes_max: usize,
    /// How long a client may take to begin its session.
    pub startup_max: Duration,
    /// How long a statement may take where its session does not set `statement_timeout`, and at most where it does.
    pub statement_timeout: Option<Duration>,
    /// Portals of all sessions that have begun and not ended: each holds a query.
    pub portals_max: usize,
    /// The certificate, where the wire can be encrypted.
    pub tls: Option<PgTls>,
}

impl PgOptions {
    /// The defaults.
    pub fn listening_on(listen: SocketAddr) -> Self {
        PgOptions {
            listen,
            or_any_port: false,
            connections_max: 8192,
            message_bytes_max: 16 * MIB,
            startup_max: Duration::from_secs(10),
            statement_timeout: None,
            portals_max: 32,
            tls: None,
        }
    }
}

/// What every session sees.
pub(super) struct Pg {
    shared: Arc<Shared>,
    options: PgOptions,
    sessions: Arc<Sessions>,
    tally: Arc<Tally>,
    portals: Arc<Semaphore>,
    places: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

/// A running listener.
pub(crate) struct PgWire {
    pub(crate) local_addr: SocketAddr,
    pg: Arc<Pg>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl PgWire {
    /// Binds and starts to answer.
    ///
    /// # Errors
    /// As [`crate::Gateway::start`].
    pub(crate) async fn start(options: PgOptions, shared: Arc<Shared>) -> Result<PgWire> {
        let listener = bind(options.listen, options.or_any_port, "PostgreSQL", "--pg").await?;
        let local_addr = listener.local_addr()?;
        let (stop, stopping) = watch::channel(false);
        let tally = Arc::new(Tally::default());
        // Nothing else sets it: one listener a gateway.
        let _ = shared.pg.set(tally.clone());
        let pg = Arc::new(Pg {
            shared,
            sessions: Arc::default(),
            tally,
            portals: Arc::new(Semaphore::new(options.portals_max)),
            places: Arc::new(Semaphore::new(options.connections_max)),
            options,
            stopping,
        });
        let task = tokio::spawn(accept(listener, pg.clone()));
        Ok(PgWire {
            local_addr,
            pg,
            stop,
            task,
        })
    }

    /// Takes no more; sessions end when their statements have, within a time.
    pub(crate) async fn shutdown(&self, drain_max: Duration) {
        self.task.abort();
        // Nobody who hears it means that nobody is there.
        let _ = self.stop.send(true);
        let all = u32::try_from(self.pg.options.connections_max).unwrap_or(u32::MAX);
        if timeout(drain_max, self.pg.places.acquire_many(all))
            .await
            .is_err()
        {
            tracing::warn!("sessions of PostgreSQL clients still open at shutdown were cut off");
        }
    }
}

async fn accept(listener: TcpListener, pg: Arc<Pg>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = pg.places.clone().try_acquire_owned() else {
            one(&pg.tally.connections_refused);
            refuse(&stream, pg.options.connections_max);
            continue;
        };
        one(&pg.tally.connections);
        one(&pg.tally.connections_open);
        let pg = pg.clone();
        tokio::spawn(async move {
            // Small answers must not wait for an acknowledgement, and a client that vanished is noticed.
            let _ = stream.set_nodelay(true);
            let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
            let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
            serve(&pg, stream, peer).await;
            pg.tally.connections_open.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
    }
}

async fn serve(pg: &Arc<Pg>, stream: TcpStream, peer: SocketAddr) {
    let mut stopping = pg.stopping.clone();
    let begun = tokio::select! {
        begun = timeout(pg.options.startup_max, Box::pin(login::begin(pg, stream, peer.ip()))) => begun,
        _ = stopping.wait_for(|stopping| *stopping) => return,
    };
    match begun {
        Ok(Ok(Some(session))) => session.serve().await,
        Ok(Ok(None)) => {}
        Ok(Err((wire, fault))) => {
            one(&pg.tally.startups_failed);
            tracing::debug!(%peer, message = fault.message, "a session did not begin");
            tell(wire, &fault).await;
        }
        Err(_) => {
            one(&pg.tally.startups_failed);
            tracing::debug!(%peer, "a session did not begin in time");
        }
    }
}

/// Says why the connection ends, and ends it.
async fn tell(mut wire: Wire, fault: &Fault) {
    answer::fault(&mut wire.out, fault, false);
    wire.close().await;
}

/// Says that there is no room, as far as that can be said without waiting.
fn refuse(stream: &TcpStream, most: usize) {
    let fault = Fault::new(
        TOO_MANY_CONNECTIONS,
        format!("{most} connections are open, as many as may be"),
    )
    .hint("close idle ones, or raise pg_connections in [limits]")
    .fatal();
    let mut out = bytes::BytesMut::new();
    answer::fault(&mut out, &fault, false);
    // Who cannot take it sees the connection end.
    let _ = stream.try_write(&out);
}

/// What a client is told that is cut off by a shutdown.
fn going() -> Fault {
    Fault::new(fault::SHUTTING_DOWN, "the node is shutting down").fatal()
}
