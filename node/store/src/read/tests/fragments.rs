//! Copying a table piece by piece gives a table that shows the same, whatever its history, and whether
//! the pieces are small or large.

use proptest::prelude::*;

use super::histories::{NOW_MS, Op, op, replay_on, with_own_stamps};
use super::model::Row;
use super::table::{ALL, Table, rows};
use crate::read::ScanRequest;

fn shown(table: &Table) -> Vec<((u8, i64), Row)> {
    let request = ScanRequest {
        columns: ALL.to_vec(),
        now_ms: NOW_MS,
        ..ScanRequest::default()
    };
    let scan = table.snapshot().scan(request).unwrap();
    rows(&scan.map(Result::unwrap).collect::<Vec<_>>())
}

/// Copies all of it, each piece from a snapshot of its own and the first one twice.
fn copied(table: &Table, piece_rows: usize) -> (Table, usize) {
    let copy = Table::new();
    for tombstone in table.snapshot().range_tombstones() {
        copy.version.active.append_tombstone(tombstone);
    }
    let (mut start, mut pieces) = (Vec::new(), 0);
    loop {
        let piece = table.snapshot().fragments(&start, piece_rows).unwrap();
        for batch in piece.batches {
            if pieces == 0 {
                copy.version.active.append(batch.clone()).unwrap();
            }
            copy.version.active.append(batch).unwrap();
        }
        pieces += 1;
        match piece.next {
            Some(next) => {
                assert!(next > start, "a piece goes on where it began");
                start = next;
            }
            None => return (copy, pieces),
        }
    }
}

proptest! {
    #[test]
    fn a_copy_in_pieces_shows_the_same(
        ops in prop::collection::vec(op(), 1..30).prop_map(with_own_stamps),
        piece_rows in 1_usize..12,
    ) {
        let (table, _) = replay_on(Table::new(), &ops);
        let (copy, _) = copied(&table, piece_rows);
        prop_assert_eq!(shown(&copy), shown(&table));
    }
}

#[test]
fn many_rows_come_in_pieces_of_the_size_that_is_asked_for() {
    let mut table = Table::new();
    let ops: Vec<Op> = (0..40)
        .map(|at| {
            let write = |device| super::model::Write {
                device,
                at,
                cells: std::array::from_fn(|_| super::model::Cell::Value(at)),
                expiry_ms: 0,
                tombstone: false,
                hlc: (at as u64 + 1) * 10 + u64::from(device),
                origin: 0,
            };
            Op::Write((0..3).map(write).collect())
        })
        .collect();
    let (from_memory, _) = replay_on(Table::new(), &ops);
    assert!(copied(&from_memory, 10).1 >= 12);
    (table, _) = replay_on(table, &ops);
    table.flush_all();
    let (copy, pieces) = copied(&table, 10);
    assert!(pieces >= 12, "{pieces}");
    assert_eq!(shown(&copy), shown(&table));
    assert_eq!(copied(&table, 100_000).1, 1);
}
