//! CSV (RFC 4180) with a header row, for one table.
//!
//! Column types come from the options, else from the table's schema, else they are inferred from
//! the first rows ([`INFER_ROWS`]) and then hold for the whole file: BIGINT, DOUBLE, BOOLEAN
//! (`true`/`false`), DATE, TIMESTAMP, else TEXT. Timestamps read as [`crate::timestamp`] says;
//! numbers are never inferred to be timestamps. An empty field without quotes is NULL (as in
//! PostgreSQL), `""` is empty text.
//!
//! Records are split here and not by the `csv` crate: a record with a wrong quote must be refused
//! with its line number and reading must go on with the next line, in bounded memory, where that
//! crate swallows the file up to the next quote and does not tell `""` from nothing.

use std::io::Read;
use std::sync::Arc;

use activestore_types::{DataType, Error, KeyHint, Result, TableName, TableSchema};

use crate::builder::{AddedColumns, Cell, RowsBuilder};
use crate::line_buffer::LineBuffer;
use crate::parsed::{Chunk, Parsed, REJECTED_KEPT_MAX};
use crate::precision::Precision;
use crate::value::{Value, from_text};

mod infer;
mod record;

use infer::infer;
use record::{Field, Record, Split, split};

/// How many rows the inference of types looks at.
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
    /// Columns that every row gets.
    pub added: AddedColumns,
    /// How long the rows live, in seconds, in place of the table's own time to live.
    pub ttl_s: Option<u64>,
    /// The key to create the table with if it is missing; `None` makes that an error.
    pub create: Option<KeyHint>,
    /// Rows of one chunk, at most.
    pub chunk_rows: usize,
    /// The longest record in bytes.
    pub record_bytes_max: usize,
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
            added: AddedColumns::default(),
            ttl_s: None,
            create: None,
            chunk_rows: CHUNK_ROWS,
            record_bytes_max: RECORD_BYTES_MAX,
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
    let mut parsed = Parsed::default();
    let mut reader = CsvReader::new(body, options);
    reader.window_bytes = body.len().max(1);
    for chunk in reader {
        let chunk = chunk?;
        parsed.lines += chunk.lines;
        parsed.batches.extend(chunk.batches);
        for rejected in chunk.rejected {
            parsed.reject(rejected.line, rejected.reason, REJECTED_KEPT_MAX);
        }
    }
    Ok(parsed)
}

