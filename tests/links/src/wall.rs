//! A way to a cloud that carries TCP and no UDP, as many firewalls have it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

/// Ports that are tried until one is free for both.
const TRIES: usize = 32;

/// The way; what came to it over UDP went nowhere.
pub struct Wall {
    pub address: SocketAddr,
    /// Bound and never read: nobody else gets the port, and nobody answers on it.
    _udp: UdpSocket,
}

impl Wall {
    pub fn start(cloud: SocketAddr) -> Wall {
        for _ in 0..TRIES {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = udp.local_addr().unwrap();
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            std::thread::spawn(move || {
                for near in listener.incoming().filter_map(Result::ok) {
                    let Ok(far) = TcpStream::connect(cloud) else {
                        continue;
                    };
                    for (from, to) in [
                        (near.try_clone().unwrap(), far.try_clone().unwrap()),
                        (far, near),
                    ] {
                        std::thread::spawn(move || carry(from, to));
                    }
                }
            });
            return Wall { address, _udp: udp };
        }
        panic!("no port is free for both");
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other direction ends too.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
