//! A connection to a broker, of which every wait ends by one moment: the look-up of its name, the connection, TLS, what is
//! sent and what comes back.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::packet::{self, REPLY_BYTES, Reply};
use crate::outside;

type Attempt<T> = std::result::Result<T, Trouble>;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The other side closed the connection, or the way there broke.
    BrokeOff(String),
    /// The time was over.
    Late,
    /// Anything else: nobody there, an answer that is none.
    Other(String),
}

impl Trouble {
    pub fn other(why: impl Into<String>) -> Trouble {
        Trouble::Other(why.into())
    }

    fn of(error: &io::Error) -> Trouble {
        Trouble::BrokeOff(format!("the connection to the broker broke off: {error}"))
    }

    fn closed() -> Trouble {
        Trouble::BrokeOff("the broker closed the connection".to_owned())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::BrokeOff(why) | Trouble::Other(why) => why,
            Trouble::Late => "the broker did not answer in time",
        })
    }
}

/// A socket whose reads and writes end by a moment, however many of them something is made of: TLS makes many.
struct Bounded {
    socket: TcpStream,
    end: Instant,
}

impl Bounded {
    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(left),
        }
    }
}

impl Read for Bounded {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(bytes)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// A connection to a broker.
pub struct Stream(Way);

enum Way {
    Plain(Bounded),
    Secured(Box<StreamOwned<ClientConnection, Bounded>>),
}

impl Stream {
    /// Reaches a host, at one of its addresses.
    pub fn reach(
        names: &mut Names,
        host: &str,
        port: u16,
        tls: bool,
        end: Instant,
    ) -> Attempt<Stream> {
        let found = names.look_up(host, port, end)?;
        let mut said = Trouble::Other(format!("{host} has no address"));
        for (tried, address) in found.iter().enumerate() {
            // One that swallows everything leaves time for the others.
            let addresses = u32::try_from(found.len() - tried).unwrap_or(u32::MAX);
            let wait = left(end)? / addresses;
            match TcpStream::connect_timeout(address, wait) {
                Ok(socket) => {
                    // Messages are small, and each is waited for.
                    let ready = socket.set_nodelay(true);
                    ready.map_err(|error| Trouble::other(error.to_string()))?;
                    let socket = Bounded { socket, end };
                    return match tls {
                        true => secured(host, socket),
                        false => Ok(Stream(Way::Plain(socket))),
                    };
                }
                Err(error) => {
                    said = Trouble::Other(format!("{address} was not reached: {error}"));
                }
            }
        }
        Err(said)
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: &[u8], end: Instant) -> Attempt<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.until(end)?.write(rest) {
                Ok(0) => return Err(Trouble::closed()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(Trouble::of(&error)),
            }
        }
        loop {
            match self.until(end)?.flush() {
                Err(error) if is_late(&error) => {}
                done => return done.map_err(|error| Trouble::of(&error)),
            }
        }
    }

    /// The next answer.
    pub fn receive(&mut self, end: Instant) -> Attempt<Reply> {
        let mut bytes = [0; REPLY_BYTES];
        let mut have = 0;
        while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
            match self.until(end)?.read(rest) {
                Ok(0) => return Err(Trouble::closed()),
                Ok(count) => have += count,
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(Trouble::of(&error)),
            }
        }
        answer(bytes)
    }

    /// An answer that is there already, though nothing can be written: TLS would write first what waits.
    pub fn receive_alone(&mut self, end: Instant) -> Attempt<Reply> {
        let Way::Secured(stream) = &mut self.0 else {
            return self.receive(end);
        };
        stream.sock.end = end;
        let mut bytes = [0; REPLY_BYTES];
        let mut have = 0;
        while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
            left(end)?;
            match stream.conn.reader().read(rest) {
                Ok(0) => return Err(Trouble::closed()),
                Ok(count) => have += count,
                Err(error) if is_late(&error) => match stream.conn.read_tls(&mut stream.sock) {
                    Ok(0) => return Err(Trouble::closed()),
                    Ok(_) => {
                        let seen = stream.conn.process_new_packets();
                        seen.map_err(|error| Trouble::other(error.to_string()))?;
                    }
                    Err(error) if is_late(&error) => {}
                    Err(error) => return Err(Trouble::of(&error)),
                },
                Err(error) => return Err(Trouble::of(&error)),
            }
        }
        answer(bytes)
    }

    fn until(&mut self, end: Instant) -> Attempt<&mut dyn ReadWrite> {
        left(end)?;
        Ok(match &mut self.0 {
            Way::Plain(socket) => {
                socket.end = end;
                socket
            }
            Way::Secured(stream) => {
                stream.sock.end = end;
                stream.as_mut()
            }
        })
    }
}

fn answer(bytes: [u8; REPLY_BYTES]) -> Attempt<Reply> {
    packet::reply(bytes)
        .ok_or_else(|| Trouble::other("the broker sent what no broker sends to a publisher"))
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

fn left(end: Instant) -> Attempt<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(Trouble::Late),
        false => Ok(left),
    }
}

fn secured(host: &str, socket: Bounded) -> Attempt<Stream> {
    let other = |error: &dyn fmt::Display| Trouble::other(error.to_string());
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(outside::roots());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| other(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| other(&error))?;
    let connection =
        ClientConnection::new(Arc::new(config), name).map_err(|error| other(&error))?;
    let stream = StreamOwned::new(connection, socket);
    Ok(Stream(Way::Secured(Box::new(stream))))
}

/// Whether it is asked again, within the bound of all of it.
fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

type Found = io::Result<Vec<SocketAddr>>;

/// Looks names up, one at a time: the machine's own look-up can be given no bound, so it has a thread of its own. One that
/// does not end is waited for by the next try, and no other is begun beside it.
#[derive(Default)]
pub struct Names {
    waits: Option<Receiver<Found>>,
}

impl Names {
    fn look_up(&mut self, host: &str, port: u16, end: Instant) -> Attempt<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let name = host.to_owned();
        self.asked(end, host, move || {
            (name.as_str(), port)
                .to_socket_addrs()
                .map(Iterator::collect)
        })
    }

    /// What `ask` finds.
    pub fn asked(
        &mut self,
        end: Instant,
        host: &str,
        ask: impl FnOnce() -> Found + Send + 'static,
    ) -> Attempt<Vec<SocketAddr>> {
        // What was not found while nobody asked may be there by now.
        let before = match self.waits.take() {
            Some(waits) => match waits.try_recv() {
                Ok(Ok(found)) => return Ok(found),
                Err(TryRecvError::Empty) => Some(waits),
                Ok(Err(_)) | Err(TryRecvError::Disconnected) => None,
            },
            None => None,
        };
        let waits = match before {
            Some(waits) => waits,
            None => {
                let (tell, waits) = channel();
                let begun = std::thread::Builder::new()
                    .name("sink-name".to_owned())
                    .spawn(move || {
                        // Nobody may be waiting any more.
                        let _ = tell.send(ask());
                    });
                begun.map_err(|error| Trouble::other(error.to_string()))?;
                waits
            }
        };
        match waits.recv_timeout(left(end)?) {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(Trouble::Other(format!("{host} was not found: {error}"))),
            Err(RecvTimeoutError::Timeout) => {
                self.waits = Some(waits);
                Err(Trouble::Other(format!("{host} was not found in time")))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Trouble::Other(format!("the look-up of {host} broke off")))
            }
        }
    }
}
