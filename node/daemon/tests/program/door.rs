//! A port that a test holds from beginning to end, in front of a server that comes and goes and takes a port or a socket of
//! its own each time: so a server comes back to its address, and nobody else does.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Where a server is.
#[derive(Clone)]
pub enum Place {
    /// At this address.
    Port(String),
    /// At a socket of the file system.
    Socket(PathBuf),
}

/// The port; whoever comes while nobody is behind it is turned away.
pub struct Door {
    address: SocketAddr,
    behind: Arc<Mutex<Option<Place>>>,
}

impl Door {
    /// A door with nobody behind it.
    pub fn new() -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let behind = Arc::new(Mutex::new(None::<Place>));
        let places = behind.clone();
        std::thread::spawn(move || {
            for guest in listener.incoming().flatten() {
                let place = places.lock().unwrap().clone();
                match place {
                    // It may be gone by now: then so is the guest.
                    Some(Place::Port(address)) => {
                        if let Ok(host) = TcpStream::connect(address) {
                            let ends = [host.try_clone().unwrap(), host];
                            lead(&guest, ends, |host| drop(host.shutdown(Shutdown::Both)));
                        }
                    }
                    Some(Place::Socket(path)) => {
                        if let Ok(host) = UnixStream::connect(path) {
                            let ends = [host.try_clone().unwrap(), host];
                            lead(&guest, ends, |host| drop(host.shutdown(Shutdown::Both)));
                        }
                    }
                    None => {}
                }
            }
        });
        Door { address, behind }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who is behind it from now on.
    pub fn leads_to(&self, place: Option<Place>) {
        *self.behind.lock().unwrap() = place;
    }
}

/// Carries bytes both ways until either side ends.
fn lead<H>(guest: &TcpStream, ends: [H; 2], close: fn(&H))
where
    H: io::Read + io::Write + Send + 'static,
{
    let [mut from, mut to] = ends;
    let (mut there, mut back) = (guest.try_clone().unwrap(), guest.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = io::copy(&mut there, &mut to);
        close(&to);
    });
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
}
