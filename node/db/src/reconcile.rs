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
mod others;
mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use activestore_store::{Note, WriteSet};
use activestore_sync_proto::reconcile::{
    Erasure, Held, Holdings, Judgement, KeyAt, Outcome, Pick, Start, Sum, View, Whose,
};
use activestore_types::{
    Epoch, Error, Hlc, Lsn, NodeId, OriginId, Result, SyncMode, TableName, TableSchema,
};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::db::Inner;
use crate::down::travels_down;
use crate::events::Kind;
use crate::outbox::News;
use crate::outbox::chain::Standing;
use crate::write::gates::Way;

pub(crate) use mend::{NOTE as MENDED_NOTE, erased_notes, mended};

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
struct Awaited {
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

/// What a database keeps for comparisons.
#[derive(Default)]
pub(crate) struct Reconcile {
    days: Mutex<days::Kept>,
    loaded: Mutex<Option<rows::Loaded>>,
    /// The last comparison of each writer since the start; an edge's own is also a note.
    outcomes: Mutex<BTreeMap<NodeId, Outcome>>,
    /// What the comparison under way waits for: the log record, and once that is sealed the segments.
    settling: Mutex<Option<(Lsn, Option<Awaited>)>>,
    /// How much later than its time this edge's comparison comes.
    jitter: Mutex<Option<Duration>>,
    comparisons: AtomicU64,
    rows_shipped: AtomicU64,
    rows_taken: AtomicU64,
    /// Days of which rows had to be read to know their sums.
    days_read: AtomicU64,
}

/// The database as comparisons see it.
pub(crate) struct Mirror {
    pub(crate) inner: Arc<Inner>,
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

