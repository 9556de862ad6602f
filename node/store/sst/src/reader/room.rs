//! Memory for the cells of a batch. Each thread keeps some of what its last batches lay in, which is there already, mostly
//! still in the processor's cache, and need not be made zero first.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::buffer::Buffer;

/// Cells of the room that is kept: a full batch of a scan.
const KEPT_CELLS: usize = 8192;
/// Below this many, what is kept would be mostly empty.
const FEW_CELLS: usize = KEPT_CELLS / 4;
/// Rooms that a thread keeps: 1 MiB.
const KEPT_MAX: usize = 16;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u64>>> = const { RefCell::new(Vec::new()) };
}

/// Room for so many cells of 64 bits. What stands in it before it is written is unspecified: it may be of another batch, so
/// whoever hands it on has written all of it.
pub(super) struct Room {
    /// At least as many.
    cells: Vec<u64>,
    wanted: usize,
}

impl Room {
    pub(super) fn new(wanted: usize) -> Self {
        if !(FEW_CELLS..=KEPT_CELLS).contains(&wanted) {
            return Room {
                cells: vec![0; wanted],
                wanted,
            };
        }
        let kept = KEPT.try_with(|kept| kept.borrow_mut().pop()).ok();
        let cells = kept.flatten().unwrap_or_else(|| vec![0; KEPT_CELLS]);
        Room { cells, wanted }
    }

    pub(super) fn len(&self) -> usize {
        self.wanted
    }

    pub(super) fn cells(&mut self) -> &mut [u64] {
        self.cells.get_mut(..self.wanted).unwrap_or_default()
    }

    /// The cells as what an array is made of; the room is kept for others once nobody has the array any more.
    pub(super) fn into_buffer(mut self) -> Buffer {
        let bytes = size_of_val(self.cells());
        let start = NonNull::from(self.cells.as_mut_slice()).cast::<u8>();
        #[expect(
            unsafe_code,
            reason = "Arrow takes memory that is given back in a way of its own only so"
        )]
        // SAFETY: the bytes are those of the cells, initialised, and nobody writes to them while the room, which the
        // buffer owns, is there: it is dropped with the last clone of the buffer.
        let buffer = unsafe { Buffer::from_custom_allocation(start, bytes, Arc::new(self)) };
        buffer
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let cells = std::mem::take(&mut self.cells);
        if cells.len() != KEPT_CELLS {
            return;
        }
        // A thread at its end keeps nothing.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT_MAX {
                kept.push(cells);
            }
        });
    }
}

#[cfg(test)]
mod tests;
