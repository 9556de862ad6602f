//! Files whose times do not meet, or that were found to have no key in common, are read apart where the order of rows does
//! not matter.

use activestore_types::KeyRange;

use super::histories::NOW_MS;
use super::model::{Cell, Row, Write};
use super::table::{ALL, AT, Table, key, rows};
use crate::read::{ScanRequest, ScanStats, ZonePredicate, ZoneValue};

fn write(device: u8, at: i64, hlc: u64) -> Write {
    Write {
        device,
        at,
        cells: [Cell::Value(at), Cell::Null, Cell::Value(hlc as i64)],
        expiry_ms: 0,
        tombstone: false,
        hlc,
        origin: 0,
    }
}

/// Three devices at these moments.
fn writes(times: std::ops::Range<i64>, hlc: u64) -> Vec<Write> {
    times
        .flat_map(|at| (0..3).map(move |device| (device, at)))
        .zip(hlc..)
        .map(|((device, at), hlc)| write(device, at, hlc))
        .collect()
}

/// Rows by their keys.
type Found = Vec<((u8, i64), Row)>;

fn read(table: &Table, any_order: bool) -> (Found, ScanStats) {
    let request = ScanRequest {
        any_order,
        ..ScanRequest::default()
    };
    read_by(table, request)
}

fn read_by(table: &Table, request: ScanRequest) -> (Found, ScanStats) {
    let request = ScanRequest {
        columns: ALL.to_vec(),
        now_ms: NOW_MS,
        ..request
    };
    let mut scan = table.snapshot().scan(request).unwrap();
    let found: Vec<_> = scan.by_ref().map(Result::unwrap).collect();
    (rows(&found), scan.stats())
}

fn sorted(mut rows: Found) -> Found {
    rows.sort_by_key(|((device, at), _)| (*device, -at));
    rows
}

#[test]
fn times_that_do_not_meet_are_not_compared() {
    let mut table = Table::new();
    for file in 0..4 {
        table.write(&writes(
            file * 100..(file + 1) * 100,
            1000 * (file as u64 + 1),
        ));
        table.flush_all();
    }
    let (ordered, stats) = read(&table, false);
    assert_eq!(ordered.len(), 1200);
    assert!(stats.keys_read >= 4, "{stats:?}");
    let (apart, stats) = read(&table, true);
    assert_eq!(
        (stats.keys_read, stats.vectors_whole, stats.keys_merged),
        (0, 4, 0),
        "{stats:?}"
    );
    // The latest first.
    assert_eq!(apart[0].0, (0, 399));
    assert_eq!(sorted(apart), ordered);
    // What is in memory is later than all files: apart too.
    table.write(&writes(400..410, 9000));
    let (ordered, _) = read(&table, false);
    let (apart, stats) = read(&table, true);
    assert_eq!((stats.keys_read, stats.vectors_whole), (0, 4), "{stats:?}");
    assert_eq!(sorted(apart), ordered);
    // A late row of the second file's time is merged with that file alone.
    table.write(&writes(150..151, 9100));
    table.flush_all();
    let (ordered, _) = read(&table, false);
    assert_eq!(ordered.len(), 1230);
    let (apart, stats) = read(&table, true);
    assert_eq!(sorted(apart), ordered);
    assert!(stats.keys_read > 0, "{stats:?}");
}

/// Every so many of the first moments from one on, of three devices.
fn every(step: usize, from: i64, until: i64, hlc: u64) -> Vec<Write> {
    let mut writes = writes(0..until, hlc);
    writes.retain(|write| write.at.unsigned_abs() as usize % step == from.unsigned_abs() as usize);
    writes
}

/// Files whose rows come in turn, of the same times all of them.
fn in_turn(files: i64) -> Table {
    in_turn_until(files, 400)
}

fn in_turn_until(files: i64, until: i64) -> Table {
    let mut table = Table::new();
    for file in 0..files {
        let step = files.unsigned_abs() as usize;
        table.write(&every(
            step,
            file,
            until,
            1_000_000 * (1 + file.unsigned_abs()),
        ));
        table.flush_all();
    }
    table
}

