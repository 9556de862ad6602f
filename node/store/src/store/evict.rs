//! Rows that this node keeps for a while only, because another one holds them.

use std::sync::Arc;
use std::time::Duration;

use activestore_types::{Result, TableId};
use arrow::array::AsArray;
use arrow::compute::min;
use arrow::datatypes::TimestampNanosecondType;

use super::{Store, table};
use crate::compaction::evict::{Evicted, Eviction, bound};
use crate::version::TableVersion;
use crate::worker;

impl Store {
    /// How long the rows of a table are kept on this node at least, by the first clustering column; `None`
    /// means for ever. It is not kept through a restart. Nothing goes by it alone: see [`Store::evict`].
    pub fn keep_local(&self, id: TableId, keep: Option<Duration>) {
        let keep_ns = keep.map(|keep| i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX));
        let same = |known: &Arc<TableVersion>| known.keep_ns == keep_ns;
        if self.shared.version().table(id).is_none_or(same) {
            return;
        }
        let _structure = self.shared.structure.lock();
        let mut slot = self.shared.version.write();
        let Some(known) = slot.table(id) else {
            return;
        };
        let changed = TableVersion {
            keep_ns,
            ..known.as_ref().clone()
        };
        *slot = Arc::new(slot.with_table(changed));
    }

    /// Before which time rows of a table are not kept any more, in nanoseconds since 1970; `None` where all are.
    pub fn eviction_bound(&self, id: TableId, now_ms: u64) -> Option<i64> {
        bound(self.shared.version().table(id)?, now_ms)
    }

    /// Whether rows of a table about a time before this are in memory and not in files.
    pub fn has_unflushed_before(&self, id: TableId, before_ns: i64) -> bool {
        let version = self.shared.version();
        let Some(table) = version.table(id) else {
            return false;
        };
        let Some(time) = table.schema.time_column() else {
            return false;
        };
        table.memtables().any(|memtable| {
            let view = memtable.view();
            view.chunks().iter().any(|chunk| {
                let column = chunk.batch.column(time);
                let times = column
                    .and_then(|column| column.array.as_primitive_opt::<TimestampNanosecondType>());
                let earliest = times.and_then(min);
                earliest.is_some_and(|earliest| earliest < before_ns)
            })
        })
    }

    /// Whether [`Store::evict`] would drop something now, and how many files hold rows before the bound.
    ///
    /// # Errors
    /// `NotFound` for an unknown table; as the disk.
    pub fn may_evict(&self, id: TableId, eviction: &Eviction) -> Result<(bool, u64)> {
        table(&self.shared.version(), id)?;
        worker::may_evict(&self.shared, id, eviction)
    }

    /// Drops the rows of a table's files that another node holds, as far as `eviction` says; no tombstone is
    /// written, and nothing of it is in the log. Rows in memory stay. Durable on return.
    ///
    /// # Errors
    /// `NotFound` for an unknown table; why a merge failed: what went before is gone then.
    pub fn evict(&self, id: TableId, eviction: &Eviction) -> Result<Evicted> {
        table(&self.shared.version(), id)?;
        self.shared.check()?;
        worker::evict(&self.shared, id, eviction)
    }
}
