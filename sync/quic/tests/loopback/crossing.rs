//! A way to the cloud that carries TCP, and UDP only once it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::relay::Relay;

/// Ports that are tried until one is free for both.
const TRIES: usize = 32;

pub struct Crossing {
    pub address: SocketAddr,
    server: SocketAddr,
    /// Bound, so that nobody else has the port, and not read.
    udp: Option<UdpSocket>,
    cut: Arc<AtomicBool>,
    cuts: watch::Sender<()>,
    carried: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Crossing {
    pub async fn start(server: SocketAddr) -> Crossing {
        for _ in 0..TRIES {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let address = udp.local_addr().unwrap();
            let Ok(listener) = TcpListener::bind(address).await else {
                continue;
            };
            let (cut, carried) = (
                Arc::new(AtomicBool::new(false)),
                Arc::new(AtomicU64::new(0)),
            );
            let cuts = watch::Sender::new(());
            let task = tokio::spawn(forward(
                listener,
                server,
                cut.clone(),
                cuts.clone(),
                carried.clone(),
            ));
            return Crossing {
                address,
                server,
                udp: Some(udp),
                cut,
                cuts,
                carried,
                task,
            };
        }
        panic!("no port is free for both");
    }

    /// Breaks what is under way and lets nothing more in, or lets it in again.
    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
        if cut {
            self.cuts.send_replace(());
        }
    }

    /// Connections that were carried over TCP.
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// From now on UDP gets through as well, as long as what is given lives.
    pub fn open_udp(&mut self) -> Relay {
        Relay::over(self.udp.take().unwrap(), self.server, 0, 1)
    }
}

impl Drop for Crossing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    listener: TcpListener,
    server: SocketAddr,
    cut: Arc<AtomicBool>,
    cuts: watch::Sender<()>,
    carried: Arc<AtomicU64>,
) {
    loop {
        let Ok((mut near, _)) = listener.accept().await else {
            continue;
        };
        if cut.load(Ordering::Relaxed) {
            continue;
        }
        carried.fetch_add(1, Ordering::Relaxed);
        let mut breaks = cuts.subscribe();
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(server).await else {
                return;
            };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = breaks.changed() => {}
            }
        });
    }
}
