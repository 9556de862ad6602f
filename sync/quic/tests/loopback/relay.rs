//! A UDP relay that loses what a seed says, or everything while it is cut.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

struct Fate {
    cut: AtomicBool,
    loss_percent: u64,
    state: AtomicU64,
    lost: AtomicU64,
    /// What came to the server's side while it was cut, kept back by somebody on the way.
    held: Mutex<Vec<Vec<u8>>>,
    /// Changes where what comes from is to be another address.
    moves: AtomicU64,
}

impl Fate {
    fn loses(&self) -> bool {
        let mut z = self
            .state
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let lost = self.cut.load(Ordering::Relaxed) || (z ^ (z >> 31)) % 100 < self.loss_percent;
        self.lost.fetch_add(u64::from(lost), Ordering::Relaxed);
        lost
    }
}

pub struct Relay {
    pub address: SocketAddr,
    server: SocketAddr,
    fate: Arc<Fate>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub async fn start(server: SocketAddr, loss_percent: u64, seed: u64) -> Relay {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Relay::over(socket, server, loss_percent, seed)
    }

    /// Over a socket that is there already.
    pub fn over(socket: UdpSocket, server: SocketAddr, loss_percent: u64, seed: u64) -> Relay {
        let socket = Arc::new(socket);
        let address = socket.local_addr().unwrap();
        let fate = Arc::new(Fate {
            cut: AtomicBool::new(false),
            loss_percent,
            state: AtomicU64::new(seed),
            lost: AtomicU64::new(0),
            held: Mutex::default(),
            moves: AtomicU64::new(0),
        });
        let task = tokio::spawn(forward(socket, server, fate.clone()));
        Relay {
            address,
            server,
            fate,
            task,
        }
    }

    pub fn cut(&self, cut: bool) {
        self.fate.cut.store(cut, Ordering::Relaxed);
    }

    /// From now on everybody comes from another address.
    pub fn move_everybody(&self) {
        self.fate.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends what was held back while it was cut, from an address of its own; how many packets that were.
    pub async fn replay(&self) -> usize {
        let held = std::mem::take(&mut *self.fate.held.lock().unwrap());
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for packet in &held {
            socket.send_to(packet, self.server).await.unwrap();
        }
        held.len()
    }

    /// Forgets what was held back.
    pub fn forget_held(&self) {
        self.fate.held.lock().unwrap().clear();
    }

    pub fn lost(&self) -> u64 {
        self.fate.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(socket: Arc<UdpSocket>, server: SocketAddr, fate: Arc<Fate>) {
    let mut upstreams: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; 65_536];
    let mut moves = 0;
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let moved = fate.moves.load(Ordering::Relaxed);
        if std::mem::replace(&mut moves, moved) != moved {
            upstreams.clear();
        }
        let upstream = match upstreams.get(&client) {
            Some(upstream) => upstream.clone(),
            None => {
                let upstream = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                upstream.connect(server).await.unwrap();
                upstreams.insert(client, upstream.clone());
                let (back, down, fate) = (upstream.clone(), socket.clone(), fate.clone());
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65_536];
                    while let Ok(length) = back.recv(&mut buffer).await {
                        if !fate.loses() {
                            let _ = down.send_to(&buffer[..length], client).await;
                        }
                    }
                });
                upstream
            }
        };
        if !fate.loses() {
            let _ = upstream.send(&buffer[..length]).await;
        } else if fate.cut.load(Ordering::Relaxed) {
            fate.held.lock().unwrap().push(buffer[..length].to_vec());
        }
    }
}
