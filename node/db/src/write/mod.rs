//! The write path, on one screen: names are resolved, processors run, rows are stamped, one log
//! record holds it all, and only then is the write acknowledged.

mod process;
pub(crate) mod processor;
mod rejected;
pub(crate) mod resolve;
mod stamp;

use std::sync::atomic::Ordering;

use activestore_store::{Note, WriteSet};
use activestore_types::{Hlc, NamedBatch, RangeTombstone, Result, RowBatch, SyncMode};

use crate::db::Inner;
use crate::options::Role;
use resolve::Staged;

pub(crate) use rejected::read_rejected;

/// How long a write may be under way between its stamp and its commit, in milliseconds.
const SETTLED_AFTER_MS: u64 = 60_000;

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
        self.admit()?;
        let staged = self.resolve(batches)?;
        let processed = self.process(staged)?; // holds the processors until the commit
        let set = self.stamp(processed.staged, processed.notes);
        let rows = set.batches.iter().map(|batch| batch.rows as u64).sum();
        self.commit(set)?;
        drop(processed.turn);
        let receipt = WriteReceipt {
            rows: rows - processed.sent,
            rejected: processed.rejected,
        };
        self.counts.rows_written.fetch_add(rows, Ordering::Relaxed);
        Ok(receipt)
    }

    /// Erases rows and ranges of one table, stamped by this node.
    pub(crate) fn erase(&self, rows: Vec<RowBatch>, ranges: Vec<RangeTombstone>) -> Result<()> {
        self.commit(WriteSet {
            batches: rows,
            tombstones: ranges,
            notes: Vec::<Note>::new(),
        })
    }

    fn resolve(&self, batches: &[NamedBatch]) -> Result<Vec<Staged>> {
        batches
            .iter()
            .filter(|batch| batch.rows > 0)
            .map(|batch| {
                resolve::resolve(&self.catalog, batch, self.new_keyspaces(), &|schema| {
                    self.store.put_schema(schema.clone())
                })
            })
            .collect()
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
    fn commit(&self, set: WriteSet) -> Result<()> {
        if set.batches.is_empty() && set.tombstones.is_empty() && set.notes.is_empty() {
            return Ok(());
        }
        self.store.commit(set)?;
        self.settle();
        self.counts.writes.fetch_add(1, Ordering::Relaxed);
        if let Some(outbox) = &self.outbox {
            outbox.wake();
        }
        Ok(())
    }

    /// Lets compaction drop what only shadows older writes. An edge takes rows from nobody else, so
    /// all that could still come is stamped within the last minute; a cloud cannot know what its
    /// edges still hold, and keeps tombstones.
    fn settle(&self) {
        if self.options.role == Role::Edge {
            let past = self.wall_ms().saturating_sub(SETTLED_AFTER_MS);
            self.store.settle(Some(Hlc::from_ms(past)));
        }
    }
}
