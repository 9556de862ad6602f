//! Rows that are shipped a second time, because the receiver has lost them: they are a backlog, with the
//! stamps that they were written with, so that nothing is doubled where they were not lost after all.

use std::sync::Arc;

use activestore_types::{OriginId, RangeTombstone, Result, RowBatch, SyncClass, TableSchema};

use super::Sealer;
use super::chain::Sealed;
use super::origins::Naming;
use super::packing::Packing;

impl Sealer {
    /// Seals rows and range tombstones that are in the store already; durably queued on return.
    pub(crate) fn ship_again(
        &self,
        schema: &Arc<TableSchema>,
        rows: &[RowBatch],
        ranges: &[RangeTombstone],
    ) -> Result<()> {
        let shared = &self.shared;
        let _sealing = shared.sealing.lock();
        let node_of = |origin| shared.store.origin_node(origin);
        let own = OriginId(0).0;
        let of_rows = rows.iter().flat_map(|batch| batch.origin.iter());
        let mut origins = of_rows
            .copied()
            .chain(ranges.iter().map(|range| range.origin.0));
        // A gateway ships those of nodes below it too, and says whose they are; they took no other way.
        let naming = origins.any(|origin| origin != own).then(|| Naming {
            definitions: shared.catalog.state().version,
            node_of: &node_of,
            covered: None,
            via: Some(Vec::new()),
        });
        let mut packing = Packing::new(naming.as_ref());
        for batch in rows {
            packing.rows(&shared.store, schema, batch)?;
        }
        for range in ranges {
            packing.range(schema, range)?;
        }
        let payloads = packing.finish()?;
        if payloads.is_empty() {
            return Ok(());
        }
        // The log is followed from where it was followed before, and nothing that is new waits for what is old.
        let sealed = Sealed::All(shared.queue.cursor());
        let old = payloads
            .into_iter()
            .map(|payload| (SyncClass::Backlog, payload));
        shared.queue.append(old.collect(), sealed)?;
        shared.marks.sealed(&shared.queue.standing());
        if let Some(waker) = shared.waker.lock().as_ref() {
            waker();
        }
        Ok(())
    }
}
