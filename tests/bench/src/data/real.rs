//! Real readings: every CSV file below a directory, one table each. The first column is the time; a
//! constant name of the file is put before it as the partition key, as a gateway would name its source.

use std::fs::File;
use std::io::Seek;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;

use super::write;
use crate::task::{Dataset, Result, in_nanoseconds};

/// Makes a table of each file.
pub fn make(dir: &Path, source: &Path) -> Result<Vec<Dataset>> {
    let mut files = Vec::new();
    find(source, &mut files)?;
    files.sort();
    files.iter().map(|path| table(dir, path)).collect()
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "csv") {
            files.push(path);
        }
    }
    Ok(())
}

fn table(dir: &Path, path: &Path) -> Result<Dataset> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut file = File::open(path)?;
    let format = Format::default().with_header(true);
    let (schema, _) = format.infer_schema(&mut file, None)?;
    file.rewind()?;
    let time = schema.fields().first().ok_or("no columns")?.name().clone();
    let reader = ReaderBuilder::new(Arc::new(schema))
        .with_format(format)
        .with_batch_size(super::FILE_BATCH_ROWS)
        .build(file)?;
    let batches = reader.map(|batch| with_source(&name, &in_nanoseconds(&batch?)?));
    write(dir, &name, (&["source"], &[&time]), false, batches)
}

fn with_source(name: &str, batch: &RecordBatch) -> Result<RecordBatch> {
    let source = StringArray::from_iter_values(std::iter::repeat_n(name, batch.num_rows()));
    let mut fields = vec![Arc::new(Field::new("source", DataType::Utf8, false))];
    fields.extend(batch.schema().fields().iter().cloned());
    let mut columns: Vec<ArrayRef> = vec![Arc::new(source)];
    columns.extend_from_slice(batch.columns());
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}
