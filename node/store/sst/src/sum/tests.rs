//! A sum is that of the values, whatever is missing and however many vectors there are, and comes back as it was.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array};
use proptest::prelude::*;

use super::*;
use crate::samples::{doubles, integers};

fn sums(arrays: &[ArrayRef], family: Family) -> Vec<Option<Sum>> {
    let mut sums = Sums::new(family);
    for array in arrays {
        if array.null_count() == array.len() {
            sums.push_empty();
        } else {
            sums.push(array, array.nulls()).unwrap();
        }
    }
    let mut bytes = Vec::new();
    sums.encode(&mut bytes);
    let mut cursor = Cursor::new(&bytes);
    let read = Sums::decode(&mut cursor, family, SUMS_SINCE, arrays.len()).unwrap();
    cursor.finish().unwrap();
    let before = Sums::decode(&mut Cursor::new(&[]), family, SUMS_SINCE - 1, arrays.len()).unwrap();
    assert!(matches!(before, Sums::None));
    (0..arrays.len()).map(|vector| read.get(vector)).collect()
}

fn close(found: f64, values: &[f64]) -> bool {
    let sum: f64 = values.iter().sum();
    let size: f64 = values.iter().map(|value| value.abs()).sum();
    if !size.is_finite() {
        // What is beyond all numbers on the way there depends on the order; an infinity among the values does not go.
        return values.iter().all(|value| value.is_finite()) || !found.is_finite();
    }
    (found - sum).abs() <= size * 1e-12
}

proptest! {
    #[test]
    fn a_sum_is_that_of_the_values(
        long in integers(1..300), double in doubles(1..300), holes in prop::collection::vec(any::<bool>(), 300),
    ) {
        let kept = |place: &usize| holes[*place];
        let some: Vec<Option<i64>> = (0..long.len()).map(|place| kept(&place).then(|| long[place])).collect();
        let whole = |value: &Option<i64>| value.unwrap_or(0);
        let wide: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(long.clone())), Arc::new(Int64Array::from(some.clone()))];
        let wrapped = |values: &[i64]| values.iter().fold(0_i64, |sum, value| sum.wrapping_add(*value));
        let of_some = wrapped(&some.iter().map(whole).collect::<Vec<_>>());
        prop_assert_eq!(sums(&wide, Family::BigInt), [Some(Sum::Int(wrapped(&long))), Some(Sum::Int(of_some))]);
        let short: Vec<i32> = long.iter().map(|value| *value as i32).collect();
        let expected = short.iter().map(|value| i64::from(*value)).sum();
        prop_assert_eq!(sums(&[Arc::new(Int32Array::from(short))], Family::Int), [Some(Sum::Int(expected))]);
        let some: Vec<Option<f64>> = (0..double.len()).map(|place| kept(&place).then(|| double[place])).collect();
        let arrays: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(double.clone())), Arc::new(Float64Array::from(some.clone()))];
        let found = sums(&arrays, Family::Double);
        let values: Vec<f64> = some.into_iter().flatten().collect();
        for (found, values) in found.iter().zip([&double, &values]) {
            let Some(Sum::Float(found)) = found else { panic!("{found:?}") };
            prop_assert!(close(*found, values), "{found} of {values:?}");
        }
        let real: Vec<f32> = double.iter().map(|value| *value as f32).collect();
        let values: Vec<f64> = real.iter().map(|value| f64::from(*value)).collect();
        let found = sums(&[Arc::new(Float32Array::from(real))], Family::Real);
        let Some(Sum::Float(found)) = found[0] else { panic!("{found:?}") };
        prop_assert!(close(found, &values), "{found} of {values:?}");
    }
}
