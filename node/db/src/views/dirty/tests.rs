//! What is marked comes out again, whole, in pieces that are bounded.

use std::collections::BTreeSet;

use activestore_query::ViewWindows;
use proptest::prelude::*;

use super::piece::PIECE_GROUPS_MAX;
use super::{ASIDE_REGIONS_MAX, Dirty, GAP_WINDOWS, PIECE_UNITS_MAX, REGIONS_MAX, UNITS_MAX};
use crate::views::saved::Region;

fn region(among: u8, from: i64, to: i64) -> Region {
    Region {
        among: vec![(0, vec![among])],
        from,
        to,
        bounded: true,
        aged: false,
        clean: false,
    }
}

#[test]
fn regions_that_meet_become_one_and_too_many_one_that_holds_them_all() {
    let mut dirty = Dirty::default();
    dirty.add(region(1, 10, 20));
    dirty.add(region(2, 15, 25));
    dirty.add(region(1, 20, 30));
    dirty.add(region(1, 40, 50));
    assert_eq!(
        dirty.regions,
        [region(2, 15, 25), region(1, 10, 30), region(1, 40, 50)]
    );
    for place in 0..REGIONS_MAX as i64 {
        dirty.add(region(3, 100 + place * 10, 101 + place * 10));
        assert!(dirty.regions.len() <= REGIONS_MAX);
    }
    assert!(
        dirty
            .regions
            .iter()
            .any(|one| one.among.is_empty() && one.from == 10)
    );
}

#[test]
fn groups_that_are_too_many_become_a_region() {
    let windows = ViewWindows::tumbling(10);
    let mut dirty = Dirty::default();
    for slot in 0..UNITS_MAX as i64 {
        dirty.mark(b"a", slot * 10);
    }
    assert!(dirty.is_full());
    dirty.widen(&windows);
    assert_eq!(dirty.count(), 0);
    let last = (UNITS_MAX as i64 - 1) * 10;
    assert_eq!((dirty.regions[0].from, dirty.regions[0].to), (0, last));
}

#[test]
fn groups_that_are_far_from_each_other_are_not_computed_together() {
    let windows = ViewWindows::tumbling(10);
    let mut dirty = Dirty::default();
    // As rows do that come late from many, over a long time.
    for group in 0..200_u16 {
        dirty.mark(&group.to_be_bytes(), i64::from(group) * 10_000);
    }
    let pieces = dirty.take(&windows);
    assert_eq!(pieces.len(), 200);
    assert!(pieces.iter().all(|piece| piece.from == piece.to));
    // Nor are many groups of a long time, of which each has a short one.
    for group in 0..1_000_u16 {
        dirty.mark(&group.to_be_bytes(), i64::from(group) * 100);
    }
    for piece in dirty.take(&windows) {
        let windows = (piece.to - piece.from) / 10 + 1;
        assert!(windows * piece.slots.len() as i64 <= GAP_WINDOWS * piece.slots.len() as i64);
    }
    // Those that are near to each other are.
    for group in 0..16 * 10_u16 {
        dirty.mark(&group.to_be_bytes(), i64::from(group) * 10);
    }
    assert_eq!(dirty.take(&windows).len(), 10);
}

#[test]
fn what_is_marked_for_a_row_that_is_looked_up_is_not_late_when_its_own_are_gone() {
    let windows = ViewWindows::tumbling(10);
    let mut dirty = Dirty::default();
    dirty.mark(b"a", 10);
    for slot in [10, 20, 90] {
        dirty.mark_found(b"b", slot);
    }
    // By rows of their own as well, before and behind it.
    dirty.mark_found(b"c", 30);
    dirty.mark(b"c", 30);
    dirty.mark(b"d", 30);
    dirty.mark_found(b"d", 30);
    // Also where there was no time for it at first.
    for piece in dirty.take(&windows) {
        dirty.put_back(&piece);
    }
    assert_eq!(dirty.count(), 6);
    assert_eq!(dirty.forget_aged(50), 3);
    assert_eq!(dirty.count(), 1);
    assert_eq!(dirty.forget_aged(100), 0);
    assert_eq!(dirty.count(), 0);
}

#[test]
fn what_cannot_be_computed_waits_and_is_not_forgotten() {
    let windows = ViewWindows::tumbling(10);
    let mut dirty = Dirty::default();
    dirty.mark(b"a", 10);
    dirty.mark(b"a", 20);
    for piece in dirty.take(&windows) {
        let [first, second] = piece.split(&windows).unwrap();
        assert!(first.split(&windows).is_none());
        dirty.set_aside(first);
        dirty.put_back(&second);
    }
    assert_eq!((dirty.count(), dirty.has_aside()), (2, true));
    assert_eq!(dirty.take(&windows).len(), 1);
    assert!(!dirty.has_work() && !dirty.is_empty());
    for place in 0..2 * ASIDE_REGIONS_MAX as i64 {
        dirty.set_region_aside(region(1, place * 100, place * 100));
    }
    let aside = dirty.all_regions();
    assert_eq!(aside.len(), ASIDE_REGIONS_MAX);
    for place in 0..2 * ASIDE_REGIONS_MAX as i64 {
        assert!(
            aside
                .iter()
                .any(|one| (one.from..=one.to).contains(&(place * 100)))
        );
    }
    dirty.retry();
    assert!(!dirty.has_aside());
    assert_eq!(dirty.regions.len(), ASIDE_REGIONS_MAX);
    assert_eq!(
        dirty.take(&windows)[0].slots[b"a".as_slice()],
        BTreeSet::from([10])
    );
}

proptest! {
    #[test]
    fn what_is_marked_is_in_one_of_the_pieces(
        marks in prop::collection::vec((0_u16..300, -400_i64..400), 1..400),
        hops in any::<bool>(),
    ) {
        let windows = if hops { ViewWindows::hopping(10, 35) } else { ViewWindows::tumbling(10) };
        let mut dirty = Dirty::default();
        let mut known = BTreeSet::new();
        for (group, at) in marks {
            // Most are near to each other, as rows that come in order are.
            let at = if group % 7 == 0 { at * 1_000 } else { at };
            let group = group.to_be_bytes().to_vec();
            let slot = windows.slot(at);
            dirty.mark(&group, slot);
            known.insert((group, slot));
        }
        prop_assert_eq!(dirty.count(), known.len());
        let mut pieces = dirty.take(&windows);
        prop_assert_eq!(dirty.count(), 0);
        let mut found = BTreeSet::new();
        let mut halves = 0;
        while let Some(piece) = pieces.pop() {
            prop_assert!(piece.slots.len() <= PIECE_GROUPS_MAX);
            prop_assert!(piece.slots.values().map(BTreeSet::len).sum::<usize>() <= PIECE_UNITS_MAX);
            for (group, slots) in &piece.slots {
                for slot in slots {
                    prop_assert!(piece.from <= windows.first(*slot) && *slot <= piece.to);
                    let mut start = windows.first(*slot);
                    while start <= *slot {
                        prop_assert!(piece.holds(group, start, &windows));
                        start = windows.next(start);
                    }
                }
            }
            let whole = piece.slots.clone();
            halves += 1;
            match piece.split(&windows).filter(|_| halves % 3 == 0) {
                Some(both) => pieces.extend(both),
                None => found.extend(
                    whole.into_iter().flat_map(|(group, slots)| {
                        slots.into_iter().map(move |slot| (group.clone(), slot))
                    }),
                ),
            }
        }
        prop_assert_eq!(found, known);
    }
}
