//! What clients send, read with every length checked against what is there.

use activestore_types::{Error, Result};
use bytes::Bytes;

/// A message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// `Q`: a text of statements.
    Query(String),
    /// `P`: prepare one statement.
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    /// `B`: give it its values.
    Bind {
        portal: String,
        statement: String,
        formats: Vec<i16>,
        values: Vec<Option<Bytes>>,
        results: Vec<i16>,
    },
    /// `D`: what a statement or a portal takes and gives.
    Describe(Named),
    /// `E`: run a portal, up to so many rows; 0 is all.
    Execute { portal: String, rows: usize },
    /// `C`: forget a statement or a portal.
    Close(Named),
    /// `H`: send what is there.
    Flush,
    /// `S`: the end of a row of messages.
    Sync,
    /// `X`: goodbye.
    Terminate,
    /// `d`: a piece of a COPY.
    CopyData(Bytes),
    /// `c`: its end.
    CopyDone,
    /// `f`: it failed at the client, with its reason.
    CopyFail(String),
    /// `p`: a password, or a part of a login.
    Login(Bytes),
}

/// A statement or a portal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    Statement(String),
    Portal(String),
}

impl Message {
    /// Reads the message of a type.
    ///
    /// # Errors
    /// `Invalid` for a type that there is not, or a body that is not as its type has it.
    pub(super) fn read(tag: u8, body: &Bytes) -> Result<Message> {
        let mut fields = Fields::new(body);
        let message = match tag {
            b'Q' => Message::Query(fields.text()?),
            b'P' => {
                let (name, sql) = (fields.text()?, fields.text()?);
                let count = fields.count(4)?;
                let types = (0..count).map(|_| fields.u32()).collect::<Result<_>>()?;
                Message::Parse { name, sql, types }
            }
            b'B' => {
                let (portal, statement) = (fields.text()?, fields.text()?);
                let formats = fields.formats()?;
                let count = fields.count(4)?;
                let mut values = Vec::with_capacity(count);
                for _ in 0..count {
                    values.push(fields.value()?);
                }
                Message::Bind {
                    portal,
                    statement,
                    formats,
                    values,
                    results: fields.formats()?,
                }
            }
            b'D' => Message::Describe(fields.named()?),
            b'C' => Message::Close(fields.named()?),
            b'E' => {
                let portal = fields.text()?;
                // A negative number is all rows too.
                let rows = usize::try_from(fields.i32()?).unwrap_or(0);
                Message::Execute { portal, rows }
            }
            b'H' => Message::Flush,
            b'S' => Message::Sync,
            b'X' => Message::Terminate,
            b'd' => return Ok(Message::CopyData(body.clone())),
            b'c' => Message::CopyDone,
            b'f' => Message::CopyFail(fields.text()?),
            b'p' => return Ok(Message::Login(body.clone())),
            _ => {
                return Err(Error::invalid(format!(
                    "a message of type {tag} is not one of PostgreSQL's protocol"
                )));
            }
        };
        fields.end()?;
        Ok(message)
    }
}

/// The parts of a body, one after the other.
pub(super) struct Fields<'a> {
    body: &'a Bytes,
    at: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(body: &'a Bytes) -> Self {
        Fields { body, at: 0 }
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<Bytes> {
        let end = self
            .at
            .checked_add(bytes)
            .filter(|end| *end <= self.body.len());
        let end = end.ok_or_else(short)?;
        let part = self.body.slice(self.at..end);
        self.at = end;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.as_ref().try_into().map_err(|_| short())
    }

    pub(super) fn i16(&mut self) -> Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A length, then as many bytes; -1 is NULL.
    pub(super) fn value(&mut self) -> Result<Option<Bytes>> {
        let length = self.i32()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| short())?;
        self.take(length).map(Some)
    }

    /// A number of elements of at least so many bytes each.
    fn count(&mut self, each: usize) -> Result<usize> {
        let count = usize::from(u16::from_be_bytes(self.array()?));
        if count.saturating_mul(each) > self.left() {
            return Err(short());
        }
        Ok(count)
    }

    fn formats(&mut self) -> Result<Vec<i16>> {
        let count = self.count(2)?;
        (0..count).map(|_| self.i16()).collect()
    }

    /// A text that ends with a zero.
    pub(super) fn text(&mut self) -> Result<String> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == 0).ok_or_else(short)?;
        let bytes = self.take(length)?;
        self.take(1)?;
        std::str::from_utf8(&bytes)
            .map(str::to_owned)
            .map_err(|_| Error::invalid("a text of a message is not UTF-8"))
    }

    fn named(&mut self) -> Result<Named> {
        let [kind] = self.array()?;
        let name = self.text()?;
        match kind {
            b'S' => Ok(Named::Statement(name)),
            b'P' => Ok(Named::Portal(name)),
            _ => Err(Error::invalid(
                "what a message names is neither a statement nor a portal",
            )),
        }
    }

    /// How far it has been read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.body.len() - self.at
    }

    /// The length that is next, without taking it; `None` is NULL.
    pub(super) fn peek_length(&mut self) -> Result<Option<usize>> {
        let length = self.i32()?;
        self.at -= 4;
        match length {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| short()),
        }
    }

    /// Whether all of it has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.body.len()
    }

    /// What is left.
    pub(super) fn rest(&mut self) -> Result<Bytes> {
        self.take(self.left())
    }

    fn end(&self) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Error::invalid("a message is longer than what it holds"))
    }
}

fn short() -> Error {
    Error::invalid("a message is shorter than what it holds")
}
