//! Sections are read as they were written, and bytes that are none end in an error.

use proptest::prelude::*;

use super::*;

const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

proptest! {
    #[test]
    fn what_is_written_is_read(lengths in proptest::collection::vec(0_usize..40_000, 0..6)) {
        let mut bytes = EMPTY.to_vec();
        for length in &lengths {
            bytes.extend(custom(b"name", &[&vec![7; *length], b"!"]).unwrap());
        }
        let read: Vec<_> = sections(&bytes).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), lengths.len());
        for (section, length) in read.iter().zip(&lengths) {
            prop_assert_eq!(section.custom(b"name").unwrap().len(), length + 1);
            prop_assert!(section.custom(b"nam").is_none());
        }
        prop_assert_eq!(read.last().map_or(8, |last| last.place.end), bytes.len());
        bytes.pop();
        if !lengths.is_empty() {
            prop_assert!(sections(&bytes).unwrap().last().unwrap().is_err());
        }
    }

    #[test]
    fn hostile_bytes_end(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [EMPTY, &tail].concat();
        prop_assert!(sections(&bytes).unwrap().count() <= bytes.len());
    }
}
