//! Where a view stands in the log, as a note that becomes durable in the same record as its rows.

use activestore_store::{Note, Store};
use activestore_types::{Error, Lsn, Result, TableId};
use serde::{Deserialize, Serialize};

use super::reference;

/// The prefix of the notes.
pub(super) const PREFIX: &[u8] = b"view/";
/// The layout of the note …
const VERSION: u8 = 1;
/// … with how far late rows were written behind it.
const VERSION_LATE: u8 = 2;

/// What a view has to look at anew as a whole: windows, of all groups or of those with some values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Region {
    /// Columns of the base's key, each with its one value as a key is written.
    pub(super) among: Vec<(u32, Vec<u8>)>,
    /// The first window.
    pub(super) from: i64,
    /// The last one.
    pub(super) to: i64,
    /// Whether there is something in the first and in the last window, or was when it was looked for.
    pub(super) bounded: bool,
    /// Whether windows are computed as well that the table may have lost a part of to its age: of a view that holds
    /// nothing yet, and those that somebody deleted.
    pub(super) aged: bool,
    /// Whether sessions that began before it are done: known while it is gone through, and looked for anew otherwise.
    #[serde(skip)]
    pub(super) clean: bool,
}

impl Region {
    /// Everything that the table has whole.
    pub(super) fn all() -> Region {
        Region {
            among: Vec::new(),
            from: i64::MIN,
            to: i64::MAX,
            bounded: false,
            aged: false,
            clean: false,
        }
    }
}

/// Where a view stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    version: u8,
    /// The last record whose rows are in the view, but for what is in the regions.
    pub(super) upto: u64,
    /// What is still to be looked at as a whole.
    pub(super) regions: Vec<Region>,
    /// The newest moment that was seen in a row.
    pub(super) newest_ns: i64,
    /// Rows that came after the watermark.
    pub(super) late: u64,
    /// The last record whose late rows are in their table, where that is beyond the one whose rows are in the view.
    #[serde(skip)]
    pub(super) late_upto: u64,
}

impl Saved {
    /// Of a view that is computed from the beginning, and follows what is behind a record. One that was noted by a
    /// newer program may hold what its table has lost.
    pub(super) fn new(store: &Store, view: TableId, upto: Lsn) -> Saved {
        let aged = store.note(&key(view)).is_none();
        Saved {
            version: VERSION,
            upto: upto.0,
            regions: vec![Region {
                aged,
                ..Region::all()
            }],
            newest_ns: i64::MIN,
            late: 0,
            late_upto: 0,
        }
    }

    /// What is noted of a view; `None` where nothing is, or what a newer program wrote: then it is made anew.
    pub(super) fn read(store: &Store, view: TableId) -> Option<Saved> {
        let bytes = store.note(&key(view))?;
        let (mut saved, rest): (Saved, _) = postcard::take_from_bytes(&bytes).ok()?;
        saved.late_upto = match saved.version {
            VERSION => 0,
            VERSION_LATE => postcard::from_bytes(rest).ok()?,
            _ => return None,
        };
        saved.version = VERSION;
        Some(saved)
    }

    pub(super) fn note(&self, view: TableId) -> Result<Note> {
        let unwritten = |error| Error::internal(format!("the note of a view: {error}"));
        let ahead = self.late_upto > self.upto;
        let version = if ahead { VERSION_LATE } else { VERSION };
        let noted = Saved {
            version,
            ..self.clone()
        };
        let mut value = postcard::to_stdvec(&noted).map_err(unwritten)?;
        if ahead {
            value.extend(postcard::to_stdvec(&self.late_upto).map_err(unwritten)?);
        }
        Ok(Note {
            key: key(view),
            value: Some(value),
        })
    }
}

pub(super) fn key(view: TableId) -> Vec<u8> {
    [PREFIX, view.0.to_string().as_bytes()].concat()
}

/// The notes of views that are no more.
pub(super) fn orphans(store: &Store, views: &[TableId]) -> Vec<Note> {
    let known = views.iter();
    let known: Vec<Vec<u8>> = known
        .flat_map(|view| [key(*view), reference::key(*view)])
        .collect();
    let notes = [PREFIX, reference::PREFIX].map(|prefix| store.notes(prefix));
    let notes = notes.into_iter().flatten().map(|(key, _)| key);
    notes
        .filter(|key| !known.contains(key))
        .map(|key| Note { key, value: None })
        .collect()
}
