//! What it costs to read runs that overlap: the same rows as one run, as four runs that follow each
//! other in time (what flushes leave behind), and as four runs whose rows alternate tick by tick.

use activestore_store::StoreOptions;
use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampNanosecondType;

use super::reads::decode;
use super::{Opened, options, table};
use crate::data::fleet::TICK_MS;
use crate::task::{Result, Task, emit};

const RUNS: i64 = 4;

/// All three.
pub fn run(task: &Task) -> Result<()> {
    let rows = task.data.rows;
    let mut seen = 0;
    let in_time = four_runs(task, "in-time", |_| {
        seen += 1;
        ((seen - 1) * RUNS as usize / rows.max(1)) as i64
    })?;
    let alternating = four_runs(task, "alternating", |ts| ts / (TICK_MS * 1_000_000) % RUNS)?;
    for (name, of) in [("in_time", in_time), ("alternating", alternating)] {
        emit(&format!("{name}_one_ns"), of.one);
        emit(&format!("{name}_ns"), of.any_order);
        emit(&format!("{name}_sorted_ns"), of.by_key);
        emit(&format!("{name}_ratio"), of.any_order / of.one);
    }
    Ok(())
}

/// Nanoseconds per value.
struct Took {
    /// From four runs, as an aggregate reads them.
    any_order: f64,
    /// From four runs in key order.
    by_key: f64,
    /// From one run, in key order.
    one: f64,
}

/// Writes each row into the run that `of` says, reads the four runs, and then the one that they are
/// compacted into.
fn four_runs(task: &Task, name: &str, mut of: impl FnMut(i64) -> i64) -> Result<Took> {
    let options = StoreOptions {
        memtable_bytes: 4 << 30,
        wal_flush_bytes: u64::MAX,
        auto_compact: false,
        ..options()
    };
    let opened = Opened::new(&task.dir.join(name), &task.data, options)?;
    let mut runs = vec![Vec::new(); RUNS as usize];
    for batch in task.data.open()? {
        let batch = batch?;
        let ts = batch.column_by_name("ts").ok_or("no column ts")?;
        let ts = ts.as_primitive::<TimestampNanosecondType>();
        let run: Vec<i64> = ts.values().iter().map(|ts| of(*ts)).collect();
        for (number, rows) in (0..).zip(&mut runs) {
            let mask: BooleanArray = run.iter().map(|run| Some(*run == number)).collect();
            rows.push(filter_record_batch(&batch, &mask)?);
        }
    }
    for run in runs {
        for batch in run.iter().filter(|batch| batch.num_rows() > 0) {
            opened.commit(batch)?;
        }
        opened.store.flush()?;
    }
    emit(
        &format!("files_{}", name.replace('-', "_")),
        opened.store.sstables().len() as f64,
    );
    let read = |any_order: bool| {
        let snapshot = opened.store.snapshot(table::TABLE)?;
        decode(&opened, &snapshot, any_order, task)
    };
    let (any_order, by_key) = (read(true)?, read(false)?);
    opened.store.compact(table::TABLE)?;
    Ok(Took {
        any_order,
        by_key,
        one: read(false)?,
    })
}
