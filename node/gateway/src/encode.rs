//! Rows as bytes: the JSON answer, CSV, newline-delimited JSON, the Arrow IPC stream and Parquet.
//!
//! An [`Encoder`] turns record batches into chunks of one document, so that a large answer is never
//! held whole. It does no I/O, and it does not decide which format a client gets.

mod cell;
mod event;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::str::FromStr;

use activestore_formats::ParquetWriter;
use activestore_formats::parquet::PARQUET_MEDIA;
use activestore_types::schema::TYPE_METADATA_KEY;
use activestore_types::{DataType, Error, Result};
use arrow::datatypes::{Field, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;

pub use cell::{json_cell, text_cell};
pub use event::change_object;
#[cfg(feature = "pgwire")]
pub(crate) use event::range_of;
pub(crate) use event::{change_members, object};

/// Bytes of a row group of Parquet, which an answer holds until it is written.
const GROUP_BYTES: usize = 8 << 20;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One object with `columns`, `rows` and `stats`.
    Json,
    /// RFC 4180 with a header line.
    Csv,
    /// One object a line.
    Ndjson,
    /// The Arrow IPC stream.
    Arrow,
    /// Parquet.
    Parquet,
}

impl Format {
    /// The `Content-Type` of a body in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8",
            Format::Ndjson => "application/x-ndjson",
            Format::Arrow => "application/vnd.apache.arrow.stream",
            Format::Parquet => PARQUET_MEDIA,
        }
    }

    /// The format that an `Accept` header asks for; `None` where it names none of ours.
    pub fn from_accept(accept: &str) -> Option<Self> {
        accept.split(',').find_map(|entry| {
            let media = entry.split(';').next().unwrap_or_default().trim();
            match media {
                "application/json" => Some(Format::Json),
                "text/csv" => Some(Format::Csv),
                "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                    Some(Format::Ndjson)
                }
                "application/vnd.apache.arrow.stream" => Some(Format::Arrow),
                PARQUET_MEDIA => Some(Format::Parquet),
                _ => None,
            }
        })
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "json" => Ok(Format::Json),
            "csv" => Ok(Format::Csv),
            "ndjson" | "jsonl" => Ok(Format::Ndjson),
            "arrow" => Ok(Format::Arrow),
            "parquet" => Ok(Format::Parquet),
            _ => Err(Error::invalid(format!("format '{text}' is unknown"))
                .with_hint("use json, csv, ndjson, arrow or parquet")),
        }
    }
}

/// The SQL name of a result column's type; the Arrow name where SQL has none.
pub fn type_name(field: &Field) -> String {
    match field.metadata().get(TYPE_METADATA_KEY) {
        Some(name) => name.clone(),
        None => DataType::from_arrow(field.data_type())
            .map_or_else(|| field.data_type().to_string(), |known| known.to_string()),
    }
}

/// Writes one result, chunk by chunk: [`Encoder::batch`] for each batch, then [`Encoder::finish`].
pub struct Encoder {
    schema: SchemaRef,
    rows: u64,
    body: Body,
}

enum Body {
    Json { out: Vec<u8> },
    Csv { out: Vec<u8> },
    Ndjson { out: Vec<u8> },
    Arrow(Box<StreamWriter<Vec<u8>>>),
    Parquet(Box<ParquetWriter<Vec<u8>>>),
}

impl Encoder {
    /// An encoder whose first chunk holds the header, if the format has one.
    ///
    /// # Errors
    /// `Internal` when the Arrow writer refuses the schema; `Invalid` for types that Parquet does not have, and where
    /// this build does not write it.
    pub fn new(format: Format, schema: SchemaRef) -> Result<Self> {
        let body = match format {
            Format::Json => Body::Json {
                out: json_header(&schema),
            },
            Format::Csv => Body::Csv {
                out: csv_header(&schema),
            },
            Format::Ndjson => Body::Ndjson { out: Vec::new() },
            Format::Arrow => Body::Arrow(Box::new(
                StreamWriter::try_new(Vec::new(), &schema).map_err(internal)?,
            )),
            Format::Parquet => Body::Parquet(Box::new(ParquetWriter::new(
                Vec::new(),
                schema.clone(),
                GROUP_BYTES,
            )?)),
        };
        Ok(Encoder {
            schema,
            rows: 0,
            body,
        })
    }

