//! Windows: how often rows are rewritten, how many files stand side by side, what late rows do.

use activestore_types::{Hlc, TableSchema};
use std::sync::Arc;

use super::super::tests::{file_of, shown, write};
use super::*;
use crate::compaction::choose_by;
use crate::read::tests::model::Write;
use crate::read::tests::table::{Table, schema};

/// A window of the tests holds this many flushes.
const WINDOW: i64 = 1000;

fn policy() -> Policy {
    Policy {
        files_min: 4,
        small_bytes: 0,
        now_ms: 1 << 40,
        ..Policy::default()
    }
}

fn table(ttl_s: Option<u64>) -> Table {
    Table::of(Arc::new(TableSchema {
        ttl_s,
        ..schema().as_ref().clone()
    }))
}

/// Merges until nothing is left to do; the rows written.
fn settle_down(table: &mut Table, policy: &Policy) -> u64 {
    let strategy = Strategy::TimeWindow { length_ns: WINDOW };
    let mut written = 0;
    for _ in 0..10_000 {
        match choose_by(strategy, &table.version, policy) {
            Some(choice) => written += table.compact(&choice).fragments_out,
            None => return written,
        }
    }
    panic!("merging does not come to an end");
}

fn levels(table: &Table) -> Vec<u8> {
    let files = table.version.files.iter();
    files.map(|file| file.sst.meta().level).collect()
}

#[test]
fn enough_files_of_a_level_become_one() {
    let mut table = table(None);
    for at in 0..3 {
        file_of(&mut table, &[write(at, at as u64 + 1)]);
    }
    assert_eq!(settle_down(&mut table, &policy()), 0);
    file_of(&mut table, &[write(3, 9)]);
    assert_eq!(settle_down(&mut table, &policy()), 4);
    assert_eq!(levels(&table), [1]);
    assert_eq!(table.version.files[0].sst.meta().min_time_ns, Some(0));
    assert_eq!(table.version.files[0].sst.meta().max_time_ns, Some(3));
    assert_eq!(shown(&table), 4);
}

#[test]
fn rows_in_the_order_of_time_are_rewritten_three_times_at_most() {
    for (ttl_s, step) in [(None, 7), (None, 400), (Some(3600), 7), (Some(3600), 2500)] {
        let mut table = table(ttl_s);
        let (mut rows, mut written, mut files) = (0, 0, 0);
        for flush in 0..400_i64 {
            let (at, hlc) = (flush * step, flush as u64 * 2 + 1);
            file_of(&mut table, &[write(at, hlc), write(at + 1, hlc + 1)]);
            rows += 2;
            written += settle_down(&mut table, &policy());
            if ttl_s.is_none() {
                files = files.max(table.version.files.len());
            }
        }
        assert!(written <= 3 * rows, "{written} rows written for {rows}");
        assert!(levels(&table).iter().all(|level| *level <= LEVEL_MAX));
        // Of 400 flushes, the files that are left side by side.
        assert!(files <= 24, "{files} files");
        assert_eq!(shown(&table), 800);
    }
}

#[test]
fn a_window_that_ended_becomes_one_file_and_lasts() {
    let mut table = table(Some(3600));
    for at in 0..3 {
        file_of(&mut table, &[write(at, at as u64 + 1)]);
    }
    // A later window has rows, but the clock is not past the first one: its rows are ahead of time.
    file_of(&mut table, &[write(WINDOW * 2, 10)]);
    let early = Policy {
        now_ms: 0,
        ..policy()
    };
    assert_eq!(settle_down(&mut table, &early), 0);
    assert_eq!(settle_down(&mut table, &policy()), 3);
    assert_eq!(table.version.files.len(), 2);
    assert_eq!(settle_down(&mut table, &policy()), 0);
}

#[test]
fn late_rows_are_cut_off_and_do_not_rewrite_their_window_each_time() {
    let mut table = table(Some(3600));
    let window = |number: i64| -> Vec<Write> {
        let times = number * WINDOW..(number + 1) * WINDOW;
        times.map(|at| write(at, at as u64 + 1)).collect()
    };
    let mut written = 0;
    for number in 0..8 {
        for part in window(number).chunks(250) {
            file_of(&mut table, part);
        }
        written += settle_down(&mut table, &policy());
    }
    assert!(written <= 3 * 8000);
    let mut hlc = 100_000;
    for round in 0..64_i64 {
        // Five rows of now and one of long ago.
        let mut rows: Vec<Write> = (0..5)
            .map(|at| write(8 * WINDOW + round * 5 + at, hlc))
            .collect();
        rows.push(write(round % 7, hlc + 1));
        hlc += 10;
        file_of(&mut table, &rows);
        written += settle_down(&mut table, &policy());
    }
    let now = 8 * WINDOW;
    for file in &table.version.files {
        let meta = file.sst.meta();
        let (first, last) = meta.min_time_ns.zip(meta.max_time_ns).unwrap();
        assert!(
            last < now || first >= now || meta.level == 0,
            "{first} to {last}"
        );
    }
    assert!(table.version.files.len() <= 8 + 12, "{:?}", levels(&table));
    // 384 rows came late or beside them: the old windows were not written 16 times over.
    assert!(written <= 3 * 8000 + 6 * 1000, "{written}");
    let policy = Policy {
        settled: Some(Hlc(u64::MAX)),
        ..policy()
    };
    settle_down(&mut table, &policy);
    assert_eq!(shown(&table), 8000 + 64 * 5);
}

#[test]
fn windows_are_a_part_of_the_time_to_live() {
    let of = |ttl_s, compaction| {
        Strategy::of(&TableSchema {
            ttl_s,
            compaction,
            ..schema().as_ref().clone()
        })
    };
    let length_ns = |length_ns| Strategy::TimeWindow { length_ns };
    assert_eq!(
        of(None, CompactionMode::Automatic),
        length_ns(LENGTH_NS_DEFAULT)
    );
    let hour = 3_600 * 1_000_000_000;
    assert_eq!(
        of(Some(64 * 3600), CompactionMode::TimeWindow),
        length_ns(hour)
    );
    assert_eq!(
        of(Some(60), CompactionMode::Automatic),
        length_ns(LENGTH_NS_MIN)
    );
    assert_eq!(of(None, CompactionMode::Levelled), Strategy::Levelled);
}
