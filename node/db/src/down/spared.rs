//! Old rows of shared tables that stay at an edge though its cloud does not have them: that they were deleted is only
//! sure where the cloud once had them.
//!
//! It never had what is kept back by a filter or was let go for want of room, and what another cloud took. What waits
//! to be shipped is not lost where it goes: it is sealed, arrives, and the cloud tells people of it. A row too much is
//! seen by a comparison; one too few is gone.

use activestore_catalog::CatalogState;
use activestore_store::{Note, WriteSet};
use activestore_types::{Hlc, NodeId, OriginId, Result, SyncMode, TableId, TableSchema};

use crate::db::Inner;
use crate::outbox::News;

/// The cloud that the tables were fetched from last, whole: its node, the stamp below which no row is of its time, and
/// the one for rows that were written here.
const FETCHED_NOTE: &[u8] = b"sync/fetched-from";
/// Before a table's number: not everything that was written to it here went up.
const KEPT_BACK_PREFIX: &[u8] = b"sync/kept-back/";

/// Which rows of a shared table stay at an edge that fetches it.
pub(super) struct Spared {
    /// The cloud.
    pub(super) by: OriginId,
    /// Rows that were written here, or came from below, may not be sealed.
    own: bool,
    has_edges: bool,
    /// Older ones were another cloud's.
    floor: Hlc,
    own_floor: Hlc,
}

impl Spared {
    /// Whether a fragment stays.
    pub(super) fn stays(&self, hlc: u64, origin: u32) -> bool {
        let own = origin == 0 || (self.has_edges && origin != self.by.0);
        hlc < self.floor.0 || (own && (self.own || hlc < self.own_floor.0))
    }
}

#[derive(Clone, Copy)]
struct Fetched {
    node: NodeId,
    floor: Hlc,
    own_floor: Hlc,
}

impl Fetched {
    fn read(bytes: &[u8]) -> Option<Fetched> {
        let (node, floors) = bytes.split_first_chunk::<16>()?;
        let (floor, own_floor) = floors.split_first_chunk::<8>()?;
        Some(Fetched {
            node: NodeId(*node),
            floor: Hlc(u64::from_le_bytes(*floor)),
            own_floor: Hlc(u64::from_le_bytes(own_floor.try_into().ok()?)),
        })
    }

    fn note(self) -> Note {
        let floors = [self.floor, self.own_floor].map(|floor| floor.0.to_le_bytes());
        Note {
            key: FETCHED_NOTE.to_vec(),
            value: Some([self.node.0.as_slice(), floors.as_flattened()].concat()),
        }
    }
}

fn kept_back_key(table: TableId) -> Vec<u8> {
    [KEPT_BACK_PREFIX, &table.0.to_be_bytes()].concat()
}

impl Inner {
    fn fetched_whole(&self) -> Option<Fetched> {
        Fetched::read(&self.store.note(FETCHED_NOTE)?)
    }

    /// That another cloud was followed before the one that is fetched from now, where nothing tells of it.
    pub(super) fn note_first_cloud(&self, before: Option<NodeId>) -> Option<Note> {
        let node = before.filter(|_| self.fetched_whole().is_none())?;
        let first = Fetched {
            node,
            floor: Hlc::ZERO,
            own_floor: Hlc::ZERO,
        };
        Some(first.note())
    }

    /// What tells that the tables of a cloud are here, where they are for the first time.
    pub(super) fn note_fetched(&self, node: NodeId) -> Option<Note> {
        let known = self.fetched_whole();
        if known.is_some_and(|known| known.node == node) {
            return None;
        }
        let now = Hlc::from_ms(self.wall_ms());
        // Of the first cloud ever only what was written here may have been somebody else's.
        let first = known.is_none() && !self.options.role.has_edges();
        let fetched = Fetched {
            node,
            floor: if first { Hlc::ZERO } else { now },
            own_floor: now,
        };
        Some(fetched.note())
    }

    /// What of a shared table stays; `None` where all does.
    pub(super) fn spared(&self, schema: &TableSchema, by: NodeId) -> Result<Option<Spared>> {
        let Some(fetched) = self.fetched_whole().filter(|fetched| fetched.node == by) else {
            return Ok(None);
        };
        let name = &schema.name;
        let (mut own, mut let_go) = (true, false);
        if let Some(outbox) = &self.outbox {
            let_go = outbox.let_go().contains_key(name);
            own = outbox.seal().is_err() || outbox.blocked().is_some();
        }
        let state = self.catalog.state();
        let filtered = self
            .held_back_tables()
            .iter()
            .any(|(table, _)| table == name)
            || state.at_limit.contains_key(name)
            || self.store.note(&kept_back_key(schema.id)).is_some();
        if let_go || filtered {
            return Ok(None);
        }
        Ok(Some(Spared {
            by: self.store.origin_id(by)?,
            own,
            has_edges: self.options.role.has_edges(),
            floor: fetched.floor,
            own_floor: fetched.own_floor,
        }))
    }

    /// Notes what definitions say of shared tables: since when they are, and of which not everything goes up.
    pub(crate) fn mind_shared(&self, before: &CatalogState) -> Result<()> {
        self.advance_horizons();
        let state = self.catalog.state();
        let held_back = self.held_back_tables().into_iter().map(|(table, _)| table);
        let held_back = held_back.chain(state.at_limit.keys().cloned());
        let held_back = held_back.filter_map(|table| Some(state.tables.get(&table)?.id));
        // What was written while it stayed here.
        let tables = state.tables.values().filter(|schema| {
            let before = before.tables.get(&schema.name);
            let stayed = before.is_some_and(|before| before.sync == SyncMode::None);
            stayed && schema.sync == SyncMode::Both
        });
        let ids = held_back.chain(tables.map(|schema| schema.id));
        let keys = ids.map(kept_back_key);
        let new = keys.filter(|key| self.store.note(key).is_none());
        let notes: Vec<Note> = new
            .map(|key| Note {
                key,
                value: Some(Vec::new()),
            })
            .collect();
        if !notes.is_empty() {
            self.store.commit(WriteSet {
                notes,
                ..WriteSet::default()
            })?;
            self.wake_sealers(News::default());
        }
        Ok(())
    }
}
