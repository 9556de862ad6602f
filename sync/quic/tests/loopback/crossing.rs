//! A way to the cloud that carries TCP, and UDP only once it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
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
    silent: Arc<AtomicBool>,
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
            let (cut, silent): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
            let carried = Arc::new(AtomicU64::new(0));
            let cuts = watch::Sender::new(());
            let task = tokio::spawn(forward(
                listener,
                server,
                cut.clone(),
                silent.clone(),
                cuts.clone(),
                carried.clone(),
            ));
            return Crossing {
                address,
                server,
                udp: Some(udp),
                cut,
                silent,
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

    /// Takes and acknowledges everything and hands nothing over, as a proxy does whose other side is gone; or carries again.
    pub fn swallow(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
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
    silent: Arc<AtomicBool>,
    cuts: watch::Sender<()>,
    carried: Arc<AtomicU64>,
) {
    loop {
        let Ok((near, _)) = listener.accept().await else {
            continue;
        };
        if cut.load(Ordering::Relaxed) {
            continue;
        }
        carried.fetch_add(1, Ordering::Relaxed);
        let mut breaks = cuts.subscribe();
        let silent = silent.clone();
        tokio::spawn(async move {
            let Ok(far) = TcpStream::connect(server).await else {
                return;
            };
            let (from_near, to_near) = near.into_split();
            let (from_far, to_far) = far.into_split();
            tokio::select! {
                () = carry(from_near, to_far, &silent) => {}
                () = carry(from_far, to_near, &silent) => {}
                _ = breaks.changed() => {}
            }
        });
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, silent: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if !silent.load(Ordering::Relaxed) && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
