//! A broker: messages with QoS 1, several under way at once, each behind the place only once it is acknowledged.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use activestore_db::{
    Carried, Change, Changes, Parcel, Setback, SinkAddress, SinkLine, SinkOptions, What,
};
use activestore_gateway::encode::{change_object, text_cell};
use activestore_types::Result;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::packet::{self, KEEP_ALIVE_S, REPLY_BYTES, Reply};
use crate::outside;

/// A connection on which nothing went for so long is left: the broker may be about to.
const IDLE_MAX: Duration = Duration::from_secs(KEEP_ALIVE_S as u64 * 2 / 3);

/// The way to a broker.
pub struct Broker {
    /// The members in front of each event.
    head: String,
    client: String,
    address: SinkAddress,
    login: Option<(String, String)>,
    retain: bool,
    timeout: Duration,
    session: Option<Session>,
}

struct Session {
    stream: Box<dyn Stream>,
    used: Instant,
    /// The number of the last message.
    number: u16,
}

/// A connection whose waits are bounded.
trait Stream: Read + Write + Send {
    fn bound(&self, wait: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn bound(&self, wait: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(wait))?;
        self.set_write_timeout(Some(wait))
    }
}

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn bound(&self, wait: Duration) -> io::Result<()> {
        self.sock.bound(wait)
    }
}

impl Broker {
    pub fn new(sink: &str, client: String, address: &SinkAddress, options: &SinkOptions) -> Broker {
        Broker {
            head: format!("\"sink\":\"{sink}\","),
            client,
            address: address.clone(),
            login: options.login.clone(),
            retain: options.retain,
            timeout: options.timeout,
            session: None,
        }
    }

    /// How many of the messages are acknowledged, and what went wrong then.
    fn publish(&mut self, parcels: &[Parcel]) -> (usize, std::result::Result<(), String>) {
        let end = Instant::now() + self.timeout;
        let retain = self.retain;
        let session = match self.opened(end) {
            Ok(session) => session,
            Err(why) => return (0, Err(why)),
        };
        let first = session.number.wrapping_add(1).max(1);
        let mut numbers = Vec::with_capacity(parcels.len());
        let mut number = first;
        for parcel in parcels {
            numbers.push(number);
            let message = packet::publish(&parcel.topic, &parcel.body, number, retain);
            let sent = match message {
                Some(message) => send(session.stream.as_mut(), &message, end),
                None => Err("a message is larger than MQTT can carry".to_owned()),
            };
            if let Err(why) = sent {
                return (0, Err(why));
            }
            session.number = number;
            number = number.wrapping_add(1).max(1);
        }
        let mut taken = 0;
        let mut acknowledged = vec![false; numbers.len()];
        while taken < numbers.len() {
            let reply = receive(session.stream.as_mut(), end);
            let place = match reply {
                Ok(Reply::Published(number)) => numbers.iter().position(|one| *one == number),
                Ok(Reply::Connected(_)) => None,
                Err(why) => return (taken, Err(why)),
            };
            // Acknowledged twice, or never sent: whoever speaks so is no broker.
            let Some(waits) = place
                .and_then(|place| acknowledged.get_mut(place))
                .filter(|done| !**done)
            else {
                return (
                    taken,
                    Err("the broker acknowledged what was not sent".to_owned()),
                );
            };
            *waits = true;
            taken = acknowledged.iter().take_while(|done| **done).count();
        }
        session.used = Instant::now();
        (taken, Ok(()))
    }

    /// The connection, made anew where there is none that can be relied on.
    fn opened(&mut self, end: Instant) -> std::result::Result<&mut Session, String> {
        let is_stale = |session: &Session| session.used.elapsed() > IDLE_MAX;
        if self.session.as_ref().is_some_and(is_stale) {
            self.leave();
        }
        let session = match self.session.take() {
            Some(session) => session,
            None => self.connect(end)?,
        };
        Ok(self.session.insert(session))
    }

