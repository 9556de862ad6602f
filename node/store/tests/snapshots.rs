//! A snapshot never changes: while a writer commits, memtables are flushed and files are merged,
//! readers on other threads see exactly the rows of a `BTreeMap` as it was when they came, however
//! often and in whatever way they look.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use activestore_env::Env;
use activestore_store::{LastRequest, ScanRequest, Snapshot, Store, StoreOptions, WriteSet};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, DataType, HlcClock, KeyRange, NodeId,
    OriginId, RangeTombstone, RowBatch, SyncMode, TableId, TableName, TableSchema, encode_keys,
};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;

const TABLE: TableId = TableId(1);
const DEVICE: ColumnId = ColumnId(1);
const AT: ColumnId = ColumnId(2);
const VALUE: ColumnId = ColumnId(3);
const NOTE: ColumnId = ColumnId(4);
const ALL: [ColumnId; 4] = [DEVICE, AT, VALUE, NOTE];
const DEVICES: u64 = 5;
const COMMITS: u64 = 250;
const READERS: u64 = 3;

type Key = (String, i64);
type Row = (Option<i64>, Option<String>);
type Model = BTreeMap<Key, Row>;

fn schema() -> Arc<TableSchema> {
    let column = |id, name: &str, data_type| Column {
        id,
        name: name.to_owned(),
        data_type,
    };
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("test", "readings"),
        columns: vec![
            column(DEVICE, "device", DataType::Text),
            column(AT, "at", DataType::BigInt),
            column(VALUE, "value", DataType::BigInt),
            column(NOTE, "note", DataType::Text),
        ],
        partition_key: vec![DEVICE],
        clustering_key: vec![ClusteringColumn {
            id: AT,
            descending: false,
        }],
        flexible: false,
        ttl_s: None,
        compaction: activestore_types::CompactionMode::Automatic,
        sync: SyncMode::None,
        version: 1,
    })
}

/// A small generator, so that the writes of a run can be made again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn device(number: u64) -> String {
    format!("device-{number}")
}

fn key(device: &str, at: i64) -> Vec<u8> {
    let device: ArrayRef = Arc::new(StringArray::from(vec![device]));
    let at: ArrayRef = Arc::new(Int64Array::from(vec![at]));
    let keys = encode_keys(&[(device, false), (at, false)]).unwrap();
    keys.key(0).to_vec()
}

/// Commits something and does the same to the model.
fn write(store: &Store, clock: &HlcClock, model: &mut Model, random: &mut Random, commit: u64) {
    let name = device(random.below(DEVICES));
    let from = random.below(2_000) as i64;
    let hlc = clock.reserve(1_000 + commit, 400);
    match random.below(12) {
        0 => {
            let to = from + random.below(300) as i64;
            store
                .commit(WriteSet {
                    tombstones: vec![RangeTombstone {
                        table: TABLE,
                        start: key(&name, from),
                        end: key(&name, to + 1),
                        hlc,
                        origin: OriginId(0),
                    }],
                    ..WriteSet::default()
                })
                .unwrap();
            model.retain(|(held, at), _| *held != name || *at < from || *at > to);
        }
        kind => {
            let rows = 1 + random.below(300) as i64;
            let (dead, partial) = (kind == 1, kind < 5);
            let keys: Vec<Key> = (from..from + rows).map(|at| (name.clone(), at)).collect();
            let value = |at: i64| at * 10_000 + commit as i64;
            let mut columns: Vec<(ColumnId, ArrayRef)> = vec![
                (
                    DEVICE,
                    Arc::new(StringArray::from_iter_values(keys.iter().map(|key| &key.0))),
                ),
                (
                    AT,
                    Arc::new(Int64Array::from_iter_values(keys.iter().map(|key| key.1))),
                ),
            ];
            if !dead {
                let values = keys.iter().map(|key| value(key.1));
                columns.push((VALUE, Arc::new(Int64Array::from_iter_values(values))));
            }
            if !dead && !partial {
                let notes = keys.iter().map(|key| format!("{} by {commit}", key.1));
                columns.push((NOTE, Arc::new(StringArray::from_iter_values(notes))));
            }
            let columns = columns.into_iter().map(|(id, array)| BatchColumn {
                id,
                array,
                set: None,
            });
            let mut batch =
                RowBatch::upsert(TABLE, keys.len(), columns.collect(), hlc, OriginId(0));
            batch.tombstone = dead.then(|| BooleanBuffer::new_set(keys.len()));
            store
                .commit(WriteSet {
                    batches: vec![batch],
                    ..WriteSet::default()
                })
                .unwrap();
            for key in keys {
                if dead {
                    model.remove(&key);
                    continue;
                }
                let (at, row) = (key.1, model.entry(key).or_insert((None, None)));
                row.0 = Some(value(at));
                if !partial {
                    row.1 = Some(format!("{at} by {commit}"));
                }
            }
        }
    }
}

