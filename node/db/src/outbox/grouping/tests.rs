//! Whatever the keys are, what is moved into the order comes back out of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn what_is_gathered_is_scattered_back(keys in prop::collection::vec((0_u8..4, 0_i64..3), 0..200)) {
        let devices: ArrayRef = Arc::new(StringArray::from_iter_values(keys.iter().map(|(device, _)| format!("d{device}"))));
        let lines: ArrayRef = Arc::new(Int64Array::from_iter_values(keys.iter().map(|(_, line)| *line)));
        let grouping = Grouping::of(&[devices, lines], keys.len()).unwrap();
        let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(0..keys.len() as i64));
        let gathered = grouping.gather(&rows).unwrap();
        prop_assert_eq!(&grouping.scatter(&gathered).unwrap(), &rows);
        // Rows of one partition stand together, in the order of arrival.
        let order: Vec<usize> = gathered.as_primitive::<Int64Type>().values().iter().map(|row| *row as usize).collect();
        let mut expected: Vec<usize> = (0..keys.len()).collect();
        let first = |row: usize| keys.iter().position(|key| *key == keys[row]).unwrap();
        expected.sort_by_key(|row| (first(*row), *row));
        prop_assert_eq!(order, expected);
    }
}
