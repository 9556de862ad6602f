//! NULL-heavy rows, as a flexible table collects them: 500 devices of twelve kinds, 60 columns, of
//! which a row sets the four that every row of its device has and now and then one of its kind's others.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;

use super::random::Random;
use super::{FILE_BATCH_ROWS, fleet, write};
use crate::task::{Dataset, Result};

const DEVICES: usize = 500;
const KINDS: usize = 12;
const COLUMNS: usize = 60;
/// Columns that every row of a device sets.
const ALWAYS: usize = 4;
/// Columns that rows of a kind set now and then.
const SOMETIMES: usize = 8;
const STATES: [&str; 6] = [
    "ok",
    "warning",
    "stopped",
    "starting",
    "error: overheated",
    "idle",
];

/// Writes the file.
pub fn make(dir: &Path, rows: usize) -> Result<Dataset> {
    let mut random = Random::seeded(44);
    let mut walks = vec![[0_i64; COLUMNS]; DEVICES];
    let batches = (0..rows)
        .step_by(FILE_BATCH_ROWS)
        .map(|start| -> Result<RecordBatch> {
            let rows = FILE_BATCH_ROWS.min(rows - start);
            let mut cells = vec![vec![None; rows]; COLUMNS];
            for row in 0..rows {
                let device = (start + row) % DEVICES;
                let first = device % KINDS * 5;
                for slot in 0..ALWAYS + SOMETIMES {
                    if slot < ALWAYS || random.one_in(12) {
                        let column = (first + slot) % COLUMNS;
                        let value = &mut walks[device][column];
                        *value += random.below(21) as i64 - 10;
                        cells[column][row] = Some(*value);
                    }
                }
            }
            let device = (0..rows).map(|row| fleet::name((start + row) % DEVICES));
            let ts = (0..rows).map(|row| {
                1_767_225_600_000_000_000 + ((start + row) / DEVICES) as i64 * 5_000_000_000
            });
            let mut fields = vec![
                Field::new("device", DataType::Utf8, false),
                Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, None), false),
            ];
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(device)),
                Arc::new(TimestampNanosecondArray::from_iter_values(ts)),
            ];
            for (number, cells) in cells.into_iter().enumerate() {
                let array = column(number, cells);
                fields.push(Field::new(
                    format!("c{number:02}"),
                    array.data_type().clone(),
                    true,
                ));
                columns.push(array);
            }
            Ok(RecordBatch::try_new(
                Arc::new(Schema::new(fields)),
                columns,
            )?)
        });
    write(dir, "null-heavy", (&["device"], &["ts"]), true, batches)
}

/// Of five columns, three are decimals, one a count, and one a state or a switch in turn.
fn column(number: usize, cells: Vec<Option<i64>>) -> ArrayRef {
    match number % 10 {
        3 | 8 => Arc::new(Int64Array::from(cells)),
        4 => Arc::new(StringArray::from_iter(cells.into_iter().map(|cell| {
            cell.map(|value| STATES[value.unsigned_abs() as usize / 16 % STATES.len()])
        }))),
        9 => Arc::new(BooleanArray::from_iter(
            cells.into_iter().map(|cell| cell.map(|value| value > 0)),
        )),
        _ => Arc::new(Float64Array::from_iter(
            cells
                .into_iter()
                .map(|cell| cell.map(|value| value as f64 / 100.0)),
        )),
    }
}
