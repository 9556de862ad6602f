//! What is chosen, what a merge keeps, what it may drop and when.

use activestore_types::Hlc;

use super::*;
use crate::read::ScanRequest;
use crate::read::tests::model::{Cell, Delete, Write};
use crate::read::tests::table::{ALL, Table, rows};

fn write(at: i64, hlc: u64) -> Write {
    Write {
        device: 0,
        at,
        cells: [Cell::Value(at), Cell::Value(at), Cell::Value(at)],
        expiry_ms: 0,
        tombstone: false,
        hlc,
        origin: 0,
    }
}

fn file_of(table: &mut Table, writes: &[Write]) {
    table.write(writes);
    table.flush_all();
}

fn shown(table: &Table) -> usize {
    let request = ScanRequest {
        columns: ALL.to_vec(),
        ..ScanRequest::default()
    };
    let batches: Vec<_> = table
        .snapshot()
        .scan(request)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    rows(&batches).len()
}

fn fragments(table: &Table) -> u64 {
    table
        .version
        .files
        .iter()
        .map(|file| file.sst.meta().rows)
        .sum()
}

#[test]
fn four_files_of_like_size_are_merged_and_three_are_not() {
    let mut table = Table::new();
    for round in 0..3_i64 {
        file_of(&mut table, &[write(round, round as u64 + 1)]);
    }
    let policy = Policy::default();
    assert_eq!(choose(&table.version, &policy), None);
    file_of(&mut table, &[write(3, 9)]);
    let choice = choose(&table.version, &policy).unwrap();
    assert_eq!(choice.inputs.len(), 4);
    table.compact(&choice);
    assert_eq!(table.version.files.len(), 1);
    assert!(table.version.files[0].sst.meta().unique);
    assert_eq!(choose(&table.version, &policy), None);
    assert_eq!(major(&table.version, &policy), None);
    assert_eq!(shown(&table), 4);
}

#[test]
fn files_that_reached_their_size_are_left_alone_unless_they_overlap() {
    let mut table = Table::new();
    for part in 0..6_i64 {
        let writes: Vec<Write> = (part * 100..part * 100 + 100)
            .map(|at| write(at, at as u64 + 1))
            .collect();
        file_of(&mut table, &writes);
    }
    // Every file is "large" under this bound, and none overlaps another.
    let policy = Policy {
        file_bytes_max: 1,
        ..Policy::default()
    };
    assert_eq!(choose(&table.version, &policy), None);
    for _ in 0..3 {
        let writes: Vec<Write> = (0..600).map(|at| write(at, at as u64 + 5000)).collect();
        file_of(&mut table, &writes);
    }
    assert_eq!(choose(&table.version, &policy).unwrap().inputs.len(), 4);
}

#[test]
fn a_merge_splits_its_output() {
    let mut table = Table::new();
    for round in 0..2_u64 {
        let writes: Vec<Write> = (0..60_000)
            .map(|at| write(at, at as u64 + 1 + round * 100_000))
            .collect();
        file_of(&mut table, &writes);
    }
    let bytes = table.version.files[0].sst.meta().bytes;
    let policy = Policy {
        file_bytes_max: bytes / 3,
        ..Policy::default()
    };
    table.compact(&major(&table.version, &policy).unwrap());
    assert!(table.version.files.len() >= 3);
    assert_eq!(fragments(&table), 60_000);
    assert_eq!(shown(&table), 60_000);
}

#[test]
fn a_fragment_that_says_nothing_new_goes_and_a_partial_one_is_trimmed() {
    let mut table = Table::new();
    file_of(&mut table, &[write(1, 1), write(2, 2)]);
    let partial = Write {
        cells: [Cell::Value(7), Cell::Absent, Cell::Null],
        ..write(1, 3)
    };
    file_of(&mut table, &[partial, write(2, 4)]);
    table.compact(&major(&table.version, &Policy::default()).unwrap());
    assert_eq!(fragments(&table), 3);
    assert_eq!(shown(&table), 2);
}

