//! The rows that are measured: made from a seed, or read from real files, and written once to files
//! that every engine's process reads.

pub mod fleet;
pub mod full_precision;
pub mod random;
pub mod real;
pub mod records;
pub mod sparse;

use std::fs::File;
use std::path::Path;

use arrow::ipc::writer::FileWriter;
use arrow::record_batch::RecordBatch;

use crate::task::{Dataset, Result};

/// Rows of a record batch in a file: the largest batch that is measured.
pub const FILE_BATCH_ROWS: usize = 100_000;

/// Writes batches as they come into one Arrow file and describes it.
fn write(
    dir: &Path,
    name: &str,
    key: (&[&str], &[&str]),
    flexible: bool,
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<Dataset> {
    let arrow = dir.join(format!("{name}.arrow"));
    let mut writer: Option<FileWriter<File>> = None;
    let mut rows = 0;
    for batch in batches {
        let batch = batch?;
        rows += batch.num_rows();
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(FileWriter::try_new(File::create(&arrow)?, &batch.schema())?),
        };
        writer.write(&batch)?;
    }
    writer.ok_or("no rows")?.finish()?;
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Ok(Dataset {
        name: name.to_owned(),
        arrow,
        records: None,
        partition: owned(key.0),
        clustering: owned(key.1),
        flexible,
        rows,
    })
}
