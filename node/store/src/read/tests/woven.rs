//! Files whose rows come in turn: row by row, by chance, in stretches; in long partitions and in short ones; with keys
//! that are in several files, of which the newest row lies in one file throughout or here and there; with rows
//! that lack cells, expire or delete, and with rows in memory between those of files.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::histories::{Above, NOW_MS, Op, replay_on, request, scan};
use super::model::{Cell, Delete, Model, Row, Write};
use super::table::{ALL, DEVICE, Table, VALUES, span};
use crate::read::{RowFilter, ScanRequest, ScanStats, ZonePredicate, ZoneValue};

/// Which file a row lies in.
#[derive(Clone, Copy, Debug)]
enum Turn {
    RowByRow,
    ByChance,
    /// So many rows, then the next file's.
    Stretches(u64),
    /// Those of each file behind those of the one before.
    Behind,
}

/// Of rows of one key, which is the newest.
#[derive(Clone, Copy, Debug)]
enum Age {
    /// That of the last file.
    Rising,
    /// That of the first file.
    Falling,
    /// This one here and that one there.
    Mixed,
}

#[derive(Clone, Debug)]
struct Shape {
    devices: u8,
    rows: i64,
    files: u64,
    turn: Turn,
    age: Age,
    /// Of a hundred rows so many are in a second file as well.
    doubled: u64,
    /// Of a hundred rows so many lie in memory.
    in_memory: u64,
    /// Of a hundred rows so many lack cells.
    partial: u64,
    /// Of a hundred rows so many are deletes.
    deleted: u64,
    /// Of a hundred rows so many expire, in the files of this mask.
    expiring: (u64, u64),
    seed: u64,
}

fn shape() -> impl Strategy<Value = Shape> {
    let size = prop_oneof![
        2 => (1_u8..4, 300_i64..1_500),
        2 => (10_u8..60, 1_i64..40),
        1 => (60_u8..120, 1_i64..4),
    ];
    let turn = prop_oneof![
        2 => Just(Turn::RowByRow),
        2 => Just(Turn::ByChance),
        1 => (2_u64..40).prop_map(Turn::Stretches),
        1 => Just(Turn::Behind),
    ];
    let age = prop_oneof![Just(Age::Rising), Just(Age::Falling), Just(Age::Mixed)];
    // Each only now and then, so that the ways that need its absence are taken too.
    let some = |most: u64| prop_oneof![3 => Just(0), 1 => 1..most];
    (
        (size, 2_u64..6, turn, age),
        (some(100), some(30), some(40), some(10)),
        (some(60), any::<u64>()),
        any::<u64>(),
    )
        .prop_map(|((size, files, turn, age), shares, expiring, seed)| Shape {
            devices: size.0,
            rows: size.1,
            files,
            turn,
            age,
            doubled: shares.0,
            in_memory: shares.1,
            partial: shares.2,
            deleted: shares.3,
            expiring,
            seed,
        })
}

