//! Arrays of every type and length come back cell for cell; other bytes are errors.

use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};
use proptest::prelude::*;

use super::*;
use crate::samples;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn arrays_come_back(array in samples::arrays(0..3000), skip in any::<prop::sample::Index>()) {
        let skip = skip.index(array.len() + 1);
        let array = array.slice(skip, array.len() - skip);
        let bytes = encode_array(&array);
        let read = decode_array(&bytes, array.data_type()).unwrap();
        prop_assert_eq!(read.data_type(), array.data_type());
        prop_assert_eq!(samples::cells(&read), samples::cells(&array));
    }

    #[test]
    fn changed_and_cut_bytes_never_panic(
        array in samples::arrays(0..1500),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode_array(&array);
        prop_assert!(decode_array(&bytes[..cut.index(bytes.len())], array.data_type()).is_err());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        if let Ok(read) = decode_array(&bytes, array.data_type()) {
            samples::cells(&read);
        }
    }
}

#[test]
fn an_array_is_read_only_as_its_own_type() {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let bytes = encode_array(&array);
    assert!(decode_array(&bytes, &ArrowType::Float64).is_err());
    assert!(decode_array(&bytes, &ArrowType::LargeUtf8).is_err());
    let mut newer = bytes.clone();
    newer[0] = 2;
    assert!(decode_array(&newer, &ArrowType::Int64).is_err());
    assert!(decode_array(&[&bytes[..], &[0]].concat(), &ArrowType::Int64).is_err());
}

#[test]
fn a_small_lie_cannot_ask_for_much_memory() {
    // What expands to at most the bound is stored small and read back.
    let long = "x".repeat(1 << 19);
    let array: ArrayRef = Arc::new(StringArray::from(vec![long.as_str(); 100]));
    let bytes = encode_array(&array);
    assert!(bytes.len() < 600_000);
    assert_eq!(decode_array(&bytes, &ArrowType::Utf8).unwrap().len(), 100);
    // What would expand further is stored as large as it is.
    let huge: ArrayRef = Arc::new(StringArray::from(vec![long.as_str(); 200]));
    let plain = encode_array(&huge);
    assert!(plain.len() > 200 << 19);
    assert_eq!(decode_array(&plain, &ArrowType::Utf8).unwrap().len(), 200);
    // So a header that claims twice the rows of the first is refused.
    let rows = bytes.iter().position(|byte| *byte == 100).unwrap();
    let mut lying = bytes.clone();
    lying.splice(rows..=rows, [0xc8, 0x01]);
    let error = decode_array(&lying, &ArrowType::Utf8).unwrap_err();
    assert!(error.message().contains("larger"), "{error}");
}
