//! Windows from moments and back.

use proptest::prelude::*;

use super::ViewWindows;

proptest! {
    #[test]
    fn a_moment_is_in_the_windows_of_its_stretch_and_in_no_other(
        ns in -1_000_000_i64..1_000_000,
        slide in 1_i64..500,
        times in 1_i64..9,
        more in 0_i64..499,
        hops in any::<bool>(),
    ) {
        let width = slide * times + more % slide;
        let windows = if hops {
            ViewWindows::hopping(slide, width)
        } else {
            ViewWindows::tumbling(slide)
        };
        let slot = windows.slot(ns);
        let (first, last) = (windows.first(slot), slot);
        // One before the first, and one behind the last.
        let mut start = first - slide;
        while start <= last + slide {
            let inside = (start..windows.end(start)).contains(&ns);
            prop_assert!(!inside || (first..=last).contains(&start));
            prop_assert!(windows.next(start) > start);
            start = windows.next(start);
        }
        prop_assert!((slot..windows.end(slot)).contains(&ns));
    }
}

#[test]
fn the_ends_of_time_are_not_passed() {
    for windows in [ViewWindows::tumbling(60), ViewWindows::hopping(60, 600)] {
        for ns in [i64::MIN, i64::MAX] {
            let slot = windows.slot(ns);
            assert!(windows.first(slot) <= slot && windows.end(slot) >= slot);
        }
    }
}
