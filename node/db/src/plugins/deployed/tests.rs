//! Rows are drawn by what is in them, scores are compared, settings are read.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};

use super::{compare, draw, parse_split};

fn floats(values: impl IntoIterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Float64Array>())
}

#[test]
fn about_the_part_that_was_asked_for_is_drawn_and_always_the_same() {
    let rows = || (0..20_000).map(|row| Some(f64::from(row) / 7.0));
    let args = [floats(rows()), floats(rows().map(|x| x.map(|x| -x)))];
    for percent in [1, 10, 50, 100] {
        let drawn = draw(&args, percent).unwrap();
        let part = drawn.true_count() as f64 / 20_000.0 * 100.0;
        let wanted = percent as f64;
        assert!((part - wanted).abs() <= wanted * 0.2, "{part} of {percent}");
        assert_eq!(drawn, draw(&args, percent).unwrap());
    }
    // A row is drawn for what is in it, not for where it stands.
    let alone = draw(&[args[0].slice(77, 1), args[1].slice(77, 1)], 50).unwrap();
    assert_eq!(alone.value(0), draw(&args, 50).unwrap().value(77));
}

#[test]
fn scores_are_compared_row_by_row() {
    let compared = compare(
        &floats([Some(1.0), Some(2.0), None, None]),
        &floats([Some(1.5), None, None, Some(1.0)]),
    );
    assert_eq!((compared.rows, compared.one_sided), (1, 2));
    assert_eq!((compared.sum, compared.max), (0.5, 0.5));
}

#[test]
fn a_split_names_a_model_and_a_part() {
    assert_eq!(parse_split("other:10").unwrap(), ("other", 10));
    for wrong in ["other", "other:0", "other:101", ":5", "other:x", "other:-1"] {
        assert!(parse_split(wrong).is_err(), "{wrong}");
    }
}
