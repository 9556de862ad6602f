//! Encoded keys sort exactly as the values do, in either direction, and prefixes bound ranges.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray,
};
use proptest::prelude::*;

use super::*;

fn flip(order: Ordering, descending: bool) -> Ordering {
    if descending { order.reverse() } else { order }
}

proptest! {
    #[test]
    fn keys_are_appended_in_ranges(
        texts in prop::collection::vec(".{0,4}", 1..12), parts in prop::collection::vec((0_usize..14, 0_usize..14), 0..5),
    ) {
        let text: ArrayRef = Arc::new(StringArray::from_iter_values(&texts));
        let keys = encode_keys(&[(text, false)]).unwrap();
        let mut all = KeyBuffer::default();
        let mut expected: Vec<&[u8]> = Vec::new();
        for (start, end) in parts {
            all.append(&keys, start..end).unwrap();
            expected.extend((start..end.min(keys.len())).map(|row| keys.key(row)));
        }
        prop_assert!(all.iter().eq(expected));
    }

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

/// The order's definition, value by value: what the encoder's passes over whole columns must give.
fn push_text(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend([0, 0]);
}

proptest! {
    #[test]
    fn keys_are_their_values_one_after_the_other_and_prefixes_end_between(
        rows in prop::collection::vec(
            (prop_oneof![any::<Vec<u8>>(), Just(vec![0; 3]), Just(b"device-7".to_vec())], any::<i32>(), any::<bool>()), 1..40),
        down in any::<[bool; 3]>(), cut in 0_usize..40, leading in 0_usize..4,
    ) {
        // A slice, so that offsets do not start at zero.
        let cut = cut.min(rows.len());
        let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(rows.iter().map(|r| &r.0)));
        let ints: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.1)));
        let bools: ArrayRef = Arc::new(BooleanArray::from_iter(rows.iter().map(|r| Some(r.2))));
        let columns = [(bytes, down[0]), (ints, down[1]), (bools, down[2])]
            .map(|(array, down)| (array.slice(cut, rows.len() - cut), down));
        let (keys, prefixes) = encode_split_keys(&columns, leading).unwrap();
        prop_assert_eq!(keys.len(), rows.len() - cut);
        prop_assert_eq!(prefixes.len(), keys.len());
        let mut joined = KeyBuffer::default();
        for (row, (text, int, bool)) in rows.iter().skip(cut).enumerate() {
            let mut parts = [Vec::new(), (int.cast_unsigned() ^ (1 << 31)).to_be_bytes().to_vec(), vec![u8::from(*bool)]];
            push_text(text, &mut parts[0]);
            for (part, down) in parts.iter_mut().zip(down) {
                part.iter_mut().for_each(|byte| *byte = if down { !*byte } else { *byte });
            }
            prop_assert_eq!(keys.key(row), parts.concat());
            let prefix: usize = parts.iter().take(leading).map(Vec::len).sum();
            prop_assert_eq!(prefixes[row] as usize, prefix);
            joined.push(keys.key(row)).unwrap();
        }
        prop_assert_eq!(keys.iter().collect::<Vec<_>>(), (0..keys.len()).map(|row| keys.key(row)).collect::<Vec<_>>());
        joined.extend(&keys).unwrap();
        let picks: Vec<(usize, usize)> = (0..joined.len()).rev().map(|row| (1, row)).collect();
        let back = KeyBuffer::gather(&[&keys, &joined], &picks).unwrap();
        for row in 0..joined.len() {
            prop_assert_eq!(back.key(joined.len() - 1 - row), keys.key(row % keys.len().max(1)));
        }
    }
}
