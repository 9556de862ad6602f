//! The quick ways say what the way that knows all forms says, or nothing.

use proptest::prelude::*;

use super::*;
use crate::timestamp::parse_timestamp;

#[test]
fn days_and_leap_years_are_the_calendars() {
    for text in [
        "1970-01-01T00:00:00Z",
        "2000-02-29 23:59:59.999999999",
        "1900-02-28T12:00:00.5Z",
        "2026-12-31 00:00:00",
        "1969-12-31T23:59:59.25",
    ] {
        assert_eq!(
            timestamp(text.as_bytes()),
            Some(parse_timestamp(text, None).unwrap()),
            "{text}"
        );
    }
    for text in [
        "2023-02-29T00:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-01-01T24:00:00Z",
        "2023-01-01T00:00:00+01:00",
        "2023-01-01",
        "2023-01-01T00:00:00.",
        "2023-01-01T00:00:00.1234567890",
    ] {
        assert_eq!(timestamp(text.as_bytes()), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn numbers_are_the_standard_librarys(text in "-?[0-9]{0,19}(\\.[0-9]{0,17})?") {
        if let Some(value) = integer(text.as_bytes()) {
            prop_assert_eq!(value, text.parse::<i64>().unwrap());
        }
        if let Some(value) = double(text.as_bytes()) {
            prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits());
        }
    }

    #[test]
    fn moments_are_those_of_the_other_way(
        ns in -8_000_000_000_000_000_000_i64..8_000_000_000_000_000_000,
        digits in 0_usize..10,
    ) {
        let (seconds, nanos) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
        let array = arrow::array::TimestampSecondArray::from(vec![seconds]);
        let moment = array.value_as_datetime(0).unwrap();
        let fraction = format!("{nanos:09}");
        let mut text = moment.format("%Y-%m-%dT%H:%M:%S").to_string();
        if digits > 0 {
            text.push('.');
            text.push_str(&fraction[..digits]);
        }
        if let Some(value) = timestamp(text.as_bytes()) {
            prop_assert_eq!(value, parse_timestamp(&text, None).unwrap());
        }
    }
}