    /// Appends a batch of the encoder's schema.
    ///
    /// # Errors
    /// `Internal` when a column has a type that the format cannot carry.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        let schema = &self.schema;
        let fields = schema.fields();
        match &mut self.body {
            Body::Json { out } => {
                for row in 0..batch.num_rows() {
                    if self.rows + row as u64 > 0 {
                        out.push(b',');
                    }
                    out.push(b'[');
                    for (index, (field, array)) in fields.iter().zip(batch.columns()).enumerate() {
                        if index > 0 {
                            out.push(b',');
                        }
                        json_cell(field, array, row, out)?;
                    }
                    out.push(b']');
                }
            }
            Body::Ndjson { out } => {
                for row in 0..batch.num_rows() {
                    out.push(b'{');
                    for (index, (field, array)) in fields.iter().zip(batch.columns()).enumerate() {
                        if index > 0 {
                            out.push(b',');
                        }
                        json_string(field.name(), out);
                        out.push(b':');
                        json_cell(field, array, row, out)?;
                    }
                    out.extend_from_slice(b"}\n");
                }
            }
            Body::Csv { out } => {
                let mut text = String::new();
                for row in 0..batch.num_rows() {
                    for (index, array) in batch.columns().iter().enumerate() {
                        if index > 0 {
                            out.push(b',');
                        }
                        text.clear();
                        // An empty field is NULL; the empty string is quoted.
                        if text_cell(array, row, &mut text)? {
                            csv_field(&text, out);
                        }
                    }
                    out.extend_from_slice(b"\r\n");
                }
            }
            Body::Arrow(writer) => writer.write(batch).map_err(internal)?,
            Body::Parquet(writer) => writer.write(batch)?,
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Rows encoded so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes waiting to be taken.
    pub fn pending(&self) -> usize {
        match &self.body {
            Body::Json { out } | Body::Csv { out } | Body::Ndjson { out } => out.len(),
            Body::Arrow(writer) => writer.get_ref().len(),
            Body::Parquet(writer) => writer.out_ref().len(),
        }
    }

    /// Takes the chunk encoded since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        match &mut self.body {
            Body::Json { out } | Body::Csv { out } | Body::Ndjson { out } => std::mem::take(out),
            Body::Arrow(writer) => std::mem::take(writer.get_mut()),
            Body::Parquet(writer) => std::mem::take(writer.out()),
        }
    }

    /// Ends the document; `stats` goes into the JSON answer. The last chunk is then taken.
    ///
    /// # Errors
    /// `Internal` when the Arrow writer fails.
    pub fn finish(&mut self, stats: &serde_json::Value) -> Result<()> {
        match &mut self.body {
            Body::Json { out } => {
                write!(out, "],\"stats\":{stats}}}").map_err(Error::from)?;
            }
            Body::Csv { .. } | Body::Ndjson { .. } => {}
            Body::Arrow(writer) => writer.finish().map_err(internal)?,
            Body::Parquet(writer) => writer.finish()?,
        }
        Ok(())
    }

    /// Ends the document after a failure in the middle: JSON formats say so in place, so that a
    /// reader never takes a part for the whole. Returns false where the format has no way to say
    /// it and the connection has to be broken off instead.
    pub fn fail(&mut self, error: &serde_json::Value) -> bool {
        match &mut self.body {
            Body::Json { out } => write!(out, "],\"error\":{error}}}").is_ok(),
            Body::Ndjson { out } => writeln!(out, "{{\"error\":{error}}}").is_ok(),
            Body::Csv { .. } | Body::Arrow(_) | Body::Parquet(_) => false,
        }
    }
}

fn internal(error: arrow::error::ArrowError) -> Error {
    Error::internal(format!("the result could not be encoded: {error}"))
}

fn json_header(schema: &SchemaRef) -> Vec<u8> {
    let mut out = b"{\"columns\":[".to_vec();
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"name\":");
        json_string(field.name(), &mut out);
        out.extend_from_slice(b",\"type\":");
        json_string(&type_name(field), &mut out);
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"rows\":[");
    out
}

fn csv_header(schema: &SchemaRef) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        csv_field(field.name(), &mut out);
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Writes one field: quoted where it is empty or holds a comma, a quote or a line end.
fn csv_field(text: &str, out: &mut Vec<u8>) {
    let plain = !text.is_empty()
        && !text
            .bytes()
            .any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if plain {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

pub(crate) fn json_string(text: &str, out: &mut Vec<u8>) {
    cell::json_text(text, out);
}
