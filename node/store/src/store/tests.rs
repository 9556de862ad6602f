//! The store's glue: log reading and holding, back-pressure, schema changes, statistics.

use std::time::Duration;

use activestore_env::SimEnv;
use activestore_types::{
    BatchColumn, Column, ColumnId, CompactionMode, DataType, ErrorKind, SyncMode, TableName,
};
use arrow::array::{ArrayRef, Int64Array};

use super::*;
use crate::options::WalSync;
use crate::write_set::Note;

const NODE: NodeId = NodeId([1; 16]);
const TABLE: TableId = TableId(5);

fn schema(extra: bool) -> TableSchema {
    let column = |id, name: &str| Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type: DataType::BigInt,
    };
    let mut columns = vec![column(1, "id"), column(2, "value")];
    columns.extend(extra.then(|| column(3, "extra")));
    TableSchema {
        id: TABLE,
        name: TableName::new("k", "t"),
        columns,
        partition_key: vec![ColumnId(1)],
        clustering_key: Vec::new(),
        flexible: true,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: CompactionMode::Automatic,
        version: 1 + u32::from(extra),
    }
}

fn small(background: bool) -> StoreOptions {
    StoreOptions {
        memtable_bytes: 32 << 10,
        wal_segment_bytes: 8 << 10,
        background,
        ..StoreOptions::new(NODE)
    }
}

fn rows(ids: std::ops::Range<i64>, hlc: u64, columns: u32) -> WriteSet {
    let array: ArrayRef = Arc::new(ids.clone().collect::<Int64Array>());
    let columns = (1..=columns).map(|id| BatchColumn {
        id: ColumnId(id),
        array: Arc::clone(&array),
        set: None,
    });
    let count = usize::try_from(ids.end - ids.start).unwrap();
    WriteSet::from_batches(vec![RowBatch::upsert(
        TABLE,
        count,
        columns.collect(),
        Hlc(hlc),
        OriginId(0),
    )])
}

fn visible(store: &Store) -> usize {
    let scan = store
        .snapshot(TABLE)
        .unwrap()
        .scan(crate::ScanRequest::default())
        .unwrap();
    scan.map(|batch| batch.unwrap().num_rows()).sum()
}

#[test]
fn the_log_is_kept_for_who_holds_it_and_released_when_it_moves_on() {
    let world = SimEnv::seeded(1);
    let store = Store::open(world.env(), small(false)).unwrap();
    store.put_schema(Arc::new(schema(false))).unwrap();
    store.hold_log(Some(Lsn(10)));
    for at in 0..200 {
        store
            .commit(rows(at..at + 5, 1 + at as u64 * 10, 2))
            .unwrap();
    }
    store.flush().unwrap();
    assert!(store.first_log_lsn() <= Lsn(10));
    let mut from = Lsn(10);
    let mut seen = Vec::new();
    loop {
        let records = store.log(from, 1000).unwrap();
        let Some(last) = records.last() else { break };
        from = Lsn(last.lsn.0 + 1);
        seen.extend(
            records
                .iter()
                .map(|record| (record.lsn.0, record.set.rows())),
        );
    }
    assert_eq!(seen, (10..=200).map(|lsn| (lsn, 5)).collect::<Vec<_>>());
    // A restart does not forget the hold.
    drop(store);
    let store = Store::open(world.env(), small(false)).unwrap();
    store.flush().unwrap();
    assert_eq!(store.log(Lsn(10), 1).unwrap().len(), 1);
    store.hold_log(Some(Lsn(150)));
    assert!(store.first_log_lsn() > Lsn(10));
    assert_eq!(
        store.log(Lsn(10), 1).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(store.log(Lsn(150), 1).unwrap()[0].lsn, Lsn(150));
    store.hold_log(None);
    assert!(store.first_log_lsn() > Lsn(150));
    assert!(store.log(Lsn(1000), 1).unwrap().is_empty());
}

#[test]
fn writers_outrun_the_flush_and_wait_within_bounds() {
    let world = SimEnv::seeded(2);
    let store = Store::open(world.env(), small(true)).unwrap();
    store.put_schema(Arc::new(schema(false))).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4_i64 {
            let store = &store;
            scope.spawn(move || {
                for at in 0..50_i64 {
                    let first = writer * 100_000 + at * 100;
                    let hlc = 1 + (writer as u64 * 50 + at as u64) * 100;
                    store.commit(rows(first..first + 100, hlc, 2)).unwrap();
                    assert!(store.stats().frozen <= FROZEN_MAX as u64);
                }
            });
        }
    });
    assert_eq!(visible(&store), 20_000);
    let stats = store.stats();
    assert_eq!(
        (stats.commits, stats.rows, stats.commit_errors),
        (200, 20_000, 0)
    );
    assert!(stats.groups <= 200 && stats.flushes > 0);
    store.flush().unwrap();
    store.compact(TABLE).unwrap();
    let stats = store.stats();
    assert_eq!((stats.sst_files, stats.memtable_rows), (1, 0));
    assert_eq!(store.sstables()[0].meta.rows, 20_000);
    assert_eq!(visible(&store), 20_000);
    store.close().unwrap();
    assert_eq!(
        store.commit(rows(0..1, 1, 2)).unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert_eq!(visible(&store), 20_000);
}