/// Yields the rows of a CSV file in chunks of one batch each; refused records come with each chunk.
pub struct CsvReader<R> {
    buffer: LineBuffer<R>,
    options: CsvOptions,
    columns: Option<Vec<(String, DataType)>>,
    line: u64,
    /// The bytes start inside a line that has been refused for its length.
    skip_line: bool,
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
            line: 1,
            skip_line: false,
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
        let mut pass = Pass {
            options: &self.options,
            columns: &columns,
            builder: RowsBuilder::new(
                self.options.table.clone(),
                self.options.schema.clone(),
                self.options.ttl_s,
                self.options.create.clone(),
            ),
            chunk: Chunk::default(),
        };
        let mut outcome = Ok(());
        loop {
            let record_max = self.options.record_bytes_max;
            let ended = self.buffer.ended();
            while pass.builder.rows() < self.options.chunk_rows {
                let window = self.buffer.window();
                if window.is_empty() {
                    break;
                }
                let end_of_line = memchr::memchr(b'\n', window);
                if self.skip_line {
                    self.skip_line = end_of_line.is_none();
                    self.line += u64::from(end_of_line.is_some());
                    self.buffer
                        .consume(end_of_line.map_or(window.len(), |end| end + 1));
                    continue;
                }
                match split(window, self.options.delimiter, ended) {
                    Split::More if window.len() <= record_max => break,
                    Split::Record(record) if record.bytes <= record_max => {
                        pass.take(&record, self.line);
                        self.line += record.lines;
                        let bytes = record.bytes;
                        self.buffer.consume(bytes);
                    }
                    split => {
                        let reason = match split {
                            Split::Broken(reason) => reason,
                            _ => format!("the record is longer than {record_max} bytes"),
                        };
                        pass.refuse(self.line, reason);
                        self.skip_line = end_of_line.is_none();
                        self.line += u64::from(end_of_line.is_some());
                        self.buffer
                            .consume(end_of_line.map_or(window.len(), |end| end + 1));
                    }
                }
            }
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
        let mut chunk = pass.chunk;
        chunk.batches = pass.builder.finish();
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
        for (index, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(Error::invalid(format!(
                    "the header names no column at place {}",
                    index + 1
                )));
            }
            if names.iter().take(index).any(|other| other == name) {
                return Err(Error::invalid(format!(
                    "the header names column '{name}' twice"
                )));
            }
        }
        let sample = self.sample(names.len());
        let columns = names
            .into_iter()
            .enumerate()
            .map(|(index, name)| {
                let declared = self.options.types.iter().find(|(other, _)| *other == name);
                let known = declared.map(|(_, data_type)| *data_type).or_else(|| {
                    let schema = self.options.schema.as_ref()?;
                    schema.column(&name).map(|column| column.data_type)
                });
                let data_type = known.unwrap_or_else(|| {
                    infer(sample.iter().filter_map(|record| record.fields.get(index)))
                });
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
            let (names, bytes, lines) =
                match split(window, self.options.delimiter, self.buffer.ended()) {
                    Split::Record(record) => {
                        let names = record
                            .fields
                            .iter()
                            .map(|field| field.text().map(|text| text.trim().to_owned()))
                            .collect::<Option<Vec<_>>>()
                            .ok_or_else(|| Error::invalid("the header is not UTF-8"))?;
                        (names, record.bytes, record.lines)
                    }
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
            self.line += lines;
            if !blank {
                return Ok(names);
            }
        }
    }

    /// The first records in view that have the header's width.
    fn sample(&self, width: usize) -> Vec<Record<'_>> {
        let mut rest = self.buffer.window();
        let mut records = Vec::new();
        while records.len() < INFER_ROWS {
            match split(rest, self.options.delimiter, self.buffer.ended()) {
                Split::Record(record) => {
                    rest = rest.get(record.bytes..).unwrap_or_default();
                    if record.fields.len() == width {
                        records.push(record);
                    }
                }
                Split::Broken(_) => match memchr::memchr(b'\n', rest) {
                    Some(end) => rest = rest.get(end + 1..).unwrap_or_default(),
                    None => break,
                },
                Split::More => break,
            }
            if rest.is_empty() {
                break;
            }
        }
        records
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

/// One chunk under construction.
struct Pass<'a> {
    options: &'a CsvOptions,
    columns: &'a [(String, DataType)],
    builder: RowsBuilder,
    chunk: Chunk,
}

impl Pass<'_> {
    fn refuse(&mut self, line: u64, reason: String) {
        self.chunk.lines += 1;
        self.chunk
            .rejected
            .push(crate::parsed::RejectedLine { line, reason });
    }

    fn take(&mut self, record: &Record<'_>, line: u64) {
        if let [only] = record.fields.as_slice()
            && only.is_null()
            && self.columns.len() > 1
        {
            return; // A blank line.
        }
        let outcome = self.row(record);
        match outcome {
            Ok(()) => self.chunk.lines += 1,
            Err(reason) => {
                self.builder.forget_new_columns();
                self.refuse(line, reason);
            }
        }
    }

    fn row(&mut self, record: &Record<'_>) -> Result<(), String> {
        if record.fields.len() != self.columns.len() {
            return Err(format!(
                "the record has {} fields where the header has {}",
                record.fields.len(),
                self.columns.len()
            ));
        }
        let mut row: Vec<Cell<'_>> = Vec::with_capacity(record.fields.len());
        for (field, (name, data_type)) in record.fields.iter().zip(self.columns) {
            let (index, _) = self.builder.column(name, Some(*data_type))?;
            let value = cell(field, *data_type, self.options.precision)
                .map_err(|reason| format!("column '{name}': {reason}"))?;
            row.push((index, value, Some(*data_type)));
        }
        self.options.added.extend(&mut self.builder, &mut row)?;
        self.builder.push(&row)
    }
}

fn cell<'a>(
    field: &'a Field<'a>,
    data_type: DataType,
    precision: Option<Precision>,
) -> Result<Value<'a>, String> {
    if field.is_null() {
        return Ok(Value::Null);
    }
    let text = field.text().ok_or("the text is not UTF-8")?;
    from_text(text, data_type, precision)
}

#[cfg(test)]
mod tests;
