//! Portions are all that there is, in its order, and as large as the time for them.

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;

use super::*;

fn batch(from: i64, to: i64) -> RecordBatch {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    RecordBatch::try_from_iter([("n", values)]).unwrap()
}

#[test]
fn portions_are_the_batch_in_its_order() {
    let mut portions = Portions::new();
    let mut given = vec![portions.first(batch(0, 1000))];
    while let Some(portion) = portions.next() {
        given.push(portion);
    }
    assert_eq!(given.len(), 125);
    let values = given.iter().flat_map(|portion| {
        portion
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    });
    assert!(values.eq(0..1000));
}

#[test]
fn how_long_a_portion_takes_says_how_large_the_next_is() {
    let mut portions = Portions::new();
    let mut after = |took: Duration| {
        portions.first(batch(0, 100_000));
        let (given, _) = portions.given.unwrap();
        portions.asked(given + took);
        portions.rows
    };
    assert_eq!(after(Duration::ZERO), 16);
    assert_eq!(after(WORK_MAX), 16);
    assert_eq!(after(2 * WORK_MAX), 8);
    for _ in 0..20 {
        after(Duration::from_secs(1));
    }
    assert_eq!(after(Duration::from_secs(1)), 1);
    for _ in 0..40 {
        after(Duration::ZERO);
    }
    assert_eq!(after(Duration::ZERO), PORTION_ROWS_MAX);
    // A rest says nothing of how long a full one takes.
    portions.first(batch(0, 1));
    let (given, _) = portions.given.unwrap();
    portions.asked(given);
    assert_eq!(portions.rows, PORTION_ROWS_MAX);
}
