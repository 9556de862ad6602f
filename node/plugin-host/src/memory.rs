//! How much linear memory instances may hold: each one its own limit, and all of them together one.
//! A refusal is remembered, because a guest that is refused memory usually dies of something that
//! says nothing about memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::{Error, ResourceLimiter, Result};

/// Entries a guest's tables may hold: function pointers, so far above what a plugin needs.
const TABLE_ELEMENTS_MAX: usize = 100_000;

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

    fn take(&self, bytes: usize) -> bool {
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(bytes).filter(|sum| *sum <= self.max)
            })
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
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
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let more = desired.saturating_sub(current);
        // Counted over all memories of the instance, not each by itself.
        if self.held.saturating_add(more) > self.max {
            self.refused = Some(Refusal::Instance);
            return Ok(false);
        }
        if !self.total.take(more) {
            self.refused = Some(Refusal::Total);
            return Ok(false);
        }
        self.held += more;
        self.last_grown = more;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: Error) -> Result<()> {
        // Also called after a refusal, when nothing was taken.
        let back = std::mem::take(&mut self.last_grown);
        if self.refused.is_none() {
            self.held -= back;
            self.total.give_back(back);
        }
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.total.give_back(self.held);
    }
}

#[cfg(test)]
mod tests;
