//! The last row of a partition is what a scan of it would end with, whatever the history of the
//! table and the order of its clustering key, and it is found without reading the rest.

use std::collections::BTreeMap;

use activestore_types::{ColumnId, ErrorKind, KeyRange};
use proptest::prelude::*;

use super::histories::{NOW_MS, op, replay_on, with_own_stamps};
use super::model::{Cell, Model, Row, Write};
use super::table::{ALL, Table, partition, rows};
use crate::read::LastRequest;

fn last(table: &Table, partitions: Option<Vec<Vec<u8>>>, now_ms: u64) -> Vec<((u8, i64), Row)> {
    let request = LastRequest {
        columns: ALL.to_vec(),
        partitions,
        range: KeyRange::all(),
        now_ms,
    };
    let found = table.snapshot().last_rows(request).unwrap();
    rows(&found.map(Result::unwrap).collect::<Vec<_>>())
}

/// The same of all partitions, read in so many parts.
fn in_parts(table: &Table, parts: usize, now_ms: u64) -> Vec<((u8, i64), Row)> {
    let snapshot = table.snapshot();
    let ranges = snapshot.split_partitions(parts);
    assert!(ranges.len() <= parts);
    let of = |range| {
        let request = LastRequest {
            columns: ALL.to_vec(),
            range,
            now_ms,
            ..LastRequest::default()
        };
        let found = snapshot.last_rows(request).unwrap().map(Result::unwrap);
        rows(&found.collect::<Vec<_>>())
    };
    ranges.into_iter().flat_map(of).collect()
}

/// The newest row of each device.
fn expected(model: &Model, now_ms: u64) -> BTreeMap<u8, (i64, Row)> {
    let mut newest = BTreeMap::new();
    for ((device, at), row) in model.rows(now_ms) {
        let held = newest.entry(device).or_insert((at, row));
        if at > held.0 {
            *held = (at, row);
        }
    }
    newest
}

fn in_order(
    newest: &BTreeMap<u8, (i64, Row)>,
    wanted: impl Fn(u8) -> bool,
) -> Vec<((u8, i64), Row)> {
    newest
        .iter()
        .filter(|(device, _)| wanted(**device))
        .map(|(device, (at, row))| ((*device, *at), *row))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_last_row_is_the_newest_that_shows(
        ops in prop::collection::vec(op(), 1..24),
        descending in any::<bool>(),
        asked in any::<[bool; 4]>(),
    ) {
        let (table, model) = replay_on(Table::ordered(descending), &with_own_stamps(ops));
        for now_ms in [NOW_MS, 2000] {
            let newest = expected(&model, now_ms);
            prop_assert_eq!(last(&table, None, now_ms), in_order(&newest, |_| true));
            for parts in 1..4 {
                prop_assert_eq!(in_parts(&table, parts, now_ms), in_order(&newest, |_| true));
            }
            let wanted = |device: u8| asked.get(usize::from(device)).is_some_and(|asked| *asked);
            let prefixes = (0..4).filter(|device| wanted(*device)).map(partition).collect();
            prop_assert_eq!(
                last(&table, Some(prefixes), now_ms),
                in_order(&newest, wanted)
            );
        }
    }
}

fn reading(device: u8, at: i64, hlc: u64) -> Write {
    Write {
        device,
        at,
        cells: [Cell::Value(at), Cell::Value(at % 7), Cell::Value(at * 10)],
        expiry_ms: 0,
        tombstone: false,
        hlc,
        origin: 0,
    }
}

#[test]
fn only_the_vectors_in_which_a_partition_ends_are_read() {
    for descending in [false, true] {
        let mut table = Table::ordered(descending);
        let mut model = Model::default();
        for at in 0..12_000_i64 {
            let writes: Vec<Write> = (0..3)
                .map(|device| reading(device, at, at as u64 * 3 + u64::from(device) + 1))
                .collect();
            table.write(&writes);
            model.writes.extend(writes);
        }
        table.flush_all();
        let newest = expected(&model, 0);
        assert_eq!(last(&table, None, 0), in_order(&newest, |_| true));
        assert_eq!(
            last(&table, Some(vec![partition(1)]), 0),
            in_order(&newest, |device| device == 1)
        );
        let request = LastRequest {
            columns: ALL.to_vec(),
            ..LastRequest::default()
        };
        let mut found = table.snapshot().last_rows(request).unwrap();
        assert_eq!(found.by_ref().count(), 1);
        assert!(
            found.vectors_read() <= 9,
            "{} of 36 vectors",
            found.vectors_read()
        );
        // A newer run, some of it in memory, and a row that is late.
        let later = [
            reading(0, 20_000, 100_001),
            reading(2, 5, 100_002),
            reading(3, 1, 100_003),
        ];
        table.write(&later);
        model.writes.extend(later);
        table.flush_all();
        let newest_in_memory = [reading(1, 30_000, 100_004), reading(0, 20_000, 100_005)];
        table.write(&newest_in_memory);
        model.writes.extend(newest_in_memory);
        assert_eq!(
            last(&table, None, 0),
            in_order(&expected(&model, 0), |_| true)
        );
    }
}

#[test]
fn files_that_end_before_a_part_have_nothing_in_it() {
    for descending in [false, true] {
        let mut table = Table::ordered(descending);
        let mut model = Model::default();
        let mut hlc = 0;
        // Many partitions of a few rows, and few of many, each file of several vectors; devices of their own in each.
        for (devices, rows) in [(0..4_u8, 900_i64), (10..200, 17), (220..223, 1_100)] {
            let mut writes = Vec::new();
            for device in devices {
                for at in 0..rows {
                    hlc += 1;
                    writes.push(reading(device, at, hlc));
                }
            }
            table.write(&writes);
            model.writes.extend(writes);
            table.flush_all();
        }
        let later = [reading(2, 5_000, hlc + 1), reading(150, 5_000, hlc + 2)];
        table.write(&later);
        model.writes.extend(later);
        let newest = expected(&model, 0);
        for parts in 1..6 {
            assert_eq!(
                in_parts(&table, parts, 0),
                in_order(&newest, |_| true),
                "{parts}"
            );
        }
    }
}

#[test]
fn partitions_out_of_order_and_unknown_columns_are_refused() {
    let table = Table::new();
    let refused = |columns: Vec<ColumnId>, partitions| {
        let request = LastRequest {
            columns,
            partitions: Some(partitions),
            ..LastRequest::default()
        };
        table
            .snapshot()
            .last_rows(request)
            .err()
            .map(|error| error.kind())
    };
    let invalid = Some(ErrorKind::Invalid);
    assert_eq!(refused(vec![ColumnId(99)], Vec::new()), invalid);
    assert_eq!(
        refused(Vec::new(), vec![partition(1), partition(0)]),
        invalid
    );
    assert_eq!(
        refused(Vec::new(), vec![partition(1), partition(1)]),
        invalid
    );
    assert_eq!(refused(Vec::new(), vec![b"no prefix".to_vec()]), invalid);
    assert_eq!(refused(Vec::new(), vec![partition(0), partition(1)]), None);
}
