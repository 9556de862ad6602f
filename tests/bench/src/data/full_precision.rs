//! Doubles of full precision: what a computation or an uncalibrated converter yields, with no decimals
//! to find. 500 devices, six walks that are not rounded and two columns of plain noise.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;

use super::random::Random;
use super::{FILE_BATCH_ROWS, fleet, write};
use crate::task::{Dataset, Result};

const DEVICES: usize = 500;
const COLUMNS: [&str; 8] = [
    "walk_0", "walk_1", "walk_2", "walk_3", "walk_4", "walk_5", "noise_0", "noise_1",
];

/// Writes the file.
pub fn make(dir: &Path, rows: usize) -> Result<Dataset> {
    let mut random = Random::seeded(43);
    let mut state = vec![[0.0; 6]; DEVICES];
    for walks in &mut state {
        *walks = std::array::from_fn(|_| 100.0 * random.unit());
    }
    let batches = (0..rows)
        .step_by(FILE_BATCH_ROWS)
        .map(|start| -> Result<RecordBatch> {
            let rows = FILE_BATCH_ROWS.min(rows - start);
            let mut values: [Vec<f64>; 8] = std::array::from_fn(|_| Vec::with_capacity(rows));
            let mut ts = Vec::with_capacity(rows);
            let mut names = Vec::with_capacity(rows);
            for row in start..start + rows {
                let device = row % DEVICES;
                names.push(fleet::name(device));
                ts.push(1_767_225_600_000_000_000 + (row / DEVICES) as i64 * 1_000_000_000);
                for (index, column) in values.iter_mut().enumerate() {
                    column.push(match state[device].get_mut(index) {
                        Some(walk) => {
                            *walk += 0.05 * random.gauss();
                            *walk
                        }
                        None => random.unit(),
                    });
                }
            }
            let mut columns: Vec<(&str, ArrayRef)> = vec![
                ("device", Arc::new(StringArray::from(names))),
                ("ts", Arc::new(TimestampNanosecondArray::from(ts))),
            ];
            for (name, values) in COLUMNS.iter().zip(values) {
                columns.push((*name, Arc::new(Float64Array::from(values))));
            }
            Ok(RecordBatch::try_from_iter(columns)?)
        });
    write(
        dir,
        "full-precision",
        (&["device"], &["ts"]),
        false,
        batches,
    )
}
