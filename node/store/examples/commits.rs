//! What committing costs: a fleet of 2,000 devices with three tags and ten fields is written in
//! batches by some threads, every commit durable, and the store is opened again on its log. Prints
//! rates beside the processor time they took, so that a run on a busy machine says something, too.
//!
//! `cargo run --release -p activestore-store --example commits -- [ROWS] [BATCH] [WRITERS] [DIR]`

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use activestore_env::{Clock, Env, RealClock};
use activestore_store::{Store, StoreOptions, WriteSet};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, DataType, Hlc, NodeId, OriginId, RowBatch,
    SyncMode, TableId, TableName, TableSchema,
};
use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};

const TABLE: TableId = TableId(1);
const DEVICES: usize = 2_000;
const START_MS: u64 = 1_767_225_600_000;

/// Step and decimals of each floating-point field.
const WALKS: [(f64, i32); 8] = [
    (0.05, 2),
    (0.2, 1),
    (0.03, 2),
    (0.002, 3),
    (0.01, 3),
    (1.5, 2),
    (0.0002, 5),
    (0.0002, 5),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| -> Result<usize, Box<dyn Error>> {
        Ok(arguments.next().map_or(Ok(default), |text| text.parse())?)
    };
    let (rows, batch, writers) = (number(2_000_000)?, number(10_000)?, number(1)?);
    let dir = arguments.next().map_or_else(
        || std::env::temp_dir().join(format!("activestore-commits-{}", std::process::id())),
        PathBuf::from,
    );
    let sets = generate(rows, batch);
    let done = ingest(&dir, &sets, writers).and_then(|()| replay(&dir, sets));
    std::fs::remove_dir_all(&dir)?;
    done
}

fn ingest(dir: &Path, sets: &[WriteSet], writers: usize) -> Result<(), Box<dyn Error>> {
    let options = StoreOptions {
        memtable_bytes: 64 << 20,
        ..StoreOptions::new(NodeId([1; 16]))
    };
    let store = Store::open(Env::real(&dir.join("ingest"))?, options)?;
    store.put_schema(schema())?;
    let watch = Watch::start();
    write(&store, sets, writers)?;
    let written = watch.read();
    store.flush()?;
    let rows: u64 = sets.iter().map(WriteSet::rows).sum();
    let stats = store.stats();
    println!(
        "ingest: {}; with the last flush {}",
        written.rate(rows),
        watch.read().rate(rows)
    );
    println!(
        "  {} groups, {} syncs of {} us, {} stalls, {} flushes of {} MB, {} merges of {} MB",
        stats.groups,
        stats.wal_syncs,
        stats.wal_sync_ns / stats.wal_syncs.max(1) / 1000,
        stats.stalls,
        stats.flushes,
        stats.flush_bytes >> 20,
        stats.compactions,
        stats.compaction_bytes >> 20,
    );
    Ok(())
}

fn replay(dir: &Path, sets: Vec<WriteSet>) -> Result<(), Box<dyn Error>> {
    let options = StoreOptions {
        memtable_bytes: usize::MAX,
        wal_flush_bytes: u64::MAX,
        ..StoreOptions::new(NodeId([1; 16]))
    };
    let env = || Env::real(&dir.join("replay"));
    let store = Store::open(env()?, options.clone())?;
    store.put_schema(schema())?;
    write(&store, &sets, 1)?;
    drop(sets);
    let bytes = store.stats().wal_bytes;
    drop(store);
    let watch = Watch::start();
    let store = Store::open(env()?, options)?;
    let took = watch.read();
    let gib = bytes as f64 / f64::from(1 << 30);
    println!(
        "replay: {:.2} s a GiB, {:.2} s of processor time, {} records of {} MB",
        took.wall_s / gib,
        took.cpu_s / gib,
        store.stats().replayed_records,
        bytes >> 20
    );
    Ok(())
}

/// Every set is one durable commit, by whichever thread is free.
fn write(store: &Store, sets: &[WriteSet], writers: usize) -> Result<(), Box<dyn Error>> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(set) = sets.get(next.fetch_add(1, Ordering::Relaxed)) {
                        store.commit(set.clone())?;
                    }
                    Ok::<_, activestore_types::Error>(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })
}

struct Watch {
    clock: RealClock,
    cpu_s: f64,
}

struct Reading {
    wall_s: f64,
    cpu_s: f64,
}

impl Watch {
    fn start() -> Self {
        Watch {
            clock: RealClock::new(),
            cpu_s: cpu_s(),
        }
    }

