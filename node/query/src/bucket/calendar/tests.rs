//! Buckets cover time without a gap and without an overlap, whatever is done to the clocks of a time zone.

use datafusion::scalar::ScalarValue;
use proptest::prelude::*;

use super::*;

const HOUR_NS: i64 = 3_600_000_000_000;
/// Zones whose clocks are changed at midnight, back over it and forward over it, by a whole day, and as elsewhere.
const ZONES: [&str; 8] = [
    "America/Havana",
    "America/Toronto",
    "America/St_Johns",
    "America/Santiago",
    "Asia/Beirut",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "Europe/Berlin",
];
const WIDTHS: [&str; 9] = [
    "15 minutes",
    "1 hour",
    "7 hours",
    "1 day",
    "36 hours",
    "7 days",
    "1 month",
    "3 months",
    "1 year",
];

fn buckets(width: &str, zone: &str) -> Buckets {
    let width = ScalarValue::Utf8(Some(width.to_owned()));
    Buckets::of_width(&width).unwrap().with_zone(zone).unwrap()
}

fn at(text: &str) -> i64 {
    nanos(&text.parse().unwrap())
}

/// What holds of the bucket of a moment.
fn check(buckets: &Buckets, ns: i64) {
    let start = buckets.start_of(ns);
    let next = buckets.next(start);
    assert!(start <= ns && ns < next, "{buckets:?} {start} {ns} {next}");
    for (inside, of) in [(start, start), (next - 1, start), (next, next)] {
        assert_eq!(buckets.start_of(inside), of, "{buckets:?} {ns} {inside}");
    }
}

proptest! {
    #[test]
    fn every_moment_is_in_one_bucket_and_the_next_one_follows_it(
        zone in 0..ZONES.len(),
        width in 0..WIDTHS.len(),
        // 1990 to 2030.
        ns in 631_152_000_000_000_000_i64..1_893_456_000_000_000_000,
    ) {
        check(&buckets(WIDTHS[width], ZONES[zone]), ns);
    }
}

/// The same around every change of the clocks, where moments by chance are few.
#[test]
fn so_it_is_around_every_change_of_clocks() {
    for zone in ZONES {
        for width in WIDTHS {
            let buckets = buckets(width, zone);
            let mut hour = at("2006-01-01T00:00:00");
            let ahead = |ns: i64| buckets.local(ns) - ns;
            while hour < at("2013-01-01T00:00:00") {
                if ahead(hour) != ahead(hour + HOUR_NS) {
                    for quarter in -120..120 {
                        check(&buckets, hour + quarter * HOUR_NS / 4);
                    }
                }
                hour += HOUR_NS;
            }
        }
    }
}

#[test]
fn a_day_whose_midnight_comes_twice_has_one_start() {
    // At one o'clock it is midnight once more.
    let days = buckets("1 day", "America/Havana");
    let start = at("2010-10-31T04:00:00");
    for inside in [
        "2010-10-31T04:00:00",
        "2010-10-31T05:00:00",
        "2010-11-01T04:59:59",
    ] {
        assert_eq!(days.start_of(at(inside)), start, "{inside}");
    }
    assert_eq!(days.next(start), at("2010-11-01T05:00:00"));
    // At a minute past midnight it is a minute past eleven of the day before, which is over for all that.
    let days = buckets("1 day", "America/St_Johns");
    let start = at("2006-10-29T02:30:00");
    assert_eq!(days.next(at("2006-10-28T02:30:00")), start);
    for inside in [
        "2006-10-29T02:30:30",
        "2006-10-29T02:45:00",
        "2006-10-29T04:00:00",
    ] {
        assert_eq!(days.start_of(at(inside)), start, "{inside}");
    }
    assert_eq!(days.next(start), at("2006-10-30T03:30:00"));
    // A day that begins at one.
    let days = buckets("1 day", "America/Havana");
    let start = at("2010-03-14T05:00:00");
    assert_eq!(days.start_of(at("2010-03-14T12:00:00")), start);
    assert_eq!(days.next(start), at("2010-03-15T04:00:00"));
}
