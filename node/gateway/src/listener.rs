//! A TCP listener that holds a bounded number of connections: the next one is accepted when one of
//! them ends, and waits in the system's queue until then. A connection whose client may still be sending when it
//! closes goes on reading for a while: to close with bytes unread resets it, and the answer may be lost with that.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// How long to wait after the system refused a connection, when it is out of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client may go on sending to a connection that has closed.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Bytes that it may send so.
const LINGER_BYTES_MAX: usize = 16 << 20;

/// Bytes of them that are read at once.
const LINGER_READ_BYTES: usize = 16 << 10;

/// Binds the listener of a wire beside HTTP; another port is taken where this one is in use and any will do.
///
/// # Errors
/// As [`crate::Gateway::start`].
#[cfg(any(feature = "flight", feature = "pgwire"))]
pub(crate) async fn bind(
    listen: SocketAddr,
    or_any_port: bool,
    wire: &str,
    flag: &str,
) -> activestore_types::Result<TcpListener> {
    let bound = match TcpListener::bind(listen).await {
        Err(error) if or_any_port && error.kind() == io::ErrorKind::AddrInUse => {
            let other = TcpListener::bind(SocketAddr::new(listen.ip(), 0)).await;
            if other.is_ok() {
                tracing::warn!(
                    wanted = %listen,
                    "the address of the {wire} wire is in use: another port is taken, which {flag} names"
                );
            }
            other
        }
        bound => bound,
    };
    bound.map_err(|error| crate::server::bind_error(wire, flag, listen, &error))
}

/// The listener.
pub struct BoundedListener {
    inner: TcpListener,
    places: Arc<Semaphore>,
}

impl BoundedListener {
    /// At most `connections_max` connections at once.
    pub fn new(inner: TcpListener, connections_max: usize) -> Self {
        BoundedListener {
            inner,
            places: Arc::new(Semaphore::new(connections_max)),
        }
    }
}

impl Listener for BoundedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let place = self.places.clone().acquire_owned().await;
            match (place, self.inner.accept().await) {
                (Ok(place), Ok((stream, peer))) => {
                    // Small answers must not wait for an acknowledgement.
                    let _ = stream.set_nodelay(true);
                    return (
                        Connection {
                            stream,
                            closes: Arc::default(),
                            lingering: None,
                            _place: place,
                        },
                        peer,
                    );
                }
                (_, Err(error)) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                // The semaphore is never closed.
                (Err(_), Ok(_)) => {}
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// An accepted connection and its place.
pub struct Connection {
    stream: TcpStream,
    /// Whether it is closed though its client may still be sending.
    closes: Arc<AtomicBool>,
    lingering: Option<Lingering>,
    _place: OwnedSemaphorePermit,
}

/// A connection of which this end is closed.
struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes: usize,
}

impl Lingering {
    /// Reads and drops what still comes, until the client closes its end or the bounds are met.
    fn poll_end(&mut self, stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; LINGER_READ_BYTES];
        while self.bytes < LINGER_BYTES_MAX && self.until.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            match buffer.filled().len() {
                0 => break,
                _ if read.is_err() => break,
                length => self.bytes += length,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            if !this.closes.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
        }
        let lingering = this.lingering.get_or_insert_with(|| Lingering {
            until: Box::pin(sleep(LINGER_MAX)),
            bytes: 0,
        });
        lingering.poll_end(&mut this.stream, context).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The client of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// Set where the connection closes with an answer though its client may still be sending.
    pub closes: Arc<AtomicBool>,
}

impl Connected<IncomingStream<'_, BoundedListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, BoundedListener>) -> Self {
        Peer {
            address: *stream.remote_addr(),
            closes: stream.io().closes.clone(),
        }
    }
}