#[test]
fn tombstones_stay_until_nothing_older_can_come() {
    let delete = Delete {
        device: 0,
        span: Some((10, 20)),
        hlc: 50,
        origin: 0,
    };
    let dead = Write {
        cells: [Cell::Absent, Cell::Absent, Cell::Absent],
        tombstone: true,
        ..write(1, 51)
    };
    let mut table = Table::new();
    let writes: Vec<Write> = (1..30).map(|at| write(at, at as u64)).collect();
    file_of(&mut table, &writes);
    table.delete(&delete);
    file_of(&mut table, std::slice::from_ref(&dead));
    table.compact(&major(&table.version, &Policy::default()).unwrap());
    // Shadowed rows are gone, both tombstones are still there.
    assert_eq!(fragments(&table), 19);
    assert_eq!(table.version.tombstones.len(), 1);
    // An older write waits in the memtable: a tombstone above it must not go yet.
    table.write(&[write(1, 40), write(12, 41)]);
    let settled = Policy {
        settled: Some(Hlc(1000)),
        ..Policy::default()
    };
    assert_eq!(
        major(&table.version, &settled).unwrap().drop_below,
        Some(Hlc(40))
    );
    table.compact(&major(&table.version, &settled).unwrap());
    assert_eq!((fragments(&table), shown(&table)), (19, 18));
    table.flush_all();
    table.compact(&major(&table.version, &settled).unwrap());
    assert_eq!((fragments(&table), shown(&table)), (18, 18));
    assert!(table.version.tombstones.is_empty());
}

#[test]
fn a_merge_that_leaves_a_file_out_keeps_every_tombstone() {
    let mut table = Table::new();
    let older: Vec<Write> = (0..600).map(|at| write(at, at as u64 + 1)).collect();
    let dead = Write {
        cells: [Cell::Absent, Cell::Absent, Cell::Absent],
        tombstone: true,
        ..write(1, 700)
    };
    file_of(&mut table, std::slice::from_ref(&dead));
    file_of(&mut table, &[write(1, 650)]);
    file_of(&mut table, &older);
    let policy = Policy {
        files_min: 2,
        files_max: 2,
        settled: Some(Hlc(1000)),
        ..Policy::default()
    };
    let choice = choose(&table.version, &policy).unwrap();
    assert_eq!((choice.inputs.len(), choice.drop_below), (2, None));
    table.compact(&choice);
    assert_eq!(shown(&table), 599);
    table.compact(&major(&table.version, &policy).unwrap());
    assert_eq!((fragments(&table), shown(&table)), (599, 599));
}

#[test]
fn expired_rows_go_only_from_a_complete_and_settled_merge() {
    let mut table = Table::new();
    let expiring: Vec<Write> = (0..10)
        .map(|at| Write {
            expiry_ms: 500,
            ..write(at, at as u64 + 1)
        })
        .collect();
    file_of(&mut table, &expiring);
    file_of(&mut table, &[write(100, 100)]);
    let late = Policy {
        now_ms: 600,
        ..Policy::default()
    };
    table.compact(&major(&table.version, &late).unwrap());
    assert_eq!(fragments(&table), 11);
    let settled = Policy {
        settled: Some(Hlc(1000)),
        ..late
    };
    table.compact(&major(&table.version, &settled).unwrap());
    assert_eq!(fragments(&table), 1);
}

#[test]
fn everything_deleted_leaves_no_file() {
    let mut table = Table::new();
    file_of(&mut table, &[write(1, 1)]);
    table.delete(&Delete {
        device: 0,
        span: None,
        hlc: 10,
        origin: 0,
    });
    table.flush_all();
    let settled = Policy {
        settled: Some(Hlc(1000)),
        ..Policy::default()
    };
    table.compact(&major(&table.version, &settled).unwrap());
    assert!(table.version.files.is_empty());
    assert!(table.version.tombstones.is_empty());
    assert_eq!(shown(&table), 0);
}
