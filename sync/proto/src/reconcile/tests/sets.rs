//! Random damage against a model, repair, and peers that lie.

use std::collections::BTreeSet;

use activestore_types::Hlc;
use proptest::prelude::*;

use super::model::{DAY, Model, Row, compare, lacking, readings, table};
use crate::reconcile::*;
use crate::{Frame, encode as encode_frame};

/// What happens to a stretch of rows of one end.
#[derive(Clone, Debug)]
enum Damage {
    /// All of them are gone.
    Hole { from: u64, rows: u64 },
    /// Every so-manyth is gone.
    Scattered { every: u64, rest: u64 },
    /// Every so-manyth says something else, later.
    Changed { every: u64, rest: u64 },
    /// Every so-manyth was erased.
    Erased { every: u64, rest: u64 },
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (0..5000_u64, 1..3000_u64).prop_map(|(from, rows)| Damage::Hole { from, rows }),
        (2..2000_u64, 0..2000_u64).prop_map(|(every, rest)| Damage::Scattered { every, rest }),
        (2..2000_u64, 0..2000_u64).prop_map(|(every, rest)| Damage::Changed { every, rest }),
        (2..2000_u64, 0..2000_u64).prop_map(|(every, rest)| Damage::Erased { every, rest }),
    ]
}

fn hurt(model: &Model, rows: &[Row], damage: &Damage, later: &mut u64) {
    for (n, row) in rows.iter().enumerate() {
        let n = n as u64;
        *later += 1;
        match damage {
            Damage::Hole { from, rows } if (*from..from + rows).contains(&n) => {
                model.rows.lock().remove(&row.key);
            }
            Damage::Scattered { every, rest } if n % every == rest % every => {
                model.rows.lock().remove(&row.key);
            }
            Damage::Changed { every, rest } if n % every == rest % every => model.insert(Row {
                hlc: row.hlc + 1 + (*later << 24),
                value: *later,
                ..*row
            }),
            Damage::Erased { every, rest } if n % every == rest % every => {
                model.erase(row.key, row.hlc + 1);
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_differs_is_found_and_mended(
        rows in 1..6000_u64,
        machines in 1..40_u64,
        small in any::<bool>(),
        here_damage in proptest::collection::vec(damage(), 0..3),
        there_damage in proptest::collection::vec(damage(), 0..3),
    ) {
        let all: Vec<Row> = readings(rows, machines).collect();
        let (mut here, there) = (Model::of(all.clone()), Model::of(all.clone()));
        if small {
            here.items_max = 700;
        }
        let mut later = 0;
        here_damage.iter().for_each(|one| hurt(&here, &all, one, &mut later));
        there_damage.iter().for_each(|one| hurt(&there, &all, one, &mut later));
        let differ = !lacking(&here, &there).is_empty() || !lacking(&there, &here).is_empty();
        let (report, _) = compare(&here, &there, false).unwrap();
        prop_assert_eq!(report.outcome.differences > 0, differ);
        // A row that differs at both ends may take a second round: the newer of both is mended first.
        for _ in 0..4 {
            compare(&here, &there, true).unwrap();
            here.deliver(&there);
        }
        let (report, _) = compare(&here, &there, false).unwrap();
        prop_assert_eq!(report.outcome.differences, 0);
        prop_assert!(lacking(&here, &there).is_empty());
        prop_assert!(lacking(&there, &here).is_empty());
        // Nothing that was erased later than it was written is back.
        for (key, hlc) in here.erased.lock().iter().chain(there.erased.lock().iter()) {
            let back = here.rows.lock().get(key).is_some_and(|row| row.hlc <= *hlc);
            prop_assert!(!back);
        }
    }

    #[test]
    fn coded_symbols_give_the_difference_of_two_sets(
        common in proptest::collection::btree_set(any::<u64>(), 0..2000),
        ours in proptest::collection::btree_set(any::<u64>(), 0..200),
        theirs in proptest::collection::btree_set(any::<u64>(), 0..200),
    ) {
        let ours: BTreeSet<u64> = ours.difference(&common).copied().collect();
        let theirs: BTreeSet<u64> = theirs.difference(&common).copied().collect();
        let ours: BTreeSet<u64> = ours.difference(&theirs).copied().collect();
        let most = 3 * (ours.len() + theirs.len()) + 40;
        let here = encode(common.iter().chain(&ours).copied(), 0, most);
        // The other end sends them in two pieces.
        let mut there = encode(common.iter().chain(&theirs).copied(), 0, most / 3);
        there.extend(encode(common.iter().chain(&theirs).copied(), most / 3, most - most / 3));
        let mut left = here;
        left.iter_mut().zip(&there).for_each(|(ours, theirs)| ours.subtract(theirs));
        let found = decode(left).unwrap();
        prop_assert_eq!(found.here.into_iter().collect::<BTreeSet<_>>(), ours);
        prop_assert_eq!(found.there.into_iter().collect::<BTreeSet<_>>(), theirs);
    }

    #[test]
    fn ranges_come_out_of_their_packing_as_they_went_in(bounds in proptest::collection::btree_set(any::<u64>(), 0..40)) {
        let bounds: Vec<u64> = bounds.into_iter().collect();
        let ranges: Vec<(u64, u64)> = bounds.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        prop_assert_eq!(PackedRanges::pack(&ranges).unpack().unwrap(), ranges);
    }
}

#[test]
fn symbols_take_about_one_and_a_half_for_each_difference() {
    for differences in [20_u64, 100, 1000] {
        let ids = |n: u64| (0..n).map(|n| keyed(7, u128::from(n)) as u64);
        let mut count = differences as usize;
        loop {
            let mut left = encode(ids(2000 + differences), 0, count);
            let there = encode(ids(2000), 0, count);
            left.iter_mut().zip(&there).for_each(|(a, b)| a.subtract(b));
            if decode(left).is_some() {
                break;
            }
            count += 1;
        }
        println!("{differences} differences: {count} symbols");
        assert!(count as u64 <= differences * 2 + 10);
    }
}

#[test]
fn what_one_end_let_go_on_purpose_is_no_difference() {
    let row = |day: u64, n: u64| Row {
        key: day << 32 | n,
        hlc: (20_000 + day) * DAY + n,
        value: n,
    };
    let all =
        |days: std::ops::Range<u64>| days.flat_map(move |day| (0..50).map(move |n| row(day, n)));
    for evicted_here in [true, false] {
        let mut short = Model::of(all(3..6));
        short.evicted = Some(20_003);
        let long = Model::of(all(0..6));
        let (here, there) = if evicted_here {
            (&short, &long)
        } else {
            (&long, &short)
        };
        let (report, _) = compare(here, there, false).unwrap();
        assert_eq!(report.outcome.differences, 0);
        assert!(report.tables.iter().all(TableReport::equal));
    }
}

#[test]
fn answers_that_make_no_sense_end_the_comparison() {
    let lies: Vec<fn(Found) -> Found> = vec![
        |_| Found::Noted,
        |found| match found {
            Found::Sums(mut others) => {
                others.iter_mut().for_each(|other| other.range += 4000);
                Found::Sums(others)
            }
            other => other,
        },
        |found| match found {
            Found::Sums(mut others) => {
                others.reverse();
                Found::Sums(others)
            }
            other => other,
        },
        |found| match found {
            Found::Coded(mut all) => {
                all.iter_mut().for_each(|(_, symbols)| symbols.clear());
                Found::Coded(all)
            }
            other => other,
        },
        |found| match found {
            Found::Rows { payload, rows, .. } => Found::Rows {
                payload,
                rows,
                next: Some(1),
            },
            other => other,
        },
    ];
    let mut failed = 0;
    for lie in lies {
        let here = Model::of(readings(3000, 7));
        let rows = readings(2000, 7).enumerate();
        let there = Model::of(rows.filter(|(n, _)| n % 197 != 3).map(|(_, row)| row));
        let mut comparing = Comparing::new(Wish {
            repair: true,
            scheduled: false,
        });
        // The other way round: it is this end that lacks rows.
        let mut answered = None;
        let mut asked = 0;
        let outcome = loop {
            match comparing.step(&there, answered.take()) {
                Ok(Step::Ask(question)) => {
                    asked += 1;
                    assert!(asked < 1000, "a lie makes it ask for ever");
                    answered = Some(answer(&question, &here).found.map(lie));
                }
                Ok(Step::Wait(_)) => {}
                Ok(Step::Done(report)) => break Ok(report),
                Err(error) => break Err(error),
            }
        };
        failed += usize::from(outcome.is_err());
    }
    assert_eq!(failed, 5);
}

#[test]
fn questions_beyond_their_bounds_are_refused() {
    let view = View {
        writer: activestore_types::NodeId([0; 16]),
        as_of: Hlc(1),
        now_ms: 1,
        seed: 1,
        evicted: Vec::new(),
        deletes_from: Hlc::ZERO,
        whose: Whose::Own,
    };
    let range = CodedRange {
        low: 0,
        high: u64::MAX,
        from: 0,
        count: SYMBOLS_ASKED_MAX as u32,
    };
    let pick = Pick {
        low: 0,
        high: 1,
        all_but: false,
        ids: vec![0; IDS_MAX + 1],
    };
    let beyond = [
        Ask::Coded {
            table: table(),
            day: 0,
            ranges: vec![
                CodedRange {
                    count: 1,
                    ..range.clone()
                };
                2
            ],
        },
        Ask::Coded {
            table: table(),
            day: 0,
            ranges: vec![CodedRange {
                count: SYMBOLS_ASKED_MAX as u32 + 1,
                ..range.clone()
            }],
        },
        Ask::Coded {
            table: table(),
            day: 0,
            ranges: vec![CodedRange {
                from: u32::MAX,
                ..range
            }],
        },
        Ask::Sums {
            table: table(),
            day: 0,
            ranges: PackedRanges::pack(&[(0, 1)]),
            sums: vec![[0; 16]; 2],
        },
        Ask::Days {
            table: table(),
            cuts: Vec::new(),
            sums: Vec::new(),
        },
        Ask::Have {
            table: table(),
            day: 0,
            ranges: PackedRanges::pack(&[(0, 1)]),
            ids: vec![vec![0; 33]],
        },
        Ask::Rows {
            table: table(),
            day: 0,
            pick,
        },
        Ask::Judge {
            table: table(),
            keys: vec![
                KeyAt {
                    key: vec![0; 2049],
                    hlc: Hlc(1),
                };
                KEYS_MAX
            ],
        },
    ];
    for ask in beyond {
        let question = Question {
            id: 1,
            view: view.clone(),
            ask,
        };
        let refused = encode_frame(&Frame::Question(Box::new(question.clone())));
        assert!(refused.is_err(), "{question:?}");
    }
    let unreadable = PackedRanges::pack(&[(5, 1)]);
    let there = Model::of(readings(10, 1));
    let odd = Question {
        id: 1,
        view,
        ask: Ask::Sums {
            table: table(),
            day: 0,
            ranges: unreadable,
            sums: vec![[0; 16]],
        },
    };
    assert!(answer(&odd, &there).found.is_err());
}
