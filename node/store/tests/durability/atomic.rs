//! A write set is one commit even where its rows come in several batches of one partition: after a
//! power cut all of them are there or none, and no snapshot ever sees some of them.
//!
//! Every commit writes the whole of a partition, cut into batches at random, with its own number in
//! every row; so a partition that shows two numbers was seen in part.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use activestore_env::{SimDiskOptions, SimEnv, SimRng};
use activestore_store::{ScanRequest, Snapshot, Store, StoreOptions, WalSync, WriteSet};
use activestore_types::{
    BatchColumn, ClusteringColumn, ColumnId, Hlc, KeyRange, OriginId, RowBatch, TableSchema,
};
use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;

use crate::world::{self, TABLE, for_seeds, options};

const PARTITIONS: i64 = 4;
const ROWS: i64 = 24;

/// Partition, place in it, number of the commit, some text.
fn schema() -> Arc<TableSchema> {
    let mut schema = TableSchema::clone(&world::schema());
    let mut number = schema.columns[1].clone();
    number.id = ColumnId(4);
    number.name = "number".to_owned();
    schema.columns.push(number);
    schema.clustering_key = vec![ClusteringColumn {
        id: ColumnId(2),
        descending: false,
    }];
    Arc::new(schema)
}

/// All rows of a partition, in batches as the dice fall; sometimes more than a log segment holds.
fn whole_partition(rng: &SimRng, partition: i64, number: i64, first: u64) -> WriteSet {
    let mut batches = Vec::new();
    let mut stamp = first;
    let text = "x".repeat(rng.below(if rng.one_in(4) { 600 } else { 10 }) as usize);
    let mut from = 0;
    while from < ROWS {
        let rows = (1 + rng.below(9).cast_signed()).min(ROWS - from);
        let count = rows as usize;
        let arrays: [ArrayRef; 4] = [
            Arc::new(Int64Array::from(vec![partition; count])),
            Arc::new((from..from + rows).collect::<Int64Array>()),
            Arc::new(StringArray::from(vec![text.as_str(); count])),
            Arc::new(Int64Array::from(vec![number; count])),
        ];
        let columns = (1..).zip(arrays).map(|(id, array)| BatchColumn {
            id: ColumnId(id),
            array,
            set: None,
        });
        let columns = columns.collect();
        batches.push(RowBatch::upsert(
            TABLE,
            count,
            columns,
            Hlc(stamp),
            OriginId(0),
        ));
        stamp += count as u64;
        from += rows;
    }
    WriteSet::from_batches(batches)
}

/// The number in the rows of each partition; fails where one shows two, or not all its rows.
fn numbers(snapshot: &Snapshot) -> activestore_types::Result<BTreeMap<i64, i64>> {
    let request = ScanRequest {
        columns: vec![ColumnId(1), ColumnId(4)],
        ranges: vec![KeyRange::all()],
        ..ScanRequest::default()
    };
    let mut seen: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for batch in snapshot.scan(request)? {
        let batch = batch?;
        let partitions = batch.column(0).as_primitive::<Int64Type>().values();
        let numbers = batch.column(1).as_primitive::<Int64Type>().values();
        for (partition, number) in partitions.iter().zip(numbers) {
            seen.entry(*partition).or_default().push(*number);
        }
    }
    for (partition, numbers) in &seen {
        let first = numbers[0];
        assert_eq!(
            numbers,
            &vec![first; ROWS as usize],
            "partition {partition}"
        );
    }
    Ok(seen
        .into_iter()
        .map(|(partition, numbers)| (partition, numbers[0]))
        .collect())
}

#[test]
fn a_partition_is_never_seen_in_part_after_a_power_cut() {
    for_seeds(400, |seed| {
        let world = SimEnv::seeded(seed);
        let rng = SimRng::seeded(seed ^ 0xa70);
        let options = StoreOptions {
            wal_sync: if seed % 3 == 0 {
                WalSync::Always
            } else {
                WalSync::Batch
            },
            ..options()
        };
        let mut acknowledged: BTreeMap<i64, i64> = BTreeMap::new();
        let mut number = 0;
        for _ in 0..3 {
            world.disk.set_options(SimDiskOptions {
                power_cut_at: Some(world.disk.ops() + 1 + rng.below(400)),
                ..SimDiskOptions::default()
            });
            let mut unsure = None;
            if let Ok(store) = Store::open(world.env(), options.clone())
                && store.put_schema(schema()).is_ok()
            {
                for _ in 0..200 {
                    number += 1;
                    let partition = rng.below(PARTITIONS as u64).cast_signed();
                    let set = whole_partition(&rng, partition, number, number as u64 * 100);
                    if store.commit(set).is_err() {
                        unsure = Some((partition, number));
                        break;
                    }
                    acknowledged.insert(partition, number);
                    if rng.one_in(30) && store.flush().is_err() {
                        break;
                    }
                }
            }
            world.disk.crash();
            world.disk.set_options(SimDiskOptions::default());
            let store = Store::open(world.env(), options.clone()).unwrap();
            let Ok(snapshot) = store.snapshot(TABLE) else {
                assert!(acknowledged.is_empty());
                continue;
            };
            let found = numbers(&snapshot).unwrap();
            if let Some((partition, number)) = unsure
                && found.get(&partition) == Some(&number)
            {
                acknowledged.insert(partition, number);
            }
            assert_eq!(found, acknowledged);
        }
    });
}

#[test]
fn a_partition_is_never_seen_in_part_by_a_snapshot() {
    for_seeds(8, |seed| {
        let world = SimEnv::seeded(seed);
        let options = StoreOptions {
            background: true,
            ..options()
        };
        let store = Store::open(world.env(), options).unwrap();
        store.put_schema(schema()).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (store, done) = (&store, &done);
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(move || {
                        let mut last = BTreeMap::new();
                        while !done.load(Ordering::Acquire) {
                            let found = numbers(&store.snapshot(TABLE).unwrap()).unwrap();
                            for (partition, number) in &found {
                                assert!(last.get(partition) <= Some(number), "time runs backwards");
                            }
                            last = found;
                        }
                    })
                })
                .collect();
            let writers: Vec<_> = (0..PARTITIONS)
                .map(|partition| {
                    scope.spawn(move || {
                        let rng = SimRng::seeded(seed * 10 + partition.unsigned_abs());
                        for number in 1..=60 {
                            let first = (number * PARTITIONS + partition) as u64 * 100;
                            let set = whole_partition(&rng, partition, number, first);
                            store.commit(set).unwrap();
                        }
                    })
                })
                .collect();
            let wrote: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
            done.store(true, Ordering::Release);
            wrote
                .into_iter()
                .chain(readers.into_iter().map(|reader| reader.join()))
                .for_each(|end| end.unwrap());
        });
        let found = numbers(&store.snapshot(TABLE).unwrap()).unwrap();
        assert_eq!(
            found,
            (0..PARTITIONS).map(|partition| (partition, 60)).collect()
        );
    });
}
