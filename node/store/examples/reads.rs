//! What reads cost, and what overlapping runs, memtables, expiry and updates add to it: CPU time of one
//! thread, so that a busy machine hardly shows.
//! `cargo run --release -p activestore-store --example reads [devices] [ticks]`

use std::sync::Arc;

use activestore_env::{Clock, Env, RealClock};
use activestore_store::{
    LastRequest, ScanRequest, Snapshot, Store, StoreOptions, WalSync, WriteSet,
};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, DataType, Error, HlcClock, NodeId, OriginId,
    Result, RowBatch, SyncMode, TableId, TableName, TableSchema, encode_keys,
};
use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampNanosecondArray};

const TABLE: TableId = TableId(1);
const FIELDS: u32 = 10;
const NOW_MS: u64 = 1_767_225_600_000;
const RUNS: usize = 4;

/// How the rows get into the table.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// In order, one file.
    One,
    /// In order, a file for each part of the time.
    Four,
    /// As `Four`, and the last tenth in memory.
    Memory,
    /// As `One`, every row expiring later.
    Expiring,
    /// As `One`, the older half expired.
    HalfExpired,
    /// One row in a hundred comes a run late.
    Late,
    /// Every row is written four times, a file each.
    Updated,
}

struct Fleet {
    devices: usize,
    ticks: usize,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse().ok());
    let fleet = Fleet {
        devices: arguments.next().unwrap_or(2_000),
        ticks: arguments.next().unwrap_or(1_000),
    };
    println!("{} devices, {} rows each", fleet.devices, fleet.ticks);
    let mut base = None;
    for (name, shape) in [
        ("one run", Shape::One),
        ("four runs", Shape::Four),
        ("four runs and a memtable", Shape::Memory),
        ("expiring later", Shape::Expiring),
        ("half expired", Shape::HalfExpired),
        ("1 % late by a run", Shape::Late),
        ("updated three times", Shape::Updated),
    ] {
        let directory = tempfile::tempdir()
            .map_err(|error| Error::internal(format!("no temporary directory: {error}")))?;
        let options = StoreOptions {
            memtable_bytes: 4 << 30,
            wal_flush_bytes: u64::MAX,
            wal_sync: WalSync::Interval(std::time::Duration::from_secs(1)),
            auto_compact: false,
            ..StoreOptions::new(NodeId([1; 16]))
        };
        let store = Store::open(Env::real(directory.path())?, options)?;
        store.put_schema(schema())?;
        fill(&store, &fleet, shape)?;
        let snapshot = store.snapshot(TABLE)?;
        let fields: Vec<ColumnId> = (2..2 + FIELDS).map(ColumnId).collect();
        let all: Vec<ColumnId> = (0..2 + FIELDS).map(ColumnId).collect();
        let (ns, rows) = best(|| scan(&snapshot, &fields, false))?;
        let base = *base.get_or_insert(ns);
        println!("{name}: {} files, {rows} rows", store.stats().sst_files);
        println!(
            "  scan of 10 fields   {ns:7.1} ns a row, {:.2} x one run",
            ns / base
        );
        let (ns, _) = best(|| scan(&snapshot, &all, false))?;
        println!("  scan of 12 columns  {ns:7.1} ns a row");
        let (ns, _) = best(|| scan(&snapshot, &fields, true))?;
        println!("  in reverse          {ns:7.1} ns a row");
        let (ns, found) = best(|| last(&snapshot, &all))?;
        println!(
            "  last rows           {:7.2} ms for {found}",
            ns * found as f64 / 1e6
        );
        points(&snapshot, &fleet, &all)?;
    }
    Ok(())
}

/// Nanoseconds that this thread has computed.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split(' ').next().and_then(|text| text.parse().ok());
    first.unwrap_or(0)
}

/// The least CPU time of three runs, in nanoseconds a row, and the rows.
fn best(mut run: impl FnMut() -> Result<usize>) -> Result<(f64, usize)> {
    let mut least = (f64::INFINITY, 0);
    for _ in 0..3 {
        let begin = cpu_ns();
        let rows = run()?;
        let ns = (cpu_ns() - begin) as f64 / rows.max(1) as f64;
        if ns < least.0 {
            least = (ns, rows);
        }
    }
    Ok(least)
}

fn scan(snapshot: &Snapshot, columns: &[ColumnId], reverse: bool) -> Result<usize> {
    let request = ScanRequest {
        columns: columns.to_vec(),
        reverse,
        now_ms: NOW_MS,
        ..ScanRequest::default()
    };
    let mut rows = 0;
    for batch in snapshot.scan(request)? {
        rows += std::hint::black_box(batch?).num_rows();
    }
    Ok(rows)
}

fn last(snapshot: &Snapshot, columns: &[ColumnId]) -> Result<usize> {
    let request = LastRequest {
        columns: columns.to_vec(),
        partitions: None,
        now_ms: NOW_MS,
    };
    let mut rows = 0;
    for batch in snapshot.last_rows(request)? {
        rows += std::hint::black_box(batch?).num_rows();
    }
    Ok(rows)
}

