//! Which way the rows take: whole vectors where nothing overlaps, a merge where something does,
//! nothing at all where a predicate or the key says so. Enough rows for many vectors.

use activestore_types::{ColumnId, ErrorKind, KeyRange};

use super::model::{Cell, Delete, Model, Row, Write};
use super::table::{ALL, AT, Table, VALUES, key, partition, rows, span};
use crate::read::{ScanRequest, ScanStats, ZonePredicate, ZoneValue};

const DEVICES: u8 = 5;
const ROWS: i64 = 3000;

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

/// Five devices with three thousand rows each, written tick by tick.
fn readings() -> Vec<Write> {
    let mut hlc = 0;
    let mut writes = Vec::new();
    for at in 0..ROWS {
        for device in 0..DEVICES {
            hlc += 1;
            writes.push(reading(device, at, hlc));
        }
    }
    writes
}

fn flushed() -> (Table, Model) {
    let mut table = Table::new();
    let writes = readings();
    writes.chunks(700).for_each(|chunk| table.write(chunk));
    table.flush_all();
    let model = Model {
        writes,
        deletes: Vec::new(),
    };
    (table, model)
}

type Rows = Vec<((u8, i64), Row)>;

fn scan(table: &Table, request: ScanRequest) -> (Rows, ScanStats) {
    let request = ScanRequest {
        columns: ALL.to_vec(),
        ..request
    };
    let mut scan = table.snapshot().scan(request).unwrap();
    let batches: Vec<_> = scan.by_ref().map(Result::unwrap).collect();
    (rows(&batches), scan.stats())
}

#[test]
fn a_file_alone_is_shown_without_a_merge() {
    let (table, model) = flushed();
    assert!(table.version.files[0].sst.meta().unique);
    let (shown, stats) = scan(&table, ScanRequest::default());
    assert_eq!(shown, model.rows(0));
    assert_eq!(stats.keys_merged, 0);
    assert_eq!(stats.vectors_whole, 15);
    let reverse = ScanRequest {
        reverse: true,
        ..ScanRequest::default()
    };
    let (mut shown, stats) = scan(&table, reverse);
    shown.reverse();
    assert_eq!(shown, model.rows(0));
    assert_eq!(stats.keys_merged, 0);
}

#[test]
fn counting_rows_decodes_nothing() {
    let (table, _) = flushed();
    let mut scan = table.snapshot().scan(ScanRequest::default()).unwrap();
    let counted: usize = scan.by_ref().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(counted, 15_000);
    assert_eq!(scan.stats().vectors_read, 0);
}

#[test]
fn a_range_cuts_the_vectors_at_its_edges() {
    let (table, model) = flushed();
    for (from, to) in [(2999, 0), (2000, 100), (1024, 1024), (999, 0), (2999, 2500)] {
        for reverse in [false, true] {
            let request = ScanRequest {
                ranges: vec![span(1, from, to), span(3, from, to)],
                reverse,
                ..ScanRequest::default()
            };
            let (mut shown, stats) = scan(&table, request);
            if reverse {
                shown.reverse();
            }
            let inside = |((device, at), _): &((u8, i64), Row)| {
                (*device == 1 || *device == 3) && to <= *at && *at <= from
            };
            assert_eq!(
                shown,
                model.rows(0).into_iter().filter(inside).collect::<Vec<_>>()
            );
            assert_eq!(stats.keys_merged, 0);
        }
    }
}

#[test]
fn only_what_overlaps_is_merged() {
    let (table, mut model) = flushed();
    let late = Write {
        cells: [Cell::Absent, Cell::Null, Cell::Value(1)],
        ..reading(2, 1500, 1_000_000)
    };
    table.write(std::slice::from_ref(&late));
    model.writes.push(late);
    let (shown, stats) = scan(&table, ScanRequest::default());
    assert_eq!(shown, model.rows(0));
    assert_eq!(stats.vectors_whole, 14);
    assert_eq!((stats.keys_merged, stats.rows_run), (1, 14_999));
    assert_eq!(stats.keys_read, 1);
    let delete = Delete {
        device: 4,
        span: Some((10, 20)),
        hlc: 2_000_000,
        origin: 1,
    };
    table.delete(&delete);
    model.deletes.push(delete);
    let (shown, _) = scan(&table, ScanRequest::default());
    assert_eq!(shown, model.rows(0));
    let reverse = ScanRequest {
        reverse: true,
        ..ScanRequest::default()
    };
    let (mut shown, _) = scan(&table, reverse);
    shown.reverse();
    assert_eq!(shown, model.rows(0));
}

