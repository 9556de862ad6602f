//! What receipts cover: a stretch of the log, and of which tables every row of it left this node.
//!
//! A receipt speaks of segments, and segments hold what leaves. A table's rows are covered only where all of them
//! leave, and only those that were written since that is so, in this generation of the outbox: what was
//! shipped in an epoch that was set aside may be gone at the cloud, or be at another one. What a full outbox let go of
//! a table never leaves, so for that table it begins anew as well.

use std::sync::Arc;

use activestore_catalog::{CatalogState, Sharing};
use activestore_store::{Note, WriteSet};
use activestore_types::{Error, Hlc, Lsn, Result, SyncMode, TableName, TableSchema};
use serde::{Deserialize, Serialize};

use crate::db::Inner;
use crate::eviction::evicted_key;
use crate::outbox::News;

/// Followed by the table's id, u32 big-endian.
const PREFIX: &[u8] = b"sync/whole/";

/// Since when everything of a table leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Whole {
    /// Every row that was stamped after this leaves in one of the chains; `None` where not everything does.
    since: Option<u64>,
    /// The outbox's generation then: another one disowns what was shipped before.
    generation: u64,
}

impl Inner {
    /// Every row that leaves this node and is in a log record up to this one is covered by a receipt of each cloud that
    /// counts; by those that take the table, where one is named.
    pub(crate) fn covered(&self, table: Option<&TableName>) -> Lsn {
        let counting = self.counting(table);
        let below = counting.flat_map(|outbox| outbox.shipped()).map(|chain| {
            let held = self.held_receipt(chain.epoch);
            match held {
                // Everything that was sealed: what is below the cursor and in no segment does not leave.
                Some(held) if held.receipt.statement.seq >= chain.last_sealed => chain.cursor,
                Some(held) => held.reach,
                None if chain.last_sealed == 0 => chain.cursor,
                None => Lsn(0),
            }
        });
        Lsn(below.min().unwrap_or_default().0.saturating_sub(1))
    }

    /// The stamp after which every row of a table leaves in an epoch that is shipped now; `None` where not
    /// everything of it leaves. Where that is not known, from now on it is.
    pub(crate) fn whole_since(&self, schema: &TableSchema) -> Result<Option<Hlc>> {
        let state = self.catalog.state();
        if !is_whole(&state, schema) {
            return Ok(None);
        }
        let generation = self.generation_of(&schema.name);
        let known = self.noted_whole(schema)?;
        let known = known.filter(|whole| whole.generation == generation);
        if let Some(since) = known.and_then(|whole| whole.since) {
            return Ok(Some(Hlc(since)));
        }
        let since = self.newest_stamp();
        self.note_whole(vec![(schema, Some(since))])?;
        Ok(Some(since))
    }

    /// Notes of which tables everything leaves after a change of the definitions, and since when.
    pub(crate) fn mind_whole(&self, before: &CatalogState, after: &CatalogState) -> Result<()> {
        if self.outbox.is_none() {
            return Ok(());
        }
        let mut changed = Vec::new();
        for schema in after.tables.values() {
            let was = before.tables.get(&schema.name);
            let was = was.filter(|was| was.id == schema.id);
            let whole = is_whole(after, schema);
            let since = match was {
                None if whole => Some(Hlc::ZERO),
                Some(was) if whole && !is_whole(before, was) => Some(self.newest_stamp()),
                Some(was) if !whole && is_whole(before, was) => None,
                _ => continue,
            };
            changed.push((schema.as_ref(), since));
        }
        self.note_whole(changed)?;
        let dropped = before.tables.values();
        let dropped = dropped.filter(|schema| after.table_by_id(schema.id).is_none());
        let notes: Vec<Note> = dropped
            .flat_map(|schema| [note_key(schema), evicted_key(schema)])
            .filter(|key| self.store.note(key).is_some())
            .map(|key| Note { key, value: None })
            .collect();
        self.forget(notes)
    }

