//! Room that is kept, and who may still see what lies in it.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

fn filled(wanted: usize, with: u64) -> Buffer {
    let mut room = Room::new(wanted);
    assert_eq!(room.cells().len(), wanted);
    room.cells().fill(with);
    room.into_buffer()
}

#[test]
fn room_is_kept_for_others_once_nobody_has_it() {
    let first = filled(KEPT_CELLS, 1);
    let place = first.as_ptr();
    let clone = first.slice(8);
    drop(first);
    let second = filled(5_000, 2);
    assert_eq!(second.typed_data::<u64>(), vec![2; 5_000]);
    assert_eq!(clone.typed_data::<u64>(), vec![1; KEPT_CELLS - 1]);
    assert_ne!(second.as_ptr(), place);
    drop(clone);
    assert_eq!(filled(KEPT_CELLS, 3).as_ptr(), place);
}

#[test]
fn a_thread_keeps_so_much_and_no_more() {
    let many: Vec<Buffer> = (0..KEPT_MAX as u64 * 2)
        .map(|with| filled(KEPT_CELLS, with))
        .collect();
    for (with, buffer) in many.iter().enumerate() {
        assert_eq!(buffer.typed_data::<u64>(), vec![with as u64; KEPT_CELLS]);
    }
    drop(many);
    KEPT.with(|kept| assert_eq!(kept.borrow().len(), KEPT_MAX));
    // Another thread may let go of what this one made.
    let buffer = filled(KEPT_CELLS, 4);
    std::thread::spawn(move || drop(buffer)).join().unwrap();
}

#[test]
fn few_and_very_many_cells_have_memory_of_their_own() {
    for wanted in [0, 1, FEW_CELLS - 1, KEPT_CELLS + 1] {
        assert_eq!(filled(wanted, 5).typed_data::<u64>(), vec![5; wanted]);
    }
}
