//! Random histories against the model.

use std::collections::HashSet;
use std::sync::Arc;

use activestore_types::{ColumnId, Hlc, KeyRange, OriginId, Result};
use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;

use super::model::{Cell, Delete, Model, Row, Write};
use super::table::{ALL, AT, DEVICE, Table, VALUES, device_name, key, partition, rows, span};
use crate::compaction::{self, Choice, Policy, Reason, choose_by, major, pick};
use crate::read::{RowFilter, ScanRequest, Share, ZonePredicate, ZoneValue};
use crate::version::TableFile;

pub(super) const NOW_MS: u64 = 1000;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Write(Vec<Write>),
    Delete(Delete),
    Freeze,
    Flush,
    Choose(compaction::Strategy),
    Major,
    /// The files of the mask in one merge, split at a time: no policy would, and nothing may break.
    Merge(u8, Option<i64>),
}

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        3 => Just(Cell::Absent),
        1 => Just(Cell::Null),
        3 => (-20_i64..20).prop_map(Cell::Value),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    (
        0_u8..3,
        0_i64..6,
        [cell(), cell(), cell()],
        prop_oneof![4 => Just(0_u64), 1 => Just(500), 1 => Just(1500)],
        prop::bool::weighted(0.1),
        1_u64..400,
        0_u32..3,
    )
        .prop_map(
            |(device, at, cells, expiry_ms, tombstone, hlc, origin)| Write {
                device,
                at,
                cells: if tombstone {
                    [Cell::Absent, Cell::Absent, Cell::Absent]
                } else {
                    cells
                },
                expiry_ms: if tombstone { 0 } else { expiry_ms },
                tombstone,
                hlc,
                origin,
            },
        )
}

fn delete() -> impl Strategy<Value = Delete> {
    (
        0_u8..3,
        prop::option::of((0_i64..6, 1_i64..4)),
        1_u64..400,
        0_u32..3,
    )
        .prop_map(|(device, span, hlc, origin)| Delete {
            device,
            span: span.map(|(from, length)| (from, from + length)),
            hlc,
            origin,
        })
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => prop::collection::vec(write(), 1..8).prop_map(Op::Write),
        1 => delete().prop_map(Op::Delete),
        2 => Just(Op::Freeze),
        2 => Just(Op::Flush),
        1 => (1_i64..4).prop_map(|length_ns| Op::Choose(compaction::Strategy::TimeWindow { length_ns })),
        1 => Just(Op::Choose(compaction::Strategy::Levelled)),
        1 => Just(Op::Major),
        1 => (any::<u8>(), prop::option::of(0_i64..6))
            .prop_map(|(mask, split)| Op::Merge(mask, split)),
    ]
}

/// Leaves out what reuses a stamp: (hlc, origin) names one write.
pub(super) fn with_own_stamps(mut ops: Vec<Op>) -> Vec<Op> {
    let mut seen = HashSet::new();
    for op in &mut ops {
        if let Op::Write(writes) = op {
            writes.retain(|write| seen.insert((write.hlc, write.origin)));
        }
    }
    ops.retain(|op| match op {
        Op::Write(writes) => !writes.is_empty(),
        Op::Delete(delete) => seen.insert((delete.hlc, delete.origin)),
        _ => true,
    });
    ops
}

/// The lowest stamp still to come: what a caller of compaction may call settled.
fn settled(later: &[Op]) -> Hlc {
    let stamps = later.iter().flat_map(|op| match op {
        Op::Write(writes) => writes.iter().map(|write| write.hlc).collect(),
        Op::Delete(delete) => vec![delete.hlc],
        _ => Vec::new(),
    });
    Hlc(stamps.min().unwrap_or(u64::MAX))
}

pub(super) fn replay(ops: &[Op]) -> (Table, Model) {
    replay_on(Table::new(), ops)
}

pub(super) fn replay_on(mut table: Table, ops: &[Op]) -> (Table, Model) {
    let mut model = Model::default();
    for (index, op) in ops.iter().enumerate() {
        let later = ops.get(index + 1..).unwrap();
        let policy = Policy {
            files_min: 2,
            // Merges that leave files out must not drop what shadows rows in those.
            files_max: 2,
            settled: (index % 2 == 0).then(|| settled(later)),
            now_ms: NOW_MS,
            ..Policy::default()
        };
        match op {
            Op::Write(writes) => {
                table.write(writes);
                model.writes.extend(writes.iter().cloned());
            }
            Op::Delete(delete) => {
                table.delete(delete);
                model.deletes.push(delete.clone());
            }
            Op::Freeze => table.freeze(),
            Op::Flush => table.flush(),
            Op::Choose(strategy) => {
                if let Some(choice) = choose_by(*strategy, &table.version, &policy) {
                    table.compact(&choice);
                }
            }
            Op::Merge(mask, split_time_ns) => {
                let files = table.version.files.iter().enumerate();
                let chosen: Vec<&TableFile> = files
                    .filter(|(place, _)| (mask >> (place % 8)) & 1 == 1)
                    .map(|(_, file)| file.as_ref())
                    .collect();
                if !chosen.is_empty() {
                    let choice = Choice {
                        split_time_ns: *split_time_ns,
                        ..pick(&table.version, &policy, Reason::Files, chosen, 1)
                    };
                    table.compact(&choice);
                }
            }
            Op::Major => {
                if let Some(choice) = major(&table.version, &policy) {
                    table.compact(&choice);
                }
            }
        }
    }
    (table, model)
}

