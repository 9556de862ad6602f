//! What a parser gives back: batches, and the lines it refused with the reason.

use activestore_types::{Error, NamedBatch, Result};

/// How many refused lines a parser keeps with their reason, unless its options say otherwise. The
/// rest are counted.
pub const REJECTED_KEPT_MAX: usize = 1_000;

/// A line (or, in a JSON array, a row) that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedLine {
    /// Its number, from 1; for a JSON array the number of the row.
    pub line: u64,
    /// Why, in one sentence with the place in the line where that is known.
    pub reason: String,
}

/// The outcome of parsing one body.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The rows, grouped per table; a table with very many cells has several batches.
    pub batches: Vec<NamedBatch>,
    /// The first refused lines, in order.
    pub rejected: Vec<RejectedLine>,
    /// How many lines were refused in all; at least `rejected.len()`.
    pub rejected_total: u64,
    /// How many lines (rows of a JSON array) the body held, blank lines and comments aside.
    pub lines: u64,
    /// The line of each row of the batches, where the options ask for it.
    pub row_lines: Vec<u64>,
    /// Whether the rows would take more than the options allow: then the rest of the body was not read.
    pub too_large: bool,
}

impl Parsed {
    /// How many rows the batches hold.
    pub fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.rows as u64).sum()
    }

    /// All or nothing: the batches, if no line was refused.
    ///
    /// # Errors
    /// `Invalid`, naming the first refused line and how many there are, or where the rows would take too much.
    pub fn strict(self) -> Result<Vec<NamedBatch>> {
        if self.too_large {
            return Err(too_large());
        }
        let Some(first) = self.rejected.first() else {
            return Ok(self.batches);
        };
        let more = match self.rejected_total.saturating_sub(1) {
            0 => String::new(),
            1 => " (and 1 more line is refused)".to_owned(),
            more => format!(" (and {more} more lines are refused)"),
        };
        Err(
            Error::invalid(format!("line {}: {}{more}", first.line, first.reason))
                .with_hint("nothing was written; correct the line and send the body again"),
        )
    }

    pub(crate) fn reject(&mut self, line: u64, reason: String, kept_max: usize) {
        self.rejected_total += 1;
        if self.rejected.len() < kept_max {
            self.rejected.push(RejectedLine { line, reason });
        }
    }
}

fn too_large() -> Error {
    Error::invalid(
        "the rows take too much memory: each has room for every column that any of them names",
    )
    .with_hint("nothing was written; send fewer rows at once, and those that name the same columns together")
}

/// A bounded piece of a file, as the readers of this crate yield it.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The rows: one batch (seldom more), or one per table for line protocol. Empty when every line
    /// was refused.
    pub batches: Vec<NamedBatch>,
    /// Every refused line of this piece.
    pub rejected: Vec<RejectedLine>,
    /// How many lines (records) the piece held, blank lines and comments aside.
    pub lines: u64,
    /// How many bytes of the file have been consumed up to and including this piece. A file of
    /// lines (line protocol, NDJSON, CSV with the header given) continued from here yields the rest.
    pub bytes_read: u64,
    /// The line of each row of the batches, where the options ask for it.
    pub row_lines: Vec<u64>,
}

impl Chunk {
    /// How many rows the batches hold.
    pub fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.rows as u64).sum()
    }
}
