//! What a subscription tells, in the words of its wire. Each event is one JSON object:
//!
//! ```text
//! {"op":"upsert","id":"…","row":{"device":"p1","temp":81.5}}     a row was written, and is this now
//! {"op":"delete","id":"…","key":{"device":"p1","ts":"…"}}        a row is gone
//! {"op":"erase","id":"…","from":{…},"through":{…}}               all rows of a range of keys are gone ("before": its end is outside)
//! {"op":"snapshot","row":{…}}                                    a row that the table held at the beginning
//! {"op":"live","id":"…"}                                         from here on events are told as they happen
//! {"op":"dropped","id":"…","events":12}                          events were left out; null where nobody knows how many
//! {"op":"beat","id":"…"}                                         nothing happened for a while
//! {"op":"end","error":{"code":"…","message":"…","hint":"…"}}     the last one
//! ```
//!
//! A range whose ends no values of the table's columns say (they lie between two texts) has `start_key` and `end_key`, the
//! encoded keys in hexadecimal digits.
//!
//! As server-sent events `op` is the event's name as well and `id` its id, so that a browser goes on by itself.

use activestore_db::{Changes, Subscription, Told};
use activestore_types::{Error, Result};
use arrow::datatypes::SchemaRef;

use super::Chunk;
use crate::answer::error_value;
use crate::encode::{change_members, json_string, object};

/// How events are put one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Server-sent events.
    Events,
    /// One object a line.
    Lines,
    /// One message each.
    Socket,
}

impl Framing {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Framing::Events => "text/event-stream",
            Framing::Lines | Framing::Socket => "application/x-ndjson",
        }
    }
}

/// Makes chunks of what is told.
pub(super) struct Words {
    framing: Framing,
    rows: SchemaRef,
    bytes: Vec<u8>,
    messages: Vec<String>,
}

impl Words {
    pub(super) fn new(framing: Framing, subscription: &Subscription) -> Self {
        Words {
            framing,
            rows: subscription.schema().clone(),
            bytes: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// # Errors
    /// `Invalid` for a column that has no JSON form.
    pub(super) fn told(&mut self, told: &Told) -> Result<Chunk> {
        match told {
            Told::Snapshot(rows) => {
                for row in 0..rows.num_rows() {
                    let (schema, mut data) = (self.rows.clone(), Vec::new());
                    data.extend_from_slice(b"\"row\":");
                    object(&schema, rows, row, &mut data)?;
                    self.event("snapshot", None, &data);
                }
            }
            Told::Live { token } => self.event("live", Some(token), b""),
            Told::Changes(changes) => self.changes(changes)?,
            Told::Dropped { events, token } => {
                let data = match events {
                    Some(events) => format!("\"events\":{events}"),
                    None => "\"events\":null".to_owned(),
                };
                self.event("dropped", Some(token), data.as_bytes());
            }
        }
        Ok(self.take())
    }

    fn changes(&mut self, changes: &Changes) -> Result<()> {
        for change in &changes.list {
            let (op, data) = change_members(changes, change)?;
            self.event(op, Some(&changes.token(change)), &data);
        }
        Ok(())
    }

    /// The last event.
    pub(super) fn ended(&mut self, error: &Error) -> Chunk {
        let data = format!("\"error\":{}", error_value(error));
        self.event("end", None, data.as_bytes());
        self.take()
    }

    /// Nothing happened for a while.
    pub(super) fn beat(&mut self, token: Option<String>) -> Chunk {
        match (self.framing, token) {
            // Without data no event is made of it, but its id counts.
            (Framing::Events, Some(token)) => {
                let text = format!(": beat\nid: {token}\n\n");
                self.bytes.extend_from_slice(text.as_bytes());
            }
            (Framing::Events, None) => self.bytes.extend_from_slice(b": beat\n\n"),
            (Framing::Socket, None) => return Chunk::Ping,
            (_, token) => self.event("beat", token.as_deref(), b""),
        }
        self.take()
    }

    /// Appends one event; `data` are the members beside its name and place.
    fn event(&mut self, op: &str, token: Option<&str>, data: &[u8]) {
        let mut json = format!("{{\"op\":\"{op}\"").into_bytes();
        if let Some(token) = token {
            json.extend_from_slice(b",\"id\":");
            json_string(token, &mut json);
        }
        if !data.is_empty() {
            json.push(b',');
            // A JSON column's text may go over several lines; between its values that is nothing but space.
            let lines = data.iter().map(|byte| match byte {
                b'\n' | b'\r' => b' ',
                byte => *byte,
            });
            json.extend(lines);
        }
        json.push(b'}');
        match self.framing {
            Framing::Events => {
                if let Some(token) = token {
                    self.bytes
                        .extend_from_slice(format!("id: {token}\n").as_bytes());
                }
                let head = format!("event: {op}\ndata: ");
                self.bytes.extend_from_slice(head.as_bytes());
                self.bytes.append(&mut json);
                self.bytes.extend_from_slice(b"\n\n");
            }
            Framing::Lines => {
                self.bytes.append(&mut json);
                self.bytes.push(b'\n');
            }
            Framing::Socket => {
                self.messages
                    .push(String::from_utf8_lossy(&json).into_owned());
            }
        }
    }

    fn take(&mut self) -> Chunk {
        match self.framing {
            Framing::Socket => Chunk::Messages(std::mem::take(&mut self.messages)),
            _ => Chunk::Bytes(std::mem::take(&mut self.bytes)),
        }
    }
}
