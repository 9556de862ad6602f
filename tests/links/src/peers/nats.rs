//! NATS with JetStream, as little of the protocol as publishing, the stream's interface and a reading take.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Publisher;
use super::mqtt::number;

/// A server that says nothing for so long is asked anew.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A connection is tried for so long.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);

/// Messages that are asked for at once.
const READ_AT_ONCE: u64 = 500;

/// Each connection has an inbox of its own: those of a leaf are heard at its hub too.
static INBOXES: AtomicU64 = AtomicU64::new(0);

/// A message: where it was sent, and what it says.
struct Message {
    subject: String,
    body: Vec<u8>,
}

pub(super) struct Connection {
    reader: BufReader<TcpStream>,
    inbox: String,
}

impl Connection {
    fn open(server: &str) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&server.parse().unwrap(), Duration::from_secs(2))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let mut connection = Connection {
            reader: BufReader::new(stream),
            inbox: format!("_INBOX.links{}", INBOXES.fetch_add(1, Ordering::Relaxed)),
        };
        let settings = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;
        let inbox = &connection.inbox;
        let greeting = format!("CONNECT {settings}\r\nSUB {inbox}.* 1\r\nPING\r\n");
        connection.send(greeting.as_bytes())?;
        loop {
            if connection.line()? == "PONG" {
                return Ok(connection);
            }
        }
    }

    /// Tries again while the server is not there.
    pub(super) fn insist(server: &str) -> Connection {
        crate::wait::until(&format!("a connection to {server}"), CONNECT_WITHIN, || {
            Connection::open(server).ok()
        })
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// The next message; what the protocol itself says is answered.
    fn message(&mut self) -> io::Result<Message> {
        loop {
            let line = self.line()?;
            let words: Vec<&str> = line.split(' ').collect();
            let (headers, length): (usize, usize) = match words.first().copied() {
                Some("PING") => {
                    self.send(b"PONG\r\n")?;
                    continue;
                }
                Some("MSG") => (0, words[words.len() - 1].parse().unwrap()),
                Some("HMSG") => (
                    words[words.len() - 2].parse().unwrap(),
                    words[words.len() - 1].parse().unwrap(),
                ),
                _ => continue,
            };
            let mut body = vec![0; length + 2];
            self.reader.read_exact(&mut body)?;
            body.truncate(length);
            return Ok(Message {
                subject: words[1].to_owned(),
                body: body.split_off(headers),
            });
        }
    }

    fn request(&mut self, subject: &str, reply: &str, body: &str) -> io::Result<()> {
        let inbox = &self.inbox;
        let length = body.len();
        let asked = format!("PUB $JS.API.{subject} {inbox}.{reply} {length}\r\n{body}\r\n");
        self.send(asked.as_bytes())
    }

    /// Asks JetStream something.
    pub(super) fn ask(&mut self, subject: &str, body: &str) -> io::Result<Value> {
        self.request(subject, "asked", body)?;
        let reply = format!("{}.asked", self.inbox);
        loop {
            let message = self.message()?;
            if message.subject == reply {
                return serde_json::from_slice(&message.body).map_err(io::Error::other);
            }
        }
    }

    /// Every message of a stream, read from its begin to its end; the numbers that they carry.
    pub(super) fn read_all(&mut self, stream: &str, count: u64) -> Vec<u64> {
        let consumer = format!(
            r#"{{"stream_name":"{stream}","config":{{"deliver_policy":"all","ack_policy":"none"}}}}"#
        );
        let made = self
            .ask(&format!("CONSUMER.CREATE.{stream}"), &consumer)
            .unwrap();
        let name = made["name"].as_str().unwrap_or_else(|| panic!("{made}"));
        let next = format!("CONSUMER.MSG.NEXT.{stream}.{name}");
        let mut numbers = Vec::new();
        while (numbers.len() as u64) < count {
            let wanted = READ_AT_ONCE.min(count - numbers.len() as u64);
            let batch = format!(r#"{{"batch":{wanted},"no_wait":true}}"#);
            self.request(&next, "read", &batch).unwrap();
            for _ in 0..wanted {
                let message = self.message().unwrap();
                // A message without a body is JetStream's word that there are no more.
                assert!(
                    !message.body.is_empty(),
                    "{stream} ends after {}",
                    numbers.len()
                );
                numbers.push(number(&message.body));
            }
        }
        numbers
    }
}

/// Publishes to a stream of a server; the stream knows each message by its number and takes it once.
pub(super) struct NatsPublisher {
    server: String,
    subject: String,
    connection: Option<Connection>,
}

impl NatsPublisher {
    pub(super) fn new(server: String, subject: &str) -> NatsPublisher {
        NatsPublisher {
            server,
            subject: subject.to_owned(),
            connection: None,
        }
    }

    fn attempt(
        &mut self,
        messages: &[(u64, String)],
        left: &mut BTreeSet<usize>,
    ) -> io::Result<()> {
        let connection = self
            .connection
            .get_or_insert_with(|| Connection::insist(&self.server));
        let inbox = connection.inbox.clone();
        let mut bytes = Vec::new();
        for index in left.iter() {
            let (n, payload) = &messages[*index];
            let headers = format!("NATS/1.0\r\nNats-Msg-Id: {n}\r\n\r\n");
            let whole = headers.len() + payload.len();
            let line = format!(
                "HPUB {} {inbox}.{index} {} {whole}\r\n",
                self.subject,
                headers.len()
            );
            bytes.extend(format!("{line}{headers}{payload}\r\n").as_bytes());
        }
        connection.send(&bytes)?;
        while !left.is_empty() {
            let message = connection.message()?;
            let index = message
                .subject
                .rsplit('.')
                .next()
                .and_then(|text| text.parse().ok());
            let answer: Value = serde_json::from_slice(&message.body).unwrap_or_default();
            match index {
                Some(index) if answer["stream"].is_string() => {
                    left.remove(&index);
                }
                // The stream is not up yet.
                _ => return Err(io::Error::other("not acknowledged")),
            }
        }
        Ok(())
    }
}

impl Publisher for NatsPublisher {
    fn publish(&mut self, messages: &[(u64, String)]) {
        let mut left: BTreeSet<usize> = (0..messages.len()).collect();
        let begun = Instant::now();
        while self.attempt(messages, &mut left).is_err() {
            self.connection = None;
            std::thread::sleep(Duration::from_millis(50));
            assert!(
                begun.elapsed() < CONNECT_WITHIN,
                "{} takes no message",
                self.server
            );
        }
    }
}
