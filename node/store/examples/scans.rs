//! What a scan of several files costs beside the scan of one that holds the same rows: CPU time of one thread,
//! for files that follow each other and files whose rows come in turn, whole and filtered.
//! `cargo run --release -p activestore-store --example scans [devices] [ticks] [part of a shape's name]`

mod fleet;

use std::sync::Arc;

use activestore_store::{RowFilter, ScanRequest, Snapshot, Store};
use activestore_types::{ColumnId, Error, HlcClock, Result};
use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::Float64Type;
use arrow::record_batch::RecordBatch;
use fleet::{FIELDS, Fleet, NOISE, NOW_MS, TABLE, best, chance, commit, open, scan};

const RUNS: usize = 5;

/// Which of so many files hold the row of a device at a tick.
type Place = fn(usize, usize, usize) -> Vec<usize>;

const SHAPES: [(&str, usize, Place); 11] = [
    ("one file", 1, |_, _, _| vec![0]),
    ("2 files in time order", 2, in_order),
    ("4 files in time order", 4, in_order),
    ("2 files row by row", 2, in_turn),
    ("4 files row by row", 4, in_turn),
    ("2 files by chance", 2, by_chance),
    ("4 files by chance", 4, by_chance),
    ("2 files in stretches", 2, in_stretches),
    ("4 files in stretches", 4, in_stretches),
    ("2 files with a tenth in both", 2, a_tenth_twice),
    ("2 files with all in both", 2, |_, _, _| vec![0, 1]),
];

/// Of a thousand ticks; there may be more.
fn in_order(files: usize, _device: usize, tick: usize) -> Vec<usize> {
    vec![(tick * files / 1_000).min(files - 1)]
}

fn in_turn(files: usize, _device: usize, tick: usize) -> Vec<usize> {
    vec![tick % files]
}

fn by_chance(files: usize, device: usize, tick: usize) -> Vec<usize> {
    vec![chance(device, tick) / 10_000 % files]
}

fn in_stretches(files: usize, device: usize, tick: usize) -> Vec<usize> {
    vec![(tick + device) / 20 % files]
}

fn a_tenth_twice(files: usize, device: usize, tick: usize) -> Vec<usize> {
    let one = tick % files;
    if (chance(device, tick) / 10_000).is_multiple_of(10) {
        vec![one, (one + 1) % files]
    } else {
        vec![one]
    }
}

/// Rows whose value of a field is at least so much.
#[derive(Debug)]
struct AtLeast {
    columns: Vec<ColumnId>,
    least: f64,
}

impl RowFilter for AtLeast {
    fn columns(&self) -> &[ColumnId] {
        &self.columns
    }

    fn holds(&self, rows: &RecordBatch, _: &[Option<(i64, i64)>]) -> Result<BooleanArray> {
        let column = rows.columns().first();
        let values = column.and_then(|column| column.as_primitive_opt::<Float64Type>());
        let values = values.ok_or_else(|| Error::internal("the field is no number"))?;
        Ok(BooleanArray::from_unary(values, |value| {
            value >= self.least
        }))
    }
}

fn main() -> Result<()> {
    let fleet = Fleet::asked();
    let asked = std::env::args().nth(3).unwrap_or_default();
    println!(
        "{} devices, {} rows each; ns a row",
        fleet.devices, fleet.ticks
    );
    for (name, files, place) in SHAPES {
        if !name.contains(&asked) {
            continue;
        }
        let directory = tempfile::tempdir()
            .map_err(|error| Error::internal(format!("no temporary directory: {error}")))?;
        let store = open(&directory)?;
        fill(&store, &fleet, files, place)?;
        let snapshot = store.snapshot(TABLE)?;
        let rows = fleet.devices * fleet.ticks;
        print!("{name:30}");
        for (name, request) in requests() {
            let (ns, found) = best(RUNS, || scan(&snapshot, &request))?;
            // The rows that were looked at count, not those that were found.
            print!(" {name} {:6.2}", ns * found as f64 / rows as f64);
        }
        println!();
        check(&snapshot, rows)?;
    }
    Ok(())
}

fn requests() -> Vec<(&'static str, ScanRequest)> {
    let fields: Vec<ColumnId> = (2..2 + FIELDS).map(ColumnId).collect();
    let all: Vec<ColumnId> = (0..4 + FIELDS).map(ColumnId).collect();
    let of = |columns: &[ColumnId]| ScanRequest {
        columns: columns.to_vec(),
        any_order: true,
        now_ms: NOW_MS,
        ..ScanRequest::default()
    };
    let coded = |columns: &[ColumnId]| ScanRequest {
        codes: vec![ColumnId(0)],
        ..of(columns)
    };
    let keyed: Vec<ColumnId> = (0..3).map(ColumnId).collect();
    let filtered = |field: u32, least: f64| ScanRequest {
        filter: Some(Arc::new(AtLeast {
            columns: vec![ColumnId(2 + field)],
            least,
        })),
        ..of(&all)
    };
    let ordered = ScanRequest {
        any_order: false,
        ..of(&fields)
    };
    vec![
        ("field", of(&[ColumnId(2)])),
        ("key, field", coded(&keyed)),
        ("fields", of(&fields)),
        ("in order", ordered),
        ("all", of(&all)),
        ("1% evenly", filtered(NOISE, 99.0)),
        ("10% evenly", filtered(NOISE, 90.0)),
        ("1% clustered", filtered(0, 69.99)),
        ("10% clustered", filtered(0, 69.02)),
    ]
}

fn check(snapshot: &Snapshot, rows: usize) -> Result<()> {
    let request = ScanRequest {
        any_order: true,
        now_ms: NOW_MS,
        ..ScanRequest::default()
    };
    let found = scan(snapshot, &request)?;
    if found == rows {
        return Ok(());
    }
    Err(Error::internal(format!("{found} rows instead of {rows}")))
}

fn fill(store: &Store, fleet: &Fleet, files: usize, place: Place) -> Result<()> {
    let clock = HlcClock::starting_at(store.max_hlc());
    for file in 0..files {
        for tick in 0..fleet.ticks {
            let here = |device: &usize| place(files, *device, tick).contains(&file);
            let here = (0..fleet.devices).filter(here);
            let rows: Vec<(usize, usize)> = here.map(|device| (device, tick)).collect();
            if !rows.is_empty() {
                commit(store, &clock, &rows, 0)?;
            }
        }
        store.flush()?;
    }
    Ok(())
}
