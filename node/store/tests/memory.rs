//! The memory contract, measured by the system and not by the store: a child process with 64 MiB
//! for its store takes in far more rows than that, merges them, is cut off and recovers, and its
//! resident memory never rises by more than the budget.

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use activestore_env::Env;
use activestore_store::{Store, StoreOptions, WalSync, WriteSet};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, Hlc, NodeId,
    OriginId, RowBatch, SyncMode, TableId, TableName, TableSchema,
};
use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampNanosecondArray};

const BUDGET: usize = 64 << 20;
const NODE: NodeId = NodeId([1; 16]);
const BATCH_ROWS: usize = 5_000;
const BATCHES: usize = 240;
/// Batches that stay in the log: fewer than fill a memtable.
const REST: usize = 4;
const FIELDS: u32 = 10;
/// What the child is told: the directory and its part.
const VARIABLE: &str = "ACTIVESTORE_MEMORY_TEST";

#[test]
fn ingest_compaction_and_recovery_stay_within_the_budget() {
    if resident("VmHWM").is_none() {
        eprintln!("skipped: this system does not tell a process's peak memory");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for part in ["ingest", "recover"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(VARIABLE, format!("{part}:{}", dir.path().display()))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{part}: {text}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let risen = text
            .lines()
            .find_map(|line| line.split_once("risen=")?.1.trim().parse::<usize>().ok())
            .unwrap_or_else(|| panic!("{part} says nothing: {text}"));
        println!("{part}: resident memory rose by {} KiB", risen >> 10);
        assert!(risen <= BUDGET, "{part}: {} KiB", risen >> 10);
    }
}

#[test]
#[ignore = "the child process of the other test"]
fn child() {
    let Ok(told) = std::env::var(VARIABLE) else {
        return;
    };
    let (part, dir) = told.split_once(':').unwrap();
    let base = resident("VmRSS").unwrap();
    match part {
        "ingest" => ingest(Path::new(dir)),
        _ => recover(Path::new(dir)),
    }
    println!("risen={}", resident("VmHWM").unwrap().saturating_sub(base));
}

fn open(dir: &Path) -> Arc<Store> {
    let options = StoreOptions {
        wal_sync: WalSync::Batch,
        ..StoreOptions::within_memory(NODE, BUDGET)
    };
    let store = Store::open(Env::real(dir).unwrap(), options).unwrap();
    store
        .put_schema(schema(1, CompactionMode::TimeWindow))
        .unwrap();
    store
        .put_schema(schema(2, CompactionMode::Levelled))
        .unwrap();
    store
}

fn ingest(dir: &Path) {
    let store = open(dir);
    let mut raw = 0;
    for number in 0..BATCHES {
        // One table grows with time, the other is written again and again.
        let batches = vec![batch(1, number, number), batch(2, number % 12, number)];
        raw += batches.iter().map(RowBatch::memory_bytes).sum::<usize>();
        store.commit(WriteSet::from_batches(batches)).unwrap();
    }
    assert!(raw > 3 * BUDGET, "the rows would fit into the budget");
    store.flush().unwrap();
    store.compact(TableId(1)).unwrap();
    store.compact(TableId(2)).unwrap();
    assert_eq!(store.table_stats().len(), 2);
    let stats = store.stats();
    assert!(stats.compactions > 2, "{stats:?}");
    // Left in the log: what the next start has to take up again.
    for number in BATCHES..BATCHES + REST {
        let rest = vec![batch(1, number, number)];
        store.commit(WriteSet::from_batches(rest)).unwrap();
    }
}

fn recover(dir: &Path) {
    let store = open(dir);
    assert!(store.stats().replayed_records > 0);
    let request = activestore_store::ScanRequest {
        columns: vec![ColumnId(1)],
        ..activestore_store::ScanRequest::default()
    };
    for (table, expected) in [(1, (BATCHES + REST) * BATCH_ROWS), (2, 12 * BATCH_ROWS)] {
        let scan = store
            .snapshot(TableId(table))
            .unwrap()
            .scan(request.clone());
        let rows: usize = scan.unwrap().map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(rows, expected, "table {table}");
    }
}

/// A figure of `/proc/self/status`, in bytes.
fn resident(name: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

fn schema(table: u32, compaction: CompactionMode) -> Arc<TableSchema> {
    let column = |id, name: String, data_type| Column {
        id: ColumnId(id),
        name,
        data_type,
    };
    let mut columns = vec![
        column(0, "device".into(), DataType::Text),
        column(1, "ts".into(), DataType::Timestamp),
    ];
    columns
        .extend((0..FIELDS).map(|field| column(2 + field, format!("f{field}"), DataType::Double)));
    Arc::new(TableSchema {
        id: TableId(table),
        name: TableName::new("plant", format!("t{table}")),
        columns,
        partition_key: vec![ColumnId(0)],
        clustering_key: vec![ClusteringColumn {
            id: ColumnId(1),
            descending: false,
        }],
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction,
        version: 1,
    })
}

/// The rows of 500 devices over ten ticks; `number` says which ticks, `write` when they are written.
fn batch(table: u32, number: usize, write: usize) -> RowBatch {
    let rows = number * BATCH_ROWS..(number + 1) * BATCH_ROWS;
    let device: ArrayRef = Arc::new(StringArray::from_iter_values(
        rows.clone().map(|row| format!("device-{:06}", row % 500)),
    ));
    let ts: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(
        rows.clone().map(|row| (row / 500) as i64 * 10_000_000_000),
    ));
    let mut arrays = vec![device, ts];
    for field in 0..FIELDS as usize {
        let value = |row: usize| ((row * (7 + field) + write) % 10_000) as f64 / 100.0;
        arrays.push(Arc::new(Float64Array::from_iter_values(
            rows.clone().map(value),
        )));
    }
    let columns = arrays.into_iter().zip(0..).map(|(array, id)| BatchColumn {
        id: ColumnId(id),
        array,
        set: None,
    });
    RowBatch::upsert(
        TableId(table),
        BATCH_ROWS,
        columns.collect(),
        Hlc(((write * 2 + table as usize) * BATCH_ROWS) as u64 + 1),
        OriginId(0),
    )
}
