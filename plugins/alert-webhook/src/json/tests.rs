//! Values of every type as JSON.

use activestore_plugin::{Column, ScalarType, Values};

use super::{date, moment, value};

#[test]
fn moments_and_dates() {
    for (day, text) in [
        (0, "1970-01-01"),
        (-1, "1969-12-31"),
        (59, "1970-03-01"),
        (11_016, "2000-02-29"),
        (11_017, "2000-03-01"),
        (20_454, "2026-01-01"),
        (47_540, "2100-02-28"),
        (47_541, "2100-03-01"),
    ] {
        assert_eq!(date(day), text, "{day}");
    }
    assert_eq!(moment(0), "1970-01-01T00:00:00Z");
    assert_eq!(moment(-1), "1969-12-31T23:59:59.999999999Z");
    assert_eq!(moment(1_500_000_000), "1970-01-01T00:00:01.5Z");
    assert_eq!(moment(i64::MAX), "2262-04-11T23:47:16.854775807Z");
}

#[test]
fn every_type_is_json() {
    let shown = |column: &Column, kind| value(column, 0, kind);
    assert_eq!(shown(&Column::f64s(vec![1.0]), ScalarType::Float64), "1");
    assert_eq!(
        shown(&Column::f64s(vec![f64::NAN]), ScalarType::Float64),
        "null"
    );
    assert_eq!(
        shown(&Column::f64s(vec![1e300]), ScalarType::Float64).len(),
        301
    );
    assert_eq!(shown(&Column::s64s(vec![-7]), ScalarType::Int64), "-7");
    assert_eq!(shown(&Column::bools(&[true]), ScalarType::Boolean), "true");
    let day = Column::of(Values::S32s(vec![1]));
    assert_eq!(shown(&day, ScalarType::Date), "\"1970-01-02\"");
    let text = Column::text(["a\"b\\c\n\u{1}ä"]);
    assert_eq!(shown(&text, ScalarType::Text), "\"a\\\"b\\\\c\\n\\u0001ä\"");
    let null = Column {
        validity: Some(vec![0]),
        ..Column::s64s(vec![3])
    };
    assert_eq!(shown(&null, ScalarType::Int64), "null");
}