#[test]
fn files_that_had_no_key_in_common_are_not_merged_again() {
    let table = in_turn(3);
    let (first, stats) = read(&table, true);
    assert!(stats.keys_read > 0, "{stats:?}");
    let (again, stats) = read(&table, true);
    assert_eq!((stats.keys_read, stats.vectors_whole), (0, 3), "{stats:?}");
    assert_eq!(sorted(again), sorted(first));
    // In order they are.
    let (ordered, stats) = read(&table, false);
    assert!(stats.keys_read > 0, "{stats:?}");
    assert_eq!(ordered.len(), 1200);
}

#[test]
fn what_is_known_of_two_halves_is_known_of_the_whole() {
    let table = in_turn(2);
    let cut = key(1, 200);
    let halves = [
        KeyRange {
            start: Vec::new(),
            end: cut.clone(),
        },
        KeyRange {
            start: cut,
            end: Vec::new(),
        },
    ];
    for half in halves {
        let ranges = vec![half];
        read_by(
            &table,
            ScanRequest {
                ranges,
                any_order: true,
                ..ScanRequest::default()
            },
        );
    }
    let (all, stats) = read(&table, true);
    assert_eq!((all.len(), stats.keys_read), (1200, 0), "{stats:?}");
}

#[test]
fn rows_in_memory_do_not_bring_files_together_that_are_apart() {
    let table = in_turn_until(2, 2_000);
    let (first, _) = read(&table, true);
    assert_eq!(first.len(), 6_000);
    // One row anew and one that is new, amid those of the files.
    let mut anew = writes(1_000..1_001, 90_000_000);
    anew.truncate(1);
    anew.extend(writes(3_000..3_001, 90_000_001).into_iter().take(1));
    table.write(&anew);
    for _ in 0..2 {
        let (found, stats) = read(&table, true);
        assert_eq!(found.len(), 6_001);
        let row = found.iter().find(|(key, _)| *key == (0, 1_000)).unwrap();
        assert_eq!(row.1[2], Some(90_000_000));
        assert!(stats.vectors_whole >= 3, "{stats:?}");
        let (ordered, _) = read(&table, false);
        assert_eq!(sorted(found), ordered);
    }
}

#[test]
fn a_file_that_has_a_key_of_another_is_merged_with_that_one_alone() {
    let mut table = in_turn(3);
    read(&table, true);
    // One row anew, of the second file, and a delete of one, of the third.
    let mut anew = writes(1..3, 90_000_000);
    anew.retain(|write| write.device == 1);
    anew[1].tombstone = true;
    anew[1].cells = [Cell::Absent, Cell::Absent, Cell::Absent];
    table.write(&anew);
    table.flush_all();
    for _ in 0..2 {
        let (found, _) = read(&table, true);
        assert_eq!(found.len(), 1199);
        let row = found.iter().find(|(key, _)| *key == (1, 1)).unwrap();
        assert_eq!(row.1[2], Some(90_000_001));
    }
    let (_, stats) = read(&table, true);
    assert!(stats.vectors_whole >= 1, "{stats:?}");
    assert!(stats.keys_read >= 3, "{stats:?}");
}

#[test]
fn keys_that_were_passed_unseen_tell_nothing() {
    // Both files have the same keys at early times of the first device, which fill vectors of their own, and others of
    // the last device, whose vectors are what is asked for.
    let mut table = Table::new();
    for file in 0..2_u64 {
        let early = (0..1_024).map(|at| (0, at));
        let late = (0..2_000).map(|at| (2, 10_000 + at * 2 + file as i64));
        let rows = early.chain(late).zip(file * 100_000 + 1..);
        let writes: Vec<Write> = rows
            .map(|((device, at), hlc)| write(device, at, hlc))
            .collect();
        table.write(&writes);
        table.flush_all();
    }
    let predicates = vec![ZonePredicate {
        column: AT,
        low: Some(ZoneValue::Int(9_000)),
        high: None,
    }];
    let late = ScanRequest {
        predicates,
        any_order: true,
        ..ScanRequest::default()
    };
    let (found, stats) = read_by(&table, late);
    assert!(found.len() >= 4_000, "{}", found.len());
    assert!(stats.vectors_pruned >= 2, "{stats:?}");
    assert!(stats.keys_read > 0, "{stats:?}");
    let (all, _) = read(&table, true);
    assert_eq!(all.len(), 5_024);
}
