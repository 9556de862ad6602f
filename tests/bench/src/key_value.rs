//! Engines that keep keys and values, or rows one at a time, measured all the same way.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::data::random::Random;
use crate::data::records::Records;
use crate::process::{cpu_s, percentile, wait_until_quiet};
use crate::task::{Result, Task, Work, bytes_below, emit};

/// Keys that are read again and again.
const HOT_KEYS: usize = 1_000;

/// What such an engine can do.
pub trait Engine: Sync + Sized {
    /// Whether many threads may write at once.
    const CONCURRENT: bool;

    /// Makes a database in an empty directory.
    fn create(dir: &Path) -> Result<Self>;

    /// Writes rows, all durable on return.
    fn write(&self, records: &Records, rows: std::ops::Range<usize>) -> Result<()>;

    /// Reads a whole row by its key and decodes it: the sum of its fields.
    fn read(&self, records: &Records, row: usize) -> Result<f64>;

    /// Brings everything to its final place: flushes, compacts, empties the log.
    fn settle(&self) -> Result<()>;
}

/// Does a task and prints its figures.
pub fn run<E: Engine>(task: &Task) -> Result<()> {
    let records = task.data.records.as_ref().ok_or("no records")?;
    let records = Records::read(records)?;
    let engine = E::create(&task.dir)?;
    match task.work {
        Work::Ingest => batches(task, &engine, &records),
        Work::Single if E::CONCURRENT => single_rows(task, &engine, &records),
        Work::Size => {
            load(&engine, &records)?;
            drop(engine);
            emit("bytes", bytes_below(&task.dir)? as f64);
            Ok(())
        }
        Work::Reads => reads(task, &engine, &records),
        _ => Err("this engine does not do that".into()),
    }
}

fn load<E: Engine>(engine: &E, records: &Records) -> Result<()> {
    for start in (0..records.len()).step_by(50_000) {
        engine.write(records, start..(start + 50_000).min(records.len()))?;
    }
    engine.settle()
}

fn batches<E: Engine>(task: &Task, engine: &E, records: &Records) -> Result<()> {
    let mut times = Vec::new();
    let mut rows = 0;
    let (begun, cpu) = (Instant::now(), cpu_s());
    while rows < records.len() && begun.elapsed().as_secs_f64() < task.seconds {
        let started = Instant::now();
        let end = (rows + task.batch).min(records.len());
        engine.write(records, rows..end)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        rows = end;
    }
    let acknowledged = begun.elapsed().as_secs_f64();
    let settled = (wait_until_quiet() - begun).as_secs_f64().max(acknowledged);
    let rows = rows as f64;
    emit("rows", rows);
    emit("rows_s", rows / acknowledged);
    emit("settled_rows_s", rows / settled);
    emit("rows_cpu_s", rows / (cpu_s() - cpu));
    emit("p50_ms", percentile(&mut times, 0.5));
    emit("p99_ms", percentile(&mut times, 0.99));
    Ok(())
}

fn single_rows<E: Engine>(task: &Task, engine: &E, records: &Records) -> Result<()> {
    let next = AtomicUsize::new(0);
    let (begun, cpu) = (Instant::now(), cpu_s());
    let done: Vec<Result<Vec<f64>>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..task.writers)
            .map(|_| {
                scope.spawn(|| {
                    let mut times = Vec::new();
                    while begun.elapsed().as_secs_f64() < task.seconds {
                        let row = next.fetch_add(1, Ordering::Relaxed);
                        if row >= records.len() {
                            break;
                        }
                        let started = Instant::now();
                        engine.write(records, row..row + 1)?;
                        times.push(started.elapsed().as_secs_f64() * 1e3);
                    }
                    Ok(times)
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| {
                writer
                    .join()
                    .unwrap_or_else(|_| Err("a writer panicked".into()))
            })
            .collect()
    });
    let took = begun.elapsed().as_secs_f64();
    let mut times = Vec::new();
    for writer in done {
        times.extend(writer?);
    }
    let rows = times.len() as f64;
    emit("rows", rows);
    emit("rows_s", rows / took);
    emit("rows_cpu_s", rows / (cpu_s() - cpu));
    emit("p50_ms", percentile(&mut times, 0.5));
    emit("p99_ms", percentile(&mut times, 0.99));
    Ok(())
}

fn reads<E: Engine>(task: &Task, engine: &E, records: &Records) -> Result<()> {
    load(engine, records)?;
    let mut random = Random::seeded(7);
    let keys: Vec<usize> = (0..task.points)
        .map(|_| random.below(records.len() as u64) as usize)
        .collect();
    let timed = |rows: &mut dyn Iterator<Item = usize>| -> Result<Vec<f64>> {
        let mut times = Vec::new();
        for row in rows {
            let begun = Instant::now();
            let sum = engine.read(records, row)?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
            let wanted: f64 = crate::data::records::fields(records.value(row))
                .iter()
                .sum();
            if (sum - wanted).abs() > 1e-6 * wanted.abs() {
                return Err("a row was read back wrong".into());
            }
        }
        Ok(times)
    };
    timed(&mut keys.iter().copied())?;
    let mut times = timed(&mut keys.iter().copied())?;
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
        emit(&format!("point_{name}_us"), percentile(&mut times, share));
    }
    let hot = &keys[..HOT_KEYS.min(keys.len())];
    let mut times = timed(&mut (0..task.points).map(|read| hot[read % hot.len()]))?;
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        emit(&format!("hot_{name}_us"), percentile(&mut times, share));
    }
    Ok(())
}
