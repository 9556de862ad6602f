//! Rows of a `COPY … FROM STDIN`, piece by piece: cut into rows, gathered to batches and brought to their columns'
//! types. What is held is bounded by a batch and one row.

use std::sync::Arc;

use activestore_query::cast_assigned;
use activestore_types::{Error, NamedBatch, Result, TableName, TableSchema};
use arrow::array::{ArrayRef, StringBuilder};
use arrow::compute::concat;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use bytes::{Bytes, BytesMut};

use super::copy::{Format, Layout};
use super::copy_fields::binary_header;
use super::kind::Kind;
use super::message::Fields;
use super::param;

/// Rows of a batch, and about how many bytes.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// The longest row.
const ROW_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A COPY that is coming in.
pub(super) struct Incoming {
    table: TableName,
    fields: Vec<Field>,
    kinds: Vec<Kind>,
    layout: Layout,
    /// What is not a whole row yet.
    pending: BytesMut,
    /// How far of it is known to hold no end of a row, and whether that is within quotes.
    looked: usize,
    in_quotes: bool,
    texts: Vec<StringBuilder>,
    values: Vec<Vec<ArrayRef>>,
    rows: usize,
    bytes: usize,
    line: u64,
    begun: bool,
    ended: bool,
}

impl Incoming {
    /// Begins, for these columns of a table; none is all of them.
    ///
    /// # Errors
    /// `NotFound` for a column that the table does not have.
    pub(super) fn new(schema: &TableSchema, columns: &[String], layout: Layout) -> Result<Self> {
        let fields: Vec<Field> = if columns.is_empty() {
            let all = schema.columns.iter();
            all.map(|column| schema.arrow_field(column)).collect()
        } else {
            let named = columns.iter().map(|name| {
                let column = schema.column(name).ok_or_else(|| {
                    Error::not_found(format!("{} has no column '{name}'", schema.name))
                })?;
                Ok(schema.arrow_field(column))
            });
            named.collect::<Result<_>>()?
        };
        let kinds = fields.iter().map(Kind::of).collect();
        let count = fields.len();
        Ok(Incoming {
            table: schema.name.clone(),
            texts: (0..count).map(|_| StringBuilder::new()).collect(),
            values: vec![Vec::new(); count],
            fields: fields
                .into_iter()
                .map(|field| field.with_nullable(true))
                .collect(),
            kinds,
            layout,
            pending: BytesMut::new(),
            looked: 0,
            in_quotes: false,
            rows: 0,
            bytes: 0,
            line: 0,
            begun: false,
            ended: false,
        })
    }

    /// The number of its columns.
    pub(super) fn columns(&self) -> usize {
        self.fields.len()
    }

