//! What is said of lists without a look at each number, against a look at each.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

/// Numbers that rise by equal steps, or nearly.
fn list() -> impl Strategy<Value = Vec<u64>> {
    let parts = (
        0..60_u64,
        1..12_u64,
        0..40_usize,
        prop::option::of(0..40_usize),
        any::<bool>(),
    );
    parts.prop_map(|(first, step, count, odd, high)| {
        let base = if high { u64::MAX - 2_000 } else { 0 };
        let mut list: Vec<u64> = (0..count as u64)
            .map(|place| base + first + place * step)
            .collect();
        if let Some(odd) = odd.and_then(|odd| list.get_mut(odd)) {
            *odd += step / 2;
        }
        list
    })
}

proptest! {
    #[test]
    fn lists_that_never_meet_have_nothing_in_common(one in list(), other in list()) {
        let common = one.iter().any(|number| other.contains(number));
        prop_assert_eq!(meet(&one, &other), common);
        if never_meet(&one, &other) {
            prop_assert!(!common);
        }
    }
}

#[test]
fn equal_steps_are_told_from_others() {
    let every = |first: u64, step: u64| {
        (0..50)
            .map(|place| first + place * step)
            .collect::<Vec<u64>>()
    };
    assert!(never_meet(&every(0, 20), &every(10, 20)));
    assert!(never_meet(&every(0, 20), &every(5, 30)));
    assert!(!never_meet(&every(0, 20), &every(40, 20)));
    assert!(!never_meet(&every(0, 20), &every(0, 7)));
    assert!(!never_meet(&[], &every(0, 20)) && !never_meet(&[3], &every(0, 20)));
    let mut uneven = every(0, 20);
    uneven[17] += 1;
    assert!(!never_meet(&uneven, &every(10, 20)));
}
