//! The store under a memory limit: ingest in batches of 10,000, reads of all kinds and a full compaction,
//! in one process whose resident memory is compared before and at its worst.

use activestore_store::{ScanRequest, StoreOptions};

use super::{Opened, options, table};
use crate::process::{reset_peak, status_bytes, wait_until_quiet};
use crate::task::{Result, Task, emit, row_bytes};

/// The most memory that this process takes to read the rows' file and nothing else.
fn without_store(task: &Task) -> Result<f64> {
    for batch in task.data.open()? {
        std::hint::black_box(batch?);
    }
    Ok(status_bytes("VmHWM"))
}

/// Runs it.
pub fn run(task: &Task) -> Result<()> {
    let before = without_store(task)?;
    reset_peak();
    let options = StoreOptions::within_memory(options().node, task.memory as usize);
    let opened = Opened::new(&task.dir, &task.data, options.clone())?;
    let mut arrow_bytes = 0.0;
    for batch in task.data.open()? {
        let batch = batch?;
        for start in (0..batch.num_rows()).step_by(task.batch) {
            let rows = task.batch.min(batch.num_rows() - start);
            opened.commit(&batch.slice(start, rows))?;
        }
        arrow_bytes += row_bytes(&batch)?;
    }
    opened.store.flush()?;
    wait_until_quiet();
    let peak = |phase: &str| {
        emit(
            &format!("peak_{phase}_bytes"),
            (status_bytes("VmHWM") - before).max(0.0),
        );
        reset_peak();
    };
    opened.emit_write_amplification(arrow_bytes);
    peak("ingest");
    let snapshot = opened.store.snapshot(table::TABLE)?;
    for reverse in [false, true] {
        let request = ScanRequest {
            columns: opened.table.all.clone(),
            reverse,
            ..ScanRequest::default()
        };
        for batch in snapshot.scan(request)? {
            std::hint::black_box(batch?);
        }
    }
    drop(snapshot);
    peak("scan");
    opened.store.compact(table::TABLE)?;
    peak("compaction");
    drop(opened);
    let opened = Opened::new(&task.dir, &task.data, options)?;
    peak("recovery");
    drop(opened);
    emit("process_bytes", before);
    Ok(())
}
