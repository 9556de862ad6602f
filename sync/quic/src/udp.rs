//! The sockets of both ends. That of an edge: it counts what crosses the link, and is small. quinn keeps room for 32 receptions at once, each of as many packets as the system may hand over in
//! one: 3 MB for each socket, which an allocator fills with zeros again whenever a socket is opened anew. An edge
//! receives little and may have 512 MB in all, so its packets come one by one, and the room is 47 KB. A cloud has one
//! socket for all of its edges and keeps that room; there each connection keeps room for as many packets as are sent at
//! once, which are fewer than quinn would take.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Endpoint, Runtime, ServerConfig, TokioRuntime, UdpPoller};

use crate::crossed::Crossed;
use crate::ids;

/// A cloud hands so many packets of one connection to the system at once. Each connection keeps room for them, so ten,
/// as quinn would have it, cost ten thousand edges 65 MB more, and what goes down to one edge is little.
const CLOUD_SENDS: usize = 4;

/// What an edge connects from, on a free port of any of the addresses that are like this one.
pub(crate) fn edge_endpoint(any: SocketAddr, crossed: Arc<Crossed>) -> io::Result<Endpoint> {
    let socket = UdpSocket::bind(any)?;
    // The same socket: what it is opened with is set below, and this is taken back afterwards.
    let same = socket.try_clone()?;
    let inner = TokioRuntime.wrap_udp_socket(socket)?;
    let at_once = match hands_over_one_by_one(&same) {
        true => 1,
        false => inner.max_receive_segments(),
    };
    let socket = Arc::new(Socket {
        receives: at_once,
        sends: inner.max_transmit_segments(),
        crossed: Some(crossed),
        inner,
    });
    Endpoint::new_with_abstract_socket(ids::endpoint(), None, socket, Arc::new(TokioRuntime))
}

/// Whether the system was made to hand over packets one by one.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn hands_over_one_by_one(socket: &UdpSocket) -> bool {
    use std::os::fd::AsRawFd;

    /// The level and the option of `linux/udp.h`, which the C library's headers of some systems lack.
    const SOL_UDP: libc::c_int = 17;
    const UDP_GRO: libc::c_int = 104;
    let off: libc::c_int = 0;
    #[expect(unsafe_code, reason = "no library in use sets this option")]
    // SAFETY: the socket is open while it is borrowed, and the system reads as many bytes as the number has.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            SOL_UDP,
            UDP_GRO,
            (&raw const off).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    failed == 0
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn hands_over_one_by_one(_: &UdpSocket) -> bool {
    false
}

/// What a cloud listens with.
pub(crate) fn cloud_endpoint(socket: UdpSocket, config: ServerConfig) -> io::Result<Endpoint> {
    let inner = TokioRuntime.wrap_udp_socket(socket)?;
    let socket = Arc::new(Socket {
        receives: inner.max_receive_segments(),
        sends: inner.max_transmit_segments().min(CLOUD_SENDS),
        crossed: None,
        inner,
    });
    let runtime = Arc::new(TokioRuntime);
    Endpoint::new_with_abstract_socket(ids::endpoint(), Some(config), socket, runtime)
}

/// A socket of quinn's that takes and gives so many packets at once, and may count.
#[derive(Debug)]
struct Socket {
    inner: Arc<dyn AsyncUdpSocket>,
    receives: usize,
    sends: usize,
    crossed: Option<Arc<Crossed>>,
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)?;
        if let Some(crossed) = &self.crossed {
            let bytes = transmit.contents.len();
            let packets = bytes.div_ceil(transmit.segment_size.unwrap_or(bytes).max(1));
            crossed.by_udp(transmit.destination, bytes, packets);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.inner.poll_recv(context, buffers, meta))?;
        if let Some(crossed) = &self.crossed {
            for one in meta.iter().take(count) {
                crossed.by_udp(one.addr, one.len, one.len.div_ceil(one.stride.max(1)));
            }
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_receive_segments(&self) -> usize {
        self.receives
    }

    fn max_transmit_segments(&self) -> usize {
        self.sends
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
mod tests;
