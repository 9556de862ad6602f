//! JSON rows for one table: an array of flat objects, or one object a line (NDJSON).
//!
//! A key is a column. A key that a row does not name is absent, `null` is NULL. Where the table's
//! schema is given each value becomes exactly its column's type or the row is refused: timestamps
//! are text or numbers (see [`crate::timestamp`]), BYTES is base64 or hexadecimal after `\x`,
//! DECIMAL keeps each digit of the text. Without a schema an integer is BIGINT, a number with a
//! point or exponent DOUBLE (a column with both is DOUBLE as long as that loses nothing), text TEXT,
//! `true` BOOLEAN, and a nested object or array JSON. Of two equal keys the last counts.

use std::sync::Arc;

use activestore_types::{DataType, KeyHint, TableName, TableSchema};

pub use crate::builder::AddedColumns;
use crate::builder::RowsBuilder;
use crate::parsed::{Parsed, REJECTED_KEPT_MAX};
use crate::precision::Precision;
use crate::room::Unfit;

mod elements;
mod reader;
mod row;

use elements::{Elements, Found};
pub use reader::JsonReader;
use row::read_row;

/// The longest row, unless the options say otherwise.
pub const ROW_BYTES_MAX: usize = 1 << 20;

/// How the rows stand in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum JsonShape {
    /// An array if the first character is `[`, else lines (a single object may span lines).
    #[default]
    Auto,
    /// `[{…}, {…}]`.
    Array,
    /// One object a line.
    Lines,
}

/// How to read JSON rows.
#[derive(Clone, Debug)]
pub struct JsonOptions {
    /// Where the rows go.
    pub table: TableName,
    /// The table's schema, if it exists.
    pub schema: Option<Arc<TableSchema>>,
    /// Types of columns that the schema does not know.
    pub types: Vec<(String, DataType)>,
    /// Array or lines.
    pub shape: JsonShape,
    /// Unit of timestamps given as numbers; `None` guesses by size.
    pub precision: Option<Precision>,
    /// Columns that every row gets.
    pub added: AddedColumns,
    /// How long the rows live, in seconds, in place of the table's own time to live.
    pub ttl_s: Option<u64>,
    /// The key to create the table with if it is missing; `None` makes that an error.
    pub create: Option<KeyHint>,
    /// The longest row in bytes.
    pub row_bytes_max: usize,
    /// How many refused rows are kept with their reason.
    pub rejected_max: usize,
    /// Whether the line of each row is told.
    pub number_rows: bool,
    /// Bytes that all rows of a body may take in memory.
    pub rows_bytes_max: usize,
}

impl JsonOptions {
    /// Rows for `table`, array or lines, types as they come.
    pub fn new(table: TableName) -> Self {
        JsonOptions {
            table,
            schema: None,
            types: Vec::new(),
            shape: JsonShape::Auto,
            precision: None,
            added: AddedColumns::default(),
            ttl_s: None,
            create: None,
            row_bytes_max: ROW_BYTES_MAX,
            rejected_max: REJECTED_KEPT_MAX,
            number_rows: false,
            rows_bytes_max: usize::MAX,
        }
    }

    pub(crate) fn declared(&self, name: &str) -> Option<DataType> {
        self.types
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, data_type)| *data_type)
    }
}

/// Parses a whole body. A refused row is reported by its line, in an array by its number.
pub fn parse(body: &[u8], options: &JsonOptions) -> Parsed {
    let mut elements = Elements::new(options.shape, options.row_bytes_max);
    let mut pass = Pass::new(options);
    pass.run(&mut elements, body, true, usize::MAX);
    pass.finish()
}

/// Rows on their way into one batch.
pub(crate) struct Pass<'o> {
    options: &'o JsonOptions,
    builder: RowsBuilder,
    pub(crate) parsed: Parsed,
}

impl<'o> Pass<'o> {
    pub(crate) fn new(options: &'o JsonOptions) -> Self {
        Pass {
            options,
            builder: RowsBuilder::new(
                options.table.clone(),
                options.schema.clone(),
                options.ttl_s,
                options.create.clone(),
            )
            .within(options.rows_bytes_max),
            parsed: Parsed::default(),
        }
    }

    /// Takes up to `rows_max` rows; gives how many bytes were consumed.
    pub(crate) fn run(
        &mut self,
        elements: &mut Elements,
        bytes: &[u8],
        at_end: bool,
        rows_max: usize,
    ) -> usize {
        let mut used = 0;
        while self.builder.rows() < rows_max {
            let rest = bytes.get(used..).unwrap_or_default();
            let (skipped, found) = elements.next(rest, at_end);
            used += skipped;
            match found {
                Found::Row { number, text } => {
                    self.parsed.lines += 1;
                    let outcome = std::str::from_utf8(text)
                        .map_err(|_| Unfit::Refused("the row is not UTF-8".to_owned()))
                        .and_then(|text| read_row(text, self.options, &mut self.builder));
                    match outcome {
                        Ok(()) if self.options.number_rows => self.parsed.row_lines.push(number),
                        Ok(()) => {}
                        Err(Unfit::TooLarge) => {
                            self.parsed.too_large = true;
                            break;
                        }
                        Err(Unfit::Refused(reason)) => {
                            self.builder.forget_new_columns();
                            self.reject(number, reason);
                        }
                    }
                }
                Found::Broken { number, reason } => {
                    self.parsed.lines += 1;
                    self.reject(number, reason);
                }
                Found::More | Found::End => break,
            }
        }
        used
    }

    fn reject(&mut self, number: u64, reason: String) {
        self.parsed
            .reject(number, reason, self.options.rejected_max);
    }

    pub(crate) fn finish(self) -> Parsed {
        let mut parsed = self.parsed;
        parsed.batches = self.builder.finish();
        parsed
    }
}

#[cfg(test)]
mod tests;
