//! Rows of a segment that come later than deletes are remembered, gathered until the whole of it is read.

use std::collections::BTreeMap;

use activestore_store::Note;
use activestore_types::{Error, NodeId, Result, RowBatch, TableName};

use crate::db::Inner;
use crate::down::forgotten::{Sifted, too_late};
use crate::down::horizon::Standing;
use crate::outbox::segment::{Erased, Segment};
use crate::set_aside::Part;

pub(super) struct Late<'a> {
    node: NodeId,
    horizons: &'a Standing<'a>,
    rows: BTreeMap<TableName, Vec<RowBatch>>,
}

impl<'a> Late<'a> {
    pub(super) fn new(node: NodeId, horizons: &'a Standing<'a>) -> Self {
        Late {
            node,
            horizons,
            rows: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What of a batch is taken; the others are kept here, with what is to be deleted for them.
    ///
    /// # Errors
    /// `Overloaded` where their sender has to fetch the tables first.
    pub(super) fn sifted(
        &mut self,
        inner: &Inner,
        batch: RowBatch,
        erased: &[Erased],
    ) -> Result<(RowBatch, Option<RowBatch>)> {
        let state = inner.catalog.state();
        let Some(schema) = state.table_by_id(batch.table) else {
            return Ok((batch, None));
        };
        let Some(horizon) = self.horizons.of(schema) else {
            return Ok((batch, None));
        };
        if batch.hlc.iter().all(|hlc| *hlc >= horizon.0) {
            return Ok((batch, None));
        }
        // It would hear of no refusal, and a backlog to a cloud that it does not follow is all that the cloud gets of it.
        if inner.takes_nothing(self.node) {
            return Ok((batch, None));
        }
        if !inner.takes_old_rows_of(self.node) {
            return Err(Error::overloaded(format!(
                "rows of {} were written before the time from which on deletes are remembered: node {} fetches the \
                 tables before they are taken",
                schema.name, self.node
            )));
        }
        let sifted = inner.sift(schema, &batch, horizon, erased)?;
        let Sifted {
            taken,
            aside,
            tombstones,
        } = sifted;
        if aside.rows == 0 {
            return Ok((taken, None));
        }
        self.rows
            .entry(schema.name.clone())
            .or_default()
            .push(aside);
        Ok((taken, Some(tombstones)))
    }

    /// What sets them aside.
    ///
    /// # Errors
    /// `Overloaded` where there is no room.
    pub(super) fn note(self, inner: &Inner, before: usize) -> Result<Note> {
        let state = inner.catalog.state();
        let mut members = Vec::new();
        let mut parts = Vec::new();
        for (name, batches) in self.rows {
            // As it is now: the segment may have made it grow.
            let schema = state.table(&name)?;
            let rows: usize = batches.iter().map(|batch| batch.rows).sum();
            parts.push(Part {
                // The sections of a segment are in the order of their tables.
                section: u32::try_from(parts.len()).unwrap_or(u32::MAX),
                table: name,
                rows: u32::try_from(rows).unwrap_or(u32::MAX),
                reason: too_late(schema).to_string(),
            });
            members.extend(batches.into_iter().map(|batch| (schema.clone(), batch)));
        }
        let payload = Segment::pack(&members, Vec::new(), None)?;
        inner.set_aside_late(self.node, parts, &payload, before)
    }
}
