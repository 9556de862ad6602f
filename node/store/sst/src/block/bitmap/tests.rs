//! Bitmaps come back, from any offset.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn bits_come_back(
        bits in prop_oneof![
            prop::collection::vec(any::<bool>(), 1..1100),
            (any::<bool>(), 1..1100_usize).prop_map(|(bit, rows)| vec![bit; rows]),
            (1..1100_usize, 1..300_usize).prop_map(|(rows, run)| (0..rows).map(|r| (r / run) % 2 == 1).collect()),
        ],
        skip in any::<prop::sample::Index>(),
    ) {
        let skip = skip.index(bits.len());
        let buffer = BooleanBuffer::from(bits.clone()).slice(skip, bits.len() - skip);
        let mut bytes = Vec::new();
        encode(&buffer, &mut bytes);
        prop_assert!(bytes.len() <= buffer.len().div_ceil(8) + 1);
        let mut cursor = Cursor::new(&bytes);
        let read = decode(&mut cursor, buffer.len()).unwrap();
        cursor.finish().unwrap();
        prop_assert_eq!(read, buffer);
    }

    #[test]
    fn other_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..50), rows in 1..1025_usize) {
        let _ = decode(&mut Cursor::new(&bytes), rows);
        let _ = decode(&mut Cursor::new(&[&[1], &bytes[..]].concat()), rows);
    }
}
