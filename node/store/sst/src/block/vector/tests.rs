//! Vectors with absent cells, with and without a dictionary, hot and cold.

use proptest::prelude::*;

use super::*;
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
        let read = decode_vector(&bytes, rows, array.data_type(), values, &mut budget).unwrap();
        for row in 0..rows {
            let is_set = set.as_ref().is_none_or(|set| set.value(row));
            prop_assert_eq!(read.set.as_ref().is_none_or(|set| set.value(row)), is_set);
            let expected = if is_set { samples::cell(&array, row) } else { None };
            prop_assert_eq!(samples::cell(&read.array, row), expected);
        }
        for at in 0..bytes.len().min(40) {
            let mut changed = bytes.clone();
            changed[at] ^= (seed >> (at % 56)) as u8 | 1;
            let _ = decode_vector(&changed, rows, array.data_type(), values, &mut budget);
            let _ = decode_vector(&bytes[..at], rows, array.data_type(), values, &mut budget);
        }
    }
}
