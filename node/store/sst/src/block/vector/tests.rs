//! Vectors with absent cells, with and without a dictionary, hot and cold.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::block::cursor::Cursor;
use crate::block::dictionary::DictionaryBuilder;
use crate::block::symbols::{SymbolTable, SymbolsBuilder};
use crate::samples;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn absent_null_and_present_cells_come_back(
        array in samples::arrays(1..1025),
        shape in 0..4_u8,
        seed in any::<u64>(),
        cold in any::<bool>(),
        shared in any::<bool>(),
    ) {
        let rows = array.len();
        let set = (shape > 0).then(|| BooleanBuffer::from_iter((0..rows).map(|row| match shape {
            1 => false,
            2 => row % 100 != 3,
            _ => (seed >> (row % 61)) & 1 == 1,
        })));
        let mut dictionary = shared.then(DictionaryBuilder::default);
        let mut encoder = VectorEncoder::new(cold);
        let mut bytes = Vec::new();
        encoder.encode(&array, set.as_ref(), dictionary.as_mut(), &mut bytes).unwrap();
        let values = dictionary.as_ref().map(DictionaryBuilder::values);
        let mut budget = EXPANSION_BYTES_MAX;
        let read = decode_vector(&bytes, rows, array.data_type(), values.into(), &mut budget).unwrap();
        for row in 0..rows {
            let is_set = set.as_ref().is_none_or(|set| set.value(row));
            prop_assert_eq!(read.set.as_ref().is_none_or(|set| set.value(row)), is_set);
            let expected = if is_set { samples::cell(&array, row) } else { None };
            prop_assert_eq!(samples::cell(&read.array, row), expected);
        }
        for (first, count) in [(0, 1), (rows / 2, 1), (rows - 1, 1), (rows / 3, 50), (rows / 5, 700)] {
            let wanted = first..(first + count).min(rows);
            let some =
                decode_rows(&bytes, rows, wanted.clone(), array.data_type(), values.into(), &mut budget).unwrap();
            let same = read.array.slice(first, wanted.len());
            prop_assert_eq!(samples::cells(&some.array), samples::cells(&same));
            let set = read.set.as_ref().map(|set| set.slice(first, wanted.len()));
            prop_assert_eq!(some.set, set);
        }
        for at in 0..bytes.len().min(40) {
            let mut changed = bytes.clone();
            changed[at] ^= (seed >> (at % 56)) as u8 | 1;
            let _ = decode_vector(&changed, rows, array.data_type(), values.into(), &mut budget);
            let _ = decode_rows(&changed, rows, rows / 2..rows / 2 + 1, array.data_type(), values.into(), &mut budget);
            let _ = decode_vector(&bytes[..at], rows, array.data_type(), values.into(), &mut budget);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn wide_cells_of_some_rows_are_those_of_all(
        array in prop_oneof![samples::arrays(1024..1025), samples::arrays(1..1025)],
        cuts in prop::collection::vec((0..1024_usize, 1..200_usize), 1..12),
        cold in any::<bool>(),
    ) {
        let family = Family::of(array.data_type()).unwrap();
        prop_assume!(is_wide(family));
        let rows = array.len();
        let mut wanted: Vec<std::ops::Range<usize>> = Vec::new();
        let mut at = 0;
        for (gap, length) in cuts {
            let start = at + gap % 300;
            if start >= rows {
                break;
            }
            at = (start + length).min(rows);
            wanted.push(start..at);
        }
        let mut bytes = Vec::new();
        VectorEncoder::new(cold).encode(&array, None, None, &mut bytes).unwrap();
        let mut all = vec![0; rows];
        let nulls = decode_wide(&bytes, family, Shared::default(), &mut all).unwrap();
        let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        let mut some = vec![0; wanted.iter().map(std::ops::Range::len).sum()];
        let of_some =
            decode_wide_rows(&bytes, rows, &wanted, family, Shared::default(), &mut some).unwrap();
        prop_assert_eq!(of_some, nulls.clone());
        for (row, found) in wanted.iter().cloned().flatten().zip(&some) {
            prop_assert!(!valid(row) || *found == all[row], "row {}", row);
            prop_assert_eq!(valid(row), array.is_valid(row));
        }
    }
}

/// Text beyond a mebibyte a value, beside empty values and NULLs, whole and one by one.
#[test]
fn huge_and_empty_text_comes_back() {
    use arrow::array::{ArrayRef, BinaryArray, StringArray};

    let huge = "one mebibyte and more ".repeat(60_000);
    assert!(huge.len() > 1 << 20);
    let values = [
        Some(huge.as_str()),
        Some(""),
        None,
        Some("x"),
        Some(huge.get(7..).unwrap()),
    ];
    let text: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
    let bytes: ArrayRef = Arc::new(
        values
            .iter()
            .map(|value| value.map(str::as_bytes))
            .collect::<BinaryArray>(),
    );
    for array in [text, bytes] {
        for (cold, symbols, shared) in [
            (false, true, true),
            (true, true, false),
            (false, false, true),
        ] {
            let mut encoder = VectorEncoder::new(cold);
            encoder.symbols = symbols.then(SymbolsBuilder::default);
            let mut dictionary = shared.then(DictionaryBuilder::default);
            let mut bytes = Vec::new();
            encoder
                .encode(&array, None, dictionary.as_mut(), &mut bytes)
                .unwrap();
            let mut table = Vec::new();
            if let Some(symbols) = &encoder.symbols {
                symbols.encode_table(&mut table);
            } else {
                table.push(0);
            }
            let table = SymbolTable::decode(&mut Cursor::new(&table)).unwrap();
            let shared = Shared {
                values: dictionary.as_ref().map(DictionaryBuilder::values),
                symbols: table.as_ref(),
                ..Shared::default()
            };
            let mut budget = EXPANSION_BYTES_MAX;
            let read = decode_vector(&bytes, 5, array.data_type(), shared, &mut budget).unwrap();
            assert_eq!(samples::cells(&read.array), samples::cells(&array));
            for row in 0..5 {
                let one = decode_rows(
                    &bytes,
                    5,
                    row..row + 1,
                    array.data_type(),
                    shared,
                    &mut budget,
                )
                .unwrap();
                assert_eq!(samples::cell(&one.array, 0), samples::cell(&array, row));
            }
        }
    }
}

/// The values that codecs get wrong, alone and next to each other.
#[test]
fn extremes_come_back() {
    use arrow::array::{ArrayRef, Float64Array, Int64Array};

    let doubles = [
        f64::from_bits(0x7ff8_dead_beef_0001),
        f64::from_bits(0xfff0_0000_0000_0001),
        -0.0,
        0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        5e-324,
        f64::MAX,
        0.1,
    ];
    let integers = [i64::MIN, i64::MAX, 0, -1, 1, i64::MIN + 1];
    for rows in [1, 2, 255, 257, 1024] {
        for stride in 1..4 {
            let double = |row: usize| Some(doubles[row / stride % doubles.len()]);
            let integer = |row: usize| Some(integers[row / stride % integers.len()]);
            let sparse = |row: usize| row % 5 != 2;
            let arrays: [ArrayRef; 4] = [
                Arc::new((0..rows).map(double).collect::<Float64Array>()),
                Arc::new((0..rows).map(integer).collect::<Int64Array>()),
                Arc::new(
                    (0..rows)
                        .map(|row| double(row).filter(|_| sparse(row)))
                        .collect::<Float64Array>(),
                ),
                Arc::new(
                    (0..rows)
                        .map(|row| integer(row).filter(|_| sparse(row)))
                        .collect::<Int64Array>(),
                ),
            ];
            for array in arrays {
                for cold in [false, true] {
                    let mut bytes = Vec::new();
                    VectorEncoder::new(cold)
                        .encode(&array, None, None, &mut bytes)
                        .unwrap();
                    let mut budget = EXPANSION_BYTES_MAX;
                    let shared = Shared::default();
                    let read = decode_vector(&bytes, rows, array.data_type(), shared, &mut budget)
                        .unwrap();
                    assert_eq!(samples::cells(&read.array), samples::cells(&array));
                    for row in [0, rows / 2, rows - 1] {
                        let one = decode_rows(
                            &bytes,
                            rows,
                            row..row + 1,
                            array.data_type(),
                            shared,
                            &mut budget,
                        )
                        .unwrap();
                        assert_eq!(samples::cell(&one.array, 0), samples::cell(&array, row));
                    }
                }
            }
        }
    }
}
