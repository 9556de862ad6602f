//! Copying in runs gives what picking row by row gives.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::memtable::Chunk;
use crate::memtable::gather::gather;
use crate::memtable::row_keys;
use crate::read::Held;
use crate::read::tests::model::{Cell, Write};
use crate::read::tests::table::{ALL, batch, schema};

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        1 => Just(Cell::Absent),
        1 => Just(Cell::Null),
        3 => (-20_i64..20).prop_map(Cell::Value),
    ]
}

fn write(plain: bool) -> impl Strategy<Value = Write> {
    (
        0_u8..3,
        any::<i64>(),
        [cell(), cell(), cell()],
        any::<u32>(),
    )
        .prop_map(move |(device, at, cells, seed)| Write {
            device,
            at,
            cells: if plain {
                [at % 7, at % 100, at % 3].map(Cell::Value)
            } else {
                cells
            },
            expiry_ms: if plain { 0 } else { u64::from(seed % 3) },
            tombstone: !plain && seed % 5 == 0,
            hlc: u64::from(seed),
            origin: seed % 4,
        })
}

fn batch_of() -> impl Strategy<Value = Vec<Write>> {
    any::<bool>().prop_flat_map(|plain| prop::collection::vec(write(plain), 1..40))
}

proptest! {
    #[test]
    fn spans_are_copied_as_rows_are_gathered(
        batches in prop::collection::vec(batch_of(), 1..5),
        spans in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, 1_usize..40), 1..12),
    ) {
        let schema = schema();
        let mut pieces = Pieces::new(ALL.to_vec());
        for writes in &batches {
            let batch = batch(writes);
            let keys = row_keys(&schema, &batch).unwrap();
            pieces.push(Held::Chunk(Arc::new(Chunk::new(0, batch, keys))));
        }
        let mut list = Spans::default();
        let mut picks = Vec::new();
        for (piece, start, length) in spans {
            let piece = piece.index(batches.len());
            let start = start % batches[piece].len();
            let end = (start + length).min(batches[piece].len());
            list.push(piece, start..end);
            picks.extend((start..end).map(|row| (piece, row)));
        }
        let copied = copy(&schema, &pieces, &list).unwrap();
        copied.validate().unwrap();
        let gathered = gather(&schema, &pieces.batches(), &picks, None).unwrap();
        prop_assert_eq!(&copied.hlc, &gathered.hlc);
        prop_assert_eq!(&copied.origin, &gathered.origin);
        prop_assert_eq!(&copied.expiry_ms, &gathered.expiry_ms);
        prop_assert_eq!(&copied.tombstone, &gathered.tombstone);
        for column in &gathered.columns {
            let found = copied.column(column.id).unwrap();
            prop_assert_eq!(&found.array, &column.array);
            prop_assert_eq!(&found.set, &column.set);
        }
        // What no row sets may stay as a column that is absent throughout.
        for column in &copied.columns {
            let held = gathered.column(column.id).is_some();
            let set = column.set.as_ref().is_none_or(|set| set.count_set_bits() > 0);
            prop_assert!(held || !set);
        }
        let keys = copy_keys(&pieces, &list).unwrap();
        prop_assert!(keys.iter().eq(row_keys(&schema, &copied).unwrap().iter()));
    }
}
