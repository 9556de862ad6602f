//! What a gateway may say to its edges of tables that are its cloud's: up to which stamp it has every row. An edge that
//! fetches the tables lets go of what is not among them, so it must never be said too early.
//!
//! The cloud says it of what it sends to a node that starts over, and from the end of that on it holds here too. The
//! least that was said is kept as a note; where something was sent without it, nothing is known.

use activestore_store::Note;
use activestore_types::{Error, Hlc, Result, SyncMode};

use crate::db::Inner;
use crate::options::Role;
use crate::outbox::segment::Segment;

/// Of the tables that are the cloud's own, every row up to this stamp is here, u64 little-endian; 0 where that is not
/// known.
const WHOLE_NOTE: &[u8] = b"sync/down-whole";

/// In the record of a node that starts over.
pub(super) fn forget_whole() -> Note {
    Note {
        key: WHOLE_NOTE.to_vec(),
        value: None,
    }
}

impl Inner {
    /// The stamp up to which this node has every row of tables that are the cloud's own; `None` where it does not
    /// know.
    pub(super) fn whole_up_to(&self) -> Result<Option<Hlc>> {
        if self.options.role == Role::Cloud {
            return Ok(Some(self.settled_stamp()));
        }
        let is_fetched = self.place()?.is_some_and(|place| place.cursor.is_none());
        let noted = self.noted_whole_up_to()?;
        Ok(noted.filter(|upto| is_fetched && *upto > 0).map(Hlc))
    }

    fn noted_whole_up_to(&self) -> Result<Option<u64>> {
        let bytes = self.store.note(WHOLE_NOTE);
        let read = |bytes: Vec<u8>| {
            let bytes = bytes.try_into();
            bytes.map(u64::from_le_bytes).map_err(|_| {
                Error::corrupt("how much of the cloud's tables is here cannot be read")
            })
        };
        bytes.map(read).transpose()
    }

    /// What a fetched piece changes about that.
    pub(super) fn note_whole_up_to(&self, payload: &[u8]) -> Result<Option<Note>> {
        let content = Segment::unpack(payload)?;
        let state = self.catalog.state();
        let is_clouds = |table| {
            let schema = state.tables.get(table);
            schema.is_some_and(|schema| schema.sync == SyncMode::Down)
        };
        // Range tombstones come before the rows, and say nothing of them.
        let holds_rows =
            content.erased.is_empty() && content.sections.iter().any(|one| is_clouds(&one.table));
        if !holds_rows {
            return Ok(None);
        }
        let covered = content.origins.and_then(|origins| origins.covered);
        let said = covered.map_or(0, |covered| covered.hlc);
        let known = self.noted_whole_up_to()?;
        Ok((known.is_none_or(|known| said < known)).then(|| Note {
            key: WHOLE_NOTE.to_vec(),
            value: Some(said.to_le_bytes().to_vec()),
        }))
    }
}
