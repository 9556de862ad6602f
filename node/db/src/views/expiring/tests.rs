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
fn those_that_expire_first_are_remembered_and_the_others_learned_before_they_do() {
    let mut expiring = Expiring::default();
    let far = |number: usize| 1_000 + number as u64;
    for number in 0..=ROWS_MAX {
        expiring.set(row(number), Some(far(number)));
    }
    // One that comes before all that are known takes the place of the last.
    expiring.set(row(ROWS_MAX + 1), Some(20));
    assert_eq!(
        (expiring.rows.len(), expiring.moments.len()),
        (ROWS_MAX, ROWS_MAX)
    );
    assert_eq!(expiring.first(), Some(20));
    assert_eq!(expiring.beyond, Some(far(ROWS_MAX - 1)));
    assert!(!expiring.runs_low() && !expiring.is_over_beyond(far(ROWS_MAX - 1) - 1));
    // A known one that lasts longer now is one of the others.
    expiring.set(row(ROWS_MAX + 1), Some(far(ROWS_MAX)));
    assert_eq!(expiring.first(), Some(far(0)));
    while expiring.rows.len() > ROWS_LOW {
        assert!(expiring.due(far(ROWS_MAX)).is_some());
    }
    assert!(expiring.runs_low() && expiring.is_over_beyond(far(ROWS_MAX - 1)));
    expiring.forget();
    assert!(expiring.first().is_none() && !expiring.runs_low());
}
