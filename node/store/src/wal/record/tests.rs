//! A record gives back what went into it, and never panics on other bytes.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, StringArray, TimestampNanosecondArray,
};
use arrow::buffer::BooleanBuffer;
use proptest::prelude::*;

use super::*;

/// Every column type, with nulls, cut out of the middle of longer arrays.
fn columns(rows: usize, skip: usize) -> Vec<BatchColumn> {
    let total = rows + skip + 3;
    let some = |row: usize| !row.is_multiple_of(3);
    let numbers = || (0..total).map(move |row| some(row).then_some(row as i64 * 77 - 5));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new((0..total as i64).map(Some).collect::<Int64Array>()),
        Arc::new(
            (0..total)
                .map(|row| some(row).then_some(row % 2 == 0))
                .collect::<BooleanArray>(),
        ),
        Arc::new(
            numbers()
                .map(|n| n.map(|n| n as i32))
                .collect::<Int32Array>(),
        ),
        Arc::new(
            numbers()
                .map(|n| n.map(|n| n as f32))
                .collect::<Float32Array>(),
        ),
        Arc::new(
            numbers()
                .map(|n| n.map(|n| n as f64 / 3.0))
                .collect::<Float64Array>(),
        ),
        Arc::new(
            numbers()
                .map(|n| n.map(i128::from))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(20, 4)
                .unwrap(),
        ),
        Arc::new(
            (0..total)
                .map(|row| some(row).then(|| "é".repeat(row % 5)))
                .collect::<StringArray>(),
        ),
        Arc::new((0..total).map(|_| Some("equal")).collect::<StringArray>()),
        Arc::new(
            (0..total)
                .map(|row| some(row).then(|| vec![row as u8; row % 4]))
                .collect::<BinaryArray>(),
        ),
        Arc::new(numbers().collect::<TimestampNanosecondArray>()),
        Arc::new(
            numbers()
                .map(|n| n.map(|n| n as i32))
                .collect::<Date32Array>(),
        ),
    ];
    arrays
        .into_iter()
        .enumerate()
        .map(|(at, array)| BatchColumn {
            id: ColumnId(at as u32 + 1),
            array: array.slice(skip, rows),
            set: (at % 4 == 2).then(|| (0..rows).map(|row| row % 2 == 0).collect()),
        })
        .collect()
}

fn whole(encoded: &Encoded) -> Vec<u8> {
    let pieces: Vec<&[u8]> = encoded.pieces().collect();
    pieces.concat()
}

fn payload(encoded: &Encoded) -> Buffer {
    let end = FRAME_HEADER_BYTES + encoded.payload_length as usize;
    Buffer::from_slice_ref(&whole(encoded)[FRAME_HEADER_BYTES..end])
}

fn assert_same(left: &WriteSet, right: &WriteSet) {
    assert_eq!(left.tombstones, right.tombstones);
    assert_eq!(left.notes, right.notes);
    assert_eq!(left.batches.len(), right.batches.len());
    for (left, right) in left.batches.iter().zip(&right.batches) {
        assert_eq!((left.table, left.rows), (right.table, right.rows));
        assert_eq!((&left.hlc, &left.origin), (&right.hlc, &right.origin));
        assert_eq!(
            (&left.expiry_ms, &left.tombstone),
            (&right.expiry_ms, &right.tombstone)
        );
        assert_eq!(left.columns.len(), right.columns.len());
        for (left, right) in left.columns.iter().zip(&right.columns) {
            assert_eq!(
                (left.id, &left.array, &left.set),
                (right.id, &right.array, &right.set)
            );
        }
    }
}

proptest! {
    #[test]
    fn a_record_gives_back_what_went_in(
        rows in 0_usize..70,
        skip in 0_usize..9,
        hlc in prop_oneof![Just(0_u8), Just(1), Just(2)],
        hidden in any::<[bool; 3]>(),
        flip in any::<(u16, u8)>(),
    ) {
        let mut batch = RowBatch::upsert(TableId(9), rows, columns(rows, skip), Hlc(1 << 40), OriginId(3));
        if hlc > 0 {
            batch.hlc = (0..rows as u64).map(|row| if hlc == 1 { 7 } else { row * row }).collect();
        }
        if hidden[0] {
            batch.origin = (0..rows as u32).map(|row| row % 2).collect();
        }
        if hidden[1] {
            batch.expiry_ms = Some((0..rows as u64).map(|row| row / 9).collect());
        }
        if hidden[2] {
            batch.tombstone = Some((0..rows).map(|row| row % 7 == 0).collect::<BooleanBuffer>());
        }
        let set = WriteSet {
            batches: vec![batch.clone(), batch],
            tombstones: vec![RangeTombstone {
                table: TableId(9),
                start: vec![1, 2],
                end: Vec::new(),
                hlc: Hlc(5),
                origin: OriginId(1),
            }],
            notes: vec![
                Note { key: b"a".to_vec(), value: Some(vec![0; 5]) },
                Note { key: Vec::new(), value: None },
            ],
        };
        let encoded = encode(&set).unwrap();
        let bytes = payload(&encoded);
        prop_assert_eq!(crc32c::crc32c(bytes.as_slice()), encoded.payload_crc);
        // What is written from where it lies is the record that copies would make.
        let copied = Encoded::framed(payload_of(&set).unwrap(), Beside::default()).unwrap();
        prop_assert_eq!(copied.pieces().count(), 1);
        prop_assert_eq!(whole(&copied), whole(&encoded));
        prop_assert_eq!(encoded.length() % 8, 0);
        assert_same(&set, &decode(&bytes, &mut Reuse::default(), None).unwrap());
        let mut reuse = Reuse::default();
        for _ in 0..2 {
            assert_same(&set, &decode(&bytes, &mut reuse, None).unwrap());
        }
        // Other bytes are an error or another record, never a panic.
        let mut broken = bytes.as_slice().to_vec();
        let at = flip.0 as usize % broken.len();
        broken[at] ^= flip.1 | 1;
        let _ = decode(&Buffer::from(broken.as_slice()), &mut Reuse::default(), None);
        broken.truncate(at);
        let _ = decode(&Buffer::from(broken.as_slice()), &mut Reuse::default(), None);
    }
}

#[test]
fn constant_and_consecutive_hidden_columns_take_no_buffers() {
    let ids: ArrayRef = Arc::new((0..1000).collect::<Int64Array>());
    let column = BatchColumn {
        id: ColumnId(1),
        array: ids,
        set: None,
    };
    let batch = RowBatch::upsert(TableId(1), 1000, vec![column], Hlc(9), OriginId(0));
    let encoded = encode(&WriteSet::from_batches(vec![batch])).unwrap();
    assert!(encoded.payload_length < 8000 + 64);
}

#[test]
fn a_commit_beyond_the_bound_is_refused() {
    let note = Note {
        key: b"k".to_vec(),
        value: Some(vec![0; RECORD_BYTES_MAX]),
    };
    let set = WriteSet {
        notes: vec![note],
        ..WriteSet::default()
    };
    assert_eq!(
        encode(&set).unwrap_err().kind(),
        activestore_types::ErrorKind::Invalid
    );
}
