//! Memory for the cells of a batch. Each thread keeps some of what its last batches lay in, which is there already, mostly
//! still in the processor's cache, and need not be made zero first.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::buffer::Buffer;

/// Cells of the largest room that is kept: a full batch of a scan.
const KEPT_CELLS: usize = 8192;
/// Cells of the smallest: less costs little to make anew.
const FEW_CELLS: usize = KEPT_CELLS / 4;
/// Rooms are made in steps of so many cells, and have at most two steps more than is wanted of them: who counts the memory
/// of an array counts what was wanted.
const STEP_CELLS: usize = KEPT_CELLS / 8;
/// Rooms that a thread keeps: 1 MiB at most.
const KEPT_MAX: usize = 16;

thread_local! {
    /// `None` on threads that only let go of what others made.
    static KEPT: RefCell<Option<Vec<Vec<u64>>>> = const { RefCell::new(None) };
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
        let fits = |cells: &Vec<u64>| (wanted..=wanted + 2 * STEP_CELLS).contains(&cells.len());
        let kept = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            let kept = kept.get_or_insert_default();
            let place = kept.iter().rposition(fits)?;
            Some(kept.swap_remove(place))
        });
        let cells = kept.ok().flatten();
        let cells = cells.unwrap_or_else(|| vec![0; wanted.next_multiple_of(STEP_CELLS)]);
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
        if !(FEW_CELLS..=KEPT_CELLS).contains(&cells.len()) {
            return;
        }
        // A thread at its end keeps nothing.
        let _ = KEPT.try_with(|kept| {
            if let Some(kept) = kept.borrow_mut().as_mut() {
                if kept.len() >= KEPT_MAX {
                    // The oldest was of no use for the longest time.
                    kept.remove(0);
                }
                kept.push(cells);
            }
        });
    }
}

#[cfg(test)]
mod tests;
