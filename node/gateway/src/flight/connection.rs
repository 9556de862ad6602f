//! Connections: a bounded number of them, each of which begins in time, as HTTP/2 does, and is used by somebody who is
//! let in. What is garbage never reaches the code of HTTP/2.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Sleep, sleep, timeout};
use tonic::transport::server::Connected;

use super::tally::{Tally, one};
use super::{Flight, FlightTls, KEEPALIVE};
use crate::certificate::Io;

/// What every connection of HTTP/2 begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Connections that have begun and that nobody serves yet.
const WAITING_MAX: usize = 16;
/// How long to wait after the system refused a connection, when it is out of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may be open without a call of somebody who is let in.
const UNUSED_MAX: Duration = Duration::from_secs(60);

/// Who is at the other end.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) from: IpAddr,
    /// Whether nobody in between reads what is sent.
    pub(super) secure: bool,
    used: Arc<AtomicBool>,
}

impl Peer {
    /// Somebody who is let in made a call.
    pub(super) fn is_used(&self) {
        self.used.store(true, Ordering::Relaxed);
    }
}

/// Takes connections.
pub(super) struct Connections {
    places: Arc<Semaphore>,
    tls: Option<FlightTls>,
    tally: Arc<Tally>,
    startup_max: Duration,
    begun: mpsc::Sender<io::Result<Connection>>,
}

impl Connections {
    /// With the stream of those that have begun.
    pub(super) fn new(
        flight: &Flight,
    ) -> (
        Connections,
        impl Stream<Item = io::Result<Connection>> + use<>,
    ) {
        let (begun, mut waiting) = mpsc::channel(WAITING_MAX);
        let connections = Connections {
            places: Arc::new(Semaphore::new(flight.options.connections_max)),
            tls: flight.options.tls.clone(),
            tally: flight.tally.clone(),
            startup_max: flight.options.startup_max,
            begun,
        };
        let incoming = futures::stream::poll_fn(move |context| waiting.poll_recv(context));
        (connections, incoming)
    }

    pub(super) async fn accept(self, listener: TcpListener) {
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = self.places.clone().try_acquire_owned() else {
                one(&self.tally.connections_refused);
                continue;
            };
            one(&self.tally.connections);
            one(&self.tally.connections_open);
            let seat = Seat {
                tally: self.tally.clone(),
                _place: place,
            };
            let (tls, begun, tally) = (self.tls.clone(), self.begun.clone(), self.tally.clone());
            let startup_max = self.startup_max;
            tokio::spawn(async move {
                match timeout(startup_max, begin(stream, address, tls, seat)).await {
                    Ok(Some(connection)) => {
                        // Nobody who takes it means that the node is going away.
                        let _ = begun.send(Ok(connection)).await;
                    }
                    _ => {
                        one(&tally.startups_failed);
                        tracing::debug!(peer = %address, "a connection did not begin as one of HTTP/2, or not in time");
                    }
                }
            });
        }
    }
}

/// The place of a connection among those that may be open.
struct Seat {
    tally: Arc<Tally>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.tally.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn begin(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<FlightTls>,
    seat: Seat,
) -> Option<Connection> {
    // Small answers must not wait for an acknowledgement, and a client that vanished is noticed.
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    let secure = tls.is_some();
    let mut io: Box<dyn Io> = Box::new(stream);
    if let Some(tls) = tls {
        io = tls.0.accept(io).await?;
    }
    let mut preface = [0; PREFACE.len()];
    io.read_exact(&mut preface).await.ok()?;
    if preface != *PREFACE {
        return None;
    }
    let peer = Peer {
        from: address.ip(),
        secure,
        used: Arc::default(),
    };
    Some(Connection {
        io,
        preface: PREFACE,
        unused: Some(Box::pin(sleep(UNUSED_MAX))),
        peer,
        _seat: seat,
    })
}

/// A connection that has begun.
pub(super) struct Connection {
    io: Box<dyn Io>,
    /// What was read of it and is to be read again.
    preface: &'static [u8],
    /// Ends it, where nobody is let in until then.
    unused: Option<Pin<Box<Sleep>>>,
    peer: Peer,
    _seat: Seat,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(unused) = &mut this.unused {
            if this.peer.used.load(Ordering::Relaxed) {
                this.unused = None;
            } else if unused.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        if !this.preface.is_empty() {
            let (now, rest) = this
                .preface
                .split_at(this.preface.len().min(buffer.remaining()));
            buffer.put_slice(now);
            this.preface = rest;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
