//! One row a bucket and series, with the figure that was asked for.

use activestore_plugin::fixture::{config, readings};

use super::*;

/// Two devices; the rows of the first fall into two buckets of ten seconds and come out of order.
fn batch() -> Batch {
    let seconds = [3, 1, 2, 12, 9];
    Batch {
        rows: 5,
        columns: vec![
            Column::text(["a", "a", "b", "a", "a"]),
            Column::s64s(
                seconds
                    .iter()
                    .map(|second| second * 1_000_000_000)
                    .collect(),
            ),
            Column::f64s(vec![3.0, 1.0, 7.0, 20.0, 8.0]),
            Column {
                values: activestore_plugin::Values::S64s(vec![3, 1, 0, 4, 9]),
                validity: Some(vec![0b11011]),
            },
        ],
    }
}

#[test]
fn a_bucket_of_a_series_is_one_row() {
    let settings = config(&[("bucket", "10s")]);
    let (mut downsample, spec) = Downsample::init(&settings, &readings()).unwrap();
    assert_eq!((spec.columns, spec.gives), (vec![0, 1, 2, 3], vec![2, 3]));
    let filtered = downsample.filter(&batch()).unwrap();
    assert_eq!(filtered.rows, [2, 3, 4]);
    assert_eq!(filtered.columns[0].as_f64s().unwrap(), [7.0, 20.0, 4.0]);
    // Whole numbers stay whole; a device without a value has none.
    assert_eq!(filtered.columns[1].as_s64s().unwrap()[1..], [4, 4]);
    assert!(!filtered.columns[1].is_valid(0));
}

#[test]
fn other_figures_keep_a_value_as_it_is() {
    for (figure, temps) in [
        ("min", [7.0, 20.0, 1.0]),
        ("max", [7.0, 20.0, 8.0]),
        ("last", [7.0, 20.0, 8.0]),
    ] {
        let settings = config(&[("bucket", "10s"), ("figure", figure), ("columns", "temp")]);
        let (mut downsample, spec) = Downsample::init(&settings, &readings()).unwrap();
        assert_eq!(spec.gives, [2]);
        let mut batch = batch();
        batch.columns.pop();
        let filtered = downsample.filter(&batch).unwrap();
        assert_eq!(filtered.columns[0].as_f64s().unwrap(), temps, "{figure}");
    }
}

#[test]
fn settings_and_keys_that_do_not_fit_are_refused() {
    for (settings, words) in [
        (&[][..], "bucket"),
        (&[("bucket", "soon")], "not a span of time"),
        (&[("bucket", "1m"), ("figure", "mode")], "none of"),
        (
            &[("bucket", "1m"), ("columns", "status")],
            "holds no numbers",
        ),
    ] {
        let error = Downsample::init(&config(settings), &readings())
            .err()
            .unwrap();
        assert!(error.to_string().contains(words), "{settings:?}: {error}");
    }
    let error = Downsample::init(&config(&[("bucket", "1m")]), &readings()[2..])
        .err()
        .unwrap();
    assert!(error.to_string().contains("TIMESTAMP"), "{error}");
}