pub(super) fn scan(table: &Table, request: ScanRequest) -> Vec<((u8, i64), Row)> {
    let request = ScanRequest {
        columns: ALL.to_vec(),
        ..request
    };
    let batches: Vec<_> = table
        .snapshot()
        .scan(request)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    rows(&batches)
}

pub(super) fn request(now_ms: u64) -> ScanRequest {
    ScanRequest {
        now_ms,
        ..ScanRequest::default()
    }
}

/// Rows whose number in a column is above a bound.
#[derive(Debug)]
pub(super) struct Above(pub(super) Vec<ColumnId>, pub(super) i64);

impl RowFilter for Above {
    fn columns(&self) -> &[ColumnId] {
        &self.0
    }

    fn holds(&self, rows: &RecordBatch, bounds: &[Option<(i64, i64)>]) -> Result<BooleanArray> {
        for (column, bounds) in rows.columns().iter().zip(bounds) {
            if let Some((low, high)) = bounds {
                let moments = column.as_primitive_opt::<TimestampNanosecondType>();
                let numbers = column.as_primitive_opt::<Int64Type>().map(|it| it.values());
                let values = numbers.or(moments.map(|it| it.values())).unwrap();
                assert!(values.iter().all(|value| (low..=high).contains(&value)));
                assert_eq!(column.null_count(), 0);
            }
        }
        let numbers = rows.column(0).as_primitive::<Int64Type>().iter();
        Ok(numbers
            .map(|number| number.map(|number| number > self.1))
            .collect())
    }
}

/// Where a row of the standard table stands among the others: the newest of a device come first.
fn place((device, at): (u8, i64)) -> (u8, i64) {
    (device, -at)
}

