//! The socket below the TLS stream: how it is set, and how many bytes cross it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::signs::{self, Signs};
use crate::crossed::Crossed;
use crate::transport::{Congestion, TransportOptions};

/// What the kernel takes of what waits to be sent: it cannot be overtaken any more, so it is what an alarm waits
/// for. A second at 1 Mbit/s, and 10 Mbit/s over a round trip of 100 ms.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// Of these, the kernel asks for more only while fewer than so many have not been sent at all: what is under way keeps
/// the wire busy, and what is behind it is only in an alarm's way.
const UNSENT_BYTES: u32 = 16 << 10;

/// Bytes that crossed a socket.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(super) signs: Signs,
    /// Where they are charged, and whose headers are.
    charged: Option<(Arc<Crossed>, SocketAddr)>,
}

impl Traffic {
    fn crossed(&self, of: &AtomicU64, bytes: usize) {
        of.fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some((crossed, address)) = &self.charged {
            crossed.by_tcp(*address, bytes);
        }
    }
}

/// A socket that counts.
pub(crate) struct Socket {
    stream: TcpStream,
    traffic: Arc<Traffic>,
    /// Whether the kernel took nothing more when it was asked last.
    full: bool,
}

impl Socket {
    /// Sets it: small records go at once, a peer that acknowledges nothing is given up in time.
    pub(crate) fn new(
        stream: TcpStream,
        options: &TransportOptions,
        charged: Option<(Arc<Crossed>, SocketAddr)>,
    ) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        let silence = signs::patience(options);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            socket.set_tcp_user_timeout(Some(silence))?;
            socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
            if options.congestion == Congestion::Arrivals {
                // Not every kernel has it; then its own goes on.
                let _ = socket.set_tcp_congestion(b"bbr");
            }
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = silence;
        Ok(Socket {
            stream,
            traffic: Arc::new(Traffic {
                sent: AtomicU64::new(0),
                received: AtomicU64::new(0),
                signs: Signs::new(),
                charged,
            }),
            full: false,
        })
    }

    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        self.traffic.clone()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let read = into.filled().len().saturating_sub(before);
        self.traffic.crossed(&self.traffic.received, read);
        self.traffic.signs.moved();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(context, bytes) else {
            self.full = true;
            return Poll::Pending;
        };
        let written = written?;
        self.traffic.crossed(&self.traffic.sent, written);
        // What the kernel takes at once says nothing of the link; where it was full, something has left.
        if std::mem::take(&mut self.full) {
            self.traffic.signs.moved();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
