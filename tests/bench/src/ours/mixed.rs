//! Reads while half a million rows a second come in: the same scans and point reads of older data, on
//! a quiet store and on a busy one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use activestore_types::{KeyRange, encode_keys};
use arrow::array::{ArrayRef, AsArray, StringArray, TimestampNanosecondArray};
use arrow::datatypes::TimestampNanosecondType;
use arrow::record_batch::RecordBatch;

use super::reads::{read_all, sums};
use super::{Opened, options, table};
use crate::data::fleet::{DEVICES, TICK_MS, name};
use crate::data::random::Random;
use crate::process::percentile;
use crate::task::{Result, Task, emit};

/// Rows that come in, a second.
const RATE: f64 = 500_000.0;
/// Rows of one of its commits.
const BATCH_ROWS: usize = 5_000;
/// Devices whose older rows a scan reads.
const SCANNED: usize = 200;
const POINTS_PER_ROUND: usize = 200;

/// Loads the data, reads at rest, then reads under load.
pub fn run(task: &Task) -> Result<()> {
    let opened = Opened::new(&task.dir, &task.data, options())?;
    opened.load(&task.data)?;
    opened.store.compact(table::TABLE)?;
    let batches = task.data.batches(BATCH_ROWS)?;
    let first = batches.first().ok_or("no rows")?;
    let (begin, end) = times(first, batches.last().unwrap_or(first))?;
    let reads = Reads {
        ranges: (0..SCANNED)
            .map(|device| range(&name(device * (DEVICES / SCANNED)), begin, end))
            .collect::<Result<_>>()?,
        batches: &batches,
    };
    // Twice at rest: the first round fills the page cache.
    reads.run(&opened, task.seconds / 4.0)?;
    let mut idle = reads.run(&opened, task.seconds / 2.0)?;
    let stop = AtomicBool::new(false);
    let written = AtomicU64::new(0);
    let (mut busy, wrote, took) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&opened, &batches, end - begin, &stop, &written));
        let begun = Instant::now();
        let busy = reads.run(&opened, task.seconds);
        stop.store(true, Ordering::Relaxed);
        let took = begun.elapsed().as_secs_f64();
        let wrote = writer
            .join()
            .unwrap_or_else(|_| Err("the writer panicked".into()));
        (busy, wrote, took)
    });
    wrote?;
    let busy = busy.as_mut().map_err(|error| error.to_string())?;
    emit(
        "incoming_rows_s",
        written.load(Ordering::Relaxed) as f64 / took,
    );
    emit("scan_idle_ms", percentile(&mut idle.scan_ms, 0.5));
    emit("scan_busy_ms", percentile(&mut busy.scan_ms, 0.5));
    emit("point_idle_p99_us", percentile(&mut idle.point_us, 0.99));
    emit("point_busy_p50_us", percentile(&mut busy.point_us, 0.5));
    emit("point_busy_p99_us", percentile(&mut busy.point_us, 0.99));
    emit("point_busy_p999_us", percentile(&mut busy.point_us, 0.999));
    emit("files", opened.store.stats().sst_files as f64);
    Ok(())
}

struct Reads<'a> {
    ranges: Vec<KeyRange>,
    batches: &'a [RecordBatch],
}

struct Times {
    scan_ms: Vec<f64>,
    point_us: Vec<f64>,
}

impl Reads<'_> {
    /// Scans and point reads in turn, each over a snapshot of its own, for so long.
    fn run(&self, opened: &Opened, seconds: f64) -> Result<Times> {
        let mut random = Random::seeded(11);
        let mut times = Times {
            scan_ms: Vec::new(),
            point_us: Vec::new(),
        };
        let begun = Instant::now();
        while begun.elapsed().as_secs_f64() < seconds {
            let started = Instant::now();
            let snapshot = opened.store.snapshot(table::TABLE)?;
            let (_, rows) = sums(&snapshot, &opened.table.fields, self.ranges.clone())?;
            times.scan_ms.push(started.elapsed().as_secs_f64() * 1e3);
            if rows == 0 {
                return Err("a scan found nothing".into());
            }
            for _ in 0..POINTS_PER_ROUND {
                let batch = &self.batches[random.below(self.batches.len() as u64) as usize];
                let row = random.below(batch.num_rows() as u64) as usize;
                let key = opened.table.key(batch, row)?;
                let snapshot = opened.store.snapshot(table::TABLE)?;
                times
                    .point_us
                    .extend(read_all(opened, &snapshot, std::iter::once(&key))?);
            }
        }
        Ok(times)
    }
}

/// Commits the rows again and again, later each time, at the rate.
fn write(
    opened: &Opened,
    batches: &[RecordBatch],
    period_ns: i64,
    stop: &AtomicBool,
    written: &AtomicU64,
) -> Result<()> {
    let period_ns = period_ns + TICK_MS * 1_000_000;
    let begun = Instant::now();
    let mut rows = 0;
    for round in 1.. {
        for batch in batches {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            opened.commit(&later(batch, round * period_ns)?)?;
            rows += batch.num_rows();
            written.store(rows as u64, Ordering::Relaxed);
            let due = Duration::from_secs_f64(rows as f64 / RATE);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    }
    Ok(())
}

fn later(batch: &RecordBatch, by_ns: i64) -> Result<RecordBatch> {
    let schema = batch.schema();
    let index = schema.index_of("ts")?;
    let mut columns = batch.columns().to_vec();
    let ts = batch
        .column(index)
        .as_primitive::<TimestampNanosecondType>();
    columns[index] = Arc::new(ts.unary::<_, TimestampNanosecondType>(|ts| ts + by_ns));
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn times(first: &RecordBatch, last: &RecordBatch) -> Result<(i64, i64)> {
    let at = |batch: &RecordBatch| -> Result<Vec<i64>> {
        let ts = batch.column_by_name("ts").ok_or("no column ts")?;
        Ok(ts
            .as_primitive::<TimestampNanosecondType>()
            .values()
            .to_vec())
    };
    let begin = at(first)?.into_iter().min().ok_or("no rows")?;
    let end = at(last)?.into_iter().max().ok_or("no rows")?;
    Ok((begin, end))
}

fn range(device: &str, begin: i64, end: i64) -> Result<KeyRange> {
    let key = |ts: i64| -> Result<Vec<u8>> {
        let device: ArrayRef = Arc::new(StringArray::from(vec![device]));
        let ts: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![ts]));
        Ok(encode_keys(&[(device, false), (ts, false)])?
            .key(0)
            .to_vec())
    };
    Ok(KeyRange {
        start: key(begin)?,
        end: key(end + 1)?,
    })
}
