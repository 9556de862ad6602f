//! Bytes per row and the speed of encoding, scanning and point reads on synthetic sensor data: devices
//! with three tags, a timestamp, eight readings and two counters, stamped as they arrive: in the order
//! of time, 10,000 rows a commit. Processor time, so that a busy machine distorts it less.
//! `cargo run --release -p activestore-sst --example size -- [DEVICES]` (500; 2,000 make 8.64 M rows)

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use activestore_env::{Clock, Disk, RealClock, RealDisk};
use activestore_sst::{BlockCache, Sst, SstOptions, SstWriter};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, Error, Hlc,
    KeyBuffer, KeyRange, OriginId, Result, RowBatch, SyncMode, TableId, TableName, TableSchema,
    encode_keys,
};
use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};

const TICKS: u64 = 4_320;
/// Rows of one commit.
const COMMIT: u64 = 10_000;
/// Point reads that are timed one by one.
const POINTS: usize = 20_000;
/// Name, step of the random walk, digits after the point.
const READINGS: [(&str, f64, i32); 8] = [
    ("temperature", 0.05, 2),
    ("humidity", 0.2, 1),
    ("pressure", 0.03, 2),
    ("voltage", 0.002, 3),
    ("current", 0.01, 3),
    ("usage", 1.5, 2),
    ("latitude", 0.0002, 5),
    ("longitude", 0.0002, 5),
];

fn main() -> Result<()> {
    let devices = std::env::args().nth(1).and_then(|arg| arg.parse().ok());
    let devices: u64 = devices.unwrap_or(500);
    let folder = tempfile::tempdir().map_err(Error::from)?;
    measure(devices, folder.path())
}

fn measure(devices: u64, folder: &Path) -> Result<()> {
    let clock = RealClock::new();
    let schema = schema();
    let rows = devices * TICKS;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder)?);
    for cold in [false, true] {
        let name = if cold { "cold.sst" } else { "hot.sst" };
        let options = SstOptions {
            cold,
            ..SstOptions::default()
        };
        let mut writer = SstWriter::create(&disk, name, schema.clone(), options)?;
        let mut spent = 0.0;
        for index in 0..devices {
            let (batch, keys) = device(index, devices)?;
            let begin = cpu_s();
            writer.append(&batch, &keys)?;
            spent += cpu_s() - begin;
        }
        let begin = cpu_s();
        let meta = writer.finish()?;
        spent += cpu_s() - begin;
        println!(
            "{name}: {:.2} MB, {:.2} bytes a row, encoded at {:.1} M rows a CPU-second",
            meta.bytes as f64 / 1e6,
            meta.bytes as f64 / rows as f64,
            rows as f64 / spent / 1e6,
        );
        let sst = Sst::open(&disk, name)?;
        let numeric: Vec<ColumnId> = (5..15).map(ColumnId).collect();
        let all: Vec<ColumnId> = (1..15).map(ColumnId).collect();
        for (what, columns, stamped) in [
            ("10 numeric columns", &numeric, false),
            ("14 columns", &all, false),
            ("14 columns and stamps", &all, true),
        ] {
            let begin = cpu_s();
            let mut read = 0;
            let mut scan = sst.sequential();
            for v in 0..sst.vectors() {
                read += if stamped {
                    scan.read_stamped(v, columns)?.rows
                } else {
                    scan.read(v, columns)?.rows
                };
            }
            let ns = (cpu_s() - begin) * 1e9 / read as f64;
            println!(
                "  {what}: {ns:.1} ns a row, {:.2} ns a value",
                ns / columns.len() as f64
            );
        }
        points(&disk, name, &clock, devices, &all, None)?;
        points(
            &disk,
            name,
            &clock,
            devices,
            &all,
            Some(&BlockCache::new(256 << 20, 0, 16 << 20)),
        )?;
        for column in &meta.columns {
            let encodings: BTreeMap<_, _> = column.encodings.iter().cloned().collect();
            println!(
                "  {:12} {:6.2} bits a value  {encodings:?}",
                column.name,
                column.bytes as f64 * 8.0 / rows as f64
            );
        }
        let listed: u64 = meta.columns.iter().map(|column| column.bytes).sum();
        println!(
            "  {:12} {:6.2} bits a row",
            "the rest",
            (meta.bytes - listed) as f64 * 8.0 / rows as f64
        );
    }
    Ok(())
}