#[test]
fn rows_between_those_of_other_files_are_not_resolved() {
    // Each device's later rows lie in the second file, and the newest in memory.
    let mut table = Table::new();
    let writes = readings();
    let (old, rest) = writes.split_at(6000);
    let (later, newest) = rest.split_at(6000);
    table.write(old);
    table.flush_all();
    table.write(later);
    table.flush_all();
    table.write(newest);
    let expected = Model {
        writes,
        deletes: Vec::new(),
    }
    .rows(0);
    let (shown, stats) = scan(&table, ScanRequest::default());
    assert_eq!(shown, expected);
    assert_eq!((stats.keys_merged, stats.rows_run), (0, 15_000));
    for limit in [1, 1500, 9000, 14_999] {
        for reverse in [false, true] {
            let request = ScanRequest {
                limit: Some(limit),
                reverse,
                ..ScanRequest::default()
            };
            let mut expected = expected.clone();
            if reverse {
                expected.reverse();
            }
            expected.truncate(limit);
            assert_eq!(scan(&table, request).0, expected);
        }
    }
}

#[test]
fn predicates_prune_and_never_hide_the_newest_cell() {
    let (table, mut model) = flushed();
    let value = ZonePredicate {
        column: VALUES[2],
        low: Some(ZoneValue::Int(29_000)),
        high: None,
    };
    let request = ScanRequest {
        predicates: vec![value.clone()],
        ..ScanRequest::default()
    };
    let (shown, stats) = scan(&table, request.clone());
    assert!(stats.vectors_pruned >= 5);
    let wanted = |(_, row): &((u8, i64), Row)| row[2] >= Some(29_000);
    assert_eq!(
        shown.into_iter().filter(wanted).collect::<Vec<_>>(),
        model.rows(0).into_iter().filter(wanted).collect::<Vec<_>>()
    );
    // The row's other cells lie in a vector that the predicate alone would skip.
    let late = Write {
        cells: [Cell::Absent, Cell::Absent, Cell::Value(50_000)],
        ..reading(1, 5, 1_000_000)
    };
    table.write(std::slice::from_ref(&late));
    model.writes.push(late);
    let (shown, _) = scan(&table, request);
    assert!(shown.contains(&((1, 5), [Some(5), Some(5), Some(50_000)])));
    let by_key = ScanRequest {
        predicates: vec![ZonePredicate {
            column: AT,
            low: Some(ZoneValue::Int(2900)),
            high: None,
        }],
        ..ScanRequest::default()
    };
    let (shown, stats) = scan(&table, by_key);
    assert!(stats.vectors_pruned >= 5);
    let recent = |((_, at), _): &((u8, i64), Row)| *at >= 2900;
    assert_eq!(shown.into_iter().filter(recent).count(), 500);
}

