//! Where a sink stands, as a note.

use activestore_store::{Note, Store};
use activestore_types::{Error, Result};
use serde::{Deserialize, Serialize};

/// The prefix of the notes.
pub(super) const PREFIX: &[u8] = b"sink/";
/// The layout of the note.
const VERSION: u8 = 1;

/// What is durable of a sink beside its definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    version: u8,
    /// The sink's own: one of the same name that was made later does not go on here.
    id: [u8; 16],
    /// Behind what was delivered, as a subscription's id.
    pub(super) token: String,
    /// Events since it was made.
    pub(super) counts: Counts,
}

/// What became of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// In the receiver's hands.
    pub(super) sent: u64,
    /// Tries that failed.
    pub(super) retried: u64,
    /// Not wanted by the receiver, and left out.
    pub(super) refused: u64,
    /// Left out since the sink was too far behind.
    pub(super) skipped: u64,
}

impl Saved {
    pub(super) fn new(id: [u8; 16], token: String, counts: Counts) -> Saved {
        Saved {
            version: VERSION,
            id,
            token,
            counts,
        }
    }

    /// What is noted of a sink; `None` where nothing is, or what another sink of its name left.
    pub(super) fn read(store: &Store, name: &str, id: [u8; 16]) -> Option<Saved> {
        let bytes = store.note(&key(name))?;
        let saved: Saved = postcard::from_bytes(&bytes).ok()?;
        (saved.version == VERSION && saved.id == id).then_some(saved)
    }

    pub(super) fn note(&self, name: &str) -> Result<Note> {
        let value = postcard::to_stdvec(self)
            .map_err(|error| Error::internal(format!("the note of a sink: {error}")))?;
        Ok(Note {
            key: key(name),
            value: Some(value),
        })
    }
}

/// The note of a sink that is no more, taken away.
pub(super) fn removed(name: &str) -> Note {
    Note {
        key: key(name),
        value: None,
    }
}

/// The name of the sink that a note is about.
pub(super) fn name_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()
}

fn key(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes()].concat()
}
