//! Reads of compacted data from the page cache: whole rows by key, the last row of every device, the
//! average of ten columns, and plain decoding into Arrow.

use std::time::Instant;

use activestore_store::{LastRequest, ScanRequest, Snapshot, StoreOptions};
use activestore_types::{ColumnId, KeyRange, encode_keys};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::{Opened, options, table};
use crate::data::random::Random;
use crate::process::{percentile, thread_cpu_s};
use crate::task::{Result, Task, emit};

/// Keys that are read again and again.
pub const HOT_KEYS: usize = 1_000;
/// Times that a scan is repeated; the median counts.
const SCANS: usize = 7;
const THREADS: usize = 2;

/// Everything.
pub fn run(task: &Task) -> Result<()> {
    let blocks_alone = StoreOptions {
        block_cache_bytes: 64 << 20,
        row_cache_bytes: 0,
        ..options()
    };
    let opened = Opened::new(&task.dir, &task.data, blocks_alone)?;
    opened.load(&task.data)?;
    opened.store.compact(table::TABLE)?;
    let keys = random_keys(task, &opened)?;
    let snapshot = opened.store.snapshot(table::TABLE)?;
    // As with the other engines, the second time counts.
    read_all(&opened, &snapshot, keys.iter())?;
    let mut times = read_all(&opened, &snapshot, keys.iter())?;
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
        emit(&format!("point_{name}_us"), percentile(&mut times, share));
    }
    drop((snapshot, opened));
    let opened = Opened::new(&task.dir, &task.data, options())?;
    let snapshot = opened.store.snapshot(table::TABLE)?;
    let hot = &keys[..HOT_KEYS.min(keys.len())];
    let again = (0..task.points).map(|read| &hot[read % hot.len()]);
    let mut times = read_all(&opened, &snapshot, again)?;
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        emit(&format!("hot_{name}_us"), percentile(&mut times, share));
    }
    last(&opened, &snapshot)?;
    scans(&opened, &snapshot)?;
    emit("decode_ns_per_value", decode(&opened, &snapshot, false, task)?);
    Ok(())
}

fn random_keys(task: &Task, opened: &Opened) -> Result<Vec<Vec<u8>>> {
    let batches = task.data.batches(usize::MAX)?;
    let mut random = Random::seeded(7);
    let mut key = || -> Result<Vec<u8>> {
        let batch = &batches[random.below(batches.len() as u64) as usize];
        opened
            .table
            .key(batch, random.below(batch.num_rows() as u64) as usize)
    };
    (0..task.points).map(|_| key()).collect()
}

/// Reads whole rows; returns the times in microseconds.
pub fn read_all<'a>(
    opened: &Opened,
    snapshot: &Snapshot,
    keys: impl Iterator<Item = &'a Vec<u8>>,
) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for key in keys {
        let begun = Instant::now();
        let row = snapshot.get(key, &opened.table.all, 0)?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        if row.is_none_or(|row| row.num_rows() != 1) {
            return Err("a written row was not found".into());
        }
    }
    Ok(times)
}

/// The whole last row of every device.
fn last(opened: &Opened, snapshot: &Snapshot) -> Result<()> {
    let mut prefixes = Vec::new();
    let devices = crate::data::fleet::DEVICES;
    for device in 0..devices {
        let name = arrow::array::StringArray::from(vec![crate::data::fleet::name(device)]);
        let array: arrow::array::ArrayRef = std::sync::Arc::new(name);
        prefixes.push(encode_keys(&[(array, false)])?.key(0).to_vec());
    }
    let mut times = Vec::new();
    prefixes.sort();
    for _ in 0..SCANS {
        let begun = Instant::now();
        let mut rows = 0;
        let request = LastRequest {
            columns: opened.table.all.clone(),
            partitions: Some(prefixes.clone()),
            now_ms: 0,
            ..LastRequest::default()
        };
        for batch in snapshot.last_rows(request)? {
            rows += batch?.num_rows();
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        if rows != devices {
            return Err(format!("{rows} last rows of {devices} devices").into());
        }
    }
    emit("last_ms", percentile(&mut times, 0.5));
    Ok(())
}

/// The averages of the ten fields over all rows, two threads.
fn scans(opened: &Opened, snapshot: &Snapshot) -> Result<()> {
    let mut times = Vec::new();
    let mut sum = 0.0;
    for _ in 0..SCANS {
        let begun = Instant::now();
        let parts: Vec<Result<(Vec<f64>, usize)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = snapshot
                .split(THREADS)
                .into_iter()
                .map(|range| scope.spawn(|| sums(snapshot, &opened.table.fields, vec![range])))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err("a scan panicked".into()))
                })
                .collect()
        });
        let (mut total, mut rows) = (0.0, 0);
        for part in parts {
            let (sums, count) = part?;
            total += sums.iter().sum::<f64>();
            rows += count;
        }
        sum = total / rows as f64;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    emit("scan_ms", percentile(&mut times, 0.5));
    emit("scan_sum", sum);
    Ok(())
}

/// The sums of columns over ranges, and how many rows there are.
pub fn sums(
    snapshot: &Snapshot,
    columns: &[ColumnId],
    ranges: Vec<KeyRange>,
) -> Result<(Vec<f64>, usize)> {
    let (mut sums, mut rows) = (vec![0.0; columns.len()], 0);
    let request = ScanRequest {
        columns: columns.to_vec(),
        ranges,
        ..ScanRequest::default()
    };
    for batch in snapshot.scan(request)? {
        let batch = batch?;
        rows += batch.num_rows();
        for (sum, column) in sums.iter_mut().zip(batch.columns()) {
            if column.null_count() > 0 {
                return Err("a NULL where none was written".into());
            }
            *sum += match column.data_type() {
                DataType::Float64 => column.as_primitive::<Float64Type>().values().iter().sum(),
                _ => column
                    .as_primitive::<Int64Type>()
                    .values()
                    .iter()
                    .sum::<i64>() as f64,
            };
        }
    }
    Ok((sums, rows))
}

/// Nanoseconds of one core for each value of the ten fields put into an Arrow array, nothing else done;
/// in key order or in any.
pub fn decode(opened: &Opened, snapshot: &Snapshot, any_order: bool, task: &Task) -> Result<f64> {
    let columns = &opened.table.fields;
    let mut times = Vec::new();
    for _ in 0..SCANS {
        let request = ScanRequest {
            columns: columns.clone(),
            any_order,
            ..ScanRequest::default()
        };
        let begun = thread_cpu_s();
        let mut rows = 0;
        for batch in snapshot.scan(request)? {
            let batch: RecordBatch = batch?;
            rows += std::hint::black_box(&batch).num_rows();
        }
        times.push((thread_cpu_s() - begun) * 1e9 / (rows * columns.len()) as f64);
        if rows != task.data.rows {
            return Err(format!("{rows} of {} rows were read", task.data.rows).into());
        }
    }
    Ok(percentile(&mut times, 0.5))
}