/// What each writer has in each row, by key, and when the row was written last.
fn shares(
    table: &Table,
    times: Option<std::ops::RangeInclusive<i64>>,
    now_ms: u64,
) -> Vec<(Vec<u8>, Vec<Share>)> {
    let mut all = Vec::new();
    let snapshot = table.snapshot();
    let walked = snapshot.walk(times, now_ms, false, &mut |row| {
        let mut shares = row.shares.to_vec();
        shares.sort_by_key(|share| share.origin);
        all.push((row.key.to_vec(), shares));
        Ok(true)
    });
    walked.unwrap();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_table_shows_what_the_model_shows(
        ops in prop::collection::vec(op(), 1..24),
        device in 0_u8..3, high in 0_i64..6, low in 0_i64..6, limit in 0_usize..12, bound in -5_i64..5,
    ) {
        let ops = with_own_stamps(ops);
        let (table, model) = replay(&ops);
        let snapshot = table.snapshot();
        for now_ms in [NOW_MS, 2000] {
            let expected = model.rows(now_ms);
            prop_assert_eq!(&scan(&table, request(now_ms)), &expected);

            let mut backward = expected.clone();
            backward.reverse();
            let reversed = ScanRequest { reverse: true, ..request(now_ms) };
            prop_assert_eq!(&scan(&table, reversed.clone()), &backward);
            backward.truncate(limit);
            prop_assert_eq!(&scan(&table, ScanRequest { limit: Some(limit), ..reversed }), &backward);

            for (reverse, codes) in [(false, vec![]), (true, vec![]), (false, vec![DEVICE, VALUES[1]]), (true, vec![VALUES[1]])] {
                let mut any = scan(&table, ScanRequest { any_order: true, reverse, codes, ..request(now_ms) });
                any.sort_unstable_by_key(|(key, _)| place(*key));
                prop_assert_eq!(&any, &expected);
            }

            // What a filter does not hold of is left out, and nothing else.
            let above: Vec<_> = expected.iter().copied().filter(|(_, row)| row[2].is_some_and(|value| value > bound)).collect();
            for any_order in [false, true] {
                let filter: Arc<dyn RowFilter> = Arc::new(Above(vec![VALUES[2]], bound));
                let filtered = ScanRequest { any_order, filter: Some(filter), ..request(now_ms) };
                let mut found = scan(&table, filtered.clone());
                found.sort_unstable_by_key(|(key, _)| place(*key));
                prop_assert_eq!(&found, &above);
                let mut found = scan(&table, ScanRequest { reverse: true, codes: vec![DEVICE], ..filtered });
                found.sort_unstable_by_key(|(key, _)| place(*key));
                prop_assert_eq!(&found, &above);
            }

            // Two ranges: some rows of one device and all of the next.
            let (from, to) = (high.max(low), high.min(low));
            let ranges = vec![span(device, from, to), KeyRange::prefix(&partition(device + 1))];
            let inside: Vec<_> = expected.iter().copied()
                .filter(|((d, at), _)| (*d == device && to <= *at && *at <= from) || *d == device + 1)
                .collect();
            prop_assert_eq!(&scan(&table, ScanRequest { ranges: ranges.clone(), ..request(now_ms) }), &inside);
            let counted: usize = snapshot
                .scan(ScanRequest { ranges, reverse: true, ..request(now_ms) }).unwrap()
                .map(|batch| batch.unwrap().num_rows()).sum();
            prop_assert_eq!(counted, inside.len());

            for ((device, at), row) in &expected {
                let found = snapshot.get(&key(*device, *at), &ALL, now_ms).unwrap().unwrap();
                prop_assert_eq!(rows(&[found]), vec![((*device, *at), *row)]);
                for (column, id) in VALUES.iter().enumerate() {
                    let found = snapshot.get(&key(*device, *at), &[*id], now_ms).unwrap().unwrap();
                    prop_assert_eq!(found.column(0).is_null(0), row[column].is_none());
                }
            }
            for device in 0..3 {
                for at in 0..6 {
                    let shown = expected.iter().any(|(key, _)| *key == (device, at));
                    prop_assert_eq!(snapshot.get(&key(device, at), &[], now_ms).unwrap().is_some(), shown);
                }
            }

            let predicates = vec![
                ZonePredicate { column: VALUES[2], low: Some(ZoneValue::Int(bound)), high: None },
                ZonePredicate { column: AT, low: None, high: Some(ZoneValue::Int(high)) },
                ZonePredicate { column: DEVICE, low: Some(ZoneValue::Bytes(device_name(device).into_bytes())), high: None },
            ];
            let holds = |((d, at), row): &((u8, i64), Row)| row[2].is_some_and(|v| v >= bound) && *at <= high && *d >= device;
            let pruned = scan(&table, ScanRequest { predicates, ..request(now_ms) });
            prop_assert_eq!(
                pruned.into_iter().filter(holds).collect::<Vec<_>>(),
                expected.iter().copied().filter(holds).collect::<Vec<_>>()
            );

            // Each column alone decides the same rows.
            for id in VALUES {
                let alone: usize = snapshot.scan(ScanRequest { columns: vec![id], ..request(now_ms) }).unwrap()
                    .map(|batch| batch.unwrap().num_rows()).sum();
                prop_assert_eq!(alone, expected.len());
            }
        }
    }

    #[test]
    fn digests_do_not_depend_on_the_history_of_files(
        ops in prop::collection::vec(op(), 1..24),
    ) {
        let ops = with_own_stamps(ops);
        let (table, model) = replay(&ops);
        // The same writes, backwards, one batch each, in one memtable.
        let other = Table::new();
        for op in ops.iter().rev() {
            match op {
                Op::Write(writes) => writes.iter().rev().for_each(|write| other.write(std::slice::from_ref(write))),
                Op::Delete(delete) => other.delete(delete),
                _ => {}
            }
        }
        for now_ms in [NOW_MS, 2000] {
            let digest = table.snapshot().digest(None, now_ms).unwrap();
            prop_assert_eq!(digest.rows, model.rows(now_ms).len() as u64);
            prop_assert_eq!(digest, other.snapshot().digest(None, now_ms).unwrap());
            prop_assert_eq!(scan(&other, request(now_ms)), model.rows(now_ms));
            // So do the shares of each writer, row by row, of all times and of some.
            for times in [None, Some(2..=5)] {
                let walked = shares(&table, times.clone(), now_ms);
                prop_assert_eq!(&walked, &shares(&other, times.clone(), now_ms));
                let inside = |at: &i64| times.as_ref().is_none_or(|times| times.contains(at));
                let rows = model.rows(now_ms).into_iter().filter(|((_, at), _)| inside(at));
                prop_assert_eq!(walked.len(), rows.count());
            }
        }
        // Cells by one origin: a merge may drop the marker of a row that is shown no more, never a
        // cell that is.
        for origin in 0..3 {
            let origin = Some(OriginId(origin));
            prop_assert_eq!(
                table.snapshot().digest(origin, NOW_MS).unwrap(),
                other.snapshot().digest(origin, NOW_MS).unwrap()
            );
        }
    }

    #[test]
    fn splits_cover_the_table_once(ops in prop::collection::vec(op(), 1..16), parts in 1_usize..6) {
        let (table, model) = replay(&with_own_stamps(ops));
        let ranges = table.snapshot().split(parts);
        prop_assert!(ranges.len() <= parts);
        prop_assert!(ranges[0].start.is_empty() && ranges[ranges.len() - 1].end.is_empty());
        let mut seen = Vec::new();
        for range in ranges {
            seen.extend(scan(&table, ScanRequest { ranges: vec![range], ..request(NOW_MS) }));
        }
        prop_assert_eq!(seen, model.rows(NOW_MS));
    }
}
