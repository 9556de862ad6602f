//! What this node knows of rows that another one has and that do not show here like there.

use activestore_sync_proto::reconcile::{
    CELLS_MAX, CellAt, Erasure, Judgement, KeyAt, View, Whose,
};
use activestore_types::{Hlc, OriginId, Result, TableName, TableSchema};
use xxhash_rust::xxh3::xxh3_64;

use super::mend::last_erasure;
use super::others::is_looked_at;
use crate::db::Inner;

/// Steps that a horizon may go on while rows are on their way that were judged.
const HORIZON_STEPS: u64 = 2;

impl Inner {
    /// One judgement for each key.
    pub(super) fn judge(
        &self,
        view: &View,
        table: &TableName,
        keys: &[KeyAt],
    ) -> Result<Vec<Judgement>> {
        let schema = self.compared_table(view.whose, table)?;
        let writer = self.writer(view)?;
        let Some(snapshot) = self.snapshot_of(&schema)? else {
            return Ok(vec![Judgement::Unknown; keys.len()]);
        };
        let forgotten = self.forgotten(view, &schema);
        let forgotten = forgotten.max(self.forgotten_of_others(view, &schema));
        let mut all = Vec::with_capacity(keys.len());
        let mut cells = 0;
        for key in keys {
            let trace = snapshot.trace(&key.key, view.now_ms)?;
            let erased = trace.erased.filter(|erased| erased.hlc >= key.hlc);
            all.push(match erased {
                _ if trace.newest > view.as_of => Judgement::Overruled,
                Some(erased) if erased.origin == writer => Judgement::Erased(Erasure {
                    start: erased.start,
                    end: erased.end,
                    hlc: erased.hlc,
                }),
                // Who asks has to hear of it from the stream, and did not.
                Some(_) if view.whose == Whose::Others && view.writer != self.node => {
                    Judgement::Unknown
                }
                Some(_) => Judgement::Overruled,
                // Of very wide tables some rows count as missing that may only differ.
                None if trace.shown && cells + trace.cells.len() <= CELLS_MAX => {
                    cells += trace.cells.len();
                    let shown = trace.cells.iter().filter_map(|(column, hlc, origin)| {
                        let column = schema.column_by_id(*column)?;
                        Some(CellAt {
                            column: xxh3_64(column.name.as_bytes()) as u32,
                            hlc: *hlc,
                            own: is_looked_at(view, writer, *origin),
                        })
                    });
                    Judgement::Cells(shown.collect())
                }
                None if forgotten.is_some_and(|upto| key.hlc.0 <= upto) => Judgement::Forgotten,
                None => Judgement::Unknown,
            });
        }
        Ok(all)
    }

    /// Up to which stamp this node's own deletes in a table may be forgotten; `None` where it keeps all of them.
    fn forgotten(&self, view: &View, schema: &TableSchema) -> Option<u64> {
        let own = view.whose == Whose::Own
            && view.writer == self.node
            && self.writer(view).ok()? == OriginId(0);
        let only_ships = self.outbox.is_some() && !self.options.role.has_edges();
        let keeps = !only_ships || self.takes_rows_from_above();
        if !own || keeps {
            return None;
        }
        let last = last_erasure(self, schema.id)?;
        // Compaction lets go of none that is newer than this.
        Some(last.min(self.settled_stamp().0))
    }

    /// Up to which stamp deletes of anybody in a shared table may be forgotten here, where another node asks. Such a row
    /// would be set aside as one that comes too late, and deleted where it still is.
    fn forgotten_of_others(&self, view: &View, schema: &TableSchema) -> Option<u64> {
        let asked = view.writer != self.node;
        let horizon = self.horizons().of(schema).filter(|_| asked)?;
        // What is to be shipped now has to arrive before the horizon has moved beyond it.
        let margin_ms = HORIZON_STEPS.saturating_mul(self.horizon_step_ms());
        Some(Hlc::from_ms(horizon.wall_ms().saturating_add(margin_ms)).0)
    }
}