#[test]
fn a_table_grows_columns_keeps_its_key_and_goes() {
    let world = SimEnv::seeded(3);
    let store = Store::open(world.env(), small(false)).unwrap();
    assert_eq!(
        store.commit(rows(0..1, 1, 2)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    store.put_schema(Arc::new(schema(false))).unwrap();
    assert_eq!(
        store.commit(rows(0..1, 1, 3)).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    store.commit(rows(0..10, 1, 2)).unwrap();
    store.put_schema(Arc::new(schema(true))).unwrap();
    store.commit(rows(10..20, 100, 3)).unwrap();
    let mut other_key = schema(true);
    other_key.partition_key = vec![ColumnId(2)];
    assert_eq!(
        store.put_schema(Arc::new(other_key)).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let mut other_type = schema(true);
    other_type.columns[1].data_type = DataType::Text;
    assert_eq!(
        store.put_schema(Arc::new(other_type)).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    store.flush().unwrap();
    drop(store);
    let store = Store::open(world.env(), small(false)).unwrap();
    assert_eq!(visible(&store), 20);
    assert_eq!(
        store.snapshot(TABLE).unwrap().schema().as_ref(),
        &schema(true)
    );
    store.commit(rows(20..30, 200, 3)).unwrap();
    let before = store.snapshot(TABLE).unwrap();
    store.drop_table(TABLE).unwrap();
    store.drop_table(TABLE).unwrap();
    assert_eq!(
        store.snapshot(TABLE).err().unwrap().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(before.row_count_estimate(), 30);
    drop(store);
    // The log still has rows of the table that is gone.
    let store = Store::open(world.env(), small(false)).unwrap();
    assert!(store.snapshot(TABLE).is_err());
    assert!(store.sstables().is_empty());
}

#[test]
fn notes_and_the_highest_stamp_survive_with_and_without_a_flush() {
    let world = SimEnv::seeded(4);
    for round in 0..4_u64 {
        let store = Store::open(world.env(), small(false)).unwrap();
        store.put_schema(Arc::new(schema(false))).unwrap();
        if round > 0 {
            assert_eq!(store.note(b"round").unwrap(), [round as u8 - 1]);
            assert_eq!(store.max_hlc(), Hlc(round * 1000 + 4));
        }
        let mut set = rows(0..5, (round + 1) * 1000, 2);
        set.notes.push(Note {
            key: b"round".to_vec(),
            value: Some(vec![round as u8]),
        });
        store.commit(set).unwrap();
        if round % 2 == 0 {
            store.flush().unwrap();
        }
    }
}

#[test]
fn notes_are_bounded() {
    let world = SimEnv::seeded(5);
    let options = StoreOptions {
        note_bytes_max: 1000,
        ..small(false)
    };
    let store = Store::open(world.env(), options).unwrap();
    let note = |size: usize| WriteSet {
        notes: vec![Note {
            key: b"k".to_vec(),
            value: Some(vec![0; size]),
        }],
        ..WriteSet::default()
    };
    store.commit(note(500)).unwrap();
    assert_eq!(
        store.commit(note(2000)).unwrap_err().kind(),
        ErrorKind::Overloaded
    );
    assert_eq!(store.stats().commit_errors, 1);
    store.commit(note(1)).unwrap();
}

#[test]
fn the_log_is_synced_when_the_options_say() {
    for (wal_sync, writers) in [
        (WalSync::Always, 4),
        (WalSync::Batch, 4),
        (WalSync::Interval(Duration::from_millis(100)), 1),
    ] {
        let world = SimEnv::seeded(6);
        let options = StoreOptions {
            wal_sync,
            memtable_bytes: 1 << 20,
            wal_segment_bytes: 1 << 20,
            ..small(false)
        };
        let store = Store::open(world.env(), options).unwrap();
        store.put_schema(Arc::new(schema(false))).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..writers {
                let (store, world) = (&store, &world);
                scope.spawn(move || {
                    for at in 0..50_i64 {
                        let id = writer * 100 + at;
                        store.commit(rows(id..id + 1, 1 + id as u64, 2)).unwrap();
                        world.clock.advance(Duration::from_millis(7));
                    }
                });
            }
        });
        let stats = store.stats();
        assert_eq!(stats.commits, 50 * writers as u64);
        match wal_sync {
            WalSync::Always => assert_eq!((stats.wal_syncs, stats.groups), (200, 200)),
            WalSync::Batch => assert_eq!(stats.wal_syncs, stats.groups),
            // 350 ms have gone by.
            WalSync::Interval(_) => assert!((3..=4).contains(&stats.wal_syncs), "{stats:?}"),
        }
    }
}

#[test]
fn the_memory_of_what_waits_is_shown_and_bounded() {
    let world = SimEnv::seeded(7);
    let options = StoreOptions {
        queue_bytes_max: 20_000,
        ..small(true)
    };
    let store = Store::open(world.env(), options).unwrap();
    store.put_schema(Arc::new(schema(false))).unwrap();
    let one = rows(0..100, 1, 2).commit_bytes() as u64;
    assert!((5_000..20_000).contains(&one), "{one} bytes");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (store, done) = (&store, &done);
        let watcher = scope.spawn(move || {
            while !done.load(Ordering::Acquire) {
                let stats = store.stats();
                assert!(stats.queue_bytes <= 20_000, "{}", stats.queue_bytes);
                assert_eq!(stats.frozen == 0, stats.frozen_bytes == 0);
            }
        });
        let writers: Vec<_> = (0..6_i64)
            .map(|writer| {
                scope.spawn(move || {
                    for at in 0..30_i64 {
                        let first = writer * 10_000 + at * 100;
                        store
                            .commit(rows(first..first + 100, 1 + first as u64, 2))
                            .unwrap();
                    }
                })
            })
            .collect();
        let wrote: Vec<_> = writers
            .into_iter()
            .map(|writer| writer.join().is_ok())
            .collect();
        done.store(true, Ordering::Release);
        watcher.join().unwrap();
        assert!(wrote.into_iter().all(|ended| ended));
    });
    assert_eq!(store.stats().queue_bytes, 0);
    assert_eq!(visible(&store), 18_000);
}
