//! Rows of an answer that is whole: where a query fails behind its first rows, the node has begun to answer. It then says
//! so in place of what ends the answer, or breaks it off, and what came before must not be taken for all.

use std::io::{self, ErrorKind, Read};

use activestore_gateway::Format;
use activestore_types::Error;
use serde_json::Value;

use super::{BodyReader, kind};

/// How much of an answer's end is kept: an error's message is shorter.
const END_BYTES: usize = 64 * 1024;
/// What the rows of a JSON answer end with where they are not all.
const JSON_FAILED: &[u8] = b"],\"error\":{";

/// An answer's body; reading its end fails where it is not whole.
pub(super) struct Whole {
    body: BodyReader,
    format: Format,
    end: Vec<u8>,
}

impl Whole {
    pub(super) fn new(body: BodyReader, format: Format) -> Self {
        Whole {
            body,
            format,
            end: Vec::new(),
        }
    }

    fn keep(&mut self, read: &[u8]) {
        self.end.extend_from_slice(read);
        if self.end.len() > 2 * END_BYTES {
            self.end.drain(..self.end.len() - END_BYTES);
        }
    }
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.body.read(buffer) {
            // Who reads Arrow would take it for an end like any other.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(io::Error::other(
                    "the node broke it off, as where a query fails behind its first rows (its log says why)",
                ));
            }
            read => read?,
        };
        let failed = match self.format {
            Format::Csv | Format::Arrow | Format::Parquet => None,
            Format::Json | Format::Ndjson if read > 0 || buffer.is_empty() => {
                self.keep(buffer.get(..read).unwrap_or_default());
                None
            }
            Format::Json => json_failed(&self.end),
            Format::Ndjson => ndjson_failed(&self.end),
        };
        match failed {
            Some(error) => Err(io::Error::other(error)),
            None => Ok(read),
        }
    }
}

/// What a JSON answer says that it failed of. A value of its rows may look the same, and is never followed by the end.
fn json_failed(end: &[u8]) -> Option<Error> {
    let begins = end
        .windows(JSON_FAILED.len())
        .rposition(|bytes| bytes == JSON_FAILED)?;
    let members = end.get(begins + 2..)?;
    let value = serde_json::from_slice(&[b"{", members].concat()).ok()?;
    failure(&value)
}

/// The same of the last line of an NDJSON answer.
fn ndjson_failed(end: &[u8]) -> Option<Error> {
    let line = end
        .strip_suffix(b"\n")?
        .rsplit(|byte| *byte == b'\n')
        .next()?;
    failure(&serde_json::from_slice(line).ok()?)
}

fn failure(value: &Value) -> Option<Error> {
    let members = value.as_object()?;
    let error = members.get("error")?.as_object()?;
    // A row may have a column of this name.
    if members.len() != 1 || error.len() != 3 || !error.contains_key("hint") {
        return None;
    }
    let code = error.get("code")?.as_str()?;
    let message = error.get("message")?.as_str()?;
    Some(Error::new(kind(code), message))
}

#[cfg(test)]
mod tests;