    fn connect(&self, end: Instant) -> std::result::Result<Session, String> {
        let SinkAddress::Mqtt {
            tls, host, port, ..
        } = &self.address
        else {
            return Err("the address is none of a broker".to_owned());
        };
        let socket = reach(host, *port, end)?;
        let mut stream: Box<dyn Stream> = match tls {
            true => Box::new(secured(host, socket)?),
            false => Box::new(socket),
        };
        let hello = packet::connect(&self.client, self.login.as_ref())
            .ok_or("the client's name or its login is longer than MQTT can carry")?;
        send(stream.as_mut(), &hello, end)?;
        match receive(stream.as_mut(), end)? {
            Reply::Connected(0) => Ok(Session {
                stream,
                used: Instant::now(),
                number: 0,
            }),
            Reply::Connected(code) => Err(packet::refusal(code)),
            Reply::Published(_) => Err("the broker's first packet is no CONNACK".to_owned()),
        }
    }

    fn leave(&mut self) {
        if let Some(mut session) = self.session.take() {
            let end = Instant::now() + Duration::from_millis(200);
            // It goes either way.
            let _ = send(session.stream.as_mut(), &packet::DISCONNECT, end);
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.leave();
    }
}

impl SinkLine for Broker {
    fn parcel(&self, changes: &Changes, change: &Change) -> Result<Parcel> {
        let value = |column: &str| {
            let What::Upsert(row) = change.what else {
                return String::new();
            };
            let rows = &changes.rows;
            let mut text = String::new();
            if let Some(array) = rows.column_by_name(column) {
                // What has no text is NULL, and leaves its level empty.
                let _ = text_cell(array, row, &mut text);
            }
            text
        };
        Ok(Parcel {
            id: changes.token(change),
            topic: self.address.topic(value),
            body: change_object(changes, change, &self.head)?,
        })
    }

    fn carry(&mut self, parcels: &[Parcel]) -> Carried {
        let fits = parcels
            .iter()
            .take_while(|parcel| packet::is_topic(&parcel.topic));
        let fitting = fits.count();
        let Some(parcels) = parcels.get(..fitting).filter(|some| !some.is_empty()) else {
            return Carried {
                taken: 0,
                setback: Some(Setback::Refused(
                    "its topic is empty, or longer than MQTT can carry".to_owned(),
                )),
            };
        };
        let (taken, done) = self.publish(parcels);
        match done {
            Ok(()) => Carried::all(taken),
            Err(why) => {
                // What comes after it on this connection is anybody's guess.
                self.session = None;
                Carried::later(taken, why)
            }
        }
    }
}

fn left(end: Instant) -> std::result::Result<Duration, String> {
    let left = end.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err("the broker did not answer in time".to_owned()),
        false => Ok(left),
    }
}

fn reach(host: &str, port: u16, end: Instant) -> std::result::Result<TcpStream, String> {
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("{host} was not found: {error}"))?;
    let mut said = format!("{host} has no address");
    for address in found {
        match TcpStream::connect_timeout(&address, left(end)?) {
            Ok(stream) => {
                // Messages are small, and each is waited for.
                stream
                    .set_nodelay(true)
                    .map_err(|error| error.to_string())?;
                return Ok(stream);
            }
            Err(error) => said = format!("{address} was not reached: {error}"),
        }
    }
    Err(said)
}

fn secured(
    host: &str,
    socket: TcpStream,
) -> std::result::Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(outside::roots());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connection =
        ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    Ok(StreamOwned::new(connection, socket))
}

fn send(stream: &mut dyn Stream, bytes: &[u8], end: Instant) -> std::result::Result<(), String> {
    let lost = |error: io::Error| format!("the connection to the broker broke off: {error}");
    let mut rest = bytes;
    while !rest.is_empty() {
        stream.bound(left(end)?).map_err(lost)?;
        match stream.write(rest) {
            Ok(0) => return Err("the broker closed the connection".to_owned()),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if is_late(&error) => {}
            Err(error) => return Err(lost(error)),
        }
    }
    stream.flush().map_err(lost)
}

fn receive(stream: &mut dyn Stream, end: Instant) -> std::result::Result<Reply, String> {
    let mut bytes = [0; REPLY_BYTES];
    let mut have = 0;
    while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
        stream
            .bound(left(end)?)
            .map_err(|error| format!("the connection to the broker broke off: {error}"))?;
        match stream.read(rest) {
            Ok(0) => return Err("the broker closed the connection".to_owned()),
            Ok(count) => have += count,
            Err(error) if is_late(&error) => {}
            Err(error) => return Err(format!("the connection to the broker broke off: {error}")),
        }
    }
    packet::reply(bytes)
        .ok_or_else(|| "the broker sent what no broker sends to a publisher".to_owned())
}

/// Whether it is asked again, within the bound of all of it.
fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
