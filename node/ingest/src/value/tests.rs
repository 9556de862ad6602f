//! Cells: exact conversion or none, against facts and a model.

use proptest::prelude::*;

use super::*;

fn text(text: &str, data_type: DataType) -> Result<Value<'_>, String> {
    from_text(Cow::Borrowed(text), data_type, None)
}

#[test]
fn decimals_are_exact() {
    for (input, expected) in [
        ("1.5", Some(1500)),
        ("-0.001", Some(-1)),
        ("+2", Some(2000)),
        ("1e2", Some(100_000)),
        ("12345e-3", Some(12_345)),
        ("1.5000", Some(1500)),
        (".5", Some(500)),
        ("5.", Some(5000)),
        ("0.0001", None),
        ("10000000", None),
        ("", None),
        (".", None),
        ("1.2.3", None),
        ("abc", None),
        ("1e99999999999", None),
        ("1e2147483647", None),
        ("0e2147483647", Some(0)),
    ] {
        assert_eq!(parse_decimal(input, 10, 3).ok(), expected, "{input}");
    }
}

#[test]
fn timestamps_in_every_documented_form() {
    let second = 1_767_323_045_000_000_000;
    for (input, expected) in [
        ("2026-01-02 03:04:05", second),
        ("2026-01-02T03:04:05Z", second),
        ("2026-01-02T04:04:05+01:00", second),
        ("2026-01-02 03:04:05.25", second + 250_000_000),
        ("2026-01-02 03:04:05.123456789", second + 123_456_789),
        ("2026-01-02 03:04", second - 5_000_000_000),
        ("2026-01-02", 1_767_312_000_000_000_000),
        ("1767323045", second),
        ("1767323045000", second),
        ("1767323045000000", second),
        ("1767323045000000000", second),
        ("1767323045.5", second + 500_000_000),
        ("-1", -1_000_000_000),
    ] {
        assert_eq!(parse_timestamp(input, None), Ok(expected), "{input}");
    }
    assert_eq!(
        parse_timestamp("1500", Some(Precision::Milliseconds)),
        Ok(1_500_000_000)
    );
    for (input, unit, expected) in [
        ("1500.25", Precision::Milliseconds, 1_500_250_000),
        ("7.9", Precision::Nanoseconds, 7),
        ("2", Precision::Minutes, 120_000_000_000),
        ("-1.5", Precision::Minutes, -90_000_000_000),
        ("0.25", Precision::Hours, 900_000_000_000),
        (
            "490896.0000000000003",
            Precision::Hours,
            1_767_225_600_000_000_001,
        ),
    ] {
        assert_eq!(parse_timestamp(input, Some(unit)), Ok(expected), "{input}");
    }
    for input in [
        "",
        "now",
        "2026-13-01",
        "2026-01-02 25:00:00",
        "12:00",
        "9999-01-01",
        "20260102x",
    ] {
        assert!(parse_timestamp(input, None).is_err(), "{input}");
    }
    assert!(parse_timestamp("9223372036854775807", Some(Precision::Seconds)).is_err());
}

#[test]
fn bytes_in_hexadecimal_and_base64() {
    for input in ["\\x00ff", "0x00FF", "AP8=", "AP8"] {
        assert_eq!(
            text(input, DataType::Bytes),
            Ok(Value::Bytes(vec![0, 255])),
            "{input}"
        );
    }
    assert!(text("\\x0", DataType::Bytes).is_err());
    assert!(text("\\xzz", DataType::Bytes).is_err());
}

proptest! {
    #[test]
    fn a_decimal_comes_back(value in -999_999_999_999_i64..999_999_999_999, scale in 0_u8..9) {
        let unit = 10_i64.pow(u32::from(scale));
        let sign = if value < 0 { "-" } else { "" };
        let text = if scale == 0 {
            value.to_string()
        } else {
            let (whole, rest) = (value.abs() / unit, value.abs() % unit);
            format!("{sign}{whole}.{rest:0width$}", width = usize::from(scale))
        };
        prop_assert_eq!(parse_decimal(&text, 38, scale), Ok(i128::from(value)));
    }

    #[test]
    fn a_double_comes_back(value in any::<f64>()) {
        let shown = format!("{value:?}");
        match text(&shown, DataType::Double) {
            Ok(Value::Double(back)) => prop_assert!(back == value || (back.is_nan() && value.is_nan())),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn any_text_is_a_value_or_an_error(input in any::<String>()) {
        for data_type in [DataType::Int, DataType::Double, DataType::Decimal { precision: 38, scale: 10 },
            DataType::Bytes, DataType::Timestamp, DataType::Date, DataType::Uuid, DataType::Json] {
            let _ = text(&input, data_type);
        }
    }
}
