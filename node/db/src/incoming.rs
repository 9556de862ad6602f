//! Rows that other nodes wrote on their way into the store, whichever way they came: a cloud's inbox and
//! an edge that follows its cloud both end here.
//!
//! Rows and the note of how far their sender's stream is applied are one log record.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_catalog::Change;
use activestore_store::{Note, WriteSet};
use activestore_types::{
    Error, Hlc, Lsn, OriginId, RangeTombstone, Result, RowBatch, TableId, TableSchema,
};

use crate::conflicts::Found;
use crate::db::Inner;
use crate::outbox::News;
use crate::outbox::segment::{Erased, Section};
use crate::write::gates::Way;

/// In the record of rows that came: after how many batches of theirs those follow that this node wrote because of
/// them.
const JOINS_AFTER: &[u8] = b"sync/joins-after";

/// The joins that this node made because of rows that came, of the record that holds both.
pub(crate) fn joins_of(set: &WriteSet) -> &[RowBatch] {
    let note = set.notes.iter().find(|note| note.key == JOINS_AFTER);
    let came = note.and_then(|note| note.value.as_deref()?.try_into().ok());
    let came = came.map_or(usize::MAX, |bytes| u64::from_le_bytes(bytes) as usize);
    set.batches.get(came..).unwrap_or_default()
}

/// What a segment comes to at this node.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) batches: Vec<RowBatch>,
    pub(crate) tombstones: Vec<RangeTombstone>,
    /// What is noted beside their sender's progress.
    pub(crate) notes: Vec<Note>,
    /// Whether an edge shipped it: at a gateway it goes on from here.
    from_below: bool,
    touched: BTreeSet<TableId>,
    /// Whether the rows come for the first time, as those of a chain of segments do.
    first: bool,
}

impl Incoming {
    /// Of a segment that comes once.
    pub(crate) fn first() -> Incoming {
        Incoming {
            first: true,
            ..Incoming::default()
        }
    }

    /// The same, of what an edge shipped.
    pub(crate) fn from_below() -> Self {
        Incoming {
            from_below: true,
            ..Incoming::first()
        }
    }

    /// Adds rows of a table.
    pub(crate) fn rows(&mut self, batch: RowBatch) {
        self.touched.insert(batch.table);
        if batch.rows > 0 {
            self.batches.push(batch);
        }
    }

    /// Adds a range tombstone.
    pub(crate) fn erased(&mut self, schema: &TableSchema, erased: &Erased, origin: OriginId) {
        self.range(RangeTombstone {
            table: schema.id,
            start: erased.start.clone(),
            end: erased.end.clone(),
            hlc: Hlc(erased.hlc),
            origin,
        });
    }

    /// The same, of a table of this node.
    pub(crate) fn range(&mut self, tombstone: RangeTombstone) {
        self.touched.insert(tombstone.table);
        self.tombstones.push(tombstone);
    }

    pub(crate) fn fragments(&self) -> u64 {
        self.batches.iter().map(|batch| batch.rows as u64).sum()
    }
}

impl Inner {
    /// Commits incoming rows with the note of their sender's progress; the record that holds them.
    pub(crate) fn take_in(&self, incoming: Incoming, note: Note) -> Result<Lsn> {
        let highest = incoming.batches.iter().map(RowBatch::max_hlc).max();
        let highest = highest.unwrap_or(Hlc::ZERO);
        if self.clock.observe(highest, self.wall_ms()).is_err() {
            // The rows are kept as they are; this node's own clock is not dragged along.
            self.counts.stamps_ahead.fetch_add(1, Ordering::Relaxed);
        }
        let rows = incoming.fragments();
        let state = self.catalog.state();
        let gates = incoming.touched.iter().map(|id| {
            let schema = state.table_by_id(*id);
            (
                *id,
                schema.map_or(Way::Together, |schema| self.way_of(schema)),
            )
        });
        let _passage = self.gates.pass_blocking(gates.collect());
        let joins = self.joins_for(&incoming.batches, &incoming.tombstones)?;
        let contested = match incoming.first {
            true => self.conflicts_in(&incoming.batches),
            false => Found::default(),
        };
        let mut batches = incoming.batches;
        let mut notes = incoming.notes;
        notes.push(note);
        let _turn = (!contested.is_empty()).then(|| self.conflicts.turn());
        if !contested.is_empty() {
            notes.extend(self.conflict_notes(contested)?);
        }
        if !joins.is_empty() {
            notes.push(Note {
                key: JOINS_AFTER.to_vec(),
                value: Some((batches.len() as u64).to_le_bytes().to_vec()),
            });
            batches.extend(joins);
        }
        let set = WriteSet {
            batches,
            tombstones: incoming.tombstones,
            notes,
        };
        let goes_on = incoming
            .from_below
            .then_some(self.outbox.as_ref())
            .flatten();
        let news = match goes_on {
            Some(_) => {
                self.admit_to_outbox(&set)?;
                News::of(&set, &self.catalog.state())
            }
            None => News::default(),
        };
        let lsn = self.store.commit(set)?;
        self.counts.rows_received.fetch_add(rows, Ordering::Relaxed);
        self.wake_sealers(news);
        Ok(lsn)
    }

    /// The table with every column of the section.
    pub(crate) fn grown(
        &self,
        schema: Arc<TableSchema>,
        section: &Section,
    ) -> Result<Arc<TableSchema>> {
        let missing: Vec<_> = section
            .column_types()
            .filter(|(name, _)| schema.column(name).is_none())
            .map(|(name, data_type)| (name.to_owned(), data_type))
            .collect();
        if missing.is_empty() {
            return Ok(schema);
        }
        let state = self.catalog.apply_for_others(Change::AddColumns {
            table: section.table.clone(),
            columns: missing,
            if_not_exists: true,
        })?;
        Ok(state.table(&section.table)?.clone())
    }
}

/// Refuses rows of a table that has another key here.
pub(crate) fn same_key(schema: &TableSchema, section: &Section) -> Result<()> {
    let name = |id| schema.column_by_id(id).map(|column| column.name.as_str());
    let partition = schema.partition_key.iter().map(|id| name(*id));
    let clustering = schema
        .clustering_key
        .iter()
        .map(|key| (name(key.id), key.descending));
    let same = partition.eq(section.partition_key.iter().map(|name| Some(name.as_str())))
        && clustering.eq(section
            .clustering_key
            .iter()
            .map(|(name, descending)| (Some(name.as_str()), *descending)));
    if same {
        Ok(())
    } else {
        Err(Error::conflict(format!(
            "table {} has another primary key here than at the sender",
            schema.name
        ))
        .with_hint("drop one of the two tables or rename it"))
    }
}