/// Times reads of single whole rows by key, from the page cache, with or without a block cache.
fn points(
    disk: &Arc<dyn Disk>,
    name: &str,
    clock: &RealClock,
    devices: u64,
    columns: &[ColumnId],
    cache: Option<&Arc<BlockCache>>,
) -> Result<()> {
    let sst = match cache {
        Some(cache) => Sst::open_cached(disk, name, cache)?,
        None => Sst::open(disk, name)?,
    };
    let keys = keys_of(devices)?;
    let mut times = Vec::with_capacity(POINTS);
    // With a cache the first round fills it.
    for round in 0..if cache.is_some() { 2 } else { 1 } {
        times.clear();
        for key in &keys {
            let begin = clock.monotonic();
            let range = KeyRange::only(key);
            let mut found = 0;
            for v in sst.vectors_in(&range)? {
                let read = sst.read_key(v, &range.start, columns)?;
                found += read.map_or(0, |(rows, _)| rows.len());
            }
            times.push((clock.monotonic() - begin).as_nanos() as f64 / 1000.0);
            if found != 1 && round == 0 {
                return Err(Error::internal(format!("{found} rows of one key")));
            }
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        times
            .get((times.len() as f64 * share) as usize)
            .copied()
            .unwrap_or(0.0)
    };
    println!(
        "  one row of 14 columns and stamps by key, {}: p50 {:.1} us, p99 {:.1} us",
        if cache.is_some() {
            "block cache"
        } else {
            "page cache"
        },
        at(0.5),
        at(0.99)
    );
    Ok(())
}

/// Keys of rows all over the file.
fn keys_of(devices: u64) -> Result<Vec<Vec<u8>>> {
    let mut keys = Vec::new();
    for pick in 0..POINTS as u64 {
        let index = pick.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let (device, tick) = (index % devices, index / devices % TICKS);
        let stamps = timestamps(device);
        let ts = stamps.get(tick as usize).copied().unwrap_or(0);
        let name: ArrayRef = Arc::new(StringArray::from(vec![format!("device-{device:06}")]));
        let ts: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![ts]));
        keys.push(encode_keys(&[(name, false), (ts, false)])?.key(0).to_vec());
    }
    Ok(keys)
}

/// Processor time of this process.
fn cpu_s() -> f64 {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    usage.tv_sec as f64 + usage.tv_nsec as f64 / 1e9
}

fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// When a device reports, in nanoseconds.
fn timestamps(device: u64) -> Vec<i64> {
    let mut next = random(device + 1_000_000);
    let phase = next() % 10_000;
    let tick_of = |tick: u64| {
        let jitter = if next().is_multiple_of(4) {
            next() % 5
        } else {
            0
        };
        (1_767_225_600_000 + tick * 10_000 + phase + jitter).cast_signed() * 1_000_000
    };
    (0..TICKS).map(tick_of).collect()
}

/// The stamp of a device's row: commits take place some milliseconds apart.
fn stamp(device: u64, tick: u64, devices: u64) -> u64 {
    let row = tick * devices + device;
    let commit = row / COMMIT;
    let ms = 1_767_225_600_000 + commit * 5 + commit.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 4;
    Hlc::from_ms(ms).0 + row % COMMIT
}

fn schema() -> Arc<TableSchema> {
    let named = |id, name: &str, data_type| Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type,
    };
    let mut columns = vec![
        named(1, "device", DataType::Text),
        named(2, "region", DataType::Text),
        named(3, "model", DataType::Text),
        named(4, "ts", DataType::Timestamp),
    ];
    for (id, (name, _, _)) in (5..).zip(READINGS) {
        columns.push(named(id, name, DataType::Double));
    }
    columns.push(named(13, "bytes_total", DataType::BigInt));
    columns.push(named(14, "status", DataType::BigInt));
    Arc::new(TableSchema {
        id: TableId(1),
        name: TableName::new("plant", "readings"),
        columns,
        partition_key: vec![ColumnId(1)],
        clustering_key: vec![ClusteringColumn {
            id: ColumnId(4),
            descending: false,
        }],
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: CompactionMode::Automatic,
        version: 1,
    })
}

/// All rows of one device.
fn device(index: u64, devices: u64) -> Result<(RowBatch, KeyBuffer)> {
    let mut next = random(index);
    let rows = TICKS as usize;
    let tag = |text: String| -> ArrayRef { Arc::new(StringArray::from(vec![text.as_str(); rows])) };
    let device = tag(format!("device-{index:06}"));
    let region = tag(format!("region-{}", index % 8));
    let model = tag(format!("model-{}", index % 20));
    let ts: ArrayRef = Arc::new(TimestampNanosecondArray::from(timestamps(index)));
    let keys = encode_keys(&[(device.clone(), false), (ts.clone(), false)])?;
    let mut arrays = vec![device, region, model, ts];
    for (name, step, digits) in READINGS {
        let scale = 10_f64.powi(digits);
        let still = name.ends_with("tude") && index.is_multiple_of(2);
        let mut value = 50.0 + (next() % 1000) as f64 / 100.0;
        let walk = (0..TICKS).map(|_| {
            // The sum of four uniforms is near enough to a Gaussian.
            let noise: f64 = (0..4)
                .map(|_| (next() >> 11) as f64 / (1_u64 << 53) as f64 - 0.5)
                .sum();
            if !still {
                value = (value + noise * 1.7 * step).clamp(0.0, 100.0);
            }
            (value * scale).round() / scale
        });
        arrays.push(Arc::new(Float64Array::from_iter_values(walk)));
    }
    let mut total = 0;
    arrays.push(Arc::new(Int64Array::from_iter_values((0..TICKS).map(
        |_| {
            total += (next() % 20_000).cast_signed();
            total
        },
    ))));
    let mut status = 0;
    arrays.push(Arc::new(Int64Array::from_iter_values((0..TICKS).map(
        |_| {
            if next().is_multiple_of(500) {
                status = (next() % 5).cast_signed();
            } else if next().is_multiple_of(20) {
                status = 0;
            }
            status
        },
    ))));
    let columns = (1..).zip(arrays).map(|(id, array)| BatchColumn {
        id: ColumnId(id),
        array,
        set: None,
    });
    let mut batch = RowBatch::upsert(TableId(1), rows, columns.collect(), Hlc::ZERO, OriginId(0));
    batch.hlc = (0..TICKS).map(|tick| stamp(index, tick, devices)).collect();
    Ok((batch, keys))
}
