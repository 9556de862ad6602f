//! What encryption costs, in CPU time of one thread: the same rows written in batches of 10,000,
//! merged, scanned, and read one by one, in a plain store and in an encrypted one in turn.
//!
//! `cargo run --release -p activestore-store --example encryption_cost` (Linux: it reads
//! `/proc/thread-self/schedstat`, so that other processes on the machine count little).
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use activestore_env::{Env, MasterKey, Rng, SimRng};
use activestore_store::{ScanRequest, Store, StoreOptions, WriteSet, open_keyring};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, DataType, Hlc, NodeId, OriginId, RowBatch,
    SyncMode, TableId, TableName, TableSchema, encode_keys,
};
use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampNanosecondArray};

const TABLE: TableId = TableId(1);
const BATCHES: u64 = 60;
const BATCH_ROWS: u64 = 10_000;
const DEVICES: u64 = 200;
const FIELDS: u32 = 10;
const ROUNDS: usize = 3;
const SCANS: u64 = 3;
const POINTS: u64 = 2000;

/// CPU time of this thread in milliseconds.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

fn schema() -> Arc<TableSchema> {
    let mut columns = vec![
        ("device".to_owned(), DataType::Text),
        ("ts".to_owned(), DataType::Timestamp),
    ];
    columns.extend((0..FIELDS).map(|field| (format!("f{field}"), DataType::Double)));
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("bench", "readings"),
        columns: (1..)
            .zip(columns)
            .map(|(id, (name, data_type))| Column {
                id: ColumnId(id),
                name,
                data_type,
            })
            .collect(),
        partition_key: vec![ColumnId(1)],
        clustering_key: vec![ClusteringColumn {
            id: ColumnId(2),
            descending: false,
        }],
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: activestore_types::CompactionMode::Automatic,
        version: 1,
    })
}

fn key(row: u64) -> (String, i64) {
    let (device, step) = (row % DEVICES, row / DEVICES);
    (
        format!("device-{device:04}"),
        step.cast_signed() * 1_000_000_000,
    )
}

fn batch(nth: u64, rng: &SimRng) -> WriteSet {
    let rows = nth * BATCH_ROWS..(nth + 1) * BATCH_ROWS;
    let (devices, times): (Vec<String>, Vec<i64>) = rows.clone().map(key).unzip();
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(devices)),
        Arc::new(TimestampNanosecondArray::from(times)),
    ];
    for field in 0..FIELDS {
        let values = rows.clone().map(|row| {
            let wave = (row as f64 / 5000.0 + f64::from(field)).sin() * 20.0;
            ((wave + rng.below(100) as f64 / 50.0) * 100.0).round() / 100.0
        });
        arrays.push(Arc::new(Float64Array::from_iter_values(values)));
    }
    let columns = (1..)
        .zip(arrays)
        .map(|(id, array)| BatchColumn {
            id: ColumnId(id),
            array,
            set: None,
        })
        .collect();
    let first = Hlc(1 + nth * BATCH_ROWS);
    let batch = RowBatch::upsert(TABLE, BATCH_ROWS as usize, columns, first, OriginId(0));
    WriteSet::from_batches(vec![batch])
}

/// Milliseconds of ingest, merge, one scan and all point reads; bytes that the tables say they have.
fn run(key_bytes: Option<[u8; 32]>) -> [f64; 4] {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real(dir.path()).unwrap();
    let master = key_bytes.map(|bytes| MasterKey::parse(&bytes).unwrap());
    let options = StoreOptions {
        background: false,
        auto_compact: false,
        encryption: open_keyring(&env, master.as_ref(), false).unwrap(),
        ..StoreOptions::new(NodeId([1; 16]))
    };
    let store = Store::open(env, options).unwrap();
    store.put_schema(schema()).unwrap();
    let rng = SimRng::seeded(1);
    let mut ingest = 0.0;
    for nth in 0..BATCHES {
        let set = batch(nth, &rng);
        let before = cpu_ms();
        store.commit(set).unwrap();
        ingest += cpu_ms() - before;
    }
    let before = cpu_ms();
    store.flush().unwrap();
    ingest += cpu_ms() - before;
    let before = cpu_ms();
    store.compact(TABLE).unwrap();
    let merge = cpu_ms() - before;
    let columns: Vec<ColumnId> = (1..=2 + FIELDS).map(ColumnId).collect();
    let snapshot = store.snapshot(TABLE).unwrap();
    let before = cpu_ms();
    let mut rows = 0;
    for _ in 0..SCANS {
        let request = ScanRequest {
            columns: columns.clone(),
            ..ScanRequest::default()
        };
        for batch in snapshot.scan(request).unwrap() {
            rows += batch.unwrap().num_rows() as u64;
        }
    }
    let scan = (cpu_ms() - before) / SCANS as f64;
    assert_eq!(rows, SCANS * BATCHES * BATCH_ROWS);
    let keys: Vec<Vec<u8>> = (0..POINTS)
        .map(|_| {
            let (device, ts) = key(rng.next_u64() % (BATCHES * BATCH_ROWS));
            let device: ArrayRef = Arc::new(StringArray::from(vec![device]));
            let ts: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![ts]));
            let keys = encode_keys(&[(device, false), (ts, false)]).unwrap();
            keys.key(0).to_vec()
        })
        .collect();
    let before = cpu_ms();
    for key in &keys {
        assert!(snapshot.get(key, &columns, 0).unwrap().is_some());
    }
    [ingest, merge, scan, cpu_ms() - before]
}

fn main() {
    run(None);
    let mut best = [[f64::MAX; 4]; 2];
    for _ in 0..ROUNDS {
        for (best, key) in best.iter_mut().zip([None, Some([42; 32])]) {
            for (best, found) in best.iter_mut().zip(run(key)) {
                *best = best.min(found);
            }
        }
    }
    let rows = (BATCHES * BATCH_ROWS) as f64;
    println!("{rows} rows of {FIELDS} doubles, best of {ROUNDS} rounds, CPU time of one thread");
    let names = [
        ("ingest and flush", "ns a row", 1e6 / rows),
        ("merge of all files", "ns a row", 1e6 / rows),
        ("scan of all columns", "ns a row", 1e6 / rows),
        ("point read of all columns", "us", 1e3 / POINTS as f64),
    ];
    for (at, (name, unit, factor)) in names.iter().enumerate() {
        let (plain, sealed) = (best[0][at], best[1][at]);
        println!(
            "{name}: plain {:.1}, encrypted {:.1} {unit}, ratio {:.2}",
            plain * factor,
            sealed * factor,
            sealed / plain
        );
    }
}
