//! Merges in a store: what asks them to rest, what they say of themselves, how much space they take.

use std::ops::Range;
use std::sync::Arc;

use activestore_env::{SimDiskOptions, SimEnv};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, ErrorKind, Hlc,
    NodeId, OriginId, RowBatch, SyncMode, TableId, TableName, TableSchema,
};
use arrow::array::{ArrayRef, Int64Array, TimestampNanosecondArray};

use super::BACKLOG_URGENT;
use crate::options::StoreOptions;
use crate::{PauseReason, Store, WriteSet};

const TABLE: TableId = TableId(3);
const SECOND: i64 = 1_000_000_000;

fn schema(compaction: CompactionMode) -> Arc<TableSchema> {
    let column = |id, name: &str, data_type| Column {
        id: ColumnId(id),
        name: name.into(),
        data_type,
    };
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("plant", "readings"),
        columns: vec![
            column(1, "device", DataType::BigInt),
            column(2, "ts", DataType::Timestamp),
        ],
        partition_key: vec![ColumnId(1)],
        clustering_key: vec![ClusteringColumn {
            id: ColumnId(2),
            descending: false,
        }],
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction,
        version: 1,
    })
}

/// Rows of one device, one a second.
fn rows(seconds: Range<i64>, hlc: u64) -> WriteSet {
    let count = usize::try_from(seconds.end - seconds.start).unwrap();
    let device: ArrayRef = Arc::new(Int64Array::from(vec![7; count]));
    let ts: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(
        seconds.map(|second| second * SECOND),
    ));
    let columns = [device, ts]
        .into_iter()
        .zip(1..)
        .map(|(array, id)| BatchColumn {
            id: ColumnId(id),
            array,
            set: None,
        });
    WriteSet::from_batches(vec![RowBatch::upsert(
        TABLE,
        count,
        columns.collect(),
        Hlc(hlc),
        OriginId(0),
    )])
}

fn store(world: &SimEnv, compaction: CompactionMode) -> Arc<Store> {
    let options = StoreOptions {
        background: false,
        wal_segment_bytes: 16 << 10,
        memtable_bytes: 64 << 10,
        ..StoreOptions::new(NodeId([1; 16]))
    };
    let store = Store::open(world.env(), options).unwrap();
    store.put_schema(schema(compaction)).unwrap();
    store
}

/// One more file of ten rows; merges run in the next commit.
fn file(store: &Store, number: i64) {
    store
        .commit(rows(number * 10..number * 10 + 10, number as u64 * 100 + 1))
        .unwrap();
    store.flush().unwrap();
}

#[test]
fn a_pause_holds_until_files_pile_up() {
    let world = SimEnv::seeded(1);
    let store = store(&world, CompactionMode::Automatic);
    store.pause_compaction(PauseReason::Hot);
    store.pause_compaction(PauseReason::Battery);
    assert_eq!(
        store.stats().compaction_paused,
        [PauseReason::Hot, PauseReason::Battery]
    );
    let urgent = BACKLOG_URGENT as i64;
    for number in 0..urgent {
        file(&store, number);
        assert_eq!(store.stats().compactions, 0);
    }
    assert!(store.stats().pending_compaction_bytes > 0);
    store.resume_compaction(PauseReason::Battery);
    // One reason is left, but reads come first.
    file(&store, urgent);
    let stats = store.stats();
    assert!(stats.compactions > 0 && stats.sst_files < BACKLOG_URGENT as u64);
    assert_eq!(stats.compaction_paused, [PauseReason::Hot]);
    // Who asks for a merge gets it.
    store.compact(TABLE).unwrap();
    assert_eq!(store.stats().sst_files, 1);
    store.resume_compaction(PauseReason::Hot);
    assert_eq!(store.stats().compaction_paused, []);
}

#[test]
fn a_merge_tells_what_it_did() {
    let world = SimEnv::seeded(2);
    let store = store(&world, CompactionMode::Automatic);
    for number in 0..9 {
        file(&store, number);
    }
    let all = store.compactions();
    assert_eq!(all.len(), 1, "{all:?}");
    let done = &all[0];
    assert_eq!((done.policy, done.reason), ("time_window", "files"));
    assert_eq!((done.inputs.len(), done.outputs.len()), (8, 1));
    assert_eq!((done.rows_in, done.rows_out), (80, 80));
    assert!(done.duration_ms.is_some() && done.error.is_none());
    let stats = store.stats();
    assert_eq!(stats.compaction_bytes, done.bytes_out);
    assert_eq!(stats.compaction_read_bytes, done.bytes_in);
    let expected = (stats.flush_bytes + stats.compaction_bytes) as f64 / stats.flush_bytes as f64;
    assert_eq!(stats.write_amplification(), expected);
    assert_eq!(stats.space_amplification(), 1.0);
    let tables = store.table_stats();
    assert_eq!(tables.len(), 1);
    assert_eq!(tables[0].write_amplification(), expected);
    let groups: Vec<_> = tables[0]
        .groups
        .iter()
        .map(|group| (group.window_start_ns, group.level, group.files, group.rows))
        .collect();
    assert_eq!(groups, [(Some(0), 0, 1, 10), (Some(0), 1, 1, 80)]);
}

#[test]
fn rows_written_again_show_as_space() {
    let world = SimEnv::seeded(3);
    let store = store(&world, CompactionMode::Levelled);
    let mut hlc = 1;
    for _ in 0..10 {
        store.commit(rows(0..500, hlc)).unwrap();
        store.flush().unwrap();
        hlc += 1000;
    }
    assert_eq!(store.compactions()[0].policy, "levelled");
    let stats = store.stats();
    assert!(stats.garbage_bytes > 0);
    assert!(stats.space_amplification() > 1.2);
    store.compact(TABLE).unwrap();
    assert_eq!(store.stats().space_amplification(), 1.0);
    assert_eq!(store.stats().sst_rows, 500);
}

#[test]
fn no_merge_begins_without_the_space_for_its_files() {
    let world = SimEnv::seeded(4);
    let store = store(&world, CompactionMode::Automatic);
    for number in 0..8 {
        file(&store, number);
    }
    let stats = store.stats();
    let used: u64 = ["", "wal", "sst"]
        .iter()
        .flat_map(|dir| {
            let names = activestore_env::Disk::list(&world.disk, dir).unwrap();
            names.into_iter().map(move |name| format!("{dir}/{name}"))
        })
        .map(|path| {
            world
                .disk
                .contents(path.trim_start_matches('/'))
                .unwrap()
                .len() as u64
        })
        .sum();
    // Space for commits, but not for the merge beside them.
    world.disk.set_options(SimDiskOptions {
        capacity_bytes: Some(used + (16 << 10) + (64 << 10) + stats.sst_bytes / 2),
        ..SimDiskOptions::default()
    });
    store.commit(rows(1000..1001, 5000)).unwrap();
    assert_eq!(
        (store.stats().compactions, store.stats().compaction_errors),
        (0, 0)
    );
    let error = store.compact(TABLE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert_eq!(store.stats().sst_files, 9);
    world.disk.set_options(SimDiskOptions::default());
    store.commit(rows(1001..1002, 6000)).unwrap();
    assert!(store.stats().compactions > 0);
}
