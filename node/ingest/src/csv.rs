//! CSV (RFC 4180) with a header row, for one table.
//!
//! Column types come from the options, else from the table's schema, else they are inferred from
//! the first rows ([`INFER_ROWS`]) and then hold for the whole file: BIGINT, DOUBLE, BOOLEAN
//! (`true`/`false`), DATE, TIMESTAMP, else TEXT. Timestamps read as [`crate::timestamp`] says;
//! numbers are never inferred to be timestamps. A later field that an inferred type would take a digit from, by leading
//! zeros or as DOUBLE, is refused. An empty field without quotes is NULL (as in
//! PostgreSQL), `""` is empty text.
//!
//! Records are split here and not by the `csv` crate: a record with a wrong quote must be refused
//! with its line number and reading must go on with the next line, in bounded memory, where that
//! crate swallows the file up to the next quote and does not tell `""` from nothing.

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;

use activestore_types::{DataType, Error, KeyHint, Result, TableName, TableSchema};

use crate::builder::COLUMNS_MAX;
use crate::line_buffer::LineBuffer;
use crate::parsed::{Chunk, Parsed, REJECTED_KEPT_MAX};
use crate::precision::Precision;

mod columns;
mod field;
mod infer;
mod record;

use columns::{Columns, Place};
pub use infer::has_leading_zeros;
use infer::infer;
use record::{Field, Split, split};

/// How many rows the inference of types looks at, unless the options say otherwise.
pub const INFER_ROWS: usize = 1_000;

/// The longest record, unless the options say otherwise.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// How many rows one chunk holds at most, unless the options say otherwise.
pub const CHUNK_ROWS: usize = 10_000;

/// Bytes in view at a time; with one longest record more it bounds the reader's memory.
const WINDOW_BYTES: usize = 4 << 20;

/// How to read CSV.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// Where the rows go.
    pub table: TableName,
    /// The table's schema, if it exists.
    pub schema: Option<Arc<TableSchema>>,
    /// Types of columns by name; they go before the schema.
    pub types: Vec<(String, DataType)>,
    /// What stands between fields.
    pub delimiter: u8,
    /// Names for the columns in place of a header row; the file's first line is a row then.
    pub header: Option<Vec<String>>,
    /// Unit of timestamps given as numbers; `None` guesses by size.
    pub precision: Option<Precision>,
    /// How long the rows live, in seconds, in place of the table's own time to live.
    pub ttl_s: Option<u64>,
    /// The key to create the table with if it is missing; `None` makes that an error.
    pub create: Option<KeyHint>,
    /// Rows of one chunk, at most.
    pub chunk_rows: usize,
    /// The longest record in bytes.
    pub record_bytes_max: usize,
    /// How many rows the inference of types looks at.
    pub infer_rows: usize,
    /// How many refused records [`parse`] keeps with their reason.
    pub rejected_max: usize,
    /// Whether the line of each row is told.
    pub number_rows: bool,
    /// Columns whose types somebody has inferred from other rows of the same file.
    pub inferred: Vec<String>,
}

impl CsvOptions {
    /// Comma-separated rows with a header for `table`.
    pub fn new(table: TableName) -> Self {
        CsvOptions {
            table,
            schema: None,
            types: Vec::new(),
            delimiter: b',',
            header: None,
            precision: None,
            ttl_s: None,
            create: None,
            chunk_rows: CHUNK_ROWS,
            record_bytes_max: RECORD_BYTES_MAX,
            infer_rows: INFER_ROWS,
            rejected_max: REJECTED_KEPT_MAX,
            number_rows: false,
            inferred: Vec::new(),
        }
    }
}

/// Parses a whole body, rows in one batch.
///
/// # Errors
/// `Invalid` where there is no usable header.
pub fn parse(body: &[u8], options: &CsvOptions) -> Result<Parsed> {
    let options = CsvOptions {
        chunk_rows: usize::MAX,
        ..options.clone()
    };
    let rejected_max = options.rejected_max;
    let mut parsed = Parsed::default();
    let mut reader = CsvReader::new(body, options);
    reader.window_bytes = body.len().max(1);
    for chunk in reader {
        let chunk = chunk?;
        parsed.lines += chunk.lines;
        parsed.batches.extend(chunk.batches);
        parsed.row_lines.extend(chunk.row_lines);
        for rejected in chunk.rejected {
            parsed.reject(rejected.line, rejected.reason, rejected_max);
        }
    }
    Ok(parsed)
}

/// The names in a header record.
///
/// # Errors
/// `Invalid` where it is no record, or names a column twice or not at all.
pub fn names(header: &[u8], delimiter: u8) -> Result<Vec<String>> {
    let mut fields = Vec::new();
    match split(header, delimiter, true, &mut fields) {
        Split::Record { .. } => {}
        Split::Broken(reason) => {
            return Err(Error::invalid(format!("the header is broken: {reason}")));
        }
        Split::More => {
            return Err(Error::invalid("the file has no header row")
                .with_hint("the first line names the columns"));
        }
    }
    let names = header_names(&fields)?;
    check_names(&names)?;
    Ok(names)
}

fn header_names(fields: &[Field<'_>]) -> Result<Vec<String>> {
    fields
        .iter()
        .map(|field| field.text().map(|text| text.trim().to_owned()))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| Error::invalid("the header is not UTF-8"))
}

