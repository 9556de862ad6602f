//! Rows have one moment each, and those without room are not forgotten.

use super::*;

fn row(number: usize) -> Row {
    (0, number.to_be_bytes().to_vec())
}

#[test]
fn a_row_is_due_at_the_last_moment_that_was_said() {
    let mut expiring = Expiring::default();
    expiring.set(row(1), Some(50));
    expiring.set(row(2), Some(40));
    expiring.set(row(1), Some(30));
    assert_eq!(expiring.first(), Some(30));
    assert_eq!(expiring.due(29), None);
    assert_eq!(expiring.due(45), Some(row(1)));
    assert_eq!(expiring.due(45), Some(row(2)));
    expiring.set(row(3), Some(60));
    expiring.set(row(3), None);
    assert_eq!((expiring.first(), expiring.due(100)), (None, None));
}

#[test]
fn what_there_is_no_room_for_is_due_as_a_whole() {
    let mut expiring = Expiring::default();
    for number in 0..ROWS_MAX {
        expiring.set(row(number), Some(1_000));
    }
    expiring.set(row(ROWS_MAX), Some(20));
    expiring.set(row(ROWS_MAX + 1), Some(30));
    assert_eq!(expiring.first(), Some(20));
    assert!(!expiring.is_over_beyond(19) && expiring.is_over_beyond(20));
    expiring.forget();
    assert_eq!(expiring.first(), None);
}
