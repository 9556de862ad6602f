//! Compressed text comes back, whole and value by value; other bytes are errors or other text, and
//! never more of it than eight bytes a code.

use arrow::array::{Array, StringArray};
use proptest::prelude::*;

use super::*;
use crate::block::text::decode_symbols;
use crate::block::vector::string_parts;

fn table(builder: &SymbolsBuilder) -> Option<SymbolTable> {
    let mut bytes = Vec::new();
    builder.encode_table(&mut bytes);
    let mut cursor = Cursor::new(&bytes);
    let table = SymbolTable::decode(&mut cursor).unwrap();
    cursor.finish().unwrap();
    table
}

fn encode(values: &[String]) -> Option<(Vec<u8>, SymbolTable)> {
    let array = StringArray::from(values.to_vec());
    let (offsets, data) = string_parts(&array).unwrap();
    let strings = Strings {
        offsets,
        data,
        present: array.nulls(),
    };
    let mut builder = SymbolsBuilder::default();
    let payload = builder.encode(strings)?;
    builder.taken(true);
    Some((payload, table(&builder).unwrap()))
}

proptest! {
    #[test]
    fn text_comes_back(
        words in prop::collection::vec("\\PC{0,20}", 1..40),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 200..600),
        change in (any::<prop::sample::Index>(), 1..=255_u8),
    ) {
        let values: Vec<String> = picks
            .iter()
            .map(|pick| format!("level=info msg={} n={}", pick.get(&words), pick.index(1000)))
            .collect();
        let (mut payload, table) = encode(&values).unwrap();
        let rows = values.len();
        for wanted in [0..rows, 0..1, rows - 1..rows, rows / 3..rows / 2] {
            let mut cursor = Cursor::new(&payload);
            let read = decode_symbols(&mut cursor, rows, wanted.clone(), &table, usize::MAX).unwrap();
            cursor.finish().unwrap();
            prop_assert_eq!(read.data, values[wanted.clone()].concat().into_bytes());
            prop_assert_eq!(read.offsets.len(), wanted.len() + 1);
        }
        let (at, mask) = change;
        let at = at.index(payload.len());
        payload[at] ^= mask;
        let _ = decode_symbols(&mut Cursor::new(&payload), rows, 0..rows, &table, usize::MAX);
        let _ = decode_symbols(&mut Cursor::new(&payload[..at]), rows, 0..1, &table, usize::MAX);
        prop_assert!(decode_symbols(&mut Cursor::new(&payload), rows, 0..rows, &table, 3).is_err());
    }

    #[test]
    fn other_tables_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), codes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(Some(table)) = SymbolTable::decode(&mut Cursor::new(&bytes)) {
            let mut out = Vec::new();
            let _ = table.expand(&codes, &mut out);
            prop_assert!(out.len() <= (codes.len() + 1) * SYMBOL_BYTES);
        }
    }
}

#[test]
fn messages_shrink_and_little_text_is_left_alone() {
    let values: Vec<String> = (0..1000)
        .map(|row| {
            format!(
                "connection to 10.0.{}.{} timed out after {row} ms",
                row % 256,
                row % 7
            )
        })
        .collect();
    let (payload, _) = encode(&values).unwrap();
    assert!(payload.len() * 2 < values.concat().len());
    assert!(encode(&["short".to_owned()]).is_none());
}
