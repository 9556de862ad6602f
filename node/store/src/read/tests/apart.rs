//! Files whose times do not meet are read apart where the order of rows does not matter.

use super::histories::NOW_MS;
use super::model::{Cell, Row, Write};
use super::table::{ALL, Table, rows};
use crate::read::{ScanRequest, ScanStats};

/// Three devices at these moments.
fn writes(times: std::ops::Range<i64>, hlc: u64) -> Vec<Write> {
    times
        .flat_map(|at| (0..3).map(move |device| (device, at)))
        .zip(hlc..)
        .map(|((device, at), hlc)| Write {
            device,
            at,
            cells: [Cell::Value(at), Cell::Null, Cell::Value(hlc as i64)],
            expiry_ms: 0,
            tombstone: false,
            hlc,
            origin: 0,
        })
        .collect()
}

/// Rows by their keys.
type Found = Vec<((u8, i64), Row)>;

fn read(table: &Table, any_order: bool) -> (Found, ScanStats) {
    let request = ScanRequest {
        columns: ALL.to_vec(),
        any_order,
        now_ms: NOW_MS,
        ..ScanRequest::default()
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
