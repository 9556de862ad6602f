//! After an erasure no file of the directory holds what was deleted before it: not the files of the
//! table, not the log in use nor the one that waits for use, not a page of the manifest.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use activestore_env::{Disk, SimEnv};
use activestore_store::{Note, ScanRequest, Store, StoreOptions, WriteSet};
use activestore_types::{
    BatchColumn, Column, ColumnId, DataType, ErrorKind, Hlc, Lsn, NodeId, OriginId, RowBatch,
    SyncMode, TableId, TableName, TableSchema,
};
use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::BooleanBuffer;

const TABLE: TableId = TableId(1);

fn options() -> StoreOptions {
    StoreOptions {
        wal_segment_bytes: 8 << 10,
        memtable_bytes: 64 << 10,
        background: false,
        auto_compact: false,
        ..StoreOptions::new(NodeId([1; 16]))
    }
}

fn schema() -> Arc<TableSchema> {
    let column = |id, name: &str| Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type: DataType::Text,
    };
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("plant", "people"),
        columns: vec![column(1, "id"), column(2, "value")],
        partition_key: vec![ColumnId(1)],
        clustering_key: Vec::new(),
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: activestore_types::CompactionMode::Automatic,
        version: 1,
    })
}

fn column(id: u32, text: &str) -> BatchColumn {
    BatchColumn {
        id: ColumnId(id),
        array: Arc::new(StringArray::from(vec![text])) as ArrayRef,
        set: None,
    }
}

fn put(store: &Store, hlc: u64, key: &str, value: &str) {
    let columns = vec![column(1, key), column(2, value)];
    let batch = RowBatch::upsert(TABLE, 1, columns, Hlc(hlc), OriginId(0));
    store.commit(WriteSet::from_batches(vec![batch])).unwrap();
}

fn delete(store: &Store, hlc: u64, key: &str) {
    let mut batch = RowBatch::upsert(TABLE, 1, vec![column(1, key)], Hlc(hlc), OriginId(0));
    batch.tombstone = Some(BooleanBuffer::new_set(1));
    store.commit(WriteSet::from_batches(vec![batch])).unwrap();
}

fn note(store: &Store, value: Option<&str>) {
    let note = Note {
        key: b"notemark".to_vec(),
        value: value.map(|value| value.as_bytes().to_vec()),
    };
    let set = WriteSet {
        notes: vec![note],
        ..WriteSet::default()
    };
    store.commit(set).unwrap();
}

fn rows(store: &Store) -> usize {
    let request = ScanRequest {
        columns: vec![ColumnId(1)],
        ..ScanRequest::default()
    };
    let scan = store.snapshot(TABLE).unwrap().scan(request).unwrap();
    scan.map(|batch| batch.unwrap().num_rows()).sum()
}

/// The files that hold the bytes.
fn holding(world: &SimEnv, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for dir in ["", "wal", "sst"] {
        for name in world.disk.list(dir).unwrap() {
            let path = format!("{dir}/{name}").trim_start_matches('/').to_owned();
            // Background threads may have removed it since.
            let Some(bytes) = world.disk.contents(&path) else {
                continue;
            };
            if bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
            {
                found.push(path);
            }
        }
    }
    found
}

/// A store with the marks in several files and segments, deleted again.
fn marked(world: &SimEnv) -> Arc<Store> {
    let store = Store::open(world.env(), options()).unwrap();
    store.put_schema(schema()).unwrap();
    let filler = "x".repeat(300);
    for round in 0..4_u64 {
        let hlc = 1000 * (round + 1);
        put(&store, hlc, "keymark", &format!("valuemark{round}"));
        note(&store, Some("notemark value"));
        for nth in 1..40 {
            put(&store, hlc + nth, &format!("other{nth}"), &filler);
        }
        if round < 3 {
            store.flush().unwrap();
        }
    }
    delete(&store, 9000, "keymark");
    note(&store, None);
    store
}

#[test]
fn what_was_deleted_is_in_no_file_after_an_erasure() {
    let world = SimEnv::seeded(1);
    let store = marked(&world);
    // A merge alone takes it out of the tables, but not out of what else there is.
    store.compact(TABLE).unwrap();
    let left = holding(&world, "valuemark");
    assert!(left.iter().any(|path| path.starts_with("wal/")), "{left:?}");
    assert!(
        !left.iter().any(|path| path.starts_with("sst/")),
        "{left:?}"
    );
    assert!(!holding(&world, "notemark").is_empty());
    store.erase(TABLE).unwrap();
    assert_eq!(holding(&world, "valuemark"), [""; 0]);
    assert_eq!(holding(&world, "notemark"), [""; 0]);
    // The tombstone keeps its key until nobody can bring the row back.
    assert!(!holding(&world, "keymark").is_empty());
    store.settle(Some(Hlc(10_000)));
    store.erase(TABLE).unwrap();
    assert_eq!(holding(&world, "keymark"), [""; 0]);
    assert_eq!(rows(&store), 39);
    put(&store, 20_000, "later", "value");
    drop(store);
    let store = Store::open(world.env(), options()).unwrap();
    assert_eq!(rows(&store), 40);
    assert!(store.note(b"notemark").is_none());
}

#[test]
fn a_log_that_is_held_is_said_and_erased_when_it_is_not() {
    let world = SimEnv::seeded(2);
    let store = Store::open(world.env(), options()).unwrap();
    store.put_schema(schema()).unwrap();
    store.hold_log(Some(Lsn(1)));
    put(&store, 1000, "keymark", "valuemark");
    delete(&store, 2000, "keymark");
    let error = store.erase(TABLE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let left = holding(&world, "valuemark");
    assert!(!left.is_empty() && left.iter().all(|path| path.starts_with("wal/")));
    store.hold_log(Some(Lsn(3)));
    store.erase(TABLE).unwrap();
    assert_eq!(holding(&world, "valuemark"), [""; 0]);
}

#[test]
fn erasing_goes_on_beside_writers_and_the_background_threads() {
    let world = SimEnv::seeded(3);
    let options = StoreOptions {
        background: true,
        auto_compact: true,
        ..options()
    };
    let store = Store::open(world.env(), options).unwrap();
    store.put_schema(schema()).unwrap();
    put(&store, 10, "keymark", "valuemark");
    delete(&store, 20, "keymark");
    std::thread::scope(|scope| {
        for writer in 0..2_u64 {
            let store = &store;
            scope.spawn(move || {
                for nth in 0..200 {
                    let key = format!("{writer}-{nth}");
                    put(store, 1000 + nth * 2 + writer, &key, &"y".repeat(100));
                }
            });
        }
        for _ in 0..3 {
            store.erase(TABLE).unwrap();
            assert_eq!(holding(&world, "valuemark"), [""; 0]);
        }
    });
    assert_eq!(rows(&store), 400);
}
