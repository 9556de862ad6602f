//! A request as a note: its key names the processor and its place in the queue.

use activestore_plugin_host::{HttpRequest, HttpTarget};
use activestore_types::{Error, Result};
use serde::{Deserialize, Serialize};
use uuid::Builder;

/// The prefix of all requests among the store's notes.
pub(super) const PREFIX: &[u8] = b"http/";

/// The prefix of a processor's requests.
pub(crate) fn prefix(processor: &str) -> Vec<u8> {
    format!("http/{processor}/").into_bytes()
}

/// The key of a request: in the order of their keys they are sent.
pub(super) fn key(processor: &str, number: u64) -> Vec<u8> {
    format!("http/{processor}/{number:016x}").into_bytes()
}

/// The processor and the number that a key names.
pub(super) fn place(key: &[u8]) -> Option<(String, u64)> {
    let key = std::str::from_utf8(key).ok()?;
    let (processor, number) = key.strip_prefix("http/")?.rsplit_once('/')?;
    Some((processor.to_owned(), u64::from_str_radix(number, 16).ok()?))
}

/// A request that waits, or that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    id: [u8; 16],
    /// When it was sent, in milliseconds since 1970.
    pub(crate) created_ms: u64,
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Why it was given up.
    pub(crate) dead: Option<String>,
}

impl Kept {
    pub(super) fn new(request: HttpRequest, id: [u8; 16], created_ms: u64) -> Self {
        Kept {
            id,
            created_ms,
            method: request.method.name().to_owned(),
            url: request.url,
            headers: request.headers,
            body: request.body,
            dead: None,
        }
    }

    /// What tells it from all others, whatever happens to it.
    pub(crate) fn id(&self) -> String {
        Builder::from_random_bytes(self.id).into_uuid().to_string()
    }

    pub(crate) fn target(&self) -> Option<HttpTarget> {
        HttpTarget::of(&self.url).ok()
    }

    pub(crate) fn bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        self.url.len() + headers + self.body.len()
    }

    pub(crate) fn read(note: &[u8]) -> Result<Self> {
        postcard::from_bytes(note).map_err(|error| {
            Error::corrupt(format!("a request that waits cannot be read: {error}"))
        })
    }

    pub(super) fn write(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(self)
            .map_err(|error| Error::internal(format!("a request cannot be kept: {error}")))
    }
}
