//! Levels: disjoint below level 0, each of its size, however often rows are written again.

use super::super::tests::{file_of, shown, write};
use super::*;
use crate::compaction::{Strategy, choose_by};
use crate::read::tests::model::Write;
use crate::read::tests::table::Table;

fn policy() -> Policy {
    Policy {
        files_min: 4,
        // A file of this size holds some hundred rows.
        file_bytes_max: 4096,
        ..Policy::default()
    }
}

fn settle_down(table: &mut Table) {
    for _ in 0..1000 {
        match choose_by(Strategy::Levelled, &table.version, &policy()) {
            Some(choice) => table.compact(&choice),
            None => return,
        };
    }
    panic!("merging does not come to an end");
}

#[test]
fn levels_below_the_first_do_not_overlap_and_keep_their_size() {
    let mut table = Table::new();
    let mut hlc = 0;
    for round in 0..60_i64 {
        let writes: Vec<Write> = (0..2_000)
            .map(|step| {
                hlc += 1;
                write((round * 7919 + step * 31) % 40_000, hlc)
            })
            .collect();
        file_of(&mut table, &writes);
        settle_down(&mut table);
        let levels = levels(&table.version);
        assert!(levels[0].len() < 4);
        let named = |level: u8| {
            let files = table.version.files.iter();
            files.filter(|file| file.sst.meta().level == level).count()
        };
        for (level, files) in (1..LEVELS_MAX).zip(levels.iter().skip(1)) {
            assert_eq!(files.len(), named(level), "level {level} overlaps");
            assert!(bytes(files) <= size_max(level, &policy()), "level {level}");
        }
    }
    assert!(
        table
            .version
            .files
            .iter()
            .any(|file| file.sst.meta().level >= 2)
    );
    assert!(shown(&table) <= 40_000);
    // Stale fragments are a small part.
    let fragments: u64 = table
        .version
        .files
        .iter()
        .map(|file| file.sst.meta().rows)
        .sum();
    assert!(fragments as f64 <= 1.5 * shown(&table) as f64 + 8_000.0);
}

#[test]
fn files_that_overlap_in_their_level_are_put_in_order() {
    let mut table = Table::new();
    for round in 0..4_i64 {
        file_of(&mut table, &[write(round, 1), write(round + 10, 2)]);
    }
    // As the other policy leaves them: levels that say nothing about keys.
    for place in 0..4 {
        let file = table.version.files[0].as_ref();
        let choice = pick(&table.version, &policy(), Reason::Files, vec![file], 1);
        table.compact(&choice);
        assert_eq!(table.version.files.len(), 4, "{place}");
    }
    settle_down(&mut table);
    assert_eq!(table.version.files.len(), 1);
    assert_eq!(shown(&table), 8);
}
