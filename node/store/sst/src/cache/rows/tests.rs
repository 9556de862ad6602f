//! Rows come back for the key, file, vector and columns they were put for, and for no other; the bytes
//! stay within their bound.

use std::sync::Arc;

use activestore_types::{BatchColumn, Hlc, OriginId, TableId};
use arrow::array::Int64Array;

use super::*;

fn key(file: u64, key: &[u8]) -> RowKey<'_> {
    RowKey {
        file,
        vector: 2,
        key,
    }
}

fn row(value: i64, cells: usize) -> Found {
    let column = BatchColumn {
        id: ColumnId(1),
        array: Arc::new(Int64Array::from(vec![value; cells])),
        set: None,
    };
    let batch = RowBatch::upsert(TableId(1), cells, vec![column], Hlc(1), OriginId(0));
    Some((7..7 + cells, Arc::new(batch)))
}

#[test]
fn a_row_belongs_to_its_file_its_vector_its_key_and_its_columns() {
    let cache = RowCache::new(1 << 20);
    let columns = [ColumnId(1)];
    cache.put(key(1, b"a"), &columns, &row(5, 1));
    cache.put(key(1, b"b"), &columns, &None);
    let (rows, batch) = cache.get(key(1, b"a"), &columns).unwrap().unwrap();
    assert_eq!(rows, 7..8);
    assert_eq!(*batch.columns[0].array, Int64Array::from(vec![5]));
    assert!(cache.get(key(1, b"b"), &columns).unwrap().is_none());
    assert!(cache.get(key(2, b"a"), &columns).is_none());
    assert!(cache.get(key(1, b"c"), &columns).is_none());
    let elsewhere = RowKey {
        vector: 3,
        ..key(1, b"a")
    };
    assert!(cache.get(elsewhere, &columns).is_none());
    assert!(cache.get(key(1, b"a"), &[ColumnId(2)]).is_none());
    assert!(cache.get(key(1, b"a"), &[]).is_none());
}

#[test]
fn it_keeps_to_its_bytes_and_takes_no_row_that_is_large() {
    let bytes_max = 64 << 10;
    let cache = RowCache::new(bytes_max);
    for number in 0..500_u64 {
        cache.put(key(number, b"a"), &[ColumnId(1)], &row(1, 10));
        assert!(cache.bytes() <= bytes_max as u64);
    }
    assert!(cache.bytes() > bytes_max as u64 / 2);
    cache.put(key(1_000, b"a"), &[ColumnId(1)], &row(1, 8_000));
    assert!(cache.get(key(1_000, b"a"), &[ColumnId(1)]).is_none());
}