    fn read(&self) -> Reading {
        Reading {
            wall_s: self.clock.monotonic().as_secs_f64(),
            cpu_s: cpu_s() - self.cpu_s,
        }
    }
}

impl Reading {
    fn rate(&self, rows: u64) -> String {
        format!(
            "{:.2} M rows/s, {:.2} M rows per second of processor time",
            rows as f64 / self.wall_s / 1e6,
            rows as f64 / self.cpu_s / 1e6
        )
    }
}

/// Processor time of this process so far, of user and system, where the system says it.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

fn schema() -> Arc<TableSchema> {
    let column = |id, data_type| Column {
        id: ColumnId(id),
        name: format!("c{id}"),
        data_type,
    };
    let mut columns = vec![
        column(0, DataType::Text),
        column(1, DataType::Timestamp),
        column(2, DataType::Text),
        column(3, DataType::Text),
    ];
    columns.extend((4..12).map(|id| column(id, DataType::Double)));
    columns.extend((12..14).map(|id| column(id, DataType::BigInt)));
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
        compaction: activestore_types::CompactionMode::Automatic,
        version: 1,
    })
}

/// A small generator (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Between -1 and 1.
    fn step(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

struct Device {
    fields: [f64; 8],
    bytes: i64,
    status: i64,
}

fn generate(rows: usize, batch: usize) -> Vec<WriteSet> {
    let mut random = Random(42);
    let mut devices: Vec<Device> = (0..DEVICES)
        .map(|_| Device {
            fields: [0.0; 8].map(|_| 50.0 + 20.0 * random.step()),
            bytes: 0,
            status: 0,
        })
        .collect();
    let starts = (0..rows).step_by(batch.max(1));
    starts
        .map(|start| {
            let rows = start..(start + batch).min(rows);
            one_batch(rows, &mut devices, &mut random)
        })
        .collect()
}

fn one_batch(
    rows: std::ops::Range<usize>,
    devices: &mut [Device],
    random: &mut Random,
) -> WriteSet {
    let (first, count) = (rows.start, rows.len());
    let mut floats: Vec<Vec<f64>> = vec![Vec::with_capacity(count); WALKS.len()];
    let (mut at_ns, mut bytes, mut status) = (Vec::new(), Vec::new(), Vec::new());
    let mut tags: [Vec<String>; 3] = Default::default();
    for row in rows {
        let (tick, number) = (row / DEVICES, row % DEVICES);
        let jitter = if random.next().is_multiple_of(4) {
            random.next() % 5
        } else {
            0
        };
        at_ns.push(
            ((START_MS + tick as u64 * 10_000 + number as u64 * 5 + jitter) * 1_000_000) as i64,
        );
        let [device, region, model] = &mut tags;
        device.push(format!("device-{number:06}"));
        region.push(format!("eu-central-{}", number % 8));
        model.push(format!("model-{:02}", number % 20));
        let Some(state) = devices.get_mut(number) else {
            continue;
        };
        for (index, ((step, decimals), (value, out))) in WALKS
            .iter()
            .zip(state.fields.iter_mut().zip(&mut floats))
            .enumerate()
        {
            if number.is_multiple_of(2) || index < 6 {
                *value = (*value + step * random.step()).clamp(0.0, 100.0);
            }
            let scale = 10_f64.powi(*decimals);
            out.push((*value * scale).round() / scale);
        }
        state.bytes += (random.next() % 20_000) as i64;
        match random.next() % 500 {
            0 => state.status = (random.next() % 5) as i64,
            1..=25 => state.status = 0,
            _ => {}
        }
        bytes.push(state.bytes);
        status.push(state.status);
    }
    let [device, region, model] = tags.map(|tag| Arc::new(StringArray::from(tag)) as ArrayRef);
    let mut arrays: Vec<ArrayRef> = vec![
        device,
        Arc::new(TimestampNanosecondArray::from(at_ns)),
        region,
        model,
    ];
    arrays.extend(
        floats
            .into_iter()
            .map(|values| Arc::new(Float64Array::from(values)) as ArrayRef),
    );
    arrays.push(Arc::new(Int64Array::from(bytes)));
    arrays.push(Arc::new(Int64Array::from(status)));
    let columns = (0..)
        .zip(arrays)
        .map(|(id, array)| BatchColumn {
            id: ColumnId(id),
            array,
            set: None,
        })
        .collect();
    let stamp = Hlc(Hlc::from_ms(START_MS).0 + first as u64);
    WriteSet::from_batches(vec![RowBatch::upsert(
        TABLE,
        count,
        columns,
        stamp,
        OriginId(0),
    )])
}
