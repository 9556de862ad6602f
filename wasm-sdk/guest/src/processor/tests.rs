//! Settings that are spans of time are read.

use std::time::Duration;

use super::Config;

fn config(value: &str) -> Config {
    Config(vec![("after".to_owned(), value.to_owned())])
}

#[test]
fn spans_of_time_are_read() {
    for (text, seconds) in [
        ("90s", 90.0),
        ("1.5m", 90.0),
        (" 2 h", 7200.0),
        ("250ms", 0.25),
    ] {
        let read = config(text).duration("after", Duration::ZERO).unwrap();
        assert_eq!(read, Duration::from_secs_f64(seconds), "{text}");
    }
    for text in ["", "5", "m", "-1s", "5 weeks", "1e400s"] {
        let error = config(text).duration("after", Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("not a span of time"), "{text}");
    }
    let default = Config::default().duration("after", Duration::from_secs(1));
    assert_eq!(default.unwrap(), Duration::from_secs(1));
}

#[test]
fn spans_in_nanoseconds_are_above_zero() {
    for (text, ns) in [
        ("20us", 20_000),
        ("7ns", 7),
        (" 365 d ", 31_536_000_000_000_000),
    ] {
        assert_eq!(
            config(text).nanoseconds("after").unwrap(),
            Some(ns),
            "{text}"
        );
    }
    for text in ["0s", "-1s", "1 week", "9999999999999d"] {
        let error = config(text).nanoseconds("after").unwrap_err();
        assert!(error.to_string().contains("after"), "{error}");
    }
    assert_eq!(Config::default().nanoseconds("after").unwrap(), None);
}
