//! What one child process is asked to do, and the figures it prints: one JSON object a line. The
//! peers in Python get the same JSON as their only argument.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::FileReader;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};

/// Anything that went wrong, as a sentence.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Batches of `batch` rows, each durable before the next.
    Ingest,
    /// Single rows from `writers` threads, each durable before it is acknowledged.
    Single,
    /// Bytes on disk after compaction.
    Size,
    /// Point reads, hot point reads, last points and full scans, of compacted data.
    Reads,
    /// Scans over one run and over four that overlap.
    Overlap,
    /// Reads while rows come in at a fixed rate.
    Mixed,
    /// Everything under a memory limit.
    Memory,
    /// Opening a store whose whole content is in the log.
    Replay,
}

/// Rows in a file, in the order in which they arrive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dataset {
    /// Its name in tables.
    pub name: String,
    /// The Arrow file.
    pub arrow: PathBuf,
    /// The same rows as records of fixed length, for engines that keep keys and values.
    pub records: Option<PathBuf>,
    /// Columns of the partition key.
    pub partition: Vec<String>,
    /// Columns of the clustering key.
    pub clustering: Vec<String>,
    /// Whether columns that a row does not mention are left out rather than set to NULL.
    pub flexible: bool,
    /// How many rows.
    pub rows: usize,
}

/// One child's work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// What to do.
    pub work: Work,
    /// With which rows.
    pub data: Dataset,
    /// An empty directory to work in.
    pub dir: PathBuf,
    /// Rows a batch.
    pub batch: usize,
    /// Threads that write.
    pub writers: usize,
    /// After how many seconds of writing to stop, whether or not all rows are in.
    pub seconds: f64,
    /// How many point reads.
    pub points: usize,
    /// The memory that the store may use, in bytes.
    pub memory: u64,
}

/// Prints one figure of this process.
pub fn emit(metric: &str, value: f64) {
    println!(
        "{}",
        serde_json::json!({ "metric": metric, "value": value })
    );
}

/// The bytes of a batch's own rows. Columns that were read from a file share one buffer, which would
/// count for each of them.
pub fn row_bytes(batch: &RecordBatch) -> Result<f64> {
    let mut sum = 0;
    for column in batch.columns() {
        sum += column.to_data().get_slice_memory_size()?;
    }
    Ok(sum as f64)
}

/// The bytes of all files below a directory.
pub fn bytes_below(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() {
            bytes_below(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(sum)
}

impl Dataset {
    /// The file's record batches, one at a time.
    pub fn open(&self) -> Result<FileReader<File>> {
        Ok(FileReader::try_new(File::open(&self.arrow)?, None)?)
    }

    /// All rows in batches of `rows` that share no memory with each other.
    pub fn batches(&self, rows: usize) -> Result<Vec<RecordBatch>> {
        let mut all = Vec::new();
        for batch in self.open()? {
            let batch = batch?;
            if rows >= batch.num_rows() {
                all.push(batch);
                continue;
            }
            for start in (0..batch.num_rows()).step_by(rows) {
                let end = (start + rows).min(batch.num_rows());
                let rows = UInt32Array::from_iter_values(start as u32..end as u32);
                all.push(take_record_batch(&batch, &rows)?);
            }
        }
        Ok(all)
    }

    /// The columns of the key, in order.
    pub fn key(&self) -> impl Iterator<Item = &String> {
        self.partition.iter().chain(&self.clustering)
    }
}

/// The batch with timestamps of any unit in nanoseconds, as the store takes them.
pub fn in_nanoseconds(batch: &RecordBatch) -> Result<RecordBatch> {
    let wanted = DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, None);
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if matches!(field.data_type(), DataType::Timestamp(_, _)) {
            fields.push(Field::new(
                field.name(),
                wanted.clone(),
                field.is_nullable(),
            ));
            columns.push(cast(column, &wanted)?);
        } else {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
        }
    }
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}
