//! A run of whole records from a file, as it was cut or decoded.

use arrow::record_batch::RecordBatch;

use super::split::scan;
use crate::cli::FileFormat;

/// A refused record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its line (or row) in the file.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// Records that lie next to each other in the file.
pub struct Piece {
    /// The records.
    pub content: Content,
    /// Where the load goes on behind them: a byte of the unpacked file, a batch or a row.
    pub end_offset: u64,
    /// The number of the record that follows.
    pub next_line: u64,
    /// Records that were refused before anybody read them.
    pub refused: Vec<Refused>,
}

/// The records of a piece.
pub enum Content {
    /// Not read yet.
    Text(Lines),
    /// Decoded rows, and the number of the first.
    Batch(RecordBatch, u64),
}

/// Text of whole lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The bytes; the last line ends too.
    pub body: Vec<u8>,
    /// The number of the first line (of an array: of the first row).
    pub first: u64,
}

impl Lines {
    /// The number in the file of a line of these, counted from 1.
    pub fn file_line(&self, line: u64) -> u64 {
        self.first + line.saturating_sub(1)
    }

    /// The records that begin at these lines, which rise; of CSV with what stands between its fields.
    pub fn records<'a>(
        &'a self,
        format: FileFormat,
        delimiter: u8,
        lines: impl Iterator<Item = u64> + 'a,
    ) -> impl Iterator<Item = &'a [u8]> + 'a {
        let (mut at, mut number) = (0, self.first);
        lines.map(move |line| {
            while number < line {
                let rest = self.body.get(at..).unwrap_or_default();
                let Some(end) = memchr::memchr(b'\n', rest) else {
                    break;
                };
                at += end + 1;
                number += 1;
            }
            let rest = self.body.get(at..).unwrap_or_default();
            let length = record_length(format, delimiter, rest);
            rest.get(..length).unwrap_or_default()
        })
    }

    /// The records of line protocol, blank and comment lines too.
    pub fn lp_records(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.body.as_slice();
        std::iter::from_fn(move || {
            let (record, after) = rest.split_at_checked(record_length(FileFormat::Lp, 0, rest))?;
            rest = after;
            (!record.is_empty()).then_some(record)
        })
    }

    /// The two halves of line protocol; `None` for a single record.
    pub fn halves(&self) -> Option<(Lines, Lines)> {
        let middle = self.body.len() / 2;
        let mut end = 0;
        for record in self.lp_records() {
            if end > 0 && end + record.len() > middle {
                break;
            }
            end += record.len();
        }
        let (one, other) = self.body.split_at_checked(end)?;
        if other.is_empty() {
            return None;
        }
        let next = self.first + scan::newlines(one);
        Some((
            Lines {
                body: one.to_vec(),
                first: self.first,
            },
            Lines {
                body: other.to_vec(),
                first: next,
            },
        ))
    }
}

/// How long the record is that text begins with; one that does not end costs its own line.
fn record_length(format: FileFormat, delimiter: u8, text: &[u8]) -> usize {
    match scan::record(format, delimiter, text, true) {
        scan::Found::Record(length) => length,
        _ => memchr::memchr(b'\n', text).map_or(text.len(), |end| end + 1),
    }
}
