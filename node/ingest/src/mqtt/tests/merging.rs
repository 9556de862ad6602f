//! Merged batches hold the same rows in the same order per table.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;

use super::support::readings;
use crate::mqtt::merge::merge;

#[test]
fn like_batches_become_one_and_unlike_ones_keep_their_order() {
    let mapping = readings();
    let batch = |payload: &str| {
        let rows = mapping.rows("plant/p/readings", payload.as_bytes(), 0, &|_| None);
        rows.unwrap().unwrap().remove(0)
    };
    let merged = merge(vec![
        batch("{\"a\":1}"),
        batch("[{\"a\":2},{\"a\":3}]"),
        batch("{\"a\":\"text\"}"),
        batch("{\"a\":4}"),
        batch("[{\"a\":5,\"b\":1},{\"a\":6}]"),
        batch("[{\"a\":7,\"b\":2}]"),
    ]);
    let sizes: Vec<_> = merged.iter().map(|batch| batch.rows).collect();
    assert_eq!(sizes, [3, 1, 1, 3]);
    for batch in &merged {
        batch.validate().unwrap();
    }
    let a = merged[0].column("a").unwrap().array.clone();
    assert_eq!(a.as_primitive::<Int64Type>().values(), &[1, 2, 3]);
    let b = merged[3].column("b").unwrap();
    let set: Vec<_> = b.set.as_ref().unwrap().iter().collect();
    assert_eq!(set, [true, false, true]);
    assert!(b.array.is_null(1) && b.array.is_valid(2));
}
