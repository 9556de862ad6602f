//! Encoded keys sort exactly as the values do, in either direction, and prefixes bound ranges.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, StringArray};
use proptest::prelude::*;

use super::*;

fn flip(order: Ordering, descending: bool) -> Ordering {
    if descending { order.reverse() } else { order }
}

proptest! {
    #[test]
    fn composite_keys_sort_as_their_values(
        rows in prop::collection::vec((any::<Vec<u8>>(), any::<i64>(), "\\PC{0,6}"), 2..20),
        down in any::<[bool; 3]>(),
    ) {
        let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(rows.iter().map(|r| &r.0)));
        let ints: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1)));
        let text: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &r.2)));
        let keys = encode_keys(&[(bytes, down[0]), (ints, down[1]), (text, down[2])]).unwrap();
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in rows.iter().enumerate() {
                let expected = flip(a.0.cmp(&b.0), down[0])
                    .then(flip(a.1.cmp(&b.1), down[1]))
                    .then(flip(a.2.cmp(&b.2), down[2]));
                prop_assert_eq!(keys.key(i).cmp(keys.key(j)), expected);
            }
        }
    }

    #[test]
    fn floats_sort_as_numbers(values in prop::collection::vec(any::<f64>(), 2..20)) {
        let array: ArrayRef = Arc::new(Float64Array::from(values.clone()));
        let keys = encode_keys(&[(array, false)]).unwrap();
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                if let Some(order) = a.partial_cmp(b) {
                    prop_assert_eq!(keys.key(i).cmp(keys.key(j)), order);
                }
            }
        }
    }

    #[test]
    fn a_prefix_range_holds_exactly_the_keys_with_the_prefix(
        prefix in any::<Vec<u8>>(), key in any::<Vec<u8>>(),
    ) {
        prop_assert_eq!(KeyRange::prefix(&prefix).contains(&key), key.starts_with(&prefix));
    }
}

#[test]
fn null_in_a_key_is_refused() {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    assert!(encode_keys(&[(array, false)]).is_err());
}
