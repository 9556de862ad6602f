//! A TCP listener that holds a bounded number of connections: the next one is accepted when one of
//! them ends, and waits in the system's queue until then.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long to wait after the system refused a connection, when it is out of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    _place: OwnedSemaphorePermit,
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
        Pin::new(&mut self.stream).poll_shutdown(context)
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

/// The client's address.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, BoundedListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, BoundedListener>) -> Self {
        Peer(*stream.remote_addr())
    }
}
