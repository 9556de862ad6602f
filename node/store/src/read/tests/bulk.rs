//! Long runs of rows over many vectors, from several files and memtables, interleaved, repeated, deleted
//! and expiring: scans either way and last rows still show what the model shows.

use activestore_types::KeyRange;
use proptest::prelude::*;

use super::histories::{NOW_MS, Op, replay_on};
use super::model::{Cell, Delete, Write};
use super::table::{ALL, Table, partition, rows, span};
use crate::read::{LastRequest, ScanRequest};

/// Rows of one device at even distances.
#[derive(Clone, Debug)]
struct Bulk {
    device: u8,
    from: i64,
    rows: i64,
    step: i64,
    expiry_ms: u64,
    tombstone: bool,
    full: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Bulk(Bulk),
    Delete(u8, i64, i64),
    Flush,
}

fn part() -> impl Strategy<Value = Part> {
    let bulk = (
        0_u8..3,
        0_i64..3000,
        1_i64..1500,
        1_i64..4,
        prop_oneof![4 => Just(0_u64), 1 => Just(500), 1 => Just(1500)],
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.8),
    );
    let bulk = bulk.prop_map(|(device, from, rows, step, expiry_ms, tombstone, full)| {
        Part::Bulk(Bulk {
            device,
            from,
            rows,
            step,
            expiry_ms,
            tombstone,
            full,
        })
    });
    prop_oneof![
        5 => bulk,
        1 => (0_u8..3, 0_i64..4000, 1_i64..800).prop_map(|(device, from, length)| {
            Part::Delete(device, from, from + length)
        }),
        3 => Just(Part::Flush),
    ]
}

/// The parts as steps of a history; `order` says how new each of them is.
fn ops(parts: &[Part], order: &[u64]) -> Vec<Op> {
    let mut ops = Vec::new();
    for (part, base) in parts.iter().zip(order) {
        let hlc = base * 10_000 + 1;
        match part {
            Part::Bulk(bulk) => {
                let writes = (0..bulk.rows).map(|row| {
                    let value = Cell::Value(hlc as i64 + row);
                    let rest = if bulk.full {
                        value.clone()
                    } else {
                        Cell::Absent
                    };
                    let cells = if bulk.tombstone {
                        [Cell::Absent, Cell::Absent, Cell::Absent]
                    } else {
                        [value, rest.clone(), rest]
                    };
                    Write {
                        device: bulk.device,
                        at: bulk.from + row * bulk.step,
                        cells,
                        expiry_ms: if bulk.tombstone { 0 } else { bulk.expiry_ms },
                        tombstone: bulk.tombstone,
                        hlc: hlc + row as u64,
                        origin: 0,
                    }
                });
                ops.push(Op::Write(writes.collect()));
            }
            Part::Delete(device, from, to) => ops.push(Op::Delete(Delete {
                device: *device,
                span: Some((*from, *to)),
                hlc,
                origin: 0,
            })),
            Part::Flush => ops.extend([Op::Freeze, Op::Flush]),
        }
    }
    ops
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn long_runs_show_what_the_model_shows(
        parts in prop::collection::vec(part(), 1..12),
        order in Just((1..13_u64).collect::<Vec<_>>()).prop_shuffle(),
        in_order in any::<bool>(),
        descending in any::<bool>(),
        (high, low) in (0_i64..6000, 0_i64..6000),
        limit in 1_usize..9000,
    ) {
        let mut order = order;
        if in_order {
            order.sort_unstable();
        }
        let (table, model) = replay_on(Table::ordered(descending), &ops(&parts, &order));
        let snapshot = table.snapshot();
        let scan = |request: ScanRequest| {
            let request = ScanRequest { columns: ALL.to_vec(), ..request };
            let batches: Vec<_> = snapshot.scan(request).unwrap().map(Result::unwrap).collect();
            rows(&batches)
        };
        for now_ms in [NOW_MS, 2000] {
            let mut expected = model.rows(now_ms);
            if !descending {
                expected.sort_unstable_by_key(|(key, _)| *key);
            }
            let base = ScanRequest { now_ms, ..ScanRequest::default() };
            prop_assert_eq!(&scan(base.clone()), &expected);
            let mut backward = expected.clone();
            backward.reverse();
            prop_assert_eq!(&scan(ScanRequest { reverse: true, ..base.clone() }), &backward);
            for reverse in [false, true] {
                let mut any = scan(ScanRequest { any_order: true, small_batches: !reverse, reverse, ..base.clone() });
                let sign = if descending { -1 } else { 1 };
                any.sort_unstable_by_key(|((device, at), _)| (*device, sign * at));
                prop_assert_eq!(&any, &expected);
            }
            let limited = ScanRequest { limit: Some(limit), ..base.clone() };
            prop_assert_eq!(&scan(limited.clone())[..], &expected[..limit.min(expected.len())]);
            prop_assert_eq!(
                &scan(ScanRequest { reverse: true, ..limited })[..],
                &backward[..limit.min(expected.len())]
            );
            if descending {
                let (from, to) = (high.max(low), high.min(low));
                let ranges = vec![span(0, from, to), KeyRange::prefix(&partition(2))];
                let inside = |((device, at), _): &((u8, i64), _)| {
                    *device == 2 || (*device == 0 && to <= *at && *at <= from)
                };
                let expected: Vec<_> = expected.iter().copied().filter(inside).collect();
                for reverse in [false, true] {
                    let mut found = scan(ScanRequest { ranges: ranges.clone(), reverse, ..base.clone() });
                    if reverse {
                        found.reverse();
                    }
                    prop_assert_eq!(&found, &expected);
                }
            }
            let mut newest: Vec<((u8, i64), _)> = Vec::new();
            for ((device, at), row) in &expected {
                match newest.last_mut() {
                    Some(((last, held), kept)) if last == device => {
                        if at > held {
                            (*held, *kept) = (*at, *row);
                        }
                    }
                    _ => newest.push(((*device, *at), *row)),
                }
            }
            let request = LastRequest { columns: ALL.to_vec(), now_ms, ..LastRequest::default() };
            let found: Vec<_> = snapshot.last_rows(request).unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(rows(&found), newest);
        }
    }
}
