//! activestore's store through its own interface: one writer, `wal_sync = always`, reads through
//! snapshots.

use std::sync::Arc;
use std::time::Instant;

use activestore_env::Env;
use activestore_store::{ScanRequest, Store, StoreOptions, WalSync, WriteSet};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, HlcClock, NodeId, OriginId,
    RowBatch, SyncMode, TableId, TableName, TableSchema, encode_keys,
};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::Float64Type;

use crate::Plan;
use crate::generate::{Data, FIELDS, Random};
use crate::report::{Figures, percentile};

const TABLE: TableId = TableId(1);

fn schema() -> Arc<TableSchema> {
    let mut columns = vec![
        Column {
            id: ColumnId(0),
            name: "device".into(),
            data_type: DataType::Text,
        },
        Column {
            id: ColumnId(1),
            name: "ts".into(),
            data_type: DataType::Timestamp,
        },
    ];
    for (number, field) in (2..).zip(FIELDS) {
        columns.push(Column {
            id: ColumnId(number),
            name: field.0.into(),
            data_type: DataType::Double,
        });
    }
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("bench", "readings"),
        columns,
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

/// Runs everything.
///
/// # Errors
/// What the store says.
pub fn run(plan: &Plan, data: &Data) -> Result<Figures, Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let options = StoreOptions {
        memtable_bytes: 64 << 20,
        wal_sync: WalSync::Always,
        ..StoreOptions::new(NodeId([1; 16]))
    };
    let store = Store::open(Env::real(dir.path())?, options)?;
    store.put_schema(schema())?;
    let mut spent = fill(&store, plan, data)?;
    let begun = Instant::now();
    store.flush()?;
    spent += begun.elapsed();
    store.compact(TABLE)?;
    let disk_bytes = store.sstables().iter().map(|info| info.meta.bytes).sum();

    let mut random = Random::seeded(7);
    let all: Vec<ColumnId> = (0..12).map(ColumnId).collect();
    let mut times = Vec::with_capacity(plan.points);
    let snapshot = store.snapshot(TABLE)?;
    for _ in 0..plan.points {
        let row = random.next() as usize % plan.rows;
        let device: ArrayRef = Arc::new(StringArray::from(vec![Data::name(data.device[row])]));
        let ts: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![data.ts_ns[row]]));
        let begun = Instant::now();
        let keys = encode_keys(&[(device, false), (ts, false)])?;
        let found = snapshot.get(keys.key(0), &all, 0)?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        if found.is_none() {
            return Err("a written row was not found".into());
        }
    }
    let fields: Vec<ColumnId> = (2..12).map(ColumnId).collect();
    let mut scans = Vec::new();
    let mut scan_sum = 0.0;
    for _ in 0..5 {
        let begun = Instant::now();
        let snapshot = store.snapshot(TABLE)?;
        let mut threads = Vec::new();
        for range in snapshot.split(2) {
            let (snapshot, fields) = (snapshot.clone(), fields.clone());
            threads.push(std::thread::spawn(
                move || -> activestore_types::Result<([f64; 10], usize)> {
                    let (mut sums, mut rows) = ([0.0; 10], 0);
                    let request = ScanRequest {
                        columns: fields,
                        ranges: vec![range],
                        ..ScanRequest::default()
                    };
                    for batch in snapshot.scan(request)? {
                        let batch = batch?;
                        rows += batch.num_rows();
                        for (sum, column) in sums.iter_mut().zip(batch.columns()) {
                            *sum += column
                                .as_primitive::<Float64Type>()
                                .values()
                                .iter()
                                .sum::<f64>();
                            assert_eq!(column.null_count(), 0);
                        }
                    }
                    Ok((sums, rows))
                },
            ));
        }
        let (mut sums, mut rows) = ([0.0; 10], 0);
        for thread in threads {
            let (part, count) = thread.join().map_err(|_| "a scan panicked")??;
            rows += count;
            for (sum, part) in sums.iter_mut().zip(part) {
                *sum += part;
            }
        }
        scan_sum = sums.iter().map(|sum| sum / rows as f64).sum();
        scans.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Figures {
        engine: "activestore (wal_sync = always, last flush included)".into(),
        ingest_rows_s: plan.rows as f64 / spent.as_secs_f64(),
        disk_bytes,
        point_p50_us: percentile(&mut times, 0.5),
        point_p99_us: percentile(&mut times, 0.99),
        scan_ms: percentile(&mut scans, 0.5),
        scan_sum,
    })
}

/// Writes every row, a durable commit a batch; returns the time that the commits took.
fn fill(
    store: &Store,
    plan: &Plan,
    data: &Data,
) -> Result<std::time::Duration, Box<dyn std::error::Error>> {
    let clock = HlcClock::starting_at(store.max_hlc());
    let mut spent = std::time::Duration::ZERO;
    for start in (0..plan.rows).step_by(plan.batch) {
        let end = (start + plan.batch).min(plan.rows);
        let rows = end - start;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(
                data.device[start..end]
                    .iter()
                    .map(|device| Data::name(*device)),
            )),
            Arc::new(TimestampNanosecondArray::from(
                data.ts_ns[start..end].to_vec(),
            )),
        ];
        for values in &data.fields {
            columns.push(Arc::new(Float64Array::from(values[start..end].to_vec())));
        }
        let columns = (0..)
            .zip(columns)
            .map(|(id, array)| BatchColumn {
                id: ColumnId(id),
                array,
                set: None,
            })
            .collect();
        let begun = Instant::now();
        let first = clock.reserve(1_767_225_600_000, rows as u64);
        let batch = RowBatch::upsert(TABLE, rows, columns, first, OriginId(0));
        store.commit(WriteSet {
            batches: vec![batch],
            tombstones: vec![],
            notes: vec![],
        })?;
        spent += begun.elapsed();
    }
    Ok(spent)
}

/// How long a store takes to open when nothing of its log was flushed: prints seconds per GiB.
///
/// # Errors
/// What the store says.
pub fn replay(plan: &Plan, data: &Data) -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let options = StoreOptions {
        memtable_bytes: 8 << 30,
        wal_flush_bytes: u64::MAX,
        wal_sync: WalSync::Batch,
        ..StoreOptions::new(NodeId([1; 16]))
    };
    let store = Store::open(Env::real(dir.path())?, options.clone())?;
    store.put_schema(schema())?;
    fill(&store, plan, data)?;
    let bytes = store.stats().wal_bytes;
    drop(store);
    let begun = Instant::now();
    let store = Store::open(Env::real(dir.path())?, options)?;
    let took = begun.elapsed().as_secs_f64();
    println!(
        "replay of the log: {} MB in {took:.2} s, {:.2} s per GiB, {} records",
        bytes / 1_000_000,
        took / (bytes as f64 / f64::from(1 << 30)),
        store.stats().replayed_records
    );
    Ok(())
}
