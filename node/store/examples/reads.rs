//! What reads cost, and what overlapping runs, memtables, expiry and updates add to it: CPU time of one
//! thread, so that a busy machine hardly shows.
//! `cargo run --release -p activestore-store --example reads [devices] [ticks]`

mod fleet;

use std::sync::Arc;

use activestore_env::{Clock, RealClock};
use activestore_store::{LastRequest, ScanRequest, Snapshot, Store};
use activestore_types::{ColumnId, Error, HlcClock, Result, encode_keys};
use arrow::array::{ArrayRef, StringArray, TimestampNanosecondArray};
use fleet::{FIELDS, Fleet, NOW_MS, TABLE, best, commit, cpu_ns, open, scan, ts};

const RUNS: usize = 4;
/// A measurement is taken so often, and the least counts.
const TRIES: usize = 3;

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

fn main() -> Result<()> {
    let fleet = Fleet::asked();
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
        let store = open(&directory)?;
        fill(&store, &fleet, shape)?;
        let snapshot = store.snapshot(TABLE)?;
        let fields: Vec<ColumnId> = (2..2 + FIELDS).map(ColumnId).collect();
        let all: Vec<ColumnId> = (0..2 + FIELDS).map(ColumnId).collect();
        let (ns, rows) = best(TRIES, || read(&snapshot, &fields, false))?;
        let base = *base.get_or_insert(ns);
        println!("{name}: {} files, {rows} rows", store.stats().sst_files);
        println!(
            "  scan of 10 fields   {ns:7.1} ns a row, {:.2} x one run",
            ns / base
        );
        let (ns, _) = best(TRIES, || read(&snapshot, &all, false))?;
        println!("  scan of 12 columns  {ns:7.1} ns a row");
        let (ns, _) = best(TRIES, || read(&snapshot, &fields, true))?;
        println!("  in reverse          {ns:7.1} ns a row");
        let (ns, found) = best(TRIES, || last(&snapshot, &all))?;
        println!(
            "  last rows           {:7.2} ms for {found}",
            ns * found as f64 / 1e6
        );
        points(&snapshot, &fleet, &all)?;
    }
    Ok(())
}

fn read(snapshot: &Snapshot, columns: &[ColumnId], reverse: bool) -> Result<usize> {
    let request = ScanRequest {
        columns: columns.to_vec(),
        reverse,
        now_ms: NOW_MS,
        ..ScanRequest::default()
    };
    scan(snapshot, &request)
}

fn last(snapshot: &Snapshot, columns: &[ColumnId]) -> Result<usize> {
    let request = LastRequest {
        columns: columns.to_vec(),
        now_ms: NOW_MS,
        ..LastRequest::default()
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
