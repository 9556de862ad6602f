//! Moments and shifts end where they should, and wrong arguments are refused.

use activestore_plugin::scalar::Timestamp;

use crate::{DAY, MINUTE, SECOND, shifts, ticks};

const HOUR: i64 = 60 * MINUTE;

#[test]
fn ticks_end_before_the_last_moment() {
    let all = |last, seconds| -> Vec<i64> {
        let rows = ticks(Timestamp(0), Timestamp(last), seconds).unwrap();
        rows.map(|(_, ts)| ts.0).collect()
    };
    assert_eq!(all(3 * SECOND, 1.0), [0, SECOND, 2 * SECOND]);
    assert_eq!(all(1, 0.5), [0]);
    assert!(all(0, 1.0).is_empty() && all(-5, 1.0).is_empty());
    for seconds in [0.0, -1.0, f64::NAN, 1e-12] {
        assert!(ticks(Timestamp(0), Timestamp(10), seconds).is_err());
    }
    assert!(ticks(Timestamp(i64::MIN), Timestamp(i64::MAX), 1e-9).is_err());
}

#[test]
fn shifts_meet_the_time_asked_for() {
    let day = 20_000 * DAY;
    let rows = shifts(
        Timestamp(day + 5 * HOUR),
        Timestamp(day + 15 * HOUR),
        "06:00, 14:00,22:00".to_owned(),
    );
    let rows: Vec<_> = rows
        .unwrap()
        .map(|(shift, start, end)| (shift, (start.0 - day) / HOUR, (end.0 - day) / HOUR))
        .collect();
    assert_eq!(rows, [(3, -2, 6), (1, 6, 14), (2, 14, 22)]);
    for (starts, message) in [
        ("6", "not a time of day"),
        ("06:60", "not a time of day"),
        ("14:00,06:00", "do not rise"),
        ("", "not a time of day"),
    ] {
        let error = shifts(Timestamp(0), Timestamp(1), starts.to_owned())
            .err()
            .unwrap();
        assert!(error.contains(message), "{error}");
    }
}
