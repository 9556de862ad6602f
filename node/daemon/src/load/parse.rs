//! Pieces to rows: text is read here, so that the node gets columns and a refused record is known by its line.

use activestore_ingest::Parsed;
use activestore_ingest::csv::{self, CsvOptions};
use activestore_ingest::json::{self, JsonOptions, JsonShape};
use activestore_types::{DataType, NamedBatch, Result, TableName};

use super::piece::{Content, Lines, Piece, Refused};
use super::rows::{LineNumbers, Rows};
use super::split::RECORD_BYTES_MAX;
use super::target::Mapping;
use crate::cli::FileFormat;

/// How many rows are looked at to tell whole numbers from fractions.
pub const WIDE_ROWS: usize = 100_000;

/// Reads pieces of one source.
#[derive(Clone, Debug)]
pub struct Parser {
    /// The format.
    pub format: FileFormat,
    /// Where rows go.
    pub table: TableName,
    /// The names in the first line of CSV, and what stands between its fields.
    pub header: (Vec<String>, u8),
    /// Types of columns by their names in the file.
    pub types: Vec<(String, DataType)>,
    /// Of which of them the type was told from rows of a file.
    pub inferred: Vec<String>,
    /// How many rows other types of CSV are told from.
    pub infer_rows: usize,
    /// Which of the file's columns go where.
    pub mapping: Mapping,
}

impl Parser {
    /// The rows of a piece under the table's names, and what is no row.
    ///
    /// # Errors
    /// `Invalid` where there are no usable names.
    pub fn read(&self, piece: &Piece, refused: &mut Vec<Refused>) -> Result<Vec<Rows>> {
        let mut all = match &piece.content {
            Content::Batch(batch, first) => vec![Rows {
                batch: NamedBatch::from_record_batch(self.table.clone(), batch),
                lines: LineNumbers::From(*first),
            }],
            Content::Text(lines) => self.text(lines, refused)?,
        };
        for rows in &mut all {
            self.mapping.apply(&mut rows.batch);
        }
        Ok(all)
    }

    fn text(&self, lines: &Lines, refused: &mut Vec<Refused>) -> Result<Vec<Rows>> {
        if lines.body.is_empty() {
            return Ok(Vec::new());
        }
        let parsed = match self.format {
            FileFormat::Csv => {
                let mut options = CsvOptions::new(self.table.clone());
                options.header = Some(self.header.0.clone());
                options.delimiter = self.header.1;
                options.types.clone_from(&self.types);
                options.inferred.clone_from(&self.inferred);
                options.record_bytes_max = RECORD_BYTES_MAX;
                options.infer_rows = self.infer_rows;
                options.rejected_max = usize::MAX;
                options.number_rows = true;
                csv::parse(&lines.body, &options)?
            }
            _ => {
                let mut options = JsonOptions::new(self.table.clone());
                options.shape = JsonShape::Lines;
                options.types.clone_from(&self.types);
                options.row_bytes_max = RECORD_BYTES_MAX;
                options.rejected_max = usize::MAX;
                options.number_rows = true;
                json::parse(&lines.body, &options)
            }
        };
        Ok(numbered(parsed, lines, refused))
    }
}

/// Gives each row and each refused record its line in the file.
fn numbered(parsed: Parsed, lines: &Lines, refused: &mut Vec<Refused>) -> Vec<Rows> {
    refused.extend(parsed.rejected.into_iter().map(|rejected| Refused {
        line: lines.file_line(rejected.line),
        reason: rejected.reason,
    }));
    let mut numbers = parsed
        .row_lines
        .into_iter()
        .map(|line| lines.file_line(line));
    let with_lines = |batch: NamedBatch| Rows {
        lines: LineNumbers::Each(numbers.by_ref().take(batch.rows).collect()),
        batch,
    };
    parsed.batches.into_iter().map(with_lines).collect()
}
