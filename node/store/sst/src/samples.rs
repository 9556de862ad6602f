//! Columns for tests: arbitrary ones, of every type, in the shapes that choose each encoding; and
//! cells as plain bytes to compare them by.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    Float32Array, Float64Array, Int32Array, Int64Array, StringArray, TimestampNanosecondArray,
    UInt32Array, UInt64Array,
};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type,
    Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type,
};
use proptest::prelude::*;

/// Integers as they come: constant, stepping, walking, in runs, with outliers, arbitrary.
pub(crate) fn integers(rows: std::ops::Range<usize>) -> BoxedStrategy<Vec<i64>> {
    (rows, 0..8_u8, any::<i64>(), any::<u64>(), 0..60_u32)
        .prop_map(|(rows, shape, base, seed, bits)| {
            let mut state = seed | 1;
            let mut next = move || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.wrapping_mul(0x2545_f491_4f6c_dd1d)
            };
            let narrow = (1_u64 << bits) - 1;
            let mut value = base;
            (0..rows)
                .map(|row| {
                    match shape {
                        0 => {}
                        1 => value = value.wrapping_add(base | 1),
                        2 => value = value.wrapping_add((next() & narrow) as i64),
                        3 => {
                            if next().is_multiple_of(17) {
                                value = (next() & narrow) as i64;
                            }
                        }
                        4 => {
                            value = if next().is_multiple_of(97) {
                                next() as i64
                            } else {
                                base.wrapping_add((next() & narrow) as i64)
                            };
                        }
                        5 => value = if next() & 1 == 0 { i64::MIN } else { i64::MAX },
                        6 => {
                            let step = if next().is_multiple_of(101) {
                                next() as i64
                            } else {
                                1000
                            };
                            value = value.wrapping_add(step);
                        }
                        _ => value = (next() as i64).wrapping_mul(row as i64),
                    }
                    value
                })
                .collect()
        })
        .boxed()
}

/// Doubles: decimals of some digits, the odd ones, and arbitrary bits.
pub(crate) fn doubles(rows: std::ops::Range<usize>) -> BoxedStrategy<Vec<f64>> {
    let odd = prop::sample::select(vec![
        0.0,
        -0.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        1.0 / 3.0,
        f64::from_bits(0x7ff8_dead_beef_0001),
        f64::from_bits(0xfff0_0000_0000_0001),
        9_007_199_254_740_993.0,
    ]);
    (
        integers(rows),
        0..=13_i32,
        0..40_u32,
        prop::collection::vec((any::<prop::sample::Index>(), odd), 0..30),
        any::<bool>(),
    )
        .prop_map(|(integers, digits, shift, odd, bits)| {
            let mut values: Vec<f64> = integers
                .into_iter()
                .map(|value| match (bits, digits) {
                    (true, 13) => f64::from_bits(value as u64),
                    _ => (value >> (shift + 13)) as f64 / 10_f64.powi(digits.min(12)),
                })
                .collect();
            if !values.is_empty() {
                for (at, value) in odd {
                    let at = at.index(values.len());
                    values[at] = value;
                }
            }
            values
        })
        .boxed()
}

fn texts(rows: std::ops::Range<usize>) -> BoxedStrategy<Vec<String>> {
    prop_oneof![
        prop::collection::vec("\\PC{0,12}", rows.clone()),
        (
            prop::collection::vec("\\PC{0,40}", 1..20),
            integers(rows.clone())
        )
            .prop_map(|(words, picks)| picks
                .into_iter()
                .map(|pick| words[pick.unsigned_abs() as usize % words.len()].clone())
                .collect()),
        (integers(rows), any::<u16>()).prop_map(|(picks, length)| {
            let rows = picks.len();
            let mut words = vec![String::new(); rows];
            if let Some(first) = words.first_mut() {
                *first = "long ".repeat(usize::from(length));
            }
            words
        }),
    ]
    .boxed()
}