fn check_names(names: &[String]) -> Result<()> {
    if names.len() > COLUMNS_MAX {
        return Err(Error::invalid(format!(
            "the header names more than {COLUMNS_MAX} columns"
        )));
    }
    let mut seen = HashSet::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(Error::invalid(format!(
                "the header names no column at place {}",
                index + 1
            )));
        }
        if !seen.insert(name) {
            return Err(Error::invalid(format!(
                "the header names column '{name}' twice"
            )));
        }
    }
    Ok(())
}

/// Yields the rows of a CSV file in chunks of one batch each; refused records come with each chunk.
pub struct CsvReader<R> {
    buffer: LineBuffer<R>,
    options: CsvOptions,
    columns: Option<Vec<(String, DataType)>>,
    place: Place,
    window_bytes: usize,
    failed: bool,
}

impl<R: Read> CsvReader<R> {
    /// Reads from the start of `reader`; line numbers count from 1.
    pub fn new(reader: R, options: CsvOptions) -> Self {
        CsvReader {
            buffer: LineBuffer::new(reader),
            options,
            columns: None,
            place: Place {
                line: 1,
                skip_line: false,
            },
            window_bytes: WINDOW_BYTES,
            failed: false,
        }
    }

    /// The columns with their types, once the first chunk has been read.
    pub fn columns(&self) -> Option<&[(String, DataType)]> {
        self.columns.as_deref()
    }

    fn read(&mut self) -> Result<Option<Chunk>> {
        self.buffer.fill(self.window_bytes)?;
        if self.columns.is_none() {
            self.read_header()?;
        }
        let columns = self.columns.take().unwrap_or_default();
        let mut pass = Columns::new(&self.options, &columns);
        let mut outcome = Ok(());
        loop {
            let ended = self.buffer.ended();
            let used = pass.take(self.buffer.window(), ended, &mut self.place)?;
            self.buffer.consume(used);
            let empty = pass.chunk.lines == 0;
            if !empty || (ended && self.buffer.window().is_empty()) {
                break;
            }
            let wanted = self.buffer.window().len() + self.window_bytes;
            outcome = self.buffer.fill(wanted);
            if outcome.is_err() {
                break;
            }
        }
        let mut chunk = pass.finish()?;
        chunk.bytes_read = self.buffer.consumed();
        self.columns = Some(columns);
        outcome?;
        Ok((chunk.lines > 0).then_some(chunk))
    }

    /// Takes the header and settles each column's type.
    fn read_header(&mut self) -> Result<()> {
        let names = match &self.options.header {
            Some(names) => names.clone(),
            None => self.header_record()?,
        };
        check_names(&names)?;
        let known = |name: &str| {
            let declared = self.options.types.iter().find(|(other, _)| other == name);
            declared.map(|(_, data_type)| *data_type).or_else(|| {
                let schema = self.options.schema.as_ref()?;
                schema.column(name).map(|column| column.data_type)
            })
        };
        let known: Vec<_> = names.iter().map(|name| known(name)).collect();
        let unknown = names
            .iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none());
        let inferred: Vec<_> = unknown.map(|(name, _)| name.clone()).collect();
        self.options.inferred.extend(inferred);
        let fields = if known.iter().all(Option::is_some) {
            Vec::new()
        } else {
            self.sample(names.len())
        };
        let width = names.len();
        let columns = names
            .into_iter()
            .zip(known)
            .enumerate()
            .map(|(index, (name, known))| {
                let data_type =
                    known.unwrap_or_else(|| infer(fields.iter().skip(index).step_by(width.max(1))));
                (name, data_type)
            })
            .collect();
        self.columns = Some(columns);
        Ok(())
    }

    fn header_record(&mut self) -> Result<Vec<String>> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if self.buffer.window().starts_with(MARK) {
            self.buffer.consume(MARK.len());
        }
        loop {
            let window = self.buffer.window();
            let mut fields = Vec::new();
            let ended = self.buffer.ended();
            let (names, bytes, lines) =
                match split(window, self.options.delimiter, ended, &mut fields) {
                    Split::Record { bytes, lines } => (header_names(&fields)?, bytes, lines),
                    Split::Broken(reason) => {
                        return Err(Error::invalid(format!("the header is broken: {reason}")));
                    }
                    Split::More => {
                        return Err(Error::invalid("the file has no header row")
                            .with_hint("the first line names the columns"));
                    }
                };
            let blank = matches!(names.as_slice(), [only] if only.is_empty());
            self.buffer.consume(bytes);
            self.place.line += lines;
            if !blank {
                return Ok(names);
            }
        }
    }

    /// The fields of the first records in view that have the header's width.
    fn sample(&self, width: usize) -> Vec<Field<'_>> {
        let mut rest = self.buffer.window();
        let mut fields = Vec::new();
        for _ in 0..self.options.infer_rows {
            let before = fields.len();
            let ended = self.buffer.ended();
            match split(rest, self.options.delimiter, ended, &mut fields) {
                Split::Record { bytes, .. } => {
                    rest = rest.get(bytes..).unwrap_or_default();
                    if fields.len() - before != width {
                        fields.truncate(before);
                    }
                }
                Split::Broken(_) => match memchr::memchr(b'\n', rest) {
                    Some(end) => rest = rest.get(end + 1..).unwrap_or_default(),
                    None => break,
                },
                Split::More => break,
            }
        }
        fields
    }
}

impl<R: Read> Iterator for CsvReader<R> {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let chunk = self.read();
        self.failed = chunk.is_err();
        chunk.transpose()
    }
}

#[cfg(test)]
mod tests;
