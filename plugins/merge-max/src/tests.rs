//! Which of two values stands.

use super::*;

#[test]
fn the_greater_and_the_lesser_stand() {
    assert_eq!((greatest(-3, 7), least(-3, 7)), (7, -3));
    assert_eq!(
        (greatest_int(i32::MIN, 0), least_int(i32::MIN, 0)),
        (0, i32::MIN)
    );
    assert_eq!(
        (greatest_real(0.5, 0.25), least_real(0.5, 0.25)),
        (0.5, 0.25)
    );
    assert_eq!(
        (greatest_text("b", "ä"), least_text("b", "ä")),
        ("ä".to_owned(), "b".to_owned())
    );
    assert_eq!(
        (greatest_bytes(b"a", b"ab"), least_bytes(b"a", b"ab")),
        (b"ab".to_vec(), b"a".to_vec())
    );
    assert_eq!(greatest_timestamp(Timestamp(1), Timestamp(2)), Timestamp(2));
    assert_eq!(least_timestamp(Timestamp(1), Timestamp(2)), Timestamp(1));
    assert_eq!(
        (
            greatest_date(Date(1), Date(2)),
            least_date(Date(1), Date(2))
        ),
        (Date(2), Date(1))
    );
    assert_eq!(
        (greatest_boolean(false, true), least_boolean(false, true)),
        (true, false)
    );
}

#[test]
fn a_number_stands_before_nan_on_either_side() {
    for merge in [greatest_double, least_double] {
        assert_eq!((merge(f64::NAN, 1.0), merge(1.0, f64::NAN)), (1.0, 1.0));
        assert!(merge(f64::NAN, f64::NAN).is_nan());
    }
    assert_eq!(
        greatest_double(f64::NEG_INFINITY, f64::NAN),
        f64::NEG_INFINITY
    );
    assert_eq!(least_double(f64::INFINITY, 3.0), 3.0);
}