    /// A write has made or grown a table, and none of its rows is committed yet.
    pub(crate) fn learn_table(&self, schema: &Arc<TableSchema>) -> Result<()> {
        let new = !self.store.tables().contains(&schema.id);
        self.store.put_schema(schema.clone())?;
        if new && self.outbox.is_some() && is_whole(&self.catalog.state(), schema) {
            self.note_whole(vec![(schema, Some(Hlc::ZERO))])?;
        }
        Ok(())
    }

    /// At the start: a change of the definitions may have been cut off before it was noted.
    pub(crate) fn end_whole(&self) -> Result<()> {
        if self.outbox.is_none() {
            return self.forget_whole();
        }
        let state = self.catalog.state();
        let mut changed = Vec::new();
        for schema in state.tables.values() {
            let noted = self.noted_whole(schema)?;
            let noted = noted.is_some_and(|whole| whole.since.is_some());
            match (is_whole(&state, schema), noted) {
                (true, false) => changed.push((schema.as_ref(), Some(self.newest_stamp()))),
                (false, true) => changed.push((schema.as_ref(), None)),
                _ => {}
            }
        }
        self.note_whole(changed)
    }

    /// While this node ships nothing, what is written to it may never leave.
    fn forget_whole(&self) -> Result<()> {
        let known = self.store.notes(PREFIX).into_iter();
        self.forget(known.map(|(key, _)| Note { key, value: None }).collect())
    }

    fn forget(&self, notes: Vec<Note>) -> Result<()> {
        if notes.is_empty() {
            return Ok(());
        }
        let set = WriteSet {
            batches: Vec::new(),
            tombstones: Vec::new(),
            notes,
        };
        self.store.commit(set)?;
        self.wake_sealers(News::default());
        Ok(())
    }

    fn note_whole(&self, tables: Vec<(&TableSchema, Option<Hlc>)>) -> Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        let note = |(schema, since): (&TableSchema, Option<Hlc>)| {
            let whole = Whole {
                since: since.map(|since| since.0),
                generation: self.generation_of(&schema.name),
            };
            let value = postcard::to_stdvec(&whole).map_err(|error| {
                Error::internal(format!("what leaves of a table cannot be noted: {error}"))
            })?;
            Ok(Note {
                key: note_key(schema),
                value: Some(value),
            })
        };
        let notes = tables.into_iter().map(note).collect::<Result<_>>()?;
        self.store.commit(WriteSet {
            batches: Vec::new(),
            tombstones: Vec::new(),
            notes,
        })?;
        self.wake_sealers(News::default());
        Ok(())
    }

    fn noted_whole(&self, schema: &TableSchema) -> Result<Option<Whole>> {
        let value = self.store.note(&note_key(schema));
        let read = |bytes: Vec<u8>| {
            postcard::from_bytes(&bytes).map_err(|error| {
                Error::corrupt(format!(
                    "since when table {} leaves cannot be read: {error}",
                    schema.name
                ))
            })
        };
        value.map(read).transpose()
    }

    /// Changes whenever rows of the table that were written before may never arrive, or nobody will sign that they did.
    fn generation_of(&self, table: &TableName) -> u64 {
        self.generation_with(Some(table))
    }

    /// The same of all rows that leave.
    pub(crate) fn generation(&self) -> u64 {
        self.generation_with(None)
    }

    /// Whatever is stamped after this is committed after this call began.
    fn newest_stamp(&self) -> Hlc {
        self.clock.last().max(self.store.max_hlc())
    }
}

fn note_key(schema: &TableSchema) -> Vec<u8> {
    [PREFIX, &schema.id.0.to_be_bytes()].concat()
}

/// Whether every row of the table that is written here leaves, and no other node's rows are in it.
fn is_whole(state: &CatalogState, schema: &TableSchema) -> bool {
    schema.sync == SyncMode::Up
        && !holds_back(state, &schema.name)
        && !is_downsampled(state, &schema.name)
}

/// Whether a full outbox may ship other rows than those that were written.
fn is_downsampled(state: &CatalogState, table: &TableName) -> bool {
    let said = state.at_limit.get(table);
    said.is_some_and(|said| said.filter().is_some())
}

fn holds_back(state: &CatalogState, table: &TableName) -> bool {
    state.sharing.get(table).is_some_and(Sharing::holds_back)
}
