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
    let second = filled(7_000, 2);
    assert_eq!(second.typed_data::<u64>(), vec![2; 7_000]);
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
    let kept = || KEPT.with(|kept| kept.borrow().as_ref().map(Vec::len));
    assert_eq!(kept(), Some(KEPT_MAX));
    // Another thread may let go of what this one made.
    let buffer = filled(KEPT_CELLS, 4);
    let elsewhere = std::thread::spawn(move || {
        drop(buffer);
        KEPT.with(|kept| kept.borrow().is_none())
    });
    assert!(elsewhere.join().unwrap());
}

#[test]
fn no_room_is_much_larger_than_what_is_wanted() {
    for wanted in (FEW_CELLS..=KEPT_CELLS)
        .step_by(97)
        .chain([KEPT_CELLS, FEW_CELLS])
    {
        let room = Room::new(wanted);
        assert!((wanted..=wanted + 2 * STEP_CELLS).contains(&room.cells.len()));
    }
}

#[test]
fn few_and_very_many_cells_have_memory_of_their_own() {
    for wanted in [0, 1, FEW_CELLS - 1, KEPT_CELLS + 1] {
        assert_eq!(filled(wanted, 5).typed_data::<u64>(), vec![5; wanted]);
    }
}