impl Shape {
    /// A number below 100 that depends on all of these.
    fn chance(&self, what: u64, device: u8, at: i64, file: u64) -> u64 {
        let mut mixed = self.seed;
        for part in [what, u64::from(device), at.unsigned_abs(), file] {
            mixed = (mixed ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^= mixed >> 29;
        }
        mixed % 100
    }

    fn file_of(&self, device: u8, at: i64) -> u64 {
        let tick = at.unsigned_abs() + u64::from(device);
        match self.turn {
            Turn::RowByRow => tick % self.files,
            Turn::ByChance => self.chance(0, device, at, 0) % self.files,
            Turn::Stretches(rows) => tick / rows % self.files,
            Turn::Behind => at.unsigned_abs() * self.files / self.rows.unsigned_abs().max(1),
        }
    }

    fn write(&self, device: u8, at: i64, file: u64) -> Write {
        let row = u64::from(device) * 2_000 + at.unsigned_abs();
        // A key's rows have stamps of their own, next to each other where they are mixed.
        let turns = self.files + 1;
        let (hlc, origin) = match self.age {
            Age::Rising => (1 + file * 1_000_000 + row, 0),
            Age::Falling => (1 + (turns - file) * 1_000_000 + row, 0),
            Age::Mixed => (
                1 + row * 8 + (file + self.chance(1, device, at, 0)) % turns / 2,
                u32::try_from((file + self.chance(1, device, at, 0)) % turns % 2).unwrap(),
            ),
        };
        let tombstone = self.chance(2, device, at, file) < self.deleted;
        let value = Cell::Value(at * 7 % 50);
        let cells = if tombstone {
            [Cell::Absent, Cell::Absent, Cell::Absent]
        } else if self.chance(3, device, at, file) < self.partial {
            [Cell::Absent, Cell::Null, value]
        } else if self.chance(4, device, at, file) < 5 {
            [value.clone(), Cell::Null, value]
        } else {
            [Cell::Value(file as i64), value.clone(), value]
        };
        let expires = self.expiring.1 >> (file % 8) & 1 == 1
            && self.chance(5, device, at, file) < self.expiring.0;
        let expiry_ms = match at % 2 {
            _ if tombstone || !expires => 0,
            0 => NOW_MS / 2,
            _ => NOW_MS + 500,
        };
        Write {
            device,
            at,
            cells,
            expiry_ms,
            tombstone,
            hlc,
            origin,
        }
    }

    /// The writes of each file; the last ones are to stay in memory.
    fn files(&self) -> Vec<Vec<Write>> {
        let mut files = vec![Vec::new(); self.files as usize + 1];
        for device in 0..self.devices {
            for at in 0..self.rows {
                let mut file = self.file_of(device, at);
                if self.chance(6, device, at, 0) < self.in_memory {
                    file = self.files;
                }
                files[file as usize].push(self.write(device, at, file));
                if self.chance(7, device, at, 0) < self.doubled {
                    let other = (file + 1) % (self.files + 1);
                    files[other as usize].push(self.write(device, at, other));
                }
            }
        }
        files
    }

    fn table(&self, descending: bool, delete: Option<Delete>) -> (Table, Model) {
        let mut ops: Vec<Op> = delete.into_iter().map(Op::Delete).collect();
        for writes in self.files() {
            ops.extend([Op::Freeze, Op::Flush, Op::Write(writes)]);
        }
        ops.retain(|op| !matches!(op, Op::Write(writes) if writes.is_empty()));
        replay_on(Table::ordered(descending), &ops)
    }
}

fn delete() -> impl Strategy<Value = Option<Delete>> {
    let delete = (0_u8..3, 0_i64..500, 1_i64..300, 0_u64..3);
    let delete = delete.prop_map(|(device, from, length, file)| Delete {
        device,
        span: Some((from, from + length)),
        hlc: file * 1_000_000 + 500_000,
        origin: 2,
    });
    prop_oneof![3 => Just(None), 1 => delete.prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn woven_files_show_what_the_model_shows(
        shape in shape(),
        delete in delete(),
        descending in any::<bool>(),
        bound in 0_i64..50,
        limit in 1_usize..4_000,
        (high, low) in (0_i64..1_500, 0_i64..1_500),
        forgets in any::<bool>(),
    ) {
        let (mut table, model) = shape.table(descending, delete);
        table.forgets = forgets;
        for now_ms in [NOW_MS / 4, NOW_MS] {
            let mut expected = model.rows(now_ms);
            if !descending {
                expected.sort_unstable_by_key(|(key, _)| *key);
            }
            let sign = if descending { -1 } else { 1 };
            let sort = |rows: &mut Vec<((u8, i64), Row)>| {
                rows.sort_unstable_by_key(|((device, at), _)| (*device, sign * at));
            };
            let mut backward = expected.clone();
            backward.reverse();
            prop_assert_eq!(&scan(&table, request(now_ms)), &expected);
            prop_assert_eq!(&scan(&table, ScanRequest { reverse: true, ..request(now_ms) }), &backward);
            let limited = ScanRequest { limit: Some(limit), ..request(now_ms) };
            let most = limit.min(expected.len());
            prop_assert_eq!(&scan(&table, limited.clone())[..], &expected[..most]);
            prop_assert_eq!(
                &scan(&table, ScanRequest { reverse: true, ..limited.clone() })[..],
                &backward[..most]
            );
            let any = scan(&table, ScanRequest { any_order: true, ..limited });
            let shown: HashSet<_> = expected.iter().collect();
            let some: HashSet<_> = any.iter().collect();
            prop_assert_eq!((any.len(), some.len()), (most, most));
            prop_assert!(some.is_subset(&shown));
            for (reverse, codes) in [(false, vec![]), (true, vec![DEVICE]), (false, vec![DEVICE, VALUES[1]])] {
                let mut any = scan(&table, ScanRequest { any_order: true, reverse, codes, ..request(now_ms) });
                sort(&mut any);
                prop_assert_eq!(&any, &expected);
            }
            let above: Vec<_> = expected.iter().copied()
                .filter(|(_, row)| row[2].is_some_and(|value| value > bound)).collect();
            for (any_order, reverse) in [(false, false), (true, false), (true, true)] {
                let filter: Arc<dyn RowFilter> = Arc::new(Above(vec![VALUES[2]], bound));
                let filtered = ScanRequest { any_order, reverse, filter: Some(filter), ..request(now_ms) };
                let mut found = scan(&table, filtered);
                sort(&mut found);
                prop_assert_eq!(&found, &above);
            }
            // Vectors that hold nothing wanted may still hold the newest row of a key.
            for column in [0, 2] {
                let low = if column == 0 { 1.0 / 4.0 } else { 0.0 };
                let low = if column == 0 { ZoneValue::Float(low) } else { ZoneValue::Int(bound) };
                let predicates = vec![ZonePredicate { column: VALUES[column], low: Some(low), high: None }];
                let least = if column == 0 { 1 } else { bound };
                let wanted = |row: &Row| row[column].is_some_and(|value| value >= least);
                let mut found = scan(&table, ScanRequest { any_order: true, predicates, ..request(now_ms) });
                found.retain(|(_, row)| wanted(row));
                sort(&mut found);
                let kept: Vec<_> = expected.iter().copied().filter(|(_, row)| wanted(row)).collect();
                prop_assert_eq!(&found, &kept);
            }
            if descending {
                let (from, to) = (high.max(low), high.min(low));
                let inside: Vec<_> = expected.iter().copied()
                    .filter(|((device, at), _)| *device == 1 && to <= *at && *at <= from).collect();
                for any_order in [false, true] {
                    let ranges = vec![span(1, from, to)];
                    let mut found = scan(&table, ScanRequest { ranges, any_order, ..request(now_ms) });
                    sort(&mut found);
                    prop_assert_eq!(&found, &inside);
                }
            }
            for id in VALUES {
                let alone = ScanRequest { columns: vec![id], any_order: true, ..request(now_ms) };
                let alone = table.snapshot().scan(alone).unwrap();
                let alone: usize = alone.map(|batch| batch.unwrap().num_rows()).sum();
                prop_assert_eq!(alone, expected.len());
            }
        }
    }
}

/// Rows of six devices in three files, and what a scan of them took.
fn woven(turn: Turn, age: Age, doubled: u64, any_order: bool) -> (usize, ScanStats) {
    let shape = Shape {
        devices: 6,
        rows: 1_500,
        files: 3,
        turn,
        age,
        doubled,
        in_memory: 0,
        partial: 0,
        deleted: 0,
        expiring: (0, 0),
        seed: 7,
    };
    let mut ops = Vec::new();
    for mut writes in shape.files() {
        writes
            .iter_mut()
            .for_each(|write| write.cells[1] = Cell::Value(1));
        ops.extend([Op::Freeze, Op::Flush, Op::Write(writes)]);
    }
    ops.extend([Op::Freeze, Op::Flush]);
    ops.retain(|op| !matches!(op, Op::Write(writes) if writes.is_empty()));
    let (table, model) = replay_on(Table::ordered(false), &ops);
    let request = ScanRequest {
        columns: ALL.to_vec(),
        any_order,
        ..request(0)
    };
    let mut scan = table.snapshot().scan(request).unwrap();
    let rows = scan.by_ref().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, model.rows(0).len());
    (rows, scan.stats())
}

#[test]
fn rows_in_turn_are_not_resolved_one_by_one() {
    for turn in [
        Turn::RowByRow,
        Turn::ByChance,
        Turn::Stretches(11),
        Turn::Behind,
    ] {
        for age in [Age::Rising, Age::Falling, Age::Mixed] {
            for (doubled, any_order) in
                [(0, false), (0, true), (20, false), (20, true), (100, true)]
            {
                let (rows, stats) = woven(turn, age, doubled, any_order);
                assert_eq!(rows, 9_000);
                let resolved = stats.keys_merged;
                assert!(
                    resolved < 90,
                    "{resolved}: {turn:?} {age:?} {doubled} {any_order}"
                );
            }
        }
    }
}

#[test]
fn files_of_other_times_are_not_merged_where_no_order_is_asked_for() {
    let (rows, stats) = woven(Turn::Behind, Age::Mixed, 0, true);
    assert_eq!((rows, stats.keys_read, stats.vectors_whole), (9_000, 0, 9));
    let (rows, stats) = woven(Turn::Behind, Age::Mixed, 0, false);
    assert_eq!(rows, 9_000);
    assert!(stats.keys_read > 0);
}
