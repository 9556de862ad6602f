//! A memtable keeps its rows in key order however they came, joins small batches, and refuses what
//! does not fit the table.

use std::sync::Arc;

use activestore_types::{BatchColumn, ColumnId, ErrorKind, KeyRange};
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::buffer::BooleanBuffer;
use proptest::prelude::*;

use super::flush::sorted_batches;
use super::prefix::PrefixShape;
use super::*;
use crate::read::tests::model::{Cell, Write};
use crate::read::tests::table::{AT, DEVICE, VALUES, batch, key, partition, schema, span};

fn write(device: u8, at: i64, hlc: u64) -> Write {
    Write {
        device,
        at,
        cells: [Cell::Value(at), Cell::Absent, Cell::Null],
        expiry_ms: 0,
        tombstone: false,
        hlc,
        origin: 0,
    }
}

fn keys_of(view: &MemtableView, range: &KeyRange) -> Vec<Vec<u8>> {
    let rows = view.order(range);
    rows.iter()
        .map(|row| view.chunks().key(*row).to_vec())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn rows_come_in_key_order(
        places in prop::collection::vec((0_u8..4, 0_i64..500), 1..1500),
        sizes in prop::collection::vec(1_usize..300, 1..20),
        device in 0_u8..4, high in 0_i64..500, low in 0_i64..500,
    ) {
        let memtable = Arc::new(Memtable::new(schema()));
        let writes: Vec<Write> = (1..).zip(&places).map(|(hlc, (device, at))| write(*device, *at, hlc)).collect();
        let mut rest = writes.as_slice();
        let mut half = None;
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*size).min(rest.len()));
            memtable.append(batch(now)).unwrap();
            rest = later;
            if half.is_none() && rest.len() < writes.len() / 2 {
                half = Some((memtable.view(), writes.len() - rest.len()));
            }
        }
        let range = span(device, high.max(low), high.min(low));
        let mut views = vec![(memtable.view(), writes.len())];
        views.extend(half);
        for (view, rows) in views {
            prop_assert_eq!(view.rows(), rows);
            for range in [KeyRange::all(), range.clone(), KeyRange::prefix(&partition(device)), KeyRange { start: partition(1), end: partition(3) }] {
                let mut expected: Vec<Vec<u8>> = writes.iter().take(rows).map(|w| key(w.device, w.at)).filter(|key| range.contains(key)).collect();
                expected.sort();
                prop_assert_eq!(keys_of(&view, &range), expected);
            }
            let mut last: Option<(Vec<u8>, u64)> = None;
            let mut seen = 0;
            for sorted in sorted_batches(&view, &schema()) {
                let (batch, keys) = sorted.unwrap();
                let encoded = row_keys(&schema(), &batch).unwrap();
                prop_assert!(keys.iter().eq(encoded.iter()));
                for (key, hlc) in keys.iter().zip(batch.hlc.iter()) {
                    if let Some((last_key, last_hlc)) = &last {
                        prop_assert!(last_key.as_slice() < key || (last_key == key && last_hlc > hlc));
                    }
                    last = Some((key.to_vec(), *hlc));
                    seen += 1;
                }
            }
            prop_assert_eq!(seen, rows);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Several writers that send the stretches of one file: each partition's rows rise within a stretch, and stretches
    /// overtake each other.
    #[test]
    fn stretches_that_overtake_each_other_come_in_order(
        stretches in prop::collection::vec((0_i64..40, 1_usize..120), 1..40),
        seen in 0_usize..40,
    ) {
        let memtable = Arc::new(Memtable::new(schema()));
        let mut writes: Vec<Write> = Vec::new();
        let mut early = (memtable.view(), 0);
        for (number, (start, rows)) in stretches.iter().enumerate() {
            if number == seen {
                early = (memtable.view(), writes.len());
            }
            let first = writes.len();
            for row in 0..*rows {
                // The clustering key descends.
                let at = 2000 - start * 25 - row as i64 / 3;
                writes.push(write((row % 3) as u8, at, writes.len() as u64 + 1));
            }
            memtable.append(batch(&writes[first..])).unwrap();
        }
        for (view, rows) in [(memtable.view(), writes.len()), early] {
            let mut expected: Vec<(Vec<u8>, u32)> = (0..).zip(&writes).take(rows).map(|(row, w)| (key(w.device, w.at), row)).collect();
            expected.sort();
            for range in [KeyRange::all(), KeyRange::prefix(&partition(1)), span(2, 1700, 1400)] {
                let within = expected.iter().filter(|(key, _)| range.contains(key));
                let rows: Vec<u32> = within.clone().map(|(_, row)| *row).collect();
                let (order, may_repeat) = view.select(&range);
                prop_assert_eq!(order, rows);
                let repeats = within.clone().zip(within.skip(1)).any(|((one, _), (next, _))| one == next);
                prop_assert!(may_repeat || !repeats);
            }
            for last in [false, true] {
                for device in 0..3 {
                    let of = expected.iter().filter(|(key, _)| key.starts_with(&partition(device)));
                    let end = if last { of.clone().next_back() } else { of.clone().next() };
                    let found = view.end(&partition(device), last);
                    prop_assert_eq!(found.is_some(), end.is_some());
                    if let (Some((row, alone)), Some((end, _))) = (found, end) {
                        prop_assert_eq!(view.chunks().key(row), end.as_slice());
                        let same = of.filter(|(key, _)| key == end).count();
                        prop_assert_eq!(alone, same == 1);
                    }
                }
            }
        }
    }
}

