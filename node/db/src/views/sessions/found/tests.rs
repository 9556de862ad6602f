//! What is joined to what was touched.

use std::collections::BTreeSet;

use proptest::prelude::*;

use activestore_query::ViewWindows;

use super::super::super::dirty::Dirty;
use super::{around, is_met, joined};

/// Stretches of moments that are less than a gap apart, one by one.
fn apart(moments: &BTreeSet<i64>, gap: i64) -> Vec<(i64, i64)> {
    let mut all: Vec<(i64, i64)> = Vec::new();
    for at in moments {
        match all.last_mut() {
            Some(open) if at - open.1 < gap => open.1 = *at,
            _ => all.push((*at, *at)),
        }
    }
    all
}

proptest! {
    #[test]
    fn what_is_computed_has_a_gap_around_it_and_holds_what_was_touched(
        rows in prop::collection::btree_set(-100_i64..100, 0..40),
        slots in prop::collection::btree_set(-8_i64..8, 1..5),
        gap in 1_i64..12,
    ) {
        let touched: Vec<(i64, i64)> = slots.iter().map(|slot| (slot * gap, slot * gap + gap - 1)).collect();
        let all = touched.iter().flat_map(|(first, last)| *first..=*last);
        let all: BTreeSet<i64> = all.chain(rows.iter().copied()).collect();
        let wanted: Vec<(i64, i64)> = apart(&all, gap)
            .into_iter()
            .filter(|(first, last)| touched.iter().any(|(from, _)| (first..=last).contains(&from)))
            .collect();
        prop_assert_eq!(&joined(touched.clone(), &apart(&rows, gap), gap), &wanted);
        // What lies too far from it to be met is in none of them, and is not counted.
        let mut dirty = Dirty::default();
        slots.iter().for_each(|slot| dirty.mark(b"a", slot * gap));
        let pieces = dirty.take(&ViewWindows::sessions(gap));
        prop_assert_eq!(pieces.len(), 1);
        let met: Vec<(i64, i64)> = apart(&rows, gap)
            .into_iter()
            .filter(|session| is_met(&pieces[0], b"a", *session, gap))
            .collect();
        let within = |(first, last): &(i64, i64)| {
            wanted.iter().any(|(from, to)| from <= first && last <= to)
        };
        prop_assert!(met.iter().all(within));
        prop_assert_eq!(joined(touched, &met, gap), wanted);
    }
}

#[test]
fn a_stretch_is_taken_from_what_goes_on_into_it_to_the_end_of_what_begins_in_it() {
    assert_eq!(around((10, 30), &[(3, 12), (20, 35)]), (3, 35));
    assert_eq!(around((10, 30), &[(20, 25)]), (10, 30));
    assert_eq!(around((60, 70), &[]), (60, 70));
}
