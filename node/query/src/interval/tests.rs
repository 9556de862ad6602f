//! Intervals times numbers and divided by them, as PostgreSQL gives them.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

fn interval(months: i32, days: i32, nanoseconds: i64) -> IntervalMonthDayNano {
    IntervalMonthDayNano {
        months,
        days,
        nanoseconds,
    }
}

const HOUR: i64 = 3_600_000_000_000;

#[test]
fn fractions_go_on_as_days_and_time() {
    let month = interval(1, 0, 0);
    let day = interval(0, 1, 0);
    // As PostgreSQL has it.
    assert_eq!(Deed::Times.part(month, 1.5).unwrap(), interval(1, 15, 0));
    assert_eq!(
        Deed::Divided.whole(month, 4).unwrap(),
        interval(0, 7, 12 * HOUR)
    );
    assert_eq!(
        Deed::Divided.part(month, 4.0).unwrap(),
        interval(0, 7, 12 * HOUR)
    );
    assert_eq!(
        Deed::Times.part(day, 0.5).unwrap(),
        interval(0, 0, 12 * HOUR)
    );
    assert_eq!(
        Deed::Times.part(day, -1.25).unwrap(),
        interval(0, -1, -6 * HOUR)
    );
    assert_eq!(
        Deed::Divided.whole(interval(0, 0, 2), 3).unwrap(),
        interval(0, 0, 1)
    );
    assert_eq!(
        Deed::Divided.whole(interval(0, 0, -2), 3).unwrap(),
        interval(0, 0, -1)
    );
    assert_eq!(
        Deed::Times.whole(interval(1, -2, 3), -4).unwrap(),
        interval(-4, 8, -12)
    );
    // Two fractions of a day that are one together.
    let both = Deed::Times.part(interval(1, 1, 0), 0.55).unwrap();
    assert_eq!(both, interval(0, 17, HOUR * 6 / 5));
}

#[test]
fn what_is_longer_than_an_interval_is_an_error() {
    for (deed, by) in [(Deed::Times, i64::MAX), (Deed::Times, i64::MIN)] {
        for one in [interval(1, 0, 0), interval(0, 1, 0), interval(0, 0, 2)] {
            let error = deed.whole(one, by).unwrap_err().to_string();
            assert!(error.contains("longer than an interval can be"), "{error}");
        }
    }
    for by in [f64::MAX, f64::NAN, f64::INFINITY, 1e30] {
        for one in [interval(1, 0, 0), interval(0, 1, 0), interval(0, 0, 1)] {
            assert!(Deed::Times.part(one, by).is_err(), "{by}");
        }
    }
    assert!(Deed::Divided.part(interval(1, 0, 0), 0.0).is_err());
    assert!(Deed::Divided.whole(interval(1, 0, 0), 0).is_err());
    let least = interval(i32::MIN, i32::MIN, i64::MIN);
    assert!(Deed::Divided.whole(least, -1).is_err());
}

proptest! {
    #[test]
    fn what_is_multiplied_can_be_divided(months in -1_000i32..1_000, days in -1_000i32..1_000, nanos in -1_000_000_000i64..1_000_000_000, by in 1i32..1_000) {
        let of = interval(months, days, nanos);
        for by in [by, -by] {
            let times = Deed::Times.whole(of, by.into()).unwrap();
            prop_assert_eq!(Deed::Divided.whole(times, by.into()).unwrap(), of);
            prop_assert_eq!(Deed::Times.part(of, by.into()).unwrap(), times);
        }
    }

    #[test]
    fn nothing_panics(months: i32, days: i32, nanos: i64, whole: i64, part: f64) {
        let of = interval(months, days, nanos);
        for deed in [Deed::Times, Deed::Divided] {
            let _ = deed.whole(of, whole);
            let _ = deed.part(of, part);
        }
    }
}