#[test]
fn one_key_may_fill_several_vectors() {
    let mut table = Table::new();
    let mut model = Model::default();
    let mut writes = vec![reading(0, 9, 1), reading(0, 3, 2), reading(1, 5, 3)];
    for hlc in 10..3500 {
        let cells = match hlc % 3 {
            0 => [Cell::Value(hlc as i64), Cell::Absent, Cell::Absent],
            1 => [Cell::Absent, Cell::Value(hlc as i64), Cell::Absent],
            _ => [Cell::Absent, Cell::Absent, Cell::Null],
        };
        writes.push(Write {
            cells,
            ..reading(0, 5, hlc)
        });
    }
    table.write(&writes);
    table.flush_all();
    assert!(table.version.files[0].sst.vectors() > 3);
    model.writes = writes;
    for reverse in [false, true] {
        let request = ScanRequest {
            reverse,
            ..ScanRequest::default()
        };
        let (mut shown, _) = scan(&table, request);
        if reverse {
            shown.reverse();
        }
        assert_eq!(shown, model.rows(0));
        let one = ScanRequest {
            ranges: vec![span(0, 5, 5)],
            reverse,
            ..ScanRequest::default()
        };
        assert_eq!(
            scan(&table, one).0,
            vec![((0, 5), [Some(3498), Some(3499), None])]
        );
    }
    let found = table.snapshot().get(&key(0, 5), &ALL, 0).unwrap().unwrap();
    assert_eq!(
        rows(&[found]),
        vec![((0, 5), [Some(3498), Some(3499), None])]
    );
}

#[test]
fn many_small_ranges_hold_few_vectors_and_come_out_in_full_batches() {
    let (table, model) = flushed();
    let late = reading(0, 2999, 1_000_000);
    table.write(std::slice::from_ref(&late));
    let mut ranges = Vec::new();
    for device in 0..DEVICES {
        ranges.extend((0..ROWS).rev().step_by(10).map(|at| span(device, at, at)));
    }
    let request = ScanRequest {
        ranges,
        columns: ALL.to_vec(),
        ..ScanRequest::default()
    };
    let batches: Vec<_> = table
        .snapshot()
        .scan(request)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let expected: Vec<_> = model
        .rows(0)
        .into_iter()
        .filter(|((_, at), _)| (ROWS - 1 - at) % 10 == 0)
        .collect();
    assert_eq!(rows(&batches), expected);
    assert_eq!(batches.len(), 1);
}

#[test]
fn a_snapshot_does_not_see_what_comes_later() {
    let mut table = Table::new();
    let writes = readings();
    let (early, late) = writes.split_at(6000);
    table.write(early);
    let snapshot = table.snapshot();
    for chunk in late.chunks(100) {
        table.write(chunk);
    }
    table.delete(&Delete {
        device: 0,
        span: None,
        hlc: 1_000_000,
        origin: 0,
    });
    table.flush_all();
    let request = ScanRequest {
        columns: ALL.to_vec(),
        ..ScanRequest::default()
    };
    let batches: Vec<_> = snapshot
        .scan(request)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let model = Model {
        writes: early.to_vec(),
        deletes: Vec::new(),
    };
    assert_eq!(rows(&batches), model.rows(0));
    assert_eq!(snapshot.row_count_estimate(), 6000);
}

#[test]
fn parts_of_a_split_are_of_like_size() {
    let (table, _) = flushed();
    let snapshot = table.snapshot();
    let ranges = snapshot.split(4);
    assert_eq!(ranges.len(), 4);
    for range in ranges {
        let request = ScanRequest {
            ranges: vec![range],
            ..ScanRequest::default()
        };
        let rows: usize = snapshot
            .scan(request)
            .unwrap()
            .map(|batch| batch.unwrap().num_rows())
            .sum();
        assert!((2000..6000).contains(&rows), "{rows} rows");
    }
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let (table, _) = flushed();
    let snapshot = table.snapshot();
    let unknown = ScanRequest {
        columns: vec![ColumnId(99)],
        ..ScanRequest::default()
    };
    assert_eq!(
        snapshot.scan(unknown).err().unwrap().kind(),
        ErrorKind::Invalid
    );
    let unsorted = ScanRequest {
        ranges: vec![
            KeyRange::prefix(&partition(1)),
            KeyRange::prefix(&partition(0)),
        ],
        ..ScanRequest::default()
    };
    assert_eq!(
        snapshot.scan(unsorted).err().unwrap().kind(),
        ErrorKind::Invalid
    );
    assert!(snapshot.get(b"no key at all", &ALL, 0).unwrap().is_none());
    assert!(snapshot.get(b"", &ALL, 0).unwrap().is_none());
}