#[test]
fn single_rows_are_joined_into_few_batches() {
    let memtable = Arc::new(Memtable::new(schema()));
    for at in 0..5000 {
        memtable
            .append(batch(&[write(0, at, at as u64 + 1)]))
            .unwrap();
    }
    let view = memtable.view();
    assert!(view.chunks().len() < 20, "{} chunks", view.chunks().len());
    assert!(memtable.bytes() < 5000 * 200, "{} bytes", memtable.bytes());
    assert_eq!(
        (memtable.min_hlc(), memtable.max_hlc()),
        (Some(Hlc(1)), Some(Hlc(5000)))
    );
}

#[test]
fn a_prefix_ends_where_the_partition_key_does() {
    let shape = PrefixShape::of(&schema());
    let whole = key(2, 77);
    assert_eq!(shape.prefix_len(&whole), Some(partition(2).len()));
    assert_eq!(shape.prefix_len(&partition(2)[..1]), None);
    assert_eq!(
        shape.single_partition(&span(1, 5, 2)),
        Some(partition(1).as_slice())
    );
    assert_eq!(shape.single_partition(&KeyRange::all()), None);
}

#[test]
fn batches_that_do_not_fit_are_refused_whole() {
    let schema = schema();
    let good = batch(&[write(0, 1, 1), write(0, 2, 2)]);
    assert_eq!(Memtable::check(&schema, &good).unwrap().len(), 2);
    let refused = |change: &dyn Fn(&mut RowBatch)| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = Memtable::check(&schema, &bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    };
    refused(&|bad| bad.columns.retain(|column| column.id != AT));
    refused(&|bad| bad.rows = 3);
    refused(&|bad| {
        let device: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        bad.columns[0].array = device;
    });
    refused(&|bad| bad.columns[0].set = Some(BooleanBuffer::from(vec![true, false])));
    refused(&|bad| bad.columns[1].id = ColumnId(50));
    refused(&|bad| {
        let wrong: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        bad.columns.push(BatchColumn {
            id: VALUES[1],
            array: wrong,
            set: None,
        });
    });
    let memtable = Memtable::new(Arc::clone(&schema));
    let mut bad = good.clone();
    bad.columns.retain(|column| column.id != DEVICE);
    assert!(memtable.append(bad).is_err());
    assert!(memtable.is_empty());
    assert!(memtable.append_keyed(good, RowKeys::default()).is_err());
    assert!(memtable.is_empty());
}
