//! Where a sink stands, as a note under its name and its own number: what another sink of its name left is another note.

use std::collections::BTreeMap;

use activestore_catalog::SinkDef;
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
    /// The sink's own.
    id: [u8; 16],
    /// Behind what was delivered, as a subscription's id.
    pub(super) token: String,
    /// Events since it was made.
    pub(super) counts: Counts,
    /// The last event of a batch that was sent and not taken. Notes of earlier releases end before it.
    #[serde(skip)]
    pub(super) composed: Option<String>,
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
    pub(super) fn new(
        id: [u8; 16],
        token: String,
        counts: Counts,
        composed: Option<String>,
    ) -> Saved {
        Saved {
            version: VERSION,
            id,
            token,
            counts,
            composed,
        }
    }

    /// What is noted of a sink.
    pub(super) fn read(store: &Store, name: &str, id: [u8; 16]) -> Option<Saved> {
        let own = store.note(&key(name, id));
        let bytes = own.or_else(|| store.note(&early_key(name)))?;
        Saved::decode(&bytes).filter(|saved| saved.id == id)
    }

    fn decode(bytes: &[u8]) -> Option<Saved> {
        let (mut saved, rest) = postcard::take_from_bytes::<Saved>(bytes).ok()?;
        if saved.version != VERSION {
            return None;
        }
        saved.composed = postcard::from_bytes(rest).ok();
        Some(saved)
    }

    pub(super) fn note(&self, name: &str) -> Result<Note> {
        let unfit = |error| Error::internal(format!("the note of a sink: {error}"));
        let mut value = postcard::to_stdvec(self).map_err(unfit)?;
        if let Some(composed) = &self.composed {
            value.extend(postcard::to_stdvec(composed).map_err(unfit)?);
        }
        Ok(Note {
            key: key(name, self.id),
            value: Some(value),
        })
    }
}

/// What becomes of notes where these sinks are defined: those of others go, and those that an earlier release left under
/// a name alone move.
pub(super) fn tidied(notes: &[(Vec<u8>, Vec<u8>)], sinks: &BTreeMap<String, SinkDef>) -> Vec<Note> {
    let mut all = Vec::new();
    for (at, value) in notes {
        let of = |def: &&SinkDef| key(&def.name, def.id) == *at;
        if sinks.values().any(|def| of(&def)) {
            continue;
        }
        let early = sinks.values().find(|def| early_key(&def.name) == *at);
        if let Some(def) = early
            && Saved::decode(value).is_some_and(|saved| saved.id == def.id)
            && !notes
                .iter()
                .any(|(other, _)| key(&def.name, def.id) == *other)
        {
            all.push(Note {
                key: key(&def.name, def.id),
                value: Some(value.clone()),
            });
        }
        all.push(removed(at.clone()));
    }
    all
}

/// The note of a sink that is no more, taken away.
pub(super) fn removed(key: Vec<u8>) -> Note {
    Note { key, value: None }
}

/// Where a sink's note is.
pub(super) fn key(name: &str, id: [u8; 16]) -> Vec<u8> {
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    [&early_key(name), b"/".as_slice(), id.as_bytes()].concat()
}

/// Where earlier releases had it.
fn early_key(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes()].concat()
}
