//! Rows that are shipped a second time, because the receiver has lost them: they are a backlog, with the
//! stamps that they were written with, so that nothing is doubled where they were not lost after all.

use std::sync::Arc;

use activestore_types::{RangeTombstone, Result, RowBatch, SyncClass, TableSchema};

use super::Sealer;
use super::chain::Sealed;
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
        let mut packing = Packing::new(None);
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
