//! Any sequence of writes, partial writes, deletes, flushes, merges and restarts shows the same rows
//! as a list of all fragments resolved by the rules, cell by cell.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_env::SimEnv;
use activestore_store::{ScanRequest, Store, StoreOptions, WriteSet};
use activestore_types::{
    BatchColumn, Column, ColumnId, DataType, Hlc, OriginId, RangeTombstone, RowBatch, TableSchema,
};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use crate::world::{TABLE, key, options, schema};

const IDS: i64 = 12;

/// A cell of a write: absent, NULL or a value.
type Cell = Option<Option<i64>>;

#[derive(Clone, Debug)]
enum Step {
    /// Rows (id, cells), stamped as late as the others or, with a peer as origin, this much earlier.
    Write(Vec<(i64, [Cell; 2])>, u64),
    Delete(i64),
    DeleteRange(i64, i64),
    Flush,
    Compact,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let cell = prop_oneof![
        Just(None),
        Just(Some(None)),
        (0_i64..100).prop_map(|v| Some(Some(v)))
    ];
    let row = (0..IDS, [cell.clone(), cell]);
    prop_oneof![
        6 => (proptest::collection::vec(row, 1..6), prop_oneof![3 => Just(0), 1 => 1_u64..2000])
            .prop_map(|(rows, earlier)| Step::Write(rows, earlier)),
        1 => (0..IDS).prop_map(Step::Delete),
        1 => (0..IDS, 1..4_i64).prop_map(|(start, length)| Step::DeleteRange(start, start + length)),
        1 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

fn table() -> Arc<TableSchema> {
    let mut schema = TableSchema::clone(&schema());
    schema.columns.pop();
    schema.columns.push(Column {
        id: ColumnId(3),
        name: "other".to_owned(),
        data_type: DataType::BigInt,
    });
    Arc::new(schema)
}

#[derive(Default)]
struct Fragments {
    writes: Vec<(i64, u64, [Cell; 2])>,
    deletes: Vec<(i64, i64, u64)>,
}

impl Fragments {
    fn resolve(&self) -> BTreeMap<i64, [Option<i64>; 2]> {
        let mut rows = BTreeMap::new();
        for id in 0..IDS {
            let barrier = self
                .deletes
                .iter()
                .filter(|(start, end, _)| (*start..*end).contains(&id))
                .map(|(_, _, hlc)| *hlc)
                .max()
                .unwrap_or(0);
            let mut alive: Vec<_> = self
                .writes
                .iter()
                .filter(|(other, hlc, _)| *other == id && *hlc > barrier)
                .collect();
            alive.sort_by_key(|(_, hlc, _)| std::cmp::Reverse(*hlc));
            if alive.is_empty() {
                continue;
            }
            let cell = |at: usize| alive.iter().find_map(|(_, _, cells)| cells[at]).flatten();
            rows.insert(id, [cell(0), cell(1)]);
        }
        rows
    }
}

fn batch(rows: &[(i64, [Cell; 2])], first: u64, origin: OriginId) -> RowBatch {
    let ids: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>());
    let mut columns = vec![BatchColumn {
        id: ColumnId(1),
        array: ids,
        set: None,
    }];
    for at in 0..2 {
        let set: BooleanBuffer = rows.iter().map(|row| row.1[at].is_some()).collect();
        let array: Int64Array = rows.iter().map(|row| row.1[at].flatten()).collect();
        columns.push(BatchColumn {
            id: ColumnId(2 + at as u32),
            array: Arc::new(array),
            set: Some(set),
        });
    }
    RowBatch::upsert(TABLE, rows.len(), columns, Hlc(first), origin)
}

fn read(store: &Store) -> BTreeMap<i64, [Option<i64>; 2]> {
    let columns = vec![ColumnId(1), ColumnId(2), ColumnId(3)];
    let snapshot = store.snapshot(TABLE).unwrap();
    let request = ScanRequest {
        columns: columns.clone(),
        ..ScanRequest::default()
    };
    let mut rows = BTreeMap::new();
    let mut ids = Vec::new();
    for batch in snapshot.scan(request).unwrap() {
        let batch = batch.unwrap();
        let column = |at: usize| batch.column(at).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let cell = |at| column(at).is_valid(row).then(|| column(at).value(row));
            ids.push(column(0).value(row));
            rows.insert(column(0).value(row), [cell(1), cell(2)]);
        }
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "keys in order, each once");
    for id in 0..IDS {
        let row = snapshot.get(&key(id), &columns, 0).unwrap();
        let found = row.map(|row| {
            [1, 2].map(|at| {
                let column = row.column(at).as_primitive::<Int64Type>();
                column.is_valid(0).then(|| column.value(0))
            })
        });
        assert_eq!(found, rows.get(&id).copied(), "a point read of {id}");
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_store_shows_what_the_rules_say(steps in proptest::collection::vec(step(), 1..40)) {
        let world = SimEnv::seeded(1);
        let options = StoreOptions { memtable_bytes: 4 << 10, ..options() };
        let mut store = Store::open(world.env(), options.clone()).unwrap();
        store.put_schema(table()).unwrap();
        let peer = store.origin_id(activestore_types::NodeId([9; 16])).unwrap();
        let mut fragments = Fragments::default();
        let mut now = 100_000_u64;
        let mut past = 0_u64;
        for step in steps {
            now += 1000;
            match step {
                Step::Write(rows, earlier) => {
                    // Earlier stamps are spread so that no two rows ever share one.
                    past += 7;
                    let (first, origin) = match earlier {
                        0 => (now, OriginId(0)),
                        earlier => (now - earlier * 16 - 500 - past % 400, peer),
                    };
                    let taken = |hlc: u64| fragments.writes.iter().any(|write| write.1 == hlc)
                        || fragments.deletes.iter().any(|delete| delete.2 == hlc);
                    if (first..first + rows.len() as u64).any(taken) {
                        continue;
                    }
                    for ((id, cells), hlc) in rows.iter().zip(first..) {
                        fragments.writes.push((*id, hlc, *cells));
                    }
                    store.commit(WriteSet::from_batches(vec![batch(&rows, first, origin)])).unwrap();
                }
                Step::Delete(id) => {
                    fragments.deletes.push((id, id + 1, now));
                    let mut batch = batch(&[(id, [None, None])], now, OriginId(0));
                    batch.tombstone = Some(BooleanBuffer::new_set(1));
                    store.commit(WriteSet::from_batches(vec![batch])).unwrap();
                }
                Step::DeleteRange(start, end) => {
                    fragments.deletes.push((start, end, now));
                    store.commit(WriteSet {
                        tombstones: vec![RangeTombstone {
                            table: TABLE,
                            start: key(start),
                            end: key(end),
                            hlc: Hlc(now),
                            origin: OriginId(0),
                        }],
                        ..WriteSet::default()
                    }).unwrap();
                }
                Step::Flush => store.flush().unwrap(),
                Step::Compact => store.compact(TABLE).unwrap(),
                Step::Reopen => {
                    drop(store);
                    store = Store::open(world.env(), options.clone()).unwrap();
                    prop_assert_eq!(store.origin_id(activestore_types::NodeId([9; 16])).unwrap(), peer);
                }
            }
            prop_assert_eq!(read(&store), fragments.resolve());
        }
    }
}
