//! A statement on the threads of queries: its rows are written there as messages, a chunk at a time, and no further
//! ahead than its reader allows.

use std::sync::Arc;

use activestore_db::{Db, Prepared, SqlOutcome};
use activestore_query::{Param, Rows, Statement};
use activestore_types::{Error, Result};
use arrow::datatypes::{FieldRef, Schema};
use bytes::{BufMut, BytesMut};
use futures::StreamExt;
use tokio::sync::mpsc::Sender;

use super::answer::{self, Shown};
use super::cell::Cells;
use super::copy::{Format, Layout};
use super::fault::OTHER_RESULT;
use super::kind::Kind;
use super::param::is_binary;

/// About how large the pieces of an answer are.
const CHUNK_BYTES: usize = 64 * 1024;
/// Pieces that a statement may be ahead of its reader.
pub(super) const CHUNKS_AHEAD: usize = 2;

/// What a binary COPY begins with: its signature, no flags, no extension.
const COPY_HEAD: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// How rows are sent.
pub(super) enum Sent {
    /// As rows, with what is told of the columns before them.
    Described,
    /// As rows alone, in these formats.
    Rows(Vec<i16>),
    /// As a COPY.
    Copied(Layout),
}

/// Where rows come from.
pub(super) enum Source {
    Statement(Statement, Vec<Param>),
    /// A statement that was prepared.
    Prepared(Statement, Arc<Prepared>, Vec<Param>),
    /// Rows that a portal has begun.
    Begun(Box<Cursor>),
}

impl Source {
    /// The kind of the statement that begins; `None` for rows that go on.
    pub(super) fn kind(&self) -> Option<&'static str> {
        match self {
            Source::Statement(statement, _) | Source::Prepared(statement, ..) => {
                Some(statement.kind())
            }
            Source::Begun(_) => None,
        }
    }
}

/// Rows under way.
pub(super) struct Cursor {
    rows: Rows,
    shown: Vec<Shown>,
    batch: Option<Batch>,
}

struct Batch {
    cells: Vec<Cells>,
    rows: usize,
    at: usize,
}

/// What became of a statement.
pub(super) enum Ended {
    /// It was done, and gave no rows.
    Done { tag: String, affected: u64 },
    /// Its rows, of which the last are here; with what is left of it where its limit was reached.
    Rows {
        count: u64,
        last: BytesMut,
        left: Option<Box<Cursor>>,
    },
}

/// The columns of rows, as they are told.
pub(super) fn shown(schema: &Schema, formats: &[i16]) -> Vec<Shown> {
    let fields = schema.fields().iter().enumerate();
    fields
        .map(|(place, field)| Shown {
            name: told(field.name()).to_owned(),
            kind: Kind::of(field),
            // Formats were looked at when they came.
            binary: is_binary(formats, place).unwrap_or(false),
        })
        .collect()
}

/// A column's name as PostgreSQL's clients expect it: of what has none, the function's, or nothing that says anything.
fn told(name: &str) -> &str {
    let Some((function, rest)) = name.split_once('(') else {
        return name;
    };
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !function.is_empty() && function.chars().all(is_name) && is_closed_at_end(rest) {
        return function;
    }
    "?column?"
}

/// Whether the bracket that is open ends with the text.
fn is_closed_at_end(text: &str) -> bool {
    let mut depth = 1_usize;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return place + 1 == text.len();
        }
    }
    false
}

/// Runs it, up to so many rows; 0 is all.
pub(super) async fn run(
    db: &Db,
    source: Source,
    sent: Sent,
    most: usize,
    chunks: &Sender<BytesMut>,
) -> Result<Ended> {
    let mut out = BytesMut::new();
    let outcome = match source {
        Source::Begun(_) => None,
        Source::Statement(ref statement, ref params) => {
            Some(db.execute(statement.clone(), params).await?)
        }
        Source::Prepared(ref statement, ref prepared, ref params) => {
            let outcome = db.execute_prepared(statement, prepared, params).await?;
            if let (SqlOutcome::Rows(rows), Some(told)) = (&outcome, &prepared.described.columns)
                && !alike(&rows.schema, told)
            {
                // A table has other columns since: a client would read the rows by what it was told of them.
                return Err(Error::conflict(OTHER_RESULT)
                    .with_hint("prepare the statement again: a table has other columns now"));
            }
            Some(outcome)
        }
    };
    let mut cursor = match (source, outcome) {
        (_, Some(SqlOutcome::Done { tag, affected })) => return Ok(Ended::Done { tag, affected }),
        (_, Some(SqlOutcome::Rows(rows))) => begun(rows, &sent, &mut out),
        (Source::Begun(cursor), None) => resumed(cursor, &sent, &mut out),
        (_, None) => return Err(Error::internal("a statement without an outcome")),
    };
    let mut sending = Sending {
        out,
        chunks,
        count: 0,
    };
    let ended = sending.rows(&mut cursor, &sent, most).await?;
    if let Sent::Copied(layout) = &sent {
        if layout.format == Format::Binary {
            answer::message(&mut sending.out, b'd', |out| out.put_i16(-1));
        }
        answer::empty(&mut sending.out, b'c');
    }
    Ok(Ended::Rows {
        count: sending.count,
        last: sending.out,
        left: (!ended).then_some(cursor),
    })
}

