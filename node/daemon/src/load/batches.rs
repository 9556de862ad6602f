//! Files of record batches: Arrow streams, Arrow files, Parquet. What a reader does not expect in hostile bytes may panic
//! in it; that is an error of the file.

use std::io::{BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use activestore_formats::{AtOnce, ParquetReader, values_bytes};
use activestore_types::{Error, Result};
use arrow::ipc::reader::{FileReader, StreamReader};
use arrow::record_batch::RecordBatch;

use super::format::ARROW_FILE;
use super::piece::{Content, Piece};
use super::source::Opened;
use crate::cli::FileFormat;

/// The most rows in a piece.
const PIECE_ROWS: usize = 64 * 1024;

/// Bytes of decoded values that a piece aims at.
const PIECE_BYTES: usize = 6 * 1024 * 1024;

type Decoded = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Record batches on their way, cut to pieces; places are rows.
pub struct Batches {
    what: &'static str,
    decoded: Decoded,
    /// What is left of a batch that is larger than a piece.
    rest: Option<RecordBatch>,
    row: u64,
    /// How many rows there are, where the file says it.
    pub rows_total: Option<u64>,
    failed: bool,
}

impl Batches {
    /// Opens a file behind its first `done` rows.
    ///
    /// # Errors
    /// Where it is not what its name says, or is broken.
    pub fn open(opened: Opened, format: FileFormat, done: u64) -> Result<Self> {
        let mut left = done;
        let mut rows_total = None;
        let (what, decoded): (_, Decoded) = if format == FileFormat::Parquet {
            let decoded = guarded("Parquet", || {
                parquet_rows(opened, &mut left, &mut rows_total)
            });
            ("Parquet", decoded?)
        } else if opened.head.starts_with(ARROW_FILE) {
            let reader = guarded("Arrow", || {
                let file = opened.input.into_plain()?;
                Ok(FileReader::try_new(BufReader::new(file), None)?)
            })?;
            ("Arrow", Box::new(reader.map(|batch| Ok(batch?))))
        } else {
            let reader = guarded("Arrow", || {
                let input: Box<dyn Read + Send> = Box::new(BufReader::new(opened.input));
                Ok(StreamReader::try_new(input, None)?)
            })?;
            ("Arrow", Box::new(reader.map(|batch| Ok(batch?))))
        };
        let mut batches = Batches {
            what,
            decoded,
            rest: None,
            row: done - left,
            rows_total,
            failed: false,
        };
        batches.skip(left)?;
        Ok(batches)
    }

    /// How many rows have been handed out.
    pub fn row(&self) -> u64 {
        self.row
    }

    /// Passes rows that are done.
    fn skip(&mut self, mut left: u64) -> Result<()> {
        while left > 0 {
            let Some(batch) = self.next_batch()? else {
                return Err(Error::invalid(
                    "the file is shorter than it was when the load stopped",
                ));
            };
            let rows = batch.num_rows() as u64;
            let passed = rows.min(left);
            left -= passed;
            self.row += passed;
            if passed < rows {
                let from = usize::try_from(passed).unwrap_or(usize::MAX);
                self.rest = Some(batch.slice(from, batch.num_rows() - from));
            }
        }
        Ok(())
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Where the file is broken or cut off.
    pub fn next_piece(&mut self) -> Result<Option<Piece>> {
        loop {
            let Some(batch) = self.next_batch()? else {
                return Ok(None);
            };
            if batch.num_rows() == 0 {
                continue;
            }
            let rows = rows_of_piece(&batch);
            let piece = batch.slice(0, rows);
            if rows < batch.num_rows() {
                self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
            }
            let first = self.row + 1;
            self.row += rows as u64;
            return Ok(Some(Piece {
                content: Content::Batch(piece, first),
                end_offset: self.row,
                next_line: self.row + 1,
                refused: Vec::new(),
            }));
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        if self.failed {
            return Ok(None);
        }
        let decoded = &mut self.decoded;
        let next = guarded(self.what, || decoded.next().transpose());
        self.failed = next.is_err();
        next.map_err(|error| error.context(format!("behind row {}", self.row)))
    }
}

/// How many rows of a batch make a piece, which are of one size as far as is known.
fn rows_of_piece(batch: &RecordBatch) -> usize {
    let rows = batch.num_rows();
    let fitting = PIECE_BYTES / (values_bytes(batch) / rows.max(1)).max(1);
    rows.min(fitting.clamp(1, PIECE_ROWS))
}

fn parquet_rows(opened: Opened, left: &mut u64, total: &mut Option<u64>) -> Result<Decoded> {
    let at_once = AtOnce {
        bytes: PIECE_BYTES,
        rows: PIECE_ROWS,
    };
    let file = opened.input.into_plain()?.into_file()?;
    let rows = ParquetReader::of_file(file, &[], at_once, left)?;
    *total = Some(rows.rows_total());
    Ok(Box::new(rows))
}

fn guarded<T>(what: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(Error::invalid(format!(
            "the file is not whole {what}, or is damaged"
        )))
    })
}