/// Arbitrary arrays of every type, some with NULLs, some of NULLs alone.
pub(crate) fn arrays(rows: std::ops::Range<usize>) -> BoxedStrategy<ArrayRef> {
    let valid = (any::<u64>(), 0..5_u8);
    let plain = prop_oneof![
        (integers(rows.clone()), 0..10_u8).prop_map(|(values, kind)| integer_array(values, kind)),
        (doubles(rows.clone()), any::<bool>()).prop_map(|(values, single)| -> ArrayRef {
            if single {
                Arc::new(
                    values
                        .into_iter()
                        .map(|value| value as f32)
                        .collect::<Float32Array>(),
                )
            } else {
                Arc::new(Float64Array::from(values))
            }
        }),
        (texts(rows), any::<bool>()).prop_map(|(values, bytes)| -> ArrayRef {
            if bytes {
                let values = values
                    .iter()
                    .map(|value| [value.as_bytes(), &[0xff]].concat());
                Arc::new(BinaryArray::from_iter_values(values))
            } else {
                Arc::new(StringArray::from(values))
            }
        }),
    ];
    (plain, valid)
        .prop_map(|(array, (seed, kind))| {
            let keep = |row: usize| match kind {
                0 | 1 => true,
                2 => false,
                3 => (seed >> (row % 64)) & 1 == 1,
                _ => !row.is_multiple_of(50),
            };
            if kind < 2 {
                return array;
            }
            let mask: BooleanArray = (0..array.len()).map(|row| Some(!keep(row))).collect();
            arrow::compute::nullif(&array, &mask).unwrap()
        })
        .boxed()
}

fn integer_array(values: Vec<i64>, kind: u8) -> ArrayRef {
    let narrow = values.iter().map(|value| *value as i32);
    match kind {
        0 => Arc::new(narrow.collect::<Int32Array>()),
        1 => Arc::new(Date32Array::from_iter_values(narrow)),
        2 => Arc::new(
            values
                .iter()
                .map(|value| *value as u32)
                .collect::<UInt32Array>(),
        ),
        3 => Arc::new(
            values
                .iter()
                .map(|value| *value as u64)
                .collect::<UInt64Array>(),
        ),
        4 => Arc::new(TimestampNanosecondArray::from(values)),
        5 => Arc::new(
            values
                .iter()
                .map(|value| Some(value & 1 == 1))
                .collect::<BooleanArray>(),
        ),
        6 => decimals(values.into_iter().map(i128::from)),
        7 => decimals(
            values
                .into_iter()
                .map(|value| i128::from(value) * 1_000_000_007),
        ),
        _ => Arc::new(Int64Array::from(values)),
    }
}

fn decimals(values: impl Iterator<Item = i128>) -> ArrayRef {
    let array = Decimal128Array::from_iter_values(values);
    Arc::new(array.with_precision_and_scale(38, 4).unwrap())
}

/// A cell's exact bytes; `None` for NULL.
pub(crate) fn cell(array: &dyn Array, row: usize) -> Option<Vec<u8>> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        ArrowType::Boolean => vec![u8::from(array.as_boolean().value(row))],
        ArrowType::Int32 => array
            .as_primitive::<Int32Type>()
            .value(row)
            .to_be_bytes()
            .to_vec(),
        ArrowType::Date32 => array
            .as_primitive::<Date32Type>()
            .value(row)
            .to_be_bytes()
            .to_vec(),
        ArrowType::UInt32 => array
            .as_primitive::<UInt32Type>()
            .value(row)
            .to_be_bytes()
            .to_vec(),
        ArrowType::UInt64 => array
            .as_primitive::<UInt64Type>()
            .value(row)
            .to_be_bytes()
            .to_vec(),
        ArrowType::Int64 => array
            .as_primitive::<Int64Type>()
            .value(row)
            .to_be_bytes()
            .to_vec(),
        ArrowType::Timestamp(_, _) => array
            .as_primitive::<TimestampNanosecondType>()
            .value(row)
            .to_be_bytes()
            .to_vec(),
        ArrowType::Decimal128(_, _) => array
            .as_primitive::<Decimal128Type>()
            .value(row)
            .to_be_bytes()
            .to_vec(),
        ArrowType::Float32 => array
            .as_primitive::<Float32Type>()
            .value(row)
            .to_bits()
            .to_be_bytes()
            .to_vec(),
        ArrowType::Float64 => array
            .as_primitive::<Float64Type>()
            .value(row)
            .to_bits()
            .to_be_bytes()
            .to_vec(),
        ArrowType::Utf8 => array.as_string::<i32>().value(row).as_bytes().to_vec(),
        ArrowType::Binary => array.as_binary::<i32>().value(row).to_vec(),
        other => panic!("{other} is the type of no column"),
    })
}

/// All cells.
pub(crate) fn cells(array: &dyn Array) -> Vec<Option<Vec<u8>>> {
    (0..array.len()).map(|row| cell(array, row)).collect()
}
