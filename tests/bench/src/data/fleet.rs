//! The fleet: 2,000 devices that send a row every ten seconds, in turn. Three tags, a timestamp and
//! ten fields: random walks of one to five decimals, a counter and a status.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;

use super::random::Random;
use super::records::Record;
use super::{FILE_BATCH_ROWS, write};
use crate::task::{Dataset, Result};

/// Devices in the fleet.
pub const DEVICES: usize = 2_000;
/// Rows of half a day.
pub const FULL_ROWS: usize = DEVICES * 4_320;
/// A tick, in milliseconds.
pub const TICK_MS: i64 = 10_000;
/// The walks: name, step, least, greatest, decimals.
const WALKS: [(&str, f64, f64, f64, i32); 8] = [
    ("temperature", 0.05, -20.0, 80.0, 2),
    ("humidity", 0.2, 0.0, 100.0, 1),
    ("pressure", 0.03, 950.0, 1050.0, 2),
    ("voltage", 0.002, 11.0, 14.0, 3),
    ("current", 0.01, 0.0, 20.0, 3),
    ("usage_user", 1.5, 0.0, 100.0, 2),
    ("latitude", 0.0002, -60.0, 60.0, 5),
    ("longitude", 0.0002, -180.0, 180.0, 5),
];
/// The ten fields.
pub const FIELDS: [&str; 10] = [
    "temperature",
    "humidity",
    "pressure",
    "voltage",
    "current",
    "usage_user",
    "latitude",
    "longitude",
    "bytes_total",
    "status",
];
const REGIONS: [&str; 8] = [
    "us-east-1",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-south-1",
    "ap-southeast-2",
    "sa-east-1",
    "af-south-1",
];
const MODELS: u64 = 20;
const START_MS: i64 = 1_767_225_600_000;

struct Device {
    region: u8,
    model: u8,
    phase_ms: i64,
    walks: [f64; 8],
    bytes_total: i64,
    status: i64,
}

/// A device's name.
pub fn name(device: usize) -> String {
    format!("device-{device:06}")
}

/// Writes both files of `rows` rows.
pub fn make(dir: &Path, rows: usize) -> Result<Dataset> {
    let mut random = Random::seeded(42);
    let mut devices: Vec<Device> = (0..DEVICES).map(|_| Device::new(&mut random)).collect();
    let names: Vec<String> = (0..DEVICES).map(name).collect();
    let models: Vec<String> = (0..MODELS)
        .map(|model| format!("model-{model:02}"))
        .collect();
    let records = dir.join("fleet.records");
    let mut file = BufWriter::new(File::create(&records)?);
    let batches = (0..rows)
        .step_by(FILE_BATCH_ROWS)
        .map(|start| -> Result<RecordBatch> {
            let rows = FILE_BATCH_ROWS.min(rows - start);
            let mut ts = Vec::with_capacity(rows);
            let mut walks: [Vec<f64>; 8] = std::array::from_fn(|_| Vec::with_capacity(rows));
            let (mut bytes, mut status) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
            let of = |row: usize| (start + row) % DEVICES;
            for row in 0..rows {
                let device = of(row);
                let tick = ((start + row) / DEVICES) as i64;
                let state = &mut devices[device];
                let at_ms = state.step(&mut random, tick, device.is_multiple_of(2));
                ts.push(at_ms * 1_000_000);
                let mut fields = [0.0; 8];
                for (index, (_, _, _, _, decimals)) in WALKS.iter().enumerate() {
                    let scale = 10_f64.powi(*decimals);
                    fields[index] = (state.walks[index] * scale).round() / scale;
                    walks[index].push(fields[index]);
                }
                bytes.push(state.bytes_total);
                status.push(state.status);
                let record = Record {
                    device: &names[device],
                    at_ms,
                    region: state.region,
                    model: state.model,
                    walks: fields,
                    counts: [state.bytes_total, state.status],
                };
                file.write_all(&record.encode())?;
            }
            let mut columns: Vec<(&str, ArrayRef)> = vec![
                (
                    "device",
                    Arc::new(StringArray::from_iter_values(
                        (0..rows).map(|row| &names[of(row)]),
                    )),
                ),
                (
                    "region",
                    Arc::new(StringArray::from_iter_values(
                        (0..rows).map(|row| REGIONS[devices[of(row)].region as usize]),
                    )),
                ),
                (
                    "model",
                    Arc::new(StringArray::from_iter_values(
                        (0..rows).map(|row| &models[devices[of(row)].model as usize]),
                    )),
                ),
                ("ts", Arc::new(TimestampNanosecondArray::from(ts))),
            ];
            for ((name, ..), values) in WALKS.iter().zip(walks) {
                columns.push((*name, Arc::new(Float64Array::from(values))));
            }
            columns.push(("bytes_total", Arc::new(Int64Array::from(bytes))));
            columns.push(("status", Arc::new(Int64Array::from(status))));
            Ok(RecordBatch::try_from_iter(columns)?)
        });
    let mut data = write(dir, "fleet", (&["device"], &["ts"]), false, batches)?;
    file.flush()?;
    data.records = Some(records);
    Ok(data)
}

impl Device {
    fn new(random: &mut Random) -> Self {
        Device {
            region: random.below(REGIONS.len() as u64) as u8,
            model: random.below(MODELS) as u8,
            phase_ms: random.below(TICK_MS as u64) as i64,
            walks: WALKS.map(|(_, _, low, high, _)| low + (high - low) * random.unit()),
            bytes_total: random.below(1_000_000_000) as i64,
            status: 0,
        }
    }

    /// Goes on by one tick; returns the row's time.
    fn step(&mut self, random: &mut Random, tick: i64, moving: bool) -> i64 {
        for (index, (_, step, low, high, _)) in WALKS.iter().enumerate() {
            if moving || index < 6 {
                let value = self.walks[index] + step * random.gauss();
                self.walks[index] = value.clamp(*low, *high);
            }
        }
        self.bytes_total += random.below(20_000) as i64;
        if self.status != 0 && random.one_in(20) {
            self.status = 0;
        } else if random.one_in(500) {
            self.status = random.below(5) as i64;
        }
        let jitter = if random.one_in(4) { random.below(5) } else { 0 };
        START_MS + tick * TICK_MS + self.phase_ms + jitter as i64
    }
}
