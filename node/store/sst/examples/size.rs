//! Bytes per row and the speed of encoding and decoding synthetic sensor data: 500 devices with two tags,
//! a timestamp, eight readings and two counters.
//! `cargo run --release -p activestore-sst --example size`

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_env::{Clock, Disk, RealClock, SimDisk, SimDiskOptions};
use activestore_sst::{Sst, SstOptions, SstWriter};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, Hlc, KeyBuffer,
    OriginId, Result, RowBatch, SyncMode, TableId, TableName, TableSchema, encode_keys,
};
use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};

const DEVICES: u64 = 500;
const TICKS: u64 = 4_000;
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
    let clock = RealClock::new();
    let schema = schema();
    let batches: Vec<(RowBatch, KeyBuffer)> = (0..DEVICES).map(device).collect::<Result<_>>()?;
    let rows = DEVICES * TICKS;
    for cold in [false, true] {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::seeded(1, SimDiskOptions::default()));
        let begin = clock.monotonic();
        let mut writer = SstWriter::create(
            &disk,
            "a.sst",
            schema.clone(),
            SstOptions {
                cold,
                ..SstOptions::default()
            },
        )?;
        for (batch, keys) in &batches {
            writer.append(batch, keys)?;
        }
        let meta = writer.finish()?;
        let seconds = (clock.monotonic() - begin).as_secs_f64();
        println!(
            "{}: {:.2} bytes a row, encoded at {:.1} M rows/s",
            if cold { "cold" } else { "hot" },
            meta.bytes as f64 / rows as f64,
            rows as f64 / seconds / 1e6,
        );
        let sst = Sst::open(&disk, "a.sst")?;
        let numeric: Vec<ColumnId> = (4..14).map(ColumnId).collect();
        let all: Vec<ColumnId> = (1..14).map(ColumnId).collect();
        for (what, columns) in [("10 numeric columns", &numeric), ("13 columns", &all)] {
            let begin = clock.monotonic();
            let mut read = 0;
            let mut scan = sst.sequential();
            for v in 0..sst.vectors() {
                read += scan.read(v, columns)?.rows;
            }
            let ns = (clock.monotonic() - begin).as_nanos() as f64 / read as f64;
            println!(
                "  {what}: {ns:.1} ns a row, {:.2} ns a value",
                ns / columns.len() as f64
            );
        }
        let begin = clock.monotonic();
        let reads = 20_000;
        for index in 0..reads {
            sst.read(index * 7919 % sst.vectors(), &all)?;
        }
        println!(
            "  one vector of 13 columns: {:.1} us",
            (clock.monotonic() - begin).as_micros() as f64 / reads as f64
        );
        for column in &meta.columns {
            let encodings: BTreeMap<_, _> = column.encodings.iter().cloned().collect();
            println!(
                "  {:12} {:6.2} bits a value  {encodings:?}",
                column.name,
                column.bytes as f64 * 8.0 / rows as f64
            );
        }
    }
    Ok(())
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
        named(3, "ts", DataType::Timestamp),
    ];
    for (id, (name, _, _)) in (4..).zip(READINGS) {
        columns.push(named(id, name, DataType::Double));
    }
    columns.push(named(12, "bytes_total", DataType::BigInt));
    columns.push(named(13, "status", DataType::BigInt));
    Arc::new(TableSchema {
        id: TableId(1),
        name: TableName::new("plant", "readings"),
        columns,
        partition_key: vec![ColumnId(1)],
        clustering_key: vec![ClusteringColumn {
            id: ColumnId(3),
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
fn device(index: u64) -> Result<(RowBatch, KeyBuffer)> {
    let mut state = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    let rows = TICKS as usize;
    let device: ArrayRef = Arc::new(StringArray::from(vec![
        format!("device-{index:06}").as_str();
        rows
    ]));
    let region: ArrayRef = Arc::new(StringArray::from(vec![
        format!("region-{}", index % 8)
            .as_str();
        rows
    ]));
    let phase = next() % 10_000;
    let ts: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values((0..TICKS).map(
        |tick| {
            let jitter = if next().is_multiple_of(4) {
                next() % 5
            } else {
                0
            };
            (1_767_225_600_000 + tick * 10_000 + phase + jitter).cast_signed() * 1_000_000
        },
    )));
    let keys = encode_keys(&[(device.clone(), false), (ts.clone(), false)])?;
    let mut arrays = vec![device, region, ts];
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
    let first = Hlc::from_ms(1_767_225_600_000 + index * 1000);
    Ok((
        RowBatch::upsert(TableId(1), rows, columns.collect(), first, OriginId(0)),
        keys,
    ))
}
