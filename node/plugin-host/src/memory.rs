//! How much memory instances may hold in linear memories and tables: each one its own limit, and all of
//! them together one. A refusal is remembered, because a guest that is refused memory usually dies of
//! something that says nothing about memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::{Error, ResourceLimiter, Result};

/// Entries that one table may hold: function pointers, so far above what a plugin needs.
pub(crate) const TABLE_ENTRIES_MAX: usize = 100_000;
/// What an entry of a table takes.
const TABLE_ENTRY_BYTES: usize = size_of::<usize>();
/// Instances of core modules in one store; a component has a handful of them.
const INSTANCES_MAX: usize = 128;
/// Tables in one store.
const TABLES_MAX: usize = 128;
/// Linear memories in one store. Each reserves gigabytes of addresses, however small it is.
const MEMORIES_MAX: usize = 16;

/// Bytes that all instances of a host hold together, and how many they may.
#[derive(Debug)]
pub(crate) struct MemoryTotal {
    held: AtomicUsize,
    max: usize,
}

impl MemoryTotal {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(MemoryTotal {
            held: AtomicUsize::new(0),
            max,
        })
    }

    /// Bytes held now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Counts bytes that are about to be held; nothing where they are too many.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(bytes).filter(|sum| *sum <= self.max)
            })
            .is_ok()
    }

    /// Bytes that were taken are held no more.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Which limit refused an instance memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The instance's own.
    Instance,
    /// That of all instances together.
    Total,
    /// That of a table's entries.
    Table,
}

/// One instance's share.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    total: Arc<MemoryTotal>,
    max: usize,
    held: usize,
    last_grown: usize,
    refused: Option<Refusal>,
}

impl MemoryLimit {
    pub(crate) fn new(total: Arc<MemoryTotal>, max: usize) -> Self {
        MemoryLimit {
            total,
            max,
            held: 0,
            last_grown: 0,
            refused: None,
        }
    }

    /// Bytes the instance holds.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Bytes the instance may hold.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// Forgets earlier refusals: a call begins.
    pub(crate) fn begin(&mut self) {
        self.refused = None;
    }

    /// Whether memory was refused since [`MemoryLimit::begin`].
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    /// Counted over all memories and tables of the instance, not each by itself.
    fn grow(&mut self, more: usize) -> bool {
        self.last_grown = 0;
        if self.held.saturating_add(more) > self.max {
            self.refused = Some(Refusal::Instance);
            return false;
        }
        if !self.total.take(more) {
            self.refused = Some(Refusal::Total);
            return false;
        }
        self.held += more;
        self.last_grown = more;
        true
    }

    /// Also called after a refusal, when nothing was taken.
    fn give_back_last(&mut self) {
        let back = std::mem::take(&mut self.last_grown);
        self.held -= back;
        self.total.give_back(back);
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _error: Error) -> Result<()> {
        self.give_back_last();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        if desired > TABLE_ENTRIES_MAX {
            self.last_grown = 0;
            self.refused = Some(Refusal::Table);
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current) * TABLE_ENTRY_BYTES))
    }

    fn table_grow_failed(&mut self, _error: Error) -> Result<()> {
        self.give_back_last();
        Ok(())
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.total.give_back(self.held);
    }
}

#[cfg(test)]
mod tests;
