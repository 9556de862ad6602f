//! The link of the demo: a UDP relay between one edge and the cloud that can be cut and that counts
//! what crosses. It knows nothing of what it carries.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a thread of the relay waits before it looks whether it has to end.
const POLL: Duration = Duration::from_millis(100);
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// A running relay; it ends when dropped.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    cut: AtomicBool,
    ended: AtomicBool,
    bytes: AtomicU64,
    dropped: AtomicU64,
    client: Mutex<Option<SocketAddr>>,
}

impl Relay {
    /// Listens on a free port of loopback and passes datagrams on to `cloud` and back.
    pub(crate) fn start(cloud: SocketAddr) -> io::Result<Self> {
        let edge_side = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        let cloud_side = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        cloud_side.connect(cloud)?;
        for socket in [&edge_side, &cloud_side] {
            socket.set_read_timeout(Some(POLL))?;
        }
        let shared = Arc::new(Shared::default());
        let address = edge_side.local_addr()?;
        let up = {
            let (from, to, shared) = (edge_side.clone(), cloud_side.clone(), shared.clone());
            std::thread::spawn(move || shared.carry_up(&from, &to))
        };
        let down = {
            let shared = shared.clone();
            std::thread::spawn(move || shared.carry_down(&cloud_side, &edge_side))
        };
        Ok(Relay {
            address,
            shared,
            threads: vec![up, down],
        })
    }

    /// Where the edge connects to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the link, or joins it again.
    pub(crate) fn cut(&self, cut: bool) {
        self.shared.cut.store(cut, Ordering::Relaxed);
    }

    /// UDP payload bytes that crossed, both ways, since the last call.
    pub(crate) fn take_bytes(&self) -> u64 {
        self.shared.bytes.swap(0, Ordering::Relaxed)
    }

    /// Datagrams that the cut link swallowed.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A relay thread has nothing left to say when it ends.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn carry_up(&self, from: &UdpSocket, to: &UdpSocket) {
        let mut buffer = vec![0_u8; DATAGRAM_BYTES_MAX];
        while !self.ended.load(Ordering::Relaxed) {
            let Ok((length, client)) = from.recv_from(&mut buffer) else {
                continue;
            };
            if let Ok(mut known) = self.client.lock() {
                *known = Some(client);
            }
            if let Some(datagram) = buffer.get(..length).filter(|_| self.admit(length)) {
                // UDP promises nothing, and neither does this link.
                let _ = to.send(datagram);
            }
        }
    }

    fn carry_down(&self, from: &UdpSocket, to: &UdpSocket) {
        let mut buffer = vec![0_u8; DATAGRAM_BYTES_MAX];
        while !self.ended.load(Ordering::Relaxed) {
            let Ok(length) = from.recv(&mut buffer) else {
                continue;
            };
            let client = self.client.lock().ok().and_then(|client| *client);
            if let (Some(client), Some(datagram)) =
                (client, buffer.get(..length).filter(|_| self.admit(length)))
            {
                let _ = to.send_to(datagram, client);
            }
        }
    }

    fn admit(&self, length: usize) -> bool {
        if self.cut.load(Ordering::Relaxed) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            false
        } else {
            self.bytes.fetch_add(length as u64, Ordering::Relaxed);
            true
        }
    }
}
