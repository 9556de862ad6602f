//! Packing and unpacking are each other's inverse at every length.

use super::{and, count, get, pack, unpack};

#[test]
fn packed_bits_come_back() {
    for rows in 0..40usize {
        let values: Vec<bool> = (0..rows).map(|row| row % 3 == 0 || row % 7 == 0).collect();
        let bits = pack(&values);
        assert_eq!(bits.len(), rows.div_ceil(8));
        assert_eq!(unpack(&bits, rows), values);
        assert_eq!(
            count(&bits, rows),
            values.iter().filter(|value| **value).count()
        );
        for (row, value) in values.iter().enumerate() {
            assert_eq!(get(&bits, row), *value);
        }
        assert!(!get(&bits, 1000));
    }
}

#[test]
fn none_stands_for_all_rows() {
    assert_eq!(and(None, None), None);
    assert_eq!(and(Some(&[5]), None), Some(vec![5]));
    assert_eq!(and(Some(&[5]), Some(&[4])), Some(vec![4]));
}
