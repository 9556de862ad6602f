//! The socket below the TLS stream: how it is set, and how many bytes cross it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::transport::{Congestion, TransportOptions};

/// What the kernel takes of what waits to be sent: it cannot be overtaken any more, so it is what an alarm waits
/// for. A second at 1 Mbit/s, and 10 Mbit/s over a round trip of 100 ms.
const SEND_BUFFER_BYTES: usize = 128 << 10;
/// What was sent may go unacknowledged for so long at least, since TCP backs off after each loss.
const SILENCE_MIN: Duration = Duration::from_secs(5);

/// Bytes that crossed a socket.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

/// A socket that counts.
pub(crate) struct Socket {
    stream: TcpStream,
    traffic: Arc<Traffic>,
}

impl Socket {
    /// Sets it: small records go at once, a peer that acknowledges nothing is given up in time.
    pub(crate) fn new(stream: TcpStream, options: &TransportOptions) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        let silence = options.idle_timeout.max(SILENCE_MIN);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            socket.set_tcp_user_timeout(Some(silence))?;
            if options.congestion == Congestion::Bbr {
                // Not every kernel has it; then its own goes on.
                let _ = socket.set_tcp_congestion(b"bbr");
            }
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = silence;
        Ok(Socket {
            stream,
            traffic: Arc::default(),
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
        let read = into.filled().len().saturating_sub(before) as u64;
        self.traffic.received.fetch_add(read, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.traffic
            .sent
            .fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
