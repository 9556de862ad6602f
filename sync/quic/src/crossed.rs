//! What crossed an edge's link, both ways, with the headers: counted at the sockets, so that attempts that came to nothing,
//! and those that another way overtook, are charged to the month as what arrives is.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// Bytes of headers.
const IPV4_HEADER: u64 = 20;
const IPV6_HEADER: u64 = 40;
const UDP_HEADER: u64 = 8;
/// With time stamps.
const TCP_HEADER: u64 = 32;
/// What a full packet of TCP carries.
const TCP_PAYLOAD: u64 = 1400;
/// The first packet of a connection over TCP has so many bytes of options beyond that header.
const TCP_FIRST_EXTRA: u64 = 8;

/// Bytes since the start.
#[derive(Debug, Default)]
pub(crate) struct Crossed(AtomicU64);

impl Crossed {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// So many packets of UDP with so many bytes in all.
    pub(crate) fn by_udp(&self, address: SocketAddr, bytes: usize, packets: usize) {
        let headers = packets as u64 * (ip_header(address) + UDP_HEADER);
        self.0.fetch_add(bytes as u64 + headers, Ordering::Relaxed);
    }

    /// Bytes that a socket of TCP took or gave at once. Nobody counts its packets: they are taken to be full, and every
    /// second one to be acknowledged.
    pub(crate) fn by_tcp(&self, address: SocketAddr, bytes: usize) {
        let bytes = bytes as u64;
        let headers = bytes.div_ceil(TCP_PAYLOAD) * (ip_header(address) + TCP_HEADER) * 3 / 2;
        self.0.fetch_add(bytes + headers, Ordering::Relaxed);
    }

    /// An attempt to connect over TCP is charged when it is over, whatever became of it.
    pub(crate) fn tcp_attempt(&self, address: SocketAddr) -> TcpAttempt<'_> {
        TcpAttempt {
            crossed: self,
            address,
            begun: Instant::now(),
        }
    }
}

fn ip_header(address: SocketAddr) -> u64 {
    match address.ip().to_canonical() {
        IpAddr::V4(_) => IPV4_HEADER,
        IpAddr::V6(_) => IPV6_HEADER,
    }
}

/// The first packets of a connection over TCP: the system sends the first at once and repeats it after a second, and then
/// after twice as long each time.
pub(crate) struct TcpAttempt<'a> {
    crossed: &'a Crossed,
    address: SocketAddr,
    begun: Instant,
}

impl Drop for TcpAttempt<'_> {
    fn drop(&mut self) {
        let each = ip_header(self.address) + TCP_HEADER + TCP_FIRST_EXTRA;
        let sent = first_packets(self.begun.elapsed().as_secs());
        self.crossed.0.fetch_add(sent * each, Ordering::Relaxed);
    }
}

/// How often the system has sent the first packet after so many seconds.
fn first_packets(seconds: u64) -> u64 {
    1 + u64::from(seconds.saturating_add(1).ilog2())
}

#[cfg(test)]
mod tests {
    //! Headers are charged, and what is repeated.
    use super::*;

    #[test]
    fn headers_and_repetitions_are_charged() {
        let v4: SocketAddr = ([127, 0, 0, 1], 1).into();
        let v6: SocketAddr = (std::net::Ipv6Addr::LOCALHOST, 1).into();
        let mapped: SocketAddr = (std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 1).into();
        let of = |charge: &dyn Fn(&Crossed)| {
            let crossed = Crossed::default();
            charge(&crossed);
            crossed.bytes()
        };
        assert_eq!(of(&|one| one.by_udp(v4, 2500, 2)), 2556);
        assert_eq!(of(&|one| one.by_udp(mapped, 2500, 2)), 2556);
        assert_eq!(of(&|one| one.by_udp(v6, 100, 1)), 148);
        assert_eq!(of(&|one| one.by_tcp(v4, 1401)), 1401 + 156);
        let attempt = of(&|one| drop(one.tcp_attempt(v6)));
        assert!(attempt >= 80 && attempt % 80 == 0, "{attempt}");
        for (seconds, packets) in [(0, 1), (1, 2), (2, 2), (3, 3), (10, 4)] {
            assert_eq!(first_packets(seconds), packets, "{seconds}");
        }
    }
}
