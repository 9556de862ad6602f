//! How fast rows become durable.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use activestore_env::Env;
use activestore_store::{Store, StoreOptions};
use arrow::record_batch::RecordBatch;

use super::{Opened, options};
use crate::process::{cpu_s, percentile, status_bytes, wait_until_quiet};
use crate::task::{Result, Task, emit, row_bytes};

/// One writer, a commit a batch.
pub fn batches(task: &Task) -> Result<()> {
    let batches = task.data.batches(task.batch)?;
    let opened = Opened::new(&task.dir, &task.data, options())?;
    let mut times = Vec::with_capacity(batches.len());
    let mut rows = 0;
    let (begun, cpu) = (Instant::now(), cpu_s());
    for batch in &batches {
        let started = Instant::now();
        opened.commit(batch)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        rows += batch.num_rows();
        if begun.elapsed().as_secs_f64() > task.seconds {
            break;
        }
    }
    let acknowledged = begun.elapsed();
    opened.store.flush()?;
    let settled = wait_until_quiet() - begun;
    let rows = rows as f64;
    emit("rows", rows);
    emit("rows_s", rows / acknowledged.as_secs_f64());
    emit("settled_rows_s", rows / settled.as_secs_f64());
    emit("rows_cpu_s", rows / (cpu_s() - cpu));
    emit("p50_ms", percentile(&mut times, 0.5));
    emit("p99_ms", percentile(&mut times, 0.99));
    emit("peak_bytes", status_bytes("VmHWM"));
    let mut written = 0.0;
    for batch in batches.iter().take(times.len()) {
        written += row_bytes(batch)?;
    }
    opened.emit_write_amplification(written);
    let stats = opened.store.stats();
    emit("stalls", stats.stalls as f64);
    emit(
        "sync_share",
        stats.wal_sync_ns as f64 / acknowledged.as_nanos() as f64,
    );
    Ok(())
}

/// Many writers, a commit a row, each waiting for its own.
pub fn single_rows(task: &Task) -> Result<()> {
    let rows: Vec<RecordBatch> = task.data.open()?.next().ok_or("no rows")?.map(|batch| {
        (0..batch.num_rows())
            .map(|row| batch.slice(row, 1))
            .collect()
    })?;
    let opened = Opened::new(&task.dir, &task.data, options())?;
    let next = AtomicU64::new(0);
    let begun = Instant::now();
    let cpu = cpu_s();
    let done: Vec<Result<Vec<f64>>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..task.writers)
            .map(|_| {
                scope.spawn(|| {
                    let mut times = Vec::new();
                    while begun.elapsed().as_secs_f64() < task.seconds {
                        let row = next.fetch_add(1, Ordering::Relaxed) as usize;
                        let Some(row) = rows.get(row) else { break };
                        let started = Instant::now();
                        opened.commit(row)?;
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
    emit(
        "rows_per_sync",
        rows / opened.store.stats().wal_syncs as f64,
    );
    Ok(())
}

/// How often a log is replayed.
const OPENINGS: usize = 5;

/// How long a store takes to open when nothing of its log was flushed, the middle one of a few times.
pub fn replay(task: &Task) -> Result<()> {
    let options = StoreOptions {
        memtable_bytes: 8 << 30,
        wal_flush_bytes: u64::MAX,
        ..options()
    };
    let opened = Opened::new(&task.dir, &task.data, options.clone())?;
    for batch in task.data.batches(task.batch)? {
        opened.commit(&batch)?;
    }
    let bytes = opened.store.stats().wal_bytes as f64;
    drop(opened);
    let mut times = Vec::with_capacity(OPENINGS);
    for _ in 0..OPENINGS {
        touch((bytes as usize * 2).max(6 << 30));
        let begun = Instant::now();
        let store = Store::open(Env::real(&task.dir)?, options.clone())?;
        times.push(begun.elapsed().as_secs_f64());
        emit("records", store.stats().replayed_records as f64);
    }
    let gib = bytes / f64::from(1 << 30);
    let middle = percentile(&mut times, 0.5);
    emit("log_bytes", bytes);
    emit("replay_s", middle);
    emit("s_per_gib", middle / gib);
    emit("fastest_s_per_gib", percentile(&mut times, 0.0) / gib);
    emit("slowest_s_per_gib", percentile(&mut times, 1.0) / gib);
    Ok(())
}

/// Takes so much memory, writes to it and gives it back. A virtual machine's host takes memory that
/// is free for seconds, and getting it again costs several seconds per GiB: that is the host's time,
/// not the store's.
fn touch(bytes: usize) {
    let mut memory: Vec<u8> = vec![0; bytes];
    for page in memory.chunks_mut(4096) {
        page.fill(1);
    }
    std::hint::black_box(&memory);
}