fn points(snapshot: &Snapshot, fleet: &Fleet, columns: &[ColumnId]) -> Result<()> {
    let clock = RealClock::new();
    let mut times = Vec::new();
    let mut state = 7_u64;
    let begun = cpu_ns();
    for _ in 0..20_000 {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x14_057b);
        let row = (state >> 20) as usize % (fleet.devices * fleet.ticks);
        let (device, tick) = (row % fleet.devices, row / fleet.devices);
        let name: ArrayRef = Arc::new(StringArray::from(vec![format!("device-{device:06}")]));
        let at: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![ts(device, tick)]));
        let begin = clock.monotonic();
        let keys = encode_keys(&[(name, false), (at, false)])?;
        std::hint::black_box(snapshot.get(keys.key(0), columns, NOW_MS)?);
        times.push((clock.monotonic() - begin).as_nanos() as f64 / 1e3);
    }
    let mean = (cpu_ns() - begun) as f64 / times.len() as f64 / 1e3;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        times.get(place).copied().unwrap_or(0.0)
    };
    println!(
        "  point reads         p50 {:.1} us, p99 {:.1} us, {mean:.1} us of CPU with the making of the key",
        at(0.5),
        at(0.99),
    );
    Ok(())
}

fn schema() -> Arc<TableSchema> {
    let named = |id, name: String, data_type| Column {
        id: ColumnId(id),
        name,
        data_type,
    };
    let mut columns = vec![
        named(0, "device".to_owned(), DataType::Text),
        named(1, "ts".to_owned(), DataType::Timestamp),
    ];
    columns.extend((0..FIELDS).map(|n| named(2 + n, format!("field{n}"), DataType::Double)));
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
        compaction: activestore_types::CompactionMode::Automatic,
        sync: SyncMode::None,
        version: 1,
    })
}

fn ts(device: usize, tick: usize) -> i64 {
    let jitter = (device * 31 + tick * 17) % 5;
    (NOW_MS as i64 + tick as i64 * 10_000 + device as i64 % 10_000 + jitter as i64) * 1_000_000
}

fn fill(store: &Store, fleet: &Fleet, shape: Shape) -> Result<()> {
    let clock = HlcClock::starting_at(store.max_hlc());
    let files = match shape {
        Shape::One | Shape::Expiring | Shape::HalfExpired => 1,
        _ => RUNS,
    };
    let part = fleet.ticks.div_ceil(files);
    let late = |device: usize, tick: usize| {
        shape == Shape::Late && (device + tick).is_multiple_of(100) && tick + part < fleet.ticks
    };
    for file in 0..files {
        let ticks = match shape {
            Shape::Updated => 0..fleet.ticks,
            _ => file * part..((file + 1) * part).min(fleet.ticks),
        };
        for tick in ticks {
            let in_time = (0..fleet.devices).filter(|device| !late(*device, tick));
            let mut rows: Vec<(usize, usize)> = in_time.map(|device| (device, tick)).collect();
            if let Some(before) = tick.checked_sub(part) {
                let came_late = (0..fleet.devices).filter(|device| late(*device, before));
                rows.extend(came_late.map(|device| (device, before)));
            }
            let expiry_ms = match shape {
                Shape::Expiring => NOW_MS + 1000 + tick as u64,
                Shape::HalfExpired if tick < fleet.ticks / 2 => NOW_MS - 1,
                Shape::HalfExpired => NOW_MS + 1,
                _ => 0,
            };
            commit(store, &clock, &rows, expiry_ms)?;
            if shape == Shape::Memory && tick + 1 == fleet.ticks - fleet.ticks / 10 {
                store.flush()?;
            }
        }
        if shape != Shape::Memory || file + 1 < files {
            store.flush()?;
        }
    }
    Ok(())
}

fn commit(store: &Store, clock: &HlcClock, rows: &[(usize, usize)], expiry_ms: u64) -> Result<()> {
    let names = rows.iter().map(|(device, _)| format!("device-{device:06}"));
    let times = rows.iter().map(|(device, tick)| ts(*device, *tick));
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(names)),
        Arc::new(TimestampNanosecondArray::from_iter_values(times)),
    ];
    for field in 0..FIELDS as usize {
        // A slow wave and some noise, two decimals.
        let value = |(device, tick): &(usize, usize)| {
            let noise = (device * 7919 + tick * 104_729 + field * 31) % 13;
            let wave = ((*tick as f64 / 200.0) + (*device + field) as f64).sin() * 20.0;
            ((wave + 50.0) * 100.0 + noise as f64).round() / 100.0
        };
        arrays.push(Arc::new(Float64Array::from_iter_values(
            rows.iter().map(value),
        )));
    }
    let columns = (0..).zip(arrays).map(|(id, array)| BatchColumn {
        id: ColumnId(id),
        array,
        set: None,
    });
    let first = clock.reserve(NOW_MS, rows.len() as u64);
    let mut batch = RowBatch::upsert(TABLE, rows.len(), columns.collect(), first, OriginId(0));
    if expiry_ms > 0 {
        batch.expiry_ms = Some(vec![expiry_ms; rows.len()].into());
    }
    store.commit(WriteSet {
        batches: vec![batch],
        ..WriteSet::default()
    })?;
    Ok(())
}