fn rows(batches: impl Iterator<Item = activestore_types::Result<RecordBatch>>) -> Vec<(Key, Row)> {
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.unwrap();
        let device = batch.column(0).as_string::<i32>();
        let at = batch.column(1).as_primitive::<Int64Type>();
        let value = batch.column(2).as_primitive::<Int64Type>();
        let note = batch.column(3).as_string::<i32>();
        for row in 0..batch.num_rows() {
            rows.push((
                (device.value(row).to_owned(), at.value(row)),
                (
                    value.is_valid(row).then(|| value.value(row)),
                    note.is_valid(row).then(|| note.value(row).to_owned()),
                ),
            ));
        }
    }
    rows
}

fn check(snapshot: &Snapshot, model: &Model, random: &mut Random) {
    let expected: Vec<(Key, Row)> = model
        .iter()
        .map(|(key, row)| (key.clone(), row.clone()))
        .collect();
    let request = ScanRequest {
        columns: ALL.to_vec(),
        ..ScanRequest::default()
    };
    assert_eq!(rows(snapshot.scan(request.clone()).unwrap()), expected);
    let name = device(random.below(DEVICES));
    let (from, to) = (random.below(1_500) as i64, random.below(2_300) as i64);
    let range = KeyRange {
        start: key(&name, from.min(to)),
        end: key(&name, from.max(to)),
    };
    let backward = ScanRequest {
        ranges: vec![range],
        reverse: true,
        ..request
    };
    let mut part = rows(snapshot.scan(backward).unwrap());
    part.reverse();
    let inside = |(held, at): &Key| *held == name && from.min(to) <= *at && *at < from.max(to);
    let wanted: Vec<_> = expected
        .iter()
        .filter(|(key, _)| inside(key))
        .cloned()
        .collect();
    assert_eq!(part, wanted);
    let request = LastRequest {
        columns: ALL.to_vec(),
        ..LastRequest::default()
    };
    let newest: Vec<_> = (0..DEVICES)
        .filter_map(|number| {
            let last = model.range((device(number), i64::MIN)..=(device(number), i64::MAX));
            last.last().map(|(key, row)| (key.clone(), row.clone()))
        })
        .collect();
    assert_eq!(rows(snapshot.last_rows(request).unwrap()), newest);
    for _ in 0..20 {
        let wanted = (device(random.below(DEVICES)), random.below(2_400) as i64);
        let found = snapshot.get(&key(&wanted.0, wanted.1), &ALL, 0).unwrap();
        let found = rows(found.into_iter().map(Ok));
        let expected: Vec<_> = model
            .get(&wanted)
            .map(|row| (wanted.clone(), row.clone()))
            .into_iter()
            .collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn readers_see_one_moment_while_everything_goes_on() {
    let options = StoreOptions {
        memtable_bytes: 256 << 10,
        ..StoreOptions::new(NodeId([1; 16]))
    };
    let store = Store::open(Env::simulated(5), options).unwrap();
    store.put_schema(schema()).unwrap();
    let model = Mutex::new(Model::new());
    let writing = AtomicBool::new(true);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let clock = HlcClock::starting_at(store.max_hlc());
            let mut random = Random(0x9e37_79b9_7f4a_7c15);
            for commit in 0..COMMITS {
                // Held over both, so that a reader finds a snapshot and a model of one moment.
                let mut model = model.lock().unwrap();
                write(&store, &clock, &mut model, &mut random, commit);
                drop(model);
                std::thread::yield_now();
            }
            writing.store(false, Ordering::Release);
        });
        threads.spawn(|| {
            let mut turns = 0;
            while writing.load(Ordering::Acquire) {
                if turns % 3 == 0 {
                    store.compact(TABLE).unwrap();
                } else {
                    store.flush().unwrap();
                }
                turns += 1;
                std::thread::yield_now();
            }
        });
        for reader in 0..READERS {
            let (store, model, writing) = (&store, &model, &writing);
            threads.spawn(move || {
                let mut random = Random(reader + 1);
                loop {
                    let last = !writing.load(Ordering::Acquire);
                    let (snapshot, model) = {
                        let model = model.lock().unwrap();
                        (store.snapshot(TABLE).unwrap(), model.clone())
                    };
                    for _ in 0..3 {
                        check(&snapshot, &model, &mut random);
                        std::thread::yield_now();
                    }
                    if last {
                        break;
                    }
                }
            });
        }
    });
    let stats = store.stats();
    assert!(stats.flushes > 3 && stats.compactions > 1, "{stats:?}");
}
