//! A real file system that fills up: writes are refused with a clear error, reads go on, merges do
//! not make it worse, and all is well once there is space. Needs the right to mount one; without it
//! the test says so and passes, and the simulated disk stands in for it (`durability`).

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use activestore_env::Env;
use activestore_store::{ScanRequest, Store, StoreOptions, WriteSet};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, ErrorKind, Hlc,
    NodeId, OriginId, RowBatch, SyncMode, TableId, TableName, TableSchema,
};
use arrow::array::{ArrayRef, StringArray, TimestampNanosecondArray};

const TABLE: TableId = TableId(1);
const ROWS: usize = 500;

/// A file system of its own, unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(dir: &Path, mebibytes: usize) -> Result<Mounted, String> {
        let size = format!("size={mebibytes}m");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir)
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(Mounted(dir.to_owned()))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn schema() -> Arc<TableSchema> {
    let column = |id, name: &str, data_type| Column {
        id: ColumnId(id),
        name: name.into(),
        data_type,
    };
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("plant", "notes"),
        columns: vec![
            column(0, "device", DataType::Text),
            column(1, "ts", DataType::Timestamp),
            column(2, "text", DataType::Text),
        ],
        partition_key: vec![ColumnId(0)],
        clustering_key: vec![ClusteringColumn {
            id: ColumnId(1),
            descending: false,
        }],
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: CompactionMode::Automatic,
        version: 1,
    })
}

/// Rows whose text does not get smaller.
fn rows(number: usize) -> WriteSet {
    let device: ArrayRef = Arc::new(StringArray::from(vec!["a"; ROWS]));
    let times = number * ROWS..(number + 1) * ROWS;
    let ts: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(
        times.clone().map(|row| row as i64 * 1_000_000_000),
    ));
    let mut random = number as u64 * 2 + 1;
    let text: ArrayRef = Arc::new(StringArray::from_iter_values(times.map(|_| {
        let mut text = String::new();
        for _ in 0..20 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            text.push_str(&format!("{random:016x}"));
        }
        text
    })));
    let columns = [device, ts, text]
        .into_iter()
        .zip(0..)
        .map(|(array, id)| BatchColumn {
            id: ColumnId(id),
            array,
            set: None,
        });
    WriteSet::from_batches(vec![RowBatch::upsert(
        TABLE,
        ROWS,
        columns.collect(),
        Hlc((number * ROWS) as u64 + 1),
        OriginId(0),
    )])
}

fn count(store: &Store) -> usize {
    let scan = store.snapshot(TABLE).unwrap().scan(ScanRequest::default());
    scan.unwrap().map(|batch| batch.unwrap().num_rows()).sum()
}

#[test]
fn a_full_disk_refuses_writes_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let _mounted = match Mounted::new(dir.path(), 32) {
        Ok(mounted) => mounted,
        Err(why) => {
            eprintln!("skipped: no file system can be mounted here: {why}");
            return;
        }
    };
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![1_u8; 12 << 20]).unwrap();
    let options = StoreOptions {
        memtable_bytes: 512 << 10,
        wal_segment_bytes: 1 << 20,
        ..StoreOptions::new(NodeId([1; 16]))
    };
    let store = Store::open(Env::real(dir.path()).unwrap(), options.clone()).unwrap();
    store.put_schema(schema()).unwrap();
    let mut done = 0;
    let error = loop {
        match store.commit(rows(done)) {
            Ok(_) => done += 1,
            Err(error) => break error,
        }
        assert!(done < 10_000, "the disk does not fill up");
    };
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert!(done > 10);
    assert_eq!(count(&store), done * ROWS);
    // Whatever is asked of it now, nothing is lost.
    let _ = store.compact(TABLE);
    let _ = store.commit(rows(20_000));
    let shown = count(&store);
    assert!(shown == done * ROWS || shown == (done + 1) * ROWS);
    std::fs::remove_file(&ballast).unwrap();
    let healed = (0..200).find(|_| {
        let again = store.commit(rows(done)).is_ok();
        if !again {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        again
    });
    assert!(healed.is_some(), "commits work again");
    done += 1;
    // One run of everything may be too much to ask, and says so then.
    if let Err(error) = store.compact(TABLE) {
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    }
    let shown = count(&store);
    assert!(shown >= done * ROWS);
    drop(store);
    let store = Store::open(Env::real(dir.path()).unwrap(), options).unwrap();
    assert_eq!(count(&store), shown);
}
