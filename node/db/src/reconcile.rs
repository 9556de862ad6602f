//! What this node holds of one writer's rows, to be compared with another node: sums of tables and days, which are kept,
//! single rows of a day, and what is to be done about rows that one end lacks.
//!
//! The rows of an edge that travel up are compared, and those of all others that flow down to it, each table by the days of its first clustering column where
//! that is a time. [`days`] keeps the sums, [`rows`] reads single rows, [`judge`] says what is known of a row that
//! is not here, [`mend`] ships and takes, and [`others`] is what the rows of others need besides.

mod days;
mod figures;
mod judge;
mod mend;
mod mirror;
mod others;
mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use activestore_store::{Note, WriteSet};
use activestore_sync_proto::reconcile::{Outcome, View, Whose};
use activestore_types::{
    Epoch, Error, Lsn, NodeId, OriginId, Result, SyncMode, TableName, TableSchema,
};
use parking_lot::Mutex;

use crate::db::Inner;
use crate::down::travels_down;
use crate::outbox::News;
use crate::outbox::chain::Standing;

pub(crate) use mend::{NOTE as MENDED_NOTE, erased_notes, mended};
pub(crate) use mirror::Mirror;

/// The note of the last comparison that an edge made.
const OUTCOME_NOTE: &[u8] = b"sync/compared";
/// The note of when this edge first looked whether it is to compare.
const FROM_NOTE: &[u8] = b"sync/compared-from";
/// How far ahead of now the moment lies by which expired rows are left out: more than clocks differ and than a comparison
/// takes; and a multiple of this, so that comparisons of many edges agree on it.
const EXPIRY_MARGIN_MS: u64 = 600_000;
/// A comparison by the clock comes up to this part of its interval later, so that a fleet does not come at once.
const JITTER_PART: u64 = 8;

/// The segments that are to arrive before two ends are compared.
#[derive(Clone, Debug)]
pub(crate) struct Awaited {
    /// Of another generation, rows may have gone to another chain.
    generation: u64,
    last: Vec<(Epoch, u64)>,
}

impl Awaited {
    /// Everything that is sealed.
    fn of(standing: &Standing) -> Self {
        let chains = standing.chains.iter();
        Awaited {
            generation: standing.generation,
            last: chains.map(|one| (one.epoch, one.last_sealed)).collect(),
        }
    }
}

/// What the comparison under way waits for: the log record, and once that is sealed the segments.
pub(crate) type Settling = Mutex<Option<(Lsn, Option<Awaited>)>>;

/// What a database keeps for comparisons.
#[derive(Default)]
pub(crate) struct Reconcile {
    days: Mutex<days::Kept>,
    loaded: Mutex<Option<rows::Loaded>>,
    /// The last comparison of each writer since the start; an edge's own is also a note.
    outcomes: Mutex<BTreeMap<NodeId, Outcome>>,
    settling: Settling,
    /// How much later than its time this edge's comparison comes.
    jitter: Mutex<Option<Duration>>,
    comparisons: AtomicU64,
    rows_shipped: AtomicU64,
    rows_taken: AtomicU64,
    /// Days of which rows had to be read to know their sums.
    days_read: AtomicU64,
}

impl Inner {
    /// The tables that are compared: of an asker's own rows, or of those of others.
    fn compared_tables(&self, whose: Whose) -> Vec<Arc<TableSchema>> {
        let filtered = self.held_back_tables();
        let state = self.catalog.state();
        let compared = state.tables.values().filter(|schema| match whose {
            Whose::Own | Whose::Of(_) => matches!(schema.sync, SyncMode::Up | SyncMode::Both),
            Whose::Others => travels_down(schema.sync),
        });
        // What the two ends hold of filtered ones differs on purpose.
        compared
            .filter(|schema| !filtered.iter().any(|(table, _)| *table == schema.name))
            .cloned()
            .collect()
    }