    /// Takes a piece; gives the batches that it fills.
    ///
    /// # Errors
    /// `Invalid` with the line for what is no row of the table.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<Vec<NamedBatch>> {
        self.pending.extend_from_slice(piece);
        let mut full = Vec::new();
        if self.layout.format == Format::Binary {
            let mut body = self.pending.split().freeze();
            while let Some(used) = self.binary_row(&body)? {
                body = body.slice(used..);
                full.extend(self.batch_if_full()?);
            }
            if !self.ended {
                self.pending.extend_from_slice(&body);
            }
        } else {
            while let Some(end) = self.end_of_row() {
                let row = self.pending.split_to(end + 1).freeze();
                self.row(trimmed(&row))?;
                full.extend(self.batch_if_full()?);
            }
        }
        if self.pending.len() > ROW_BYTES_MAX {
            return Err(Error::invalid(format!(
                "COPY, line {}: the row is longer than {ROW_BYTES_MAX} bytes",
                self.line + 1
            )));
        }
        Ok(full)
    }

    /// Takes the end; gives what is left.
    ///
    /// # Errors
    /// As [`Incoming::take`].
    pub(super) fn finish(&mut self) -> Result<Option<NamedBatch>> {
        if !self.pending.is_empty() && !self.ended {
            if self.in_quotes || self.layout.format == Format::Binary {
                return Err(self.wrong("it ends in the middle of a row"));
            }
            let row = self.pending.split().freeze();
            self.row(trimmed(&row))?;
        }
        self.batch()
    }

    fn wrong(&self, what: &str) -> Error {
        Error::invalid(format!("COPY, line {}: {what}", self.line + 1))
    }

    /// Where the next row ends: at a line break that is not within quotes.
    fn end_of_row(&mut self) -> Option<usize> {
        let csv = self.layout.format == Format::Csv;
        let rest = self.pending.get(self.looked..).unwrap_or_default();
        let mut escaped = false;
        for (place, byte) in rest.iter().enumerate() {
            if csv {
                // A doubled quote leaves and enters again.
                if escaped {
                    escaped = false;
                } else if self.in_quotes
                    && *byte == self.layout.escape
                    && byte != &self.layout.quote
                {
                    escaped = true;
                } else if *byte == self.layout.quote {
                    self.in_quotes = !self.in_quotes;
                }
            }
            if *byte == b'\n' && !self.in_quotes {
                let end = self.looked + place;
                self.looked = 0;
                return Some(end);
            }
        }
        // An escape at the very end of a piece is looked at again with what follows.
        self.looked = self.pending.len() - usize::from(escaped);
        None
    }

    fn row(&mut self, row: &[u8]) -> Result<()> {
        self.bytes += row.len();
        if self.ended {
            return Ok(());
        }
        if self.layout.format == Format::Text && row == b"\\." {
            self.ended = true;
            return Ok(());
        }
        if self.layout.header && !self.begun {
            self.begun = true;
            self.line += 1;
            return Ok(());
        }
        self.begun = true;
        let fields = match self.layout.format {
            Format::Csv => self.layout.csv(row),
            _ => self.layout.text(row),
        };
        let fields = fields.map_err(|what| self.wrong(what))?;
        if fields.len() != self.fields.len() {
            return Err(self.wrong(&format!(
                "it has {} fields, not {}",
                fields.len(),
                self.fields.len()
            )));
        }
        for (field, builder) in fields.into_iter().zip(&mut self.texts) {
            builder.append_option(field);
        }
        self.rows += 1;
        self.line += 1;
        Ok(())
    }

    /// Takes one row of the binary format and says how long it was; `None` where it is not there whole.
    fn binary_row(&mut self, body: &Bytes) -> Result<Option<usize>> {
        if self.ended {
            return Ok(None);
        }
        let mut fields = Fields::new(body);
        let taken = if self.begun {
            self.binary_fields(&mut fields)
        } else {
            binary_header(&mut fields).map(|header| header.map(|()| Vec::new()))
        };
        let Some(values) = taken.map_err(|error| self.wrong(error.message()))? else {
            return Ok(None);
        };
        if self.begun && !self.ended {
            for (value, column) in values.into_iter().zip(&mut self.values) {
                column.push(value);
            }
            self.rows += 1;
            self.line += 1;
            self.bytes += fields.position();
        }
        self.begun = true;
        Ok(Some(fields.position()))
    }

    fn binary_fields(&mut self, fields: &mut Fields<'_>) -> Result<Option<Vec<ArrayRef>>> {
        if fields.left() < 2 {
            return Ok(None);
        }
        let count = fields.i16()?;
        if count == -1 {
            self.ended = true;
            return Ok(Some(Vec::new()));
        }
        if usize::try_from(count).ok() != Some(self.fields.len()) {
            return Err(Error::invalid(format!(
                "it has {count} fields, not {}",
                self.fields.len()
            )));
        }
        let mut values = Vec::with_capacity(self.fields.len());
        for (kind, field) in self.kinds.iter().zip(&self.fields) {
            if fields.left() < 4 {
                return Ok(None);
            }
            let length = fields.peek_length()?;
            if length.is_some_and(|length| length > ROW_BYTES_MAX) {
                return Err(Error::invalid(format!(
                    "a field is longer than {ROW_BYTES_MAX} bytes"
                )));
            }
            if length.is_some_and(|length| fields.left() < 4 + length) {
                return Ok(None);
            }
            let value = fields.value()?;
            let array = param::value(*kind, value.as_ref())?;
            values.push(match kind.column() {
                Some(column) => cast_assigned(field.name(), column, &array)?,
                None => array,
            });
        }
        Ok(Some(values))
    }

    fn batch_if_full(&mut self) -> Result<Option<NamedBatch>> {
        if self.rows < BATCH_ROWS && self.bytes < BATCH_BYTES {
            return Ok(None);
        }
        self.batch()
    }

    fn batch(&mut self) -> Result<Option<NamedBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let binary = self.layout.format == Format::Binary;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.fields.len());
        let parts = self.texts.iter_mut().zip(&mut self.values);
        for ((field, kind), (texts, values)) in self.fields.iter().zip(&self.kinds).zip(parts) {
            let array: ArrayRef = if binary {
                let all = std::mem::take(values);
                let all: Vec<&dyn arrow::array::Array> = all.iter().map(AsRef::as_ref).collect();
                concat(&all)?
            } else {
                let texts = texts.finish();
                match kind {
                    // BYTES are written in hex digits, and PostgreSQL's booleans in one letter.
                    Kind::Bytes | Kind::Bool => {
                        let each = texts.iter().map(|text| match text {
                            Some(text) => param::from_text(field.name(), *kind, text),
                            None => param::value(*kind, None),
                        });
                        let each: Vec<ArrayRef> = each.collect::<Result<_>>()?;
                        let all: Vec<&dyn arrow::array::Array> =
                            each.iter().map(AsRef::as_ref).collect();
                        concat(&all)?
                    }
                    _ => Arc::new(texts),
                }
            };
            columns.push(match kind.column() {
                Some(column) => cast_assigned(field.name(), column, &array)?,
                None => array,
            });
        }
        (self.rows, self.bytes) = (0, 0);
        let schema = Arc::new(Schema::new(self.fields.clone()));
        let batch = RecordBatch::try_new(schema, columns)?;
        Ok(Some(NamedBatch::from_record_batch(
            self.table.clone(),
            &batch,
        )))
    }
}

/// Without the line break.
fn trimmed(row: &[u8]) -> &[u8] {
    let row = row.strip_suffix(b"\n").unwrap_or(row);
    row.strip_suffix(b"\r").unwrap_or(row)
}
