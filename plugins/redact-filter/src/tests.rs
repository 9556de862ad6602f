//! What leaves is redacted, what is not named leaves, and settings that do not fit are refused.

use activestore_plugin::fixture::{config, field};

use super::*;

fn fields() -> Vec<Field> {
    vec![
        field("trip", ScalarType::Text, false),
        field("driver", ScalarType::Text, true),
        field("phone", ScalarType::Text, true),
        field("lat", ScalarType::Float64, true),
        field("notes", ScalarType::Text, true),
    ]
}

#[test]
fn named_columns_are_redacted_and_every_row_leaves() {
    let settings = config(&[
        ("hash", "driver"),
        ("salt", "a"),
        ("mask_digits", "phone"),
        ("keep", "2"),
        ("round", "lat"),
        ("digits", "1"),
        ("withhold", "notes"),
    ]);
    let (mut redact, spec) = Redact::init(&settings, &fields()).unwrap();
    assert_eq!((spec.gives, spec.withholds), (vec![1, 2, 3], vec![4]));
    let mut driver = Column::text(["bc", "never to be seen"]);
    driver.validity = Some(vec![0b01]);
    let batch = Batch {
        rows: 2,
        columns: vec![
            driver,
            Column::text(["+49 301", "x"]),
            Column::f64s(vec![52.5200, 1.0]),
        ],
    };
    let filtered = redact.filter(&batch).unwrap();
    assert_eq!(filtered.rows, [0, 1]);
    let text = |column: &Column, row: usize| match &column.values {
        Values::Utf8(values) => values.text(row).to_owned(),
        _ => panic!("text stays text"),
    };
    // FIPS 180-2, appendix B.1: the hash of "abc".
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(text(&filtered.columns[0], 0), abc);
    assert!(!filtered.columns[0].is_valid(1) && text(&filtered.columns[0], 1).is_empty());
    assert_eq!(text(&filtered.columns[1], 0), "+** *01");
    assert_eq!(filtered.columns[2].as_f64s().unwrap(), [52.5, 1.0]);
}

#[test]
fn what_is_not_named_may_stay() {
    let settings = config(&[("mask", "phone"), ("others", "withhold")]);
    let (_, spec) = Redact::init(&settings, &fields()).unwrap();
    assert_eq!((spec.gives, spec.withholds), (vec![2], vec![1, 3, 4]));
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    for (settings, words) in [
        (&[("hash", "driver")][..], "salt"),
        (&[("mask", "nobody")], "no column 'nobody'"),
        (&[("mask", "lat")], "not text"),
        (&[("round", "phone")], "not a float"),
        (&[("others", "maybe")], "neither"),
        (&[("masks", "phone")], "no setting 'masks'"),
    ] {
        let error = Redact::init(&config(settings), &fields()).err().unwrap();
        assert!(error.to_string().contains(words), "{settings:?}: {error}");
    }
}
