//! Which files go, which stay for whose sake, and what is cut.

use std::sync::Arc;

use activestore_types::{Hlc, Lsn};

use super::*;
use crate::compaction::tests::{file_of, shown, write};
use crate::read::tests::table::Table;

fn eviction(before_ns: i64, covered: u64) -> Eviction {
    Eviction {
        before_ns,
        covered: Lsn(covered),
        stamped_after: Hlc::ZERO,
    }
}

/// The last file as if its rows were in log records up to this one.
fn reaching(table: &mut Table, lsn: u64) {
    let last = table.version.files.pop().unwrap();
    table.version.files.push(Arc::new(TableFile {
        reach: Lsn(lsn),
        ..last.as_ref().clone()
    }));
}

/// Drops what may go; the files that stay.
fn evict(table: &mut Table, eviction: &Eviction) -> usize {
    if let Some(choice) = gone(&table.version, &Policy::default(), eviction) {
        table.compact(&choice);
    }
    table.version.files.len()
}

#[test]
fn a_file_goes_when_it_is_old_and_covered() {
    let mut table = Table::new();
    file_of(&mut table, &[write(10, 1), write(20, 2)]);
    reaching(&mut table, 5);
    assert_eq!(evict(&mut table, &eviction(20, 9)), 1, "a row is not older");
    assert_eq!(evict(&mut table, &eviction(21, 4)), 1, "it is not covered");
    let later = Eviction {
        stamped_after: Hlc(1),
        ..eviction(21, 9)
    };
    assert_eq!(evict(&mut table, &later), 1, "a row was stamped before");
    assert_eq!(evict(&mut table, &eviction(21, 5)), 0);
}

#[test]
fn a_file_stays_where_something_older_would_show() {
    let mut table = Table::new();
    file_of(&mut table, &[write(10, 7)]);
    reaching(&mut table, 1);
    // In the log after it, stamped before: two writers at once.
    file_of(&mut table, &[write(10, 6)]);
    reaching(&mut table, 2);
    assert_eq!(evict(&mut table, &eviction(100, 1)), 2);
    table.write(&[write(10, 5)]);
    assert_eq!(evict(&mut table, &eviction(100, 2)), 2, "it is in memory");
    table.flush_all();
    reaching(&mut table, 3);
    assert_eq!(evict(&mut table, &eviction(100, 3)), 0, "all go together");
}

#[test]
fn a_row_that_is_written_late_stays_until_it_is_covered() {
    let mut table = Table::new();
    file_of(&mut table, &[write(10, 1)]);
    reaching(&mut table, 1);
    file_of(&mut table, &[write(10, 8), write(11, 9)]);
    reaching(&mut table, 2);
    assert_eq!(evict(&mut table, &eviction(100, 1)), 1);
    assert_eq!(shown(&table), 2);
    assert_eq!(evict(&mut table, &eviction(100, 2)), 0);
}

#[test]
fn a_file_on_both_sides_is_cut_and_nothing_is_lost_by_it() {
    let mut table = Table::new();
    let rows: Vec<_> = (0..50).map(|at| write(at, at as u64 + 1)).collect();
    file_of(&mut table, &rows);
    reaching(&mut table, 1);
    let bounds = eviction(20, 1);
    let id = table.version.files[0].id;
    assert!(cut(&table.version, &Policy::default(), &bounds, &[id]).is_none());
    assert!(cut(&table.version, &Policy::default(), &eviction(20, 0), &[]).is_none());
    let choice = cut(&table.version, &Policy::default(), &bounds, &[]).unwrap();
    table.compact(&choice);
    assert_eq!(shown(&table), 50);
    assert_eq!(left(&table.version, &bounds), 1);
    assert_eq!(evict(&mut table, &bounds), 1);
    assert_eq!(shown(&table), 30);
    assert_eq!(left(&table.version, &bounds), 0);
    assert!(cut(&table.version, &Policy::default(), &bounds, &[]).is_none());
}

#[test]
fn the_bound_moves_in_steps_and_leaves_at_least_what_was_said() {
    let mut table = Table::new();
    assert_eq!(bound(&table.version, 1 << 40), None);
    let week_ns = 7 * 86_400_000_000_000_i64;
    table.version.keep_ns = Some(week_ns);
    let mut last = i64::MIN;
    let mut steps = 0;
    for hour in 0..240 {
        let now_ms = (1 << 40) + hour * 3_600_000;
        let now_ns = now_ms as i64 * 1_000_000;
        let at = bound(&table.version, now_ms).unwrap();
        assert!(at <= now_ns - week_ns && at > now_ns - week_ns - week_ns / 8 - 1);
        assert!(at >= last);
        steps += i64::from(at != last);
        last = at;
    }
    assert!((10..=13).contains(&steps), "{steps}");
}
