//! What a merge keeps, what it may drop and when, by either policy.

use activestore_types::Hlc;

use super::*;
use crate::read::ScanRequest;
use crate::read::tests::model::{Cell, Delete, Write};
use crate::read::tests::table::{ALL, Table, partition, rows};
use crate::version::OwnState;

pub(super) fn write(at: i64, hlc: u64) -> Write {
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

fn dead(at: i64, hlc: u64) -> Write {
    Write {
        cells: [Cell::Absent, Cell::Absent, Cell::Absent],
        tombstone: true,
        ..write(at, hlc)
    }
}

fn expiring(at: i64, hlc: u64) -> Write {
    Write {
        expiry_ms: 500,
        ..write(at, hlc)
    }
}

pub(super) fn file_of(table: &mut Table, writes: &[Write]) {
    table.write(writes);
    table.flush_all();
}

pub(super) fn shown(table: &Table) -> usize {
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

/// The files with these places, in one merge.
fn merge_of(table: &Table, policy: &Policy, places: &[usize]) -> Choice {
    let files = places
        .iter()
        .map(|place| table.version.files[*place].as_ref());
    pick(&table.version, policy, Reason::Files, files.collect(), 1)
}

fn settled() -> Policy {
    Policy {
        settled: Some(Hlc(1000)),
        now_ms: 600,
        ..Policy::default()
    }
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
    table.compact(&merge_of(&table, &policy, &[0, 1]));
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
fn runs_of_one_input_and_shared_keys_come_out_in_order() {
    let mut table = Table::new();
    // Long runs of one file, then of the other, then keys of both.
    let old: Vec<Write> = (0..3000).chain(6000..7000).map(|at| write(at, 1)).collect();
    let new: Vec<Write> = (3000..6500).map(|at| write(at, 2)).collect();
    file_of(&mut table, &old);
    file_of(&mut table, &new);
    let outcome = table.compact(&major(&table.version, &Policy::default()).unwrap());
    assert_eq!((outcome.fragments_in, outcome.fragments_out), (7500, 7000));
    assert!(table.version.files[0].sst.meta().unique);
    assert_eq!(major(&table.version, &Policy::default()), None);
    assert_eq!(shown(&table), 7000);
}

#[test]
fn tombstones_stay_until_nothing_older_can_come() {
    let delete = Delete {
        device: 0,
        span: Some((10, 20)),
        hlc: 50,
        origin: 0,
    };
    let mut table = Table::new();
    let writes: Vec<Write> = (1..30).map(|at| write(at, at as u64)).collect();
    file_of(&mut table, &writes);
    table.delete(&delete);
    file_of(&mut table, &[dead(1, 51)]);
    table.compact(&major(&table.version, &Policy::default()).unwrap());
    // Shadowed rows are gone, both tombstones are still there.
    assert_eq!(fragments(&table), 19);
    assert_eq!(table.version.tombstones.len(), 1);
    // An older write waits in the memtable: a tombstone above it must not go yet.
    table.write(&[write(1, 40), write(12, 41)]);
    let policy = settled();
    assert_eq!(
        major(&table.version, &policy).unwrap().drop_below,
        Some(Hlc(40))
    );
    table.compact(&major(&table.version, &policy).unwrap());
    assert_eq!((fragments(&table), shown(&table)), (19, 18));
    table.flush_all();
    table.compact(&major(&table.version, &policy).unwrap());
    assert_eq!((fragments(&table), shown(&table)), (18, 18));
    assert!(table.version.tombstones.is_empty());
}

#[test]
fn a_merge_that_leaves_an_older_file_out_keeps_what_shadows_it() {
    let mut table = Table::new();
    let older: Vec<Write> = (0..600).map(|at| write(at, at as u64 + 1)).collect();
    file_of(&mut table, &[dead(1, 700)]);
    file_of(&mut table, &[write(1, 650)]);
    file_of(&mut table, &older);
    let choice = merge_of(&table, &settled(), &[0, 1]);
    assert_eq!(choice.drop_below, Some(Hlc(1)));
    table.compact(&choice);
    assert_eq!((fragments(&table), shown(&table)), (601, 599));
    table.compact(&major(&table.version, &settled()).unwrap());
    assert_eq!((fragments(&table), shown(&table)), (599, 599));
}

#[test]
fn a_tombstone_goes_where_the_files_left_out_cannot_hold_its_key() {
    let mut table = Table::new();
    file_of(&mut table, &[write(1, 10)]);
    file_of(&mut table, &[dead(1, 20)]);
    // Older, of the same device, but about another time.
    file_of(&mut table, &[write(5, 1), write(6, 2)]);
    let choice = merge_of(&table, &settled(), &[0, 1]);
    assert_eq!(choice.drop_below, Some(Hlc(1000)));
    table.compact(&choice);
    assert_eq!((fragments(&table), shown(&table)), (2, 2));
    // A range tombstone may cover any key of its range.
    table.delete(&Delete {
        device: 0,
        span: Some((1, 6)),
        hlc: 30,
        origin: 0,
    });
    file_of(&mut table, &[write(1, 40)]);
    table.compact(&merge_of(&table, &settled(), &[1]));
    assert_eq!(table.version.tombstones.len(), 1);
    table.compact(&major(&table.version, &settled()).unwrap());
    assert!(table.version.tombstones.is_empty());
    assert_eq!((fragments(&table), shown(&table)), (2, 2));
}

#[test]
fn expired_rows_go_only_from_a_settled_merge() {
    let mut table = Table::new();
    let rows: Vec<Write> = (0..10).map(|at| expiring(at, at as u64 + 1)).collect();
    file_of(&mut table, &rows);
    file_of(&mut table, &[write(100, 100)]);
    let unknown = Policy {
        settled: None,
        ..settled()
    };
    table.compact(&major(&table.version, &unknown).unwrap());
    assert_eq!(fragments(&table), 11);
    table.compact(&major(&table.version, &settled()).unwrap());
    assert_eq!(fragments(&table), 1);
}

#[test]
fn an_expired_file_is_dropped_unread() {
    for strategy in [Strategy::Levelled, Strategy::TimeWindow { length_ns: 4 }] {
        let mut table = Table::new();
        file_of(&mut table, &[expiring(1, 1), expiring(2, 2)]);
        file_of(&mut table, &[write(9, 9)]);
        let unknown = Policy {
            settled: None,
            ..settled()
        };
        let early = Policy {
            now_ms: 499,
            ..settled()
        };
        assert_eq!(choose_by(strategy, &table.version, &unknown), None);
        assert_eq!(choose_by(strategy, &table.version, &early), None);
        let choice = choose_by(strategy, &table.version, &settled()).unwrap();
        assert_eq!(choice.reason, Reason::Expired);
        let outcome = table.compact(&choice);
        assert_eq!((outcome.fragments_in, outcome.files.len()), (0, 0));
        assert_eq!((table.version.files.len(), shown(&table)), (1, 1));
    }
}

#[test]
fn an_expired_file_stays_while_it_hides_an_older_row() {
    let mut table = Table::new();
    file_of(&mut table, &[write(1, 1), write(3, 50)]);
    file_of(&mut table, &[expiring(1, 10), expiring(2, 11)]);
    assert_eq!(expired(&table.version, &settled()), None);
    // Nor while an older write of its key is in memory.
    let mut table = Table::new();
    file_of(&mut table, &[expiring(1, 10)]);
    table.write(&[write(1, 5)]);
    assert_eq!(expired(&table.version, &settled()), None);
    // Newer rows and expired ones do not keep it.
    let mut table = Table::new();
    file_of(&mut table, &[expiring(1, 10)]);
    file_of(&mut table, &[expiring(1, 5)]);
    file_of(&mut table, &[write(1, 20)]);
    assert_eq!(expired(&table.version, &settled()).unwrap().inputs.len(), 2);
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
    table.compact(&major(&table.version, &settled()).unwrap());
    assert!(table.version.files.is_empty());
    assert!(table.version.tombstones.is_empty());
    assert_eq!(shown(&table), 0);
}

/// The version with a key for device 0's partition.
fn own_key(table: &mut Table, whole: bool) {
    let state = OwnState {
        key: 1,
        past: Vec::new(),
        whole,
        name: String::new(),
        made_ms: 0,
    };
    let own = table.version.own.with(&partition(0), state);
    table.version.own = Arc::new(own);
}

#[test]
fn a_partition_that_is_not_whole_keeps_what_shadows_its_rows_in_common_files() {
    for whole in [false, true] {
        let mut table = Table::new();
        let other = Write {
            device: 1,
            ..write(1, 10)
        };
        if whole {
            // Nothing of the partition in the file whose range holds it.
            let before = Write {
                device: 2,
                ..write(1, 11)
            };
            file_of(&mut table, &[other, before]);
        } else {
            file_of(&mut table, &[write(1, 11), other]);
        }
        own_key(&mut table, whole);
        file_of(&mut table, &[dead(1, 20)]);
        file_of(&mut table, &[dead(1, 21)]);
        let policy = Policy {
            files_min: 2,
            ..settled()
        };
        let choice = choose(&table.version, &policy).unwrap();
        assert_eq!(choice.inputs.len(), 2, "those of the partition");
        table.compact(&choice);
        assert_eq!(shown(&table), if whole { 2 } else { 1 });
        // Where no file beside it can hold its rows, the tombstone has nothing left to do.
        assert_eq!(fragments(&table), if whole { 2 } else { 3 });
    }
}

#[test]
fn a_merge_divides_its_rows_by_the_keys_of_their_partitions() {
    let mut table = Table::new();
    let rows = |hlc: u64| -> Vec<Write> {
        let of = |device| {
            (0..50).map(move |at| Write {
                device,
                ..write(at, hlc + at as u64)
            })
        };
        (0..4).flat_map(of).collect()
    };
    file_of(&mut table, &rows(1));
    own_key(&mut table, true);
    file_of(&mut table, &rows(100));
    assert_eq!(
        table.version.files.len(),
        3,
        "one of them the partition's own"
    );
    table.compact(&major(&table.version, &settled()).unwrap());
    let places: Vec<_> = table
        .version
        .files
        .iter()
        .map(|file| {
            (
                table.version.own.place_of_file(file.sst.meta()),
                file.sst.meta().rows,
            )
        })
        .collect();
    assert_eq!(places.len(), 2, "{places:?}");
    assert!(
        places.contains(&(Some(0), 50)) && places.contains(&(None, 150)),
        "{places:?}"
    );
    assert_eq!(shown(&table), 200);
    let policy = settled();
    for place in super::places(&table.version) {
        let more = among(&table.version, &policy, place, |version| {
            major(version, &policy)
        });
        assert_eq!(more, None, "one file each is the least");
    }
}
