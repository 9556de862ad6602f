//! Dictionaries of numbers: what goes in comes out, what does not repeat leaves nothing behind.

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array};
use proptest::prelude::*;
use std::sync::Arc;

use super::{NUMBERS_MAX, Numbers, NumbersBuilder, PAUSE};
use crate::block::Encoding;
use crate::block::vector::{
    EXPANSION_BYTES_MAX, Shared, VectorEncoder, decode_rows, decode_vector,
};
use crate::samples;

/// Encodes arrays as vectors of one column and reads each back, whole and by single rows.
fn round_trip(arrays: &[ArrayRef], cold: bool) -> Vec<Encoding> {
    let mut encoder = VectorEncoder::new(cold);
    encoder.numbers = Some(NumbersBuilder::default());
    let mut vectors = Vec::new();
    let mut encodings = Vec::new();
    for array in arrays {
        let mut bytes = Vec::new();
        encodings.push(encoder.encode(array, None, None, &mut bytes).unwrap());
        vectors.push(bytes);
    }
    let dictionary = encoder.numbers.as_ref().unwrap().encode_values();
    let dictionary = dictionary.map(|bytes| Numbers::decode(&bytes).unwrap());
    let shared = Shared {
        numbers: dictionary.as_ref(),
        ..Shared::default()
    };
    let mut budget = EXPANSION_BYTES_MAX;
    for (array, bytes) in arrays.iter().zip(&vectors) {
        let (rows, kind) = (array.len(), array.data_type());
        let read = decode_vector(bytes, rows, kind, shared, &mut budget).unwrap();
        assert_eq!(samples::cells(&read.array), samples::cells(array));
        for row in [0, rows / 2, rows - 1] {
            let one = decode_rows(bytes, rows, row..row + 1, kind, shared, &mut budget).unwrap();
            assert_eq!(samples::cell(&one.array, 0), samples::cell(array, row));
        }
    }
    encodings
}

fn long_fraction(n: usize) -> f64 {
    (n as f64 + 1.0) / 7.3
}

#[test]
fn readings_of_few_long_fractions_take_codes() {
    let vector = |seed: usize| -> ArrayRef {
        let cells = (0..1024).map(|row| {
            let number = (row * 31 + seed * 17 + row * row) % 300;
            (row % 11 != 0).then(|| long_fraction(number))
        });
        Arc::new(cells.collect::<Float64Array>())
    };
    let arrays: Vec<ArrayRef> = (0..4).map(vector).collect();
    for cold in [false, true] {
        assert_eq!(round_trip(&arrays, cold), [Encoding::Numbers; 4]);
    }
    let wide = |row: i64| (row * row % 97).wrapping_mul(0x1234_5678_9abc_def1);
    let integers: ArrayRef = Arc::new((0..1024).map(wide).collect::<Int64Array>());
    assert_eq!(round_trip(&[integers], false), [Encoding::Numbers]);
}

#[test]
fn numbers_that_do_not_repeat_leave_nothing_behind() {
    let mut numbers = NumbersBuilder::default();
    let different: Vec<u64> = (0..1024).map(|n| long_fraction(n).to_bits()).collect();
    assert!(numbers.encode(&different, 8192).is_none());
    assert!(numbers.encode_values().is_none());
    let same = [long_fraction(3).to_bits(); 64];
    for _ in 0..PAUSE {
        assert!(numbers.encode(&same, 512).is_none(), "it rests");
    }
    assert!(numbers.encode(&same, 512).is_some());
    assert_eq!(numbers.values.len(), 1);
}

#[test]
fn a_full_dictionary_takes_what_it_knows() {
    let mut numbers = NumbersBuilder::default();
    let pattern = |n: usize| long_fraction(n).to_bits();
    let mut taken = 0;
    for start in (0..NUMBERS_MAX * 2).step_by(64) {
        let patterns: Vec<u64> = (0..1024).map(|row| pattern(start + row % 64)).collect();
        taken += usize::from(numbers.encode(&patterns, 8192).is_some());
    }
    assert_eq!(taken, NUMBERS_MAX / 64);
    assert_eq!(numbers.values.len(), NUMBERS_MAX);
    numbers.pause = 0;
    assert!(numbers.encode(&[pattern(5); 1024], 8192).is_some());
}

#[test]
fn damaged_dictionaries_are_refused() {
    let mut numbers = NumbersBuilder::default();
    numbers.encode(&[7; 512], 4096).unwrap();
    let bytes = numbers.encode_values().unwrap();
    assert!(Numbers::decode(&bytes[..bytes.len() - 1]).is_err());
    assert!(Numbers::decode(&[]).is_err());
    assert!(Numbers::decode(&[2, 0]).is_err());
    let read = Numbers::decode(&bytes).unwrap();
    assert!(read.look_up(&mut [0]).is_ok());
    assert!(read.look_up(&mut [1]).is_err());
    assert!(read.look_up(&mut [u64::MAX]).is_err());
}

proptest! {
    #[test]
    fn any_doubles_come_back(
        pool in samples::doubles(1..400),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..1025),
        cold in any::<bool>(),
    ) {
        let cells = picks.iter().map(|pick| pool[pick.index(pool.len())]);
        let array: ArrayRef = Arc::new(Float64Array::from_iter_values(cells));
        round_trip(&[Arc::clone(&array), array], cold);
    }
}
