//! Whatever the history, a scan that is told ever less leaves nothing out that is wanted to the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use proptest::prelude::*;

use super::histories::{NOW_MS, Op, op, replay, with_own_stamps};
use super::model::{Cell, Row, Write};
use super::table::{ALL, AT, Table, VALUES, rows};
use crate::read::{Narrowing, ScanRequest, Wanted, WantedValues, ZonePredicate, ZoneValue};

/// Rows at `at` or before, one moment less each time that it is asked, and with a value of `least` or more, or none.
#[derive(Debug)]
struct Ever {
    at: AtomicI64,
    step: i64,
    least: Option<i64>,
    nulls: bool,
}

impl Ever {
    fn wants(&self, at: i64, row: &Row) -> bool {
        let value = match row[2] {
            Some(value) => self.least.is_some_and(|least| value >= least),
            None => self.nulls,
        };
        at <= self.at.load(Ordering::Relaxed) / 10 && (value || row[0].is_none())
    }
}

impl Narrowing for Ever {
    fn now(&self) -> Arc<[Wanted]> {
        let at = (self.at.fetch_sub(self.step, Ordering::Relaxed) - self.step) / 10;
        let at = ZonePredicate {
            column: AT,
            low: None,
            high: Some(ZoneValue::Int(at)),
        };
        let range = self.least.map(|least| ZonePredicate {
            column: VALUES[2],
            low: Some(ZoneValue::Int(least)),
            high: None,
        });
        let of = |column, range, nulls| WantedValues {
            column,
            range,
            nulls,
        };
        Arc::new([
            Wanted {
                one_of: vec![of(AT, Some(at), false)],
            },
            Wanted {
                one_of: vec![of(VALUES[2], range, self.nulls), of(VALUES[0], None, true)],
            },
        ])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_wanted_to_the_end_is_there(
        ops in prop::collection::vec(op(), 1..24),
        at in 20_i64..80, step in 0_i64..4, least in prop::option::of(-10_i64..10), nulls in any::<bool>(),
        reverse in any::<bool>(), any_order in any::<bool>(),
    ) {
        let ops: Vec<Op> = with_own_stamps(ops);
        let (table, model): (Table, _) = replay(&ops);
        let ever = Arc::new(Ever { at: AtomicI64::new(at), step, least, nulls });
        let request = ScanRequest {
            columns: ALL.to_vec(),
            narrowing: vec![ever.clone()],
            reverse,
            any_order,
            now_ms: NOW_MS,
            ..ScanRequest::default()
        };
        let found: Vec<_> = table.snapshot().scan(request).unwrap().map(Result::unwrap).collect();
        let holds = |((_, at), row): &((u8, i64), Row)| ever.wants(*at, row);
        let mut found: Vec<_> = rows(&found).into_iter().filter(holds).collect();
        found.sort_by_key(|((device, at), _)| (*device, -at));
        let expected: Vec<_> = model.rows(NOW_MS).into_iter().filter(holds).collect();
        prop_assert_eq!(found, expected);
    }
}

/// A file of two vectors, of which one holds nothing that is wanted: it stays unread.
#[test]
fn a_vector_of_which_nothing_is_wanted_stays_unread() {
    let mut table = Table::new();
    let writes: Vec<Write> = (0..1500)
        .map(|at| Write {
            device: 0,
            at,
            cells: [Cell::Value(at), Cell::Null, Cell::Value(1)],
            expiry_ms: 0,
            tombstone: false,
            hlc: at.unsigned_abs() + 1,
            origin: 0,
        })
        .collect();
    table.write(&writes);
    table.flush_all();
    let read = |narrowing: Vec<Arc<dyn Narrowing>>| {
        let request = ScanRequest {
            columns: ALL.to_vec(),
            narrowing,
            now_ms: NOW_MS,
            ..ScanRequest::default()
        };
        let mut scan = table.snapshot().scan(request).unwrap();
        let found: Vec<_> = scan.by_ref().map(Result::unwrap).collect();
        (rows(&found).len(), scan.stats().vectors_pruned)
    };
    assert_eq!(read(Vec::new()), (1500, 0));
    // The newest come first: the first vector holds the moments from 476 on.
    let ever = |at: i64, least, nulls| Ever {
        at: AtomicI64::new(at * 10),
        step: 0,
        least,
        nulls,
    };
    assert_eq!(read(vec![Arc::new(ever(400, Some(1), false))]), (476, 1));
    assert_eq!(read(vec![Arc::new(ever(2000, Some(2), true))]), (0, 2));
    assert_eq!(read(vec![Arc::new(ever(2000, None, false))]), (0, 2));
    assert_eq!(read(vec![Arc::new(ever(2000, Some(1), true))]), (1500, 0));
}
