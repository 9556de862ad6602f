//! What a person sees.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};

use super::*;

#[test]
fn numbers_stand_right_and_null_is_told_from_nothing() {
    let batch = RecordBatch::try_from_iter([
        (
            "device",
            Arc::new(StringArray::from(vec![Some("p1"), Some(""), None])) as ArrayRef,
        ),
        (
            "temp",
            Arc::new(Float64Array::from(vec![Some(1.5), Some(100.25), None])) as ArrayRef,
        ),
    ])
    .unwrap();
    let mut grid = Grid::new(&batch.schema());
    grid.push(&batch).unwrap();
    let shown = grid.render(None);
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[1].contains("device ┆ temp"), "{shown}");
    assert!(lines[3].ends_with("┆    1.5 │"), "{shown}");
    assert!(lines[4].ends_with("┆ 100.25 │"), "{shown}");
    assert_eq!(shown.matches("NULL").count(), 2, "{shown}");
    assert_eq!(grid.total(), 3);
    assert!(grid.render_expanded().contains("device │ p1"));
}

#[test]
fn rows_beyond_the_bound_are_counted() {
    let values: Vec<f64> = (0..ROWS_SHOWN_MAX + 5).map(|value| value as f64).collect();
    let batch =
        RecordBatch::try_from_iter([("n", Arc::new(Float64Array::from(values)) as ArrayRef)])
            .unwrap();
    let mut grid = Grid::new(&batch.schema());
    grid.push(&batch).unwrap();
    assert_eq!(grid.hidden(), 5);
}