/// Whether rows are what a client was told of them.
fn alike(rows: &Schema, told: &Schema) -> bool {
    let same = |(row, told): (&FieldRef, &FieldRef)| {
        row.name() == told.name() && Kind::of(row) == Kind::of(told)
    };
    rows.fields().len() == told.fields().len() && rows.fields().iter().zip(told.fields()).all(same)
}

/// Rows begin: what is told before them.
fn begun(rows: Rows, sent: &Sent, out: &mut BytesMut) -> Box<Cursor> {
    let shown = match sent {
        Sent::Rows(formats) => shown(&rows.schema, formats),
        Sent::Described => {
            let shown = shown(&rows.schema, &[]);
            answer::columns(out, &shown);
            shown
        }
        Sent::Copied(layout) => {
            let binary = layout.format == Format::Binary;
            let shown = shown(&rows.schema, &[i16::from(binary)]);
            answer::copy(out, b'H', binary, shown.len());
            if binary {
                answer::message(out, b'd', |out| out.extend_from_slice(COPY_HEAD));
            } else if layout.header {
                answer::message(out, b'd', |out| {
                    for (place, column) in shown.iter().enumerate() {
                        if place > 0 {
                            out.put_u8(layout.delimiter);
                        }
                        layout.field(Some(column.name.as_bytes()), out);
                    }
                    out.put_u8(b'\n');
                });
            }
            shown
        }
    };
    Box::new(Cursor {
        rows,
        shown,
        batch: None,
    })
}

/// Rows go on, in formats that may be others than before.
fn resumed(mut cursor: Box<Cursor>, sent: &Sent, out: &mut BytesMut) -> Box<Cursor> {
    let formats: &[i16] = match sent {
        Sent::Rows(formats) => formats,
        _ => &[],
    };
    for (place, shown) in cursor.shown.iter_mut().enumerate() {
        shown.binary = is_binary(formats, place).unwrap_or(false);
    }
    if let Some(batch) = &mut cursor.batch {
        for (cells, shown) in batch.cells.iter_mut().zip(&cursor.shown) {
            cells.binary = shown.binary;
        }
    }
    if matches!(sent, Sent::Described) {
        answer::columns(out, &cursor.shown);
    }
    cursor
}

struct Sending<'a> {
    out: BytesMut,
    chunks: &'a Sender<BytesMut>,
    count: u64,
}

impl Sending<'_> {
    /// Sends rows until they end, which is told, or there are as many as are asked for.
    async fn rows(&mut self, cursor: &mut Cursor, sent: &Sent, most: usize) -> Result<bool> {
        let most = match most {
            0 => u64::MAX,
            most => u64::try_from(most).unwrap_or(u64::MAX),
        };
        loop {
            if self.count >= most {
                return Ok(false);
            }
            let Some(batch) = &mut cursor.batch else {
                let Some(batch) = cursor.rows.stream.next().await else {
                    return Ok(true);
                };
                let batch = batch?;
                let columns = batch.columns().iter().zip(&cursor.shown);
                let cells = columns.map(|(array, shown)| Cells::new(array, shown));
                cursor.batch = Some(Batch {
                    cells: cells.collect::<Result<_>>()?,
                    rows: batch.num_rows(),
                    at: 0,
                });
                continue;
            };
            while batch.at < batch.rows && self.count < most {
                self.row(batch, sent)?;
                batch.at += 1;
                self.count += 1;
                if self.out.len() >= CHUNK_BYTES {
                    let chunk = std::mem::take(&mut self.out);
                    // Nobody who takes it means that nobody wants the rest.
                    let sent = self.chunks.send(chunk).await;
                    sent.map_err(|_| Error::closed("the client is gone"))?;
                }
            }
            if batch.at >= batch.rows {
                cursor.batch = None;
            }
        }
    }

    /// Appends a row as a message; nothing of it where a value has no form.
    fn row(&mut self, batch: &Batch, sent: &Sent) -> Result<()> {
        let start = self.out.len();
        let mut written = Ok(());
        let count = u16::try_from(batch.cells.len()).unwrap_or(u16::MAX);
        match sent {
            Sent::Described | Sent::Rows(_) => answer::message(&mut self.out, b'D', |out| {
                out.put_u16(count);
                written = batch
                    .cells
                    .iter()
                    .try_for_each(|cells| cells.write(batch.at, out));
            }),
            Sent::Copied(layout) => answer::message(&mut self.out, b'd', |out| {
                written = if layout.format == Format::Binary {
                    out.put_u16(count);
                    batch
                        .cells
                        .iter()
                        .try_for_each(|cells| cells.write(batch.at, out))
                } else {
                    copied(batch, layout, out)
                };
            }),
        }
        if written.is_err() {
            self.out.truncate(start);
        }
        written
    }
}

fn copied(batch: &Batch, layout: &Layout, out: &mut BytesMut) -> Result<()> {
    let mut field = BytesMut::new();
    for (place, cells) in batch.cells.iter().enumerate() {
        if place > 0 {
            out.put_u8(layout.delimiter);
        }
        if cells.is_null(batch.at) {
            layout.field(None, out);
            continue;
        }
        field.clear();
        cells.text(batch.at, &mut field)?;
        layout.field(Some(&field), out);
    }
    out.put_u8(b'\n');
    Ok(())
}
