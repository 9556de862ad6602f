//! MQTT 3.1.1 with QoS 1, as little of it as publishing and a persistent subscription take.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Publisher;

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
/// A broker that says nothing for so long is asked anew.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A connection is tried for so long.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);

/// A packet: the four high bits of its first byte, the low ones, what follows the length.
struct Packet {
    kind: u8,
    flags: u8,
    body: Vec<u8>,
}

struct Connection(TcpStream);

impl Connection {
    fn open(broker: &str, client: &str, clean: bool) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&broker.parse().unwrap(), Duration::from_secs(2))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let mut connection = Connection(stream);
        let mut body = Vec::new();
        put_text(&mut body, "MQTT");
        body.extend([4, u8::from(clean) << 1, 0, 0]); // no keep alive
        put_text(&mut body, client);
        connection.0.write_all(&packet(1, 0, &body))?;
        let answer = connection.read()?;
        match (answer.kind, answer.body.get(1)) {
            (CONNACK, Some(0)) => Ok(connection),
            _ => Err(io::Error::other("the broker refuses the connection")),
        }
    }

    /// Tries again while the broker is not there.
    fn insist(broker: &str, client: &str, clean: bool) -> Connection {
        crate::wait::until(&format!("a connection to {broker}"), CONNECT_WITHIN, || {
            Connection::open(broker, client, clean).ok()
        })
    }

    fn read(&mut self) -> io::Result<Packet> {
        let mut byte = [0];
        self.0.read_exact(&mut byte)?;
        let first = byte[0];
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            self.0.read_exact(&mut byte)?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 || shift > 21 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Packet {
            kind: first >> 4,
            flags: first & 15,
            body,
        })
    }
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    body.extend((text.len() as u16).to_be_bytes());
    body.extend(text.as_bytes());
}

fn packet(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![(kind << 4) | flags];
    let mut length = body.len();
    loop {
        let more = length > 127;
        bytes.push((length & 127) as u8 | (u8::from(more) << 7));
        length >>= 7;
        if !more {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

/// Publishes to one topic of a broker.
pub(super) struct MqttPublisher {
    broker: String,
    topic: String,
    connection: Option<Connection>,
}

impl MqttPublisher {
    pub(super) fn new(broker: String, topic: &str) -> MqttPublisher {
        MqttPublisher {
            broker,
            topic: topic.to_owned(),
            connection: None,
        }
    }

    /// Sends what is left and takes acknowledgements until all have come or the connection fails.
    fn attempt(
        &mut self,
        messages: &[(u64, String)],
        left: &mut BTreeSet<u16>,
        again: bool,
    ) -> io::Result<()> {
        let connection = self
            .connection
            .get_or_insert_with(|| Connection::insist(&self.broker, "publisher", false));
        let mut bytes = Vec::new();
        for id in left.iter() {
            let (_, payload) = &messages[usize::from(*id) - 1];
            let mut body = Vec::new();
            put_text(&mut body, &self.topic);
            body.extend(id.to_be_bytes());
            body.extend(payload.as_bytes());
            bytes.extend(packet(PUBLISH, (1 << 1) | (u8::from(again) << 3), &body));
        }
        connection.0.write_all(&bytes)?;
        while !left.is_empty() {
            let answer = connection.read()?;
            if answer.kind == PUBACK {
                left.remove(&u16::from_be_bytes([answer.body[0], answer.body[1]]));
            }
        }
        Ok(())
    }
}

impl Publisher for MqttPublisher {
    fn publish(&mut self, messages: &[(u64, String)]) {
        let mut left: BTreeSet<u16> = (1..=messages.len() as u16).collect();
        let begun = Instant::now();
        let mut again = false;
        while self.attempt(messages, &mut left, again).is_err() {
            self.connection = None;
            again = true;
            assert!(
                begun.elapsed() < CONNECT_WITHIN,
                "{} takes no message",
                self.broker
            );
        }
    }
}

/// A subscription that the broker remembers; what came is kept in the order of its coming.
pub(super) struct Subscriber {
    received: Arc<Mutex<Vec<u64>>>,
    distinct: Arc<Mutex<BTreeSet<u64>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Subscriber {
    pub(super) fn start(broker: String, topic: &str) -> Subscriber {
        let (received, distinct) = (Arc::default(), Arc::default());
        let stop = Arc::new(AtomicBool::new(false));
        let mut connection = subscribed(&broker, topic);
        let thread = {
            let (received, distinct, stop) =
                (Arc::clone(&received), Arc::clone(&distinct), stop.clone());
            let topic = topic.to_owned();
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if receive(&mut connection, &received, &distinct).is_err()
                        && !stop.load(Ordering::Relaxed)
                    {
                        connection = subscribed(&broker, &topic);
                    }
                }
            })
        };
        Subscriber {
            received,
            distinct,
            stop,
            thread: Some(thread),
        }
    }

    pub(super) fn arrived(&self) -> u64 {
        self.distinct.lock().unwrap().len() as u64
    }

    pub(super) fn received(&self) -> Vec<u64> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends with the next time-out of its connection.
            let _ = thread.join();
        }
    }
}

fn subscribed(broker: &str, topic: &str) -> Connection {
    let mut connection = Connection::insist(broker, "subscriber", false);
    let mut body = vec![0, 1];
    put_text(&mut body, topic);
    body.push(1);
    connection.0.write_all(&packet(8, 2, &body)).unwrap();
    connection
}

/// Takes one message and acknowledges it; silence is no failure.
fn receive(
    connection: &mut Connection,
    received: &Mutex<Vec<u64>>,
    distinct: &Mutex<BTreeSet<u64>>,
) -> io::Result<()> {
    let mut ready = [0];
    match connection.0.peek(&mut ready) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => {}
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    let message = connection.read()?;
    if message.kind != PUBLISH {
        return Ok(());
    }
    assert_eq!(
        (message.flags >> 1) & 3,
        1,
        "the broker delivers with QoS 1"
    );
    let topic = usize::from(u16::from_be_bytes([message.body[0], message.body[1]])) + 2;
    let id = &message.body[topic..topic + 2];
    let n = number(&message.body[topic + 2..]);
    received.lock().unwrap().push(n);
    distinct.lock().unwrap().insert(n);
    connection.0.write_all(&packet(PUBACK, 0, id))
}

/// The number that a message carries.
pub(super) fn number(payload: &[u8]) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(payload).unwrap();
    value["n"].as_u64().unwrap()
}