    fn compared_table(&self, name: &TableName) -> Result<Arc<TableSchema>> {
        let tables = [Whose::Own, Whose::Others].map(|whose| self.compared_tables(whose));
        let mut tables = tables.into_iter().flatten();
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
            let schema = self.compared_table(table).ok()?;
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

impl Holdings for Mirror {
    fn tables(&self, view: &View) -> Result<Vec<(TableName, Sum)>> {
        let mut all = Vec::new();
        for schema in self.inner.compared_tables(view.whose) {
            let mut sum = Sum::default();
            for (_, day) in self.inner.days_of(view, &schema)? {
                sum.add(&day);
            }
            if sum.rows > 0 {
                all.push((schema.name.clone(), sum));
            }
        }
        Ok(all)
    }

    fn compares(&self, table: &TableName) -> bool {
        self.inner.compared_table(table).is_ok()
    }

    fn evicted(&self) -> Vec<(TableName, i64)> {
        let tables = self.inner.compared_tables(Whose::Own).into_iter();
        let evicted = tables.filter_map(|schema| {
            let before = self.inner.evicted_rows(&schema)?.before_ns?;
            Some((schema.name.clone(), before))
        });
        evicted.collect()
    }

    fn deletes_from(&self) -> Hlc {
        self.inner.horizons().newest()
    }

    fn others(&self, view: &View) -> Option<View> {
        self.inner.view_of_others(view)
    }

    fn below(&self, own: &View, after: Option<NodeId>) -> Option<View> {
        self.inner.view_below(own, after)
    }

    fn tells(&self, view: &View) -> bool {
        self.inner.tells(view)
    }

    fn unfollowed(&self, view: &View) -> u64 {
        self.inner.unfollowed(view)
    }

    fn fetch_anew(&self) -> Result<()> {
        self.inner.forget_place()
    }

    fn days(&self, view: &View, table: &TableName) -> Result<Vec<(i32, Sum)>> {
        let schema = self.inner.compared_table(table)?;
        self.inner.days_of(view, &schema)
    }

    fn sums(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        ranges: &[(u64, u64)],
    ) -> Result<Vec<Sum>> {
        self.inner.range_sums(view, table, day, ranges)
    }

    fn rows_of(&self, view: &View, table: &TableName, day: i32, range: (u64, u64)) -> Result<Held> {
        self.inner.load(view, table, day, range)
    }

    fn keys(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        pick: &Pick,
        limit: usize,
    ) -> Result<Vec<KeyAt>> {
        self.inner.picked_keys(view, table, day, pick, limit)
    }

    fn judge(&self, view: &View, table: &TableName, keys: &[KeyAt]) -> Result<Vec<Judgement>> {
        self.inner.judge(view, table, keys)
    }

    fn rows(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        pick: &Pick,
    ) -> Result<(Bytes, u64, Option<u64>)> {
        self.inner.rows_to_send(view, table, day, pick)
    }

    fn begin(&self, scheduled: bool) -> Result<Option<Start>> {
        let inner = &self.inner;
        if scheduled && !inner.comparison_due() {
            return Ok(None);
        }
        let tables = inner.compared_tables(Whose::Own);
        let gates = tables.iter().map(|schema| (schema.id, Way::Alone));
        let (as_of, mark) = {
            // Alone for a moment: every stamp up to the last one is committed then.
            let _alone = inner.gates.pass_blocking(gates.collect());
            // As of now, not of the last write: what was written since may be lost.
            let now = inner.clock.reserve(inner.wall_ms(), 1);
            (now, inner.store.last_lsn())
        };
        *inner.reconcile.settling.lock() = Some((mark, None));
        inner.wake_sealers(News::default());
        let moment = inner.wall_ms() / EXPIRY_MARGIN_MS + 2;
        Ok(Some(Start {
            view: View {
                writer: inner.node,
                as_of,
                now_ms: moment * EXPIRY_MARGIN_MS,
                seed: inner.env.rng.next_u64(),
                evicted: Vec::new(),
                deletes_from: Hlc::ZERO,
                whose: Whose::Own,
            },
            at_ms: inner.wall_ms(),
            mark: mark.0.to_le_bytes().to_vec(),
        }))
    }

    fn waiting(&self, start: &Start) -> Result<u64> {
        let Some(outbox) = &self.inner.outbox else {
            return Ok(0);
        };
        let standing = outbox.standing();
        let mut settling = self.inner.reconcile.settling.lock();
        let mark = <[u8; 8]>::try_from(start.mark.as_slice())
            .map_or(Lsn(0), |bytes| Lsn(u64::from_le_bytes(bytes)));
        let (lsn, awaited) = settling.get_or_insert((mark, None));
        if standing.cursor <= *lsn {
            return Ok(1 + standing.waiting());
        }
        // Where a chain began anew, all that is sealed now is waited for.
        let current = awaited.take();
        let current = current.filter(|awaited| awaited.generation == standing.generation);
        let current = current.unwrap_or_else(|| Awaited::of(&standing));
        let left = standing.left_of(&current.last);
        *awaited = Some(current);
        Ok(left)
    }

    fn take(&self, view: &View, payload: &[u8]) -> Result<u64> {
        self.inner.take_back(view, payload)
    }

    fn take_erased(&self, view: &View, table: &TableName, erased: &[Erasure]) -> Result<()> {
        self.inner.take_back_erased(view, table, erased)
    }

    fn ship(&self, view: &View, table: &TableName, day: i32, pick: &Pick) -> Result<u64> {
        self.inner.ship_again(view, table, day, pick)
    }

    fn ship_erased(&self, view: &View, table: &TableName, erased: &[Erasure]) -> Result<()> {
        self.inner.ship_erased_again(view, table, erased)
    }

    fn compared(&self, writer: NodeId, outcome: &Outcome) {
        let inner = &self.inner;
        inner.reconcile.comparisons.fetch_add(1, Ordering::Relaxed);
        // What the comparison held is not needed any more.
        *inner.reconcile.loaded.lock() = None;
        let text = format!(
            "{} rows differed, {} were mended; {} segments had not arrived",
            outcome.differences,
            outcome.mended_here.saturating_add(outcome.mended_there),
            outcome.behind
        );
        inner.events.tell(Kind::Compared, Some(writer), text);
        let mut outcomes = inner.reconcile.outcomes.lock();
        outcomes.insert(writer, *outcome);
        drop(outcomes);
        if writer == inner.node {
            *inner.reconcile.jitter.lock() = None;
            if let Ok(value) = postcard::to_stdvec(outcome) {
                inner.keep_note(OUTCOME_NOTE, value);
            }
        }
        if outcome.left() > 0 && outcome.behind == 0 {
            tracing::warn!(
                %writer,
                differences = outcome.differences,
                "rows differ between this node and another; activestore sync verify --repair mends them"
            );
        }
    }
}