    /// A table, where rows of these writers are compared in it: who asks for those of others is told nothing of a table
    /// that does not flow down.
    fn compared_table(&self, whose: Whose, name: &TableName) -> Result<Arc<TableSchema>> {
        let mut tables = self.compared_tables(whose).into_iter();
        let found = tables.find(|schema| schema.name == *name);
        found.ok_or_else(|| Error::not_found(format!("table {name} is not compared here")))
    }

    /// The last comparison of a writer's rows.
    pub(crate) fn compared(&self, writer: NodeId) -> Option<Outcome> {
        let known = self.reconcile.outcomes.lock().get(&writer).copied();
        if known.is_some() || writer != self.node {
            return known;
        }
        let kept = self.store.note(OUTCOME_NOTE)?;
        postcard::from_bytes(&kept).ok()
    }

    fn first_looked(&self) -> Option<u64> {
        let kept = <[u8; 8]>::try_from(self.store.note(FROM_NOTE)?);
        kept.ok().map(u64::from_le_bytes)
    }

    /// Whether this edge is to compare now.
    fn comparison_due(&self) -> bool {
        let Some(every) = self.options.verify_every else {
            return false;
        };
        let most = (every.as_millis() as u64 / JITTER_PART).max(1);
        let draw = || Duration::from_millis(self.env.rng.next_u64() % most);
        let jitter = *self.reconcile.jitter.lock().get_or_insert_with(draw);
        let last_ms = match self.compared(self.node) {
            Some(outcome) => outcome.at_ms,
            // Never yet: counted from the first time that it was looked at.
            None => match self.first_looked() {
                Some(from) => from,
                None => {
                    self.keep_note(FROM_NOTE, self.wall_ms().to_le_bytes().to_vec());
                    return false;
                }
            },
        };
        let wait_ms = (every + jitter).as_millis() as u64;
        self.wall_ms() >= last_ms.saturating_add(wait_ms)
    }

    /// Keeps something about comparisons. That it cannot be kept only means that this edge compares again.
    fn keep_note(&self, key: &[u8], value: Vec<u8>) {
        let noted = self.store.commit(WriteSet {
            batches: Vec::new(),
            tombstones: Vec::new(),
            notes: vec![Note {
                key: key.to_vec(),
                value: Some(value),
            }],
        });
        if let Err(error) = noted {
            tracing::warn!(%error, "the outcome of a comparison could not be kept");
        }
        self.wake_sealers(News::default());
    }

    /// A row's key for people.
    pub(crate) fn key_text(&self, table: &TableName, key: &[u8]) -> String {
        let shown = || -> Option<String> {
            let either = [Whose::Own, Whose::Others];
            let mut found = either
                .into_iter()
                .map(|whose| self.compared_table(whose, table));
            let schema = found.find_map(Result::ok)?;
            let columns: Vec<_> = schema.key_columns().map(|column| column.id).collect();
            let snapshot = self.snapshot_of(&schema).ok()??;
            let row = snapshot.get(key, &columns, self.wall_ms()).ok()??;
            let values = row.columns().iter().zip(schema.key_columns());
            let values = values.filter_map(|(array, column)| {
                let name = &schema.column_by_id(column.id)?.name;
                let value = arrow::util::display::array_value_to_string(array, 0).ok()?;
                Some(format!("{name} = {value}"))
            });
            Some(values.collect::<Vec<_>>().join(", "))
        };
        shown().unwrap_or_else(|| {
            let letters = key.iter().map(|byte| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '·',
            });
            letters.collect()
        })
    }

    /// The writer as an origin of this store; where the rows of all others are compared, who asks.
    fn writer(&self, view: &View) -> Result<OriginId> {
        match view.whose {
            // Of a node that never wrote here there is nothing, and nobody is remembered for being asked about.
            Whose::Of(node) if node != self.node => {
                Ok(self.store.known_origin(node).unwrap_or(OriginId(u32::MAX)))
            }
            Whose::Of(_) => Ok(OriginId(0)),
            Whose::Own | Whose::Others if view.writer == self.node => Ok(OriginId(0)),
            Whose::Own | Whose::Others => self.store.origin_id(view.writer),
        }
    }
}
