//! The write path, on one screen: names are resolved, processors run, rows are stamped, one log
//! record holds it all, and only then is the write acknowledged.

pub(crate) mod effect;
pub(crate) mod gates;
mod process;
pub(crate) mod processor;
mod rejected;
pub(crate) mod replay;
pub(crate) mod resolve;
mod stamp;
pub(crate) mod timer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_store::{Note, WriteSet};
use activestore_types::{Hlc, NamedBatch, Result, SyncMode, TableId, TableSchema};

use crate::db::Inner;
use crate::options::Role;
use crate::outbox::News;
use crate::reconcile::erased_notes;
use effect::{Effects, Erasure};
use gates::Way;
use resolve::Staged;

pub use rejected::RefusedRow;
pub(crate) use rejected::read_rejected;

/// How long a write may be under way between its stamp and its commit, in milliseconds.
pub(crate) const SETTLED_AFTER_MS: u64 = 60_000;

/// What became of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteReceipt {
    /// Rows that are stored and durable.
    pub rows: u64,
    /// Rows that a processor refused; they are in `system.rejected_writes`.
    pub rejected: u64,
}

impl Inner {
    /// Takes rows in; they are durable when it returns. All batches or none.
    pub(crate) fn write(&self, batches: &[NamedBatch]) -> Result<WriteReceipt> {
        self.write_with(batches, Vec::new())
    }

    /// The same with notes that become durable with the rows.
    fn write_with(&self, batches: &[NamedBatch], notes: Vec<Note>) -> Result<WriteReceipt> {
        let effects = Effects {
            upserts: self.resolve(batches)?,
            erasures: Vec::new(),
        };
        self.refuse_views(&effects)?;
        let _passage = self.gates.pass_blocking(self.passing(&effects));
        self.apply_with(effects, notes)
    }

    /// Writes what became of a view, with its place in the log.
    pub(crate) fn write_view(&self, effects: Effects, notes: Vec<Note>) -> Result<()> {
        let _passage = self.gates.pass_blocking(self.passing(&effects));
        self.apply_with(effects, notes).map(|_| ())
    }

    /// Carries effects out, all or none; who calls has passed the tables' gates.
    pub(crate) fn apply(&self, effects: Effects) -> Result<WriteReceipt> {
        self.refuse_views(&effects)?;
        self.apply_with(effects, Vec::new())
    }

    fn apply_with(&self, effects: Effects, notes: Vec<Note>) -> Result<WriteReceipt> {
        if !effects.upserts.is_empty() {
            self.admit()?; // what only erases may pass: it is how space is made
        }
        let mut processed = self.process(effects.upserts)?; // holds the processors until the commit
        processed.notes.extend(notes);
        let staged = self.join_staged(processed.staged, &effects.erasures)?;
        let set = self.stamp(staged, effects.erasures, processed.notes);
        let batches = set.batches.iter().filter(|batch| batch.tombstone.is_none());
        let rows = batches.map(|batch| batch.rows as u64).sum();
        self.commit(set)?;
        if let Some(turn) = processed.turn {
            turn.committed();
        }
        if processed.timers {
            self.alarm.set();
        }
        let receipt = WriteReceipt {
            rows: rows - processed.sent,
            rejected: processed.rejected,
        };
        self.counts.rows_written.fetch_add(rows, Ordering::Relaxed);
        Ok(receipt)
    }

    /// Erases rows or ranges of one table.
    pub(crate) fn erase(&self, erasure: Erasure) -> Result<()> {
        let effects = Effects::erasing(erasure);
        let _passage = self.gates.pass_blocking(self.passing(&effects));
        self.apply(effects).map(|_| ())
    }

    /// The gates that effects pass: those of their tables and of the tables that processors send
    /// rows to on their account.
    fn passing(&self, effects: &Effects) -> BTreeMap<TableId, Way> {
        let upserts = effects.upserts.iter().map(|batch| &batch.schema);
        let erasures = effects.erasures.iter().map(|(_, part)| part.schema());
        let schemas = upserts.chain(erasures).map(Arc::clone);
        self.gates_of(schemas.map(|schema| (schema, Way::Together)))
    }

    /// The gates to pass for writes to these tables, each in its way.
    pub(crate) fn gates_of(
        &self,
        tables: impl IntoIterator<Item = (Arc<TableSchema>, Way)>,
    ) -> BTreeMap<TableId, Way> {
        let plugins = self.plugins.current();
        let state = self.catalog.state();
        let mut gates: BTreeMap<TableId, Way> = BTreeMap::new();
        let mut open: Vec<(Arc<TableSchema>, Way)> = tables.into_iter().collect();
        while let Some((schema, way)) = open.pop() {
            let way = way.max(self.way_of(&schema));
            let known = gates.get(&schema.id).copied();
            if known.is_some_and(|known| known >= way) {
                continue;
            }
            gates.insert(schema.id, way);
            for runtime in plugins.processors_on(&schema.name) {
                let into = runtime.def.into.iter();
                let into = into.filter_map(|name| state.tables.get(name));
                open.extend(into.map(|schema| (schema.clone(), Way::Together)));
            }
        }
        gates
    }

    fn resolve(&self, batches: &[NamedBatch]) -> Result<Vec<Staged>> {
        batches
            .iter()
            .filter(|batch| batch.rows > 0)
            .map(|batch| {
                self.refuse_view(&batch.table)?;
                self.resolve_one(batch)
            })
            .collect()
    }

    pub(crate) fn resolve_one(&self, batch: &NamedBatch) -> Result<Staged> {
        resolve::resolve(&self.catalog, batch, self.new_keyspaces(), &|schema| {
            self.learn_table(schema)
        })
    }

    /// What a keyspace that a wire makes does with its rows: they travel up where there is a way up.
    pub(crate) fn new_keyspaces(&self) -> SyncMode {
        if self.outbox.is_some() {
            SyncMode::Up
        } else {
            SyncMode::None
        }
    }

    /// One log record; wakes what waits for new rows.
    fn commit(&self, mut set: WriteSet) -> Result<()> {
        if set.batches.is_empty() && set.tombstones.is_empty() && set.notes.is_empty() {
            return Ok(());
        }
        self.refuse_from_below(&set)?;
        self.admit_to_outbox(&set)?;
        if self.outbox.is_some() {
            set.notes.extend(erased_notes(&set));
        }
        let outbox = self.outbox.as_ref();
        let news = outbox.map(|_| News::of(&set, &self.catalog.state()));
        self.store.commit(set)?;
        self.settle();
        self.counts.writes.fetch_add(1, Ordering::Relaxed);
        self.wake_sealers(news.unwrap_or_default());
        Ok(())
    }

    /// Lets compaction drop what only shadows older writes. An edge without tables whose rows flow down
    /// takes rows from nobody else, so all that could still come is stamped within the last minute;
    /// a cloud draws a line for shared tables. All others cannot know what other nodes still hold, and keep
    /// tombstones.
    pub(crate) fn settle(&self) {
        match self.options.role {
            Role::Edge => {}
            Role::Cloud => return self.mind_horizons(),
            Role::Gateway => return,
        }
        if self.takes_rows_from_above() {
            self.store.settle(None);
        } else {
            self.store.settle(Some(self.settled_stamp()));
        }
    }

    /// A stamp below which this node has no write of its own under way.
    pub(crate) fn settled_stamp(&self) -> Hlc {
        Hlc::from_ms(self.wall_ms().saturating_sub(SETTLED_AFTER_MS))
    }
}
