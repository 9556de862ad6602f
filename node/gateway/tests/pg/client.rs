//! A node with the wire on a free port, and a client of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use activestore_gateway::{Gateway, PgOptions};

pub(crate) use crate::node::Node;

/// Longer than anything here takes on a busy machine: a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(60);

impl Node {
    pub(crate) fn start() -> Node {
        Node::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut PgOptions)) -> Node {
        let mut pg = PgOptions::listening_on("127.0.0.1:0".parse().unwrap());
        change(&mut pg);
        Node::serving(|options| options.pg = Some(pg), Gateway::pg_addr)
    }

    /// A table with every type of a column.
    pub(crate) fn with_types() -> Node {
        let node = Node::start();
        node.sql(
            "CREATE KEYSPACE plant; CREATE TABLE plant.types (k TEXT, ts TIMESTAMP, b BOOLEAN, i INT, n BIGINT, \
             r REAL, d DOUBLE, m DECIMAL(12, 3), x BYTES, day DATE, u UUID, j JSON, PRIMARY KEY ((k), ts))",
        );
        node
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address, &[("user", "anna")])
    }
}

/// A message of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) tag: char,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// A field of an error or a notice.
    pub(crate) fn field(&self, name: char) -> Option<String> {
        let parts = self.body.split(|byte| *byte == 0);
        let text = parts.map(|part| String::from_utf8_lossy(part).into_owned());
        text.filter_map(|part| part.strip_prefix(name).map(str::to_owned))
            .next()
    }

    /// The values of a row.
    pub(crate) fn values(&self) -> Vec<Option<Vec<u8>>> {
        assert_eq!(self.tag, 'D');
        let mut rest = &self.body[2..];
        let mut values = Vec::new();
        while !rest.is_empty() {
            let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
            rest = &rest[4..];
            values.push(usize::try_from(length).ok().map(|length| {
                let (value, left) = rest.split_at(length);
                rest = left;
                value.to_vec()
            }));
        }
        values
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        let values = self.values().into_iter();
        values
            .map(|value| value.map_or("NULL".to_owned(), |value| String::from_utf8(value).unwrap()))
            .collect()
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// What the node said at the start.
    pub(crate) greeting: Vec<Reply>,
}

impl Client {
    pub(crate) fn open(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            greeting: Vec::new(),
        }
    }

    pub(crate) fn connect(address: SocketAddr, parameters: &[(&str, &str)]) -> Client {
        let mut client = Client::open(address);
        client.startup(parameters);
        client.greeting = client.until('Z');
        client
    }

    pub(crate) fn startup(&mut self, parameters: &[(&str, &str)]) {
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        for (name, value) in parameters {
            body.extend(text(name));
            body.extend(text(value));
        }
        body.push(0);
        let mut message = u32::try_from(body.len() + 4)
            .unwrap()
            .to_be_bytes()
            .to_vec();
        message.extend(body);
        self.stream.write_all(&message).unwrap();
    }

    pub(crate) fn send(&mut self, tag: char, body: &[u8]) {
        self.stream.write_all(&framed(tag, body)).unwrap();
    }

    /// The next message; `None` at the end.
    pub(crate) fn receive(&mut self) -> Option<Reply> {
        let mut head = [0_u8; 5];
        self.stream.read_exact(&mut head).ok()?;
        let length = i32::from_be_bytes(head[1..].try_into().unwrap());
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        self.stream.read_exact(&mut body).ok()?;
        Some(Reply {
            tag: char::from(head[0]),
            body,
        })
    }

    /// Messages up to and with the next of a type.
    pub(crate) fn until(&mut self, tag: char) -> Vec<Reply> {
        let mut replies = Vec::new();
        loop {
            match self.receive() {
                Some(reply) => replies.push(reply),
                None => panic!("the connection ended before '{tag}': {replies:?}"),
            }
            if replies.last().unwrap().tag == tag {
                return replies;
            }
        }
    }

    /// Messages up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<Reply> {
        std::iter::from_fn(|| self.receive()).collect()
    }

    /// A text of statements, by the simple protocol.
    pub(crate) fn query(&mut self, sql: &str) -> Vec<Reply> {
        self.send('Q', &text(sql));
        self.until('Z')
    }

    /// The rows of a query as texts.
    pub(crate) fn rows(&mut self, sql: &str) -> Vec<Vec<String>> {
        let replies = self.query(sql);
        if let Some(error) = replies.iter().find(|reply| reply.tag == 'E') {
            panic!("{sql}: {:?}", error.field('M'));
        }
        let rows = replies.iter().filter(|reply| reply.tag == 'D');
        rows.map(Reply::texts).collect()
    }

    /// The code of the error that a text is answered with.
    pub(crate) fn error(&mut self, sql: &str) -> Reply {
        let replies = self.query(sql);
        let error = replies.into_iter().find(|reply| reply.tag == 'E');
        error.unwrap_or_else(|| panic!("{sql}: no error"))
    }

    pub(crate) fn parse(&mut self, name: &str, sql: &str, types: &[u32]) {
        let mut body = text(name);
        body.extend(text(sql));
        body.extend(count(types.len()));
        types.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
        self.send('P', &body);
    }

    /// Binds values, all of them in one format, and asks for results in one.
    pub(crate) fn bind(
        &mut self,
        portal: &str,
        statement: &str,
        format: i16,
        values: &[Option<Vec<u8>>],
        results: i16,
    ) {
        let mut body = text(portal);
        body.extend(text(statement));
        body.extend(count(1));
        body.extend(format.to_be_bytes());
        body.extend(count(values.len()));
        for value in values {
            match value {
                Some(value) => {
                    body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
                    body.extend(value);
                }
                None => body.extend((-1_i32).to_be_bytes()),
            }
        }
        body.extend(count(1));
        body.extend(results.to_be_bytes());
        self.send('B', &body);
    }

    pub(crate) fn describe(&mut self, kind: char, name: &str) {
        let mut body = vec![u8::try_from(kind).unwrap()];
        body.extend(text(name));
        self.send('D', &body);
    }

    pub(crate) fn execute(&mut self, portal: &str, rows: i32) {
        let mut body = text(portal);
        body.extend(rows.to_be_bytes());
        self.send('E', &body);
    }

    pub(crate) fn sync(&mut self) -> Vec<Reply> {
        self.send('S', &[]);
        self.until('Z')
    }
}

pub(crate) fn framed(tag: char, body: &[u8]) -> Vec<u8> {
    let mut message = vec![u8::try_from(tag).unwrap()];
    message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    message.extend(body);
    message
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn count(count: usize) -> [u8; 2] {
    u16::try_from(count).unwrap().to_be_bytes()
}

pub(crate) fn tags(replies: &[Reply]) -> String {
    replies.iter().map(|reply| reply.tag).collect()
}
