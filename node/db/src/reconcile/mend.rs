//! What is done about rows that one end lacks. Rows keep the stamps that they were written with, so merging them again
//! changes nothing where they were not lost, and what was deleted since stays deleted.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use activestore_store::{Note, WriteSet};
use activestore_sync_proto::reconcile::{Erasure, Pick, View, Whose};
use activestore_types::{Error, OriginId, RangeTombstone, Result, SyncMode, TableId, TableName};

use crate::db::Inner;
use crate::incoming::{Incoming, same_key};
use crate::merging::keys_of;
use crate::outbox::segment::Segment;
use crate::reconcile::Mirror;

/// In the record of rows of this node's own that came back: they are not shipped again.
pub(crate) const NOTE: &[u8] = b"sync/mended";
/// Before a table's number: the stamp of the newest delete of this node's own in it.
const ERASED_NOTE: &str = "sync/erased/";

fn erased_key(table: TableId) -> Vec<u8> {
    format!("{ERASED_NOTE}{}", table.0).into_bytes()
}

/// The stamp of this node's newest delete in a table, where there ever was one.
pub(super) fn last_erasure(inner: &Inner, table: TableId) -> Option<u64> {
    let kept = inner.store.note(&erased_key(table))?;
    kept.try_into().ok().map(u64::from_le_bytes)
}

/// What is to be noted beside the deletes of a write: once compaction has let go of them, only this tells that
/// there were any.
pub(crate) fn erased_notes(set: &WriteSet) -> Vec<Note> {
    let rows = set.batches.iter().filter_map(|batch| {
        let tombstones = batch.tombstone.as_ref()?;
        let stamps = tombstones.iter().zip(batch.hlc.iter());
        let newest = stamps.filter(|(erased, _)| *erased).map(|(_, hlc)| *hlc);
        Some((batch.table, newest.max()?))
    });
    let ranges = set
        .tombstones
        .iter()
        .map(|range| (range.table, range.hlc.0));
    let mut newest = std::collections::BTreeMap::new();
    for (table, hlc) in rows.chain(ranges) {
        let known: &mut u64 = newest.entry(table).or_default();
        *known = hlc.max(*known);
    }
    let notes = newest.into_iter();
    notes
        .map(|(table, hlc)| Note {
            key: erased_key(table),
            value: Some(hlc.to_le_bytes().to_vec()),
        })
        .collect()
}

impl Mirror {
    /// Has picked rows shipped again; how many. Of a shared table none of which a cell is older than the other end
    /// remembers deletes: that one would be set aside there, and deleted here.
    pub(super) fn ship_again(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        pick: &Pick,
    ) -> Result<u64> {
        let outbox = self.outbox().ok_or_else(ships_nothing)?;
        let inner = &self.inner;
        let writer = inner.writer(view)?;
        let mut kept = 0;
        let shipped = inner.ship_picked(view, table, day, pick, &mut |schema, mut batches| {
            // Beyond the bound of a further cloud's queue what is new would be passed over for what is old.
            if outbox.is_full() {
                return Err(Error::overloaded(
                    "what waits for the cloud is as much as may, so the repair goes no further now",
                )
                .with_hint("repair again once it has arrived"));
            }
            if schema.sync == SyncMode::Both {
                let mut old = BTreeSet::new();
                for batch in &batches {
                    if batch.hlc.iter().any(|hlc| *hlc < view.deletes_from.0) {
                        old.extend(keys_of(schema, &batch.columns)?.iter().map(<[u8]>::to_vec));
                    }
                }
                kept += old.len() as u64;
                let mut left = Vec::new();
                for batch in batches {
                    let keys = keys_of(schema, &batch.columns)?;
                    if !keys.iter().any(|key| old.contains(key)) {
                        left.push(batch);
                    }
                }
                batches = left;
            }
            for batch in &mut batches {
                batch.origin = std::iter::repeat_n(writer.0, batch.rows).collect();
            }
            outbox.ship_again(schema, &batches, &[])
        })?;
        let shipped = shipped.saturating_sub(kept);
        let counter = &inner.reconcile.rows_shipped;
        counter.fetch_add(shipped, Ordering::Relaxed);
        tracing::info!(%table, rows = shipped, "rows are shipped again: the other end had lost them");
        Ok(shipped)
    }

    /// Has erasures shipped again.
    pub(super) fn ship_erased_again(
        &self,
        view: &View,
        table: &TableName,
        erased: &[Erasure],
    ) -> Result<()> {
        let outbox = self.outbox().ok_or_else(ships_nothing)?;
        let schema = self.inner.compared_table(view.whose, table)?;
        let writer = self.inner.writer(view)?;
        outbox.ship_again(&schema, &[], &ranges(schema.id, erased, writer))
    }
}

impl Inner {
    /// Takes rows of the view's writer back.
    pub(super) fn take_back(&self, view: &View, payload: &[u8]) -> Result<u64> {
        let writer = match view.whose {
            // As one that it has not known so far.
            Whose::Of(node) if node != self.node => self.store.origin_id(node)?,
            _ => self.writer(view)?,
        };
        let content = Segment::unpack(payload)?;
        if content.origins.is_some() || !content.erased.is_empty() {
            return Err(Error::invalid(
                "rows that come back are not of one writer alone",
            ));
        }
        let mut incoming = Incoming::default();
        for section in &content.sections {
            let schema = self.compared_table(view.whose, &section.table)?;
            same_key(&schema, section)?;
            let schema = self.grown(schema, section)?;
            self.store.put_schema(schema.clone())?;
            incoming.rows(section.batch(&schema, writer.0)?);
        }
        let rows = incoming.fragments();
        self.take_in(incoming, mended())?;
        let counter = &self.reconcile.rows_taken;
        counter.fetch_add(rows, Ordering::Relaxed);
        tracing::info!(rows, "rows that this node had lost came back");
        Ok(rows)
    }

    /// Takes erasures of the writer's back.
    pub(super) fn take_back_erased(
        &self,
        view: &View,
        table: &TableName,
        erased: &[Erasure],
    ) -> Result<()> {
        let schema = self.compared_table(view.whose, table)?;
        let mut incoming = Incoming::default();
        for range in ranges(schema.id, erased, self.writer(view)?) {
            incoming.range(range);
        }
        self.take_in(incoming, mended())?;
        Ok(())
    }
}

fn ranges(table: TableId, erased: &[Erasure], origin: OriginId) -> Vec<RangeTombstone> {
    let ranges = erased.iter().map(|one| RangeTombstone {
        table,
        start: one.start.clone(),
        end: one.end.clone(),
        hlc: one.hlc,
        origin,
    });
    ranges.collect()
}

/// Says that what is in the record is not shipped again.
pub(crate) fn mended() -> Note {
    Note {
        key: NOTE.to_vec(),
        value: Some(Vec::new()),
    }
}

fn ships_nothing() -> Error {
    Error::conflict("this node ships nothing")
        .with_hint("start it as an edge with --peer HOST:PORT")
}
