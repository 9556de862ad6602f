//! A statement on the threads of queries: its rows are written there as messages, a chunk at a time, and no further
//! ahead than its reader allows.

use std::sync::Arc;
use std::time::Duration;

use activestore_db::{Db, Prepared, SqlOutcome};
use activestore_query::{Param, Rows, Statement};
use activestore_types::{Error, Result};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use bytes::{BufMut, BytesMut};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;

use super::Pg;
use super::answer::{self, Shown};
use super::cell::Cells;
use super::copy::{Format, Layout};
use super::fault::OTHER_RESULT;
use super::feed::Feed;
use super::kind::Kind;
use super::param::is_binary;
use super::sending::{Reached, Sending};

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
    /// Whether it is a subscription, which has no end.
    pub(super) fn is_endless(&self) -> bool {
        match self {
            Source::Statement(statement, _) | Source::Prepared(statement, ..) => {
                matches!(statement, Statement::Subscribe(_))
            }
            Source::Begun(cursor) => matches!(cursor.rows, Rowwise::Feed(_)),
        }
    }

    /// Whether it only waits for what is written: nothing of it computes.
    pub(super) fn follows(&self) -> bool {
        match self {
            Source::Begun(cursor) => cursor.rows.follows(),
            _ => false,
        }
    }

    /// Whether it is done in microseconds.
    pub(super) fn is_short(&self, db: &Db) -> bool {
        matches!(self, Source::Prepared(statement, prepared, params) if db.reads_one_row(statement, prepared, params))
    }

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

/// How far rows are read at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// So many at most; 0 is all.
    pub(super) rows: usize,
    /// How long a subscription is waited for.
    pub(super) patience: Patience,
}

/// How long rows of a subscription are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// As long as it lasts.
    Endless,
    /// Until one row is there; with it come those that are there too.
    One,
    /// For so long.
    For(Duration),
}

impl Reach {
    /// What a message of the protocol asks for.
    pub(super) fn of(rows: usize) -> Reach {
        Reach {
            rows,
            patience: if rows == 0 {
                Patience::Endless
            } else {
                Patience::One
            },
        }
    }
}

/// What gives rows.
pub(super) enum Rowwise {
    Rows(Rows),
    Feed(Box<Feed>),
}

impl Rowwise {
    fn schema(&self) -> &SchemaRef {
        match self {
            Rowwise::Rows(rows) => &rows.schema,
            Rowwise::Feed(feed) => feed.schema(),
        }
    }

    pub(super) fn follows(&self) -> bool {
        matches!(self, Rowwise::Feed(feed) if !feed.reads_table())
    }
}

/// Rows under way.
pub(super) struct Cursor {
    pub(super) rows: Rowwise,
    pub(super) shown: Vec<Shown>,
    pub(super) batch: Option<Batch>,
}

/// Rows that are sent one by one.
pub(super) struct Batch {
    pub(super) cells: Vec<Cells>,
    pub(super) rows: usize,
    pub(super) at: usize,
}

impl Cursor {
    /// A subscription that has begun.
    pub(super) fn of(feed: Feed) -> Box<Cursor> {
        Box::new(Cursor {
            shown: shown(feed.schema(), &[]),
            rows: Rowwise::Feed(Box::new(feed)),
            batch: None,
        })
    }
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

/// A statement, and how its rows are sent.
pub(super) struct Work {
    pub(super) pg: Arc<Pg>,
    pub(super) db: Db,
    pub(super) source: Source,
    pub(super) sent: Sent,
    pub(super) reach: Reach,
    pub(super) chunks: Sender<BytesMut>,
    /// Where nothing computes: what is subscribed to is waited for there.
    pub(super) here: Handle,
}

impl Work {
    /// Does it, and tells how it ended.
    pub(super) async fn run(self, end: oneshot::Sender<Result<Ended>>) {
        let mut out = BytesMut::new();
        let begun = begin(&self.pg, &self.db, self.source, &self.sent, &mut out).await;
        let mut cursor = match begun {
            Ok(Ok(cursor)) => cursor,
            Ok(Err(done)) => return tell(end, Ok(done)),
            Err(error) => return tell(end, Err(error)),
        };
        let mut sending = Sending::new(out, self.chunks, self.sent, self.reach);
        match sending.rows(&mut cursor, true).await {
            Ok(Reached::Followed) => drop(self.here.spawn(async move {
                let reached = sending.rows(&mut cursor, false).await;
                tell(end, reached.map(|reached| sending.ended(reached, cursor)));
            })),
            reached => tell(end, reached.map(|reached| sending.ended(reached, cursor))),
        }
    }
}

fn tell(end: oneshot::Sender<Result<Ended>>, ended: Result<Ended>) {
    // A closed channel means that nobody waits any more.
    let _ = end.send(ended);
}

/// Begins it: rows that can be read, or the end of what gives none.
async fn begin(
    pg: &Pg,
    db: &Db,
    source: Source,
    sent: &Sent,
    out: &mut BytesMut,
) -> Result<std::result::Result<Box<Cursor>, Ended>> {
    let outcome = match source {
        Source::Begun(cursor) => return Ok(Ok(resumed(cursor, sent, out))),
        Source::Statement(Statement::Subscribe(statement), params)
        | Source::Prepared(Statement::Subscribe(statement), _, params) => {
            let feed = Feed::begin(pg, db, statement, &params).await?;
            return Ok(Ok(begun(Rowwise::Feed(Box::new(feed)), sent, out)));
        }
        Source::Statement(statement, params) => db.execute(statement, &params).await?,
        Source::Prepared(statement, prepared, params) => {
            let outcome = db.execute_prepared(&statement, &prepared, &params).await?;
            if let (SqlOutcome::Rows(rows), Some(told)) = (&outcome, &prepared.described.columns)
                && !alike(&rows.schema, told)
            {
                // A table has other columns since: a client would read the rows by what it was told of them.
                return Err(Error::conflict(OTHER_RESULT)
                    .with_hint("prepare the statement again: a table has other columns now"));
            }
            outcome
        }
    };
    Ok(match outcome {
        SqlOutcome::Done { tag, affected } => Err(Ended::Done { tag, affected }),
        SqlOutcome::Rows(rows) => Ok(begun(Rowwise::Rows(rows), sent, out)),
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
fn begun(rows: Rowwise, sent: &Sent, out: &mut BytesMut) -> Box<Cursor> {
    let shown = match sent {
        Sent::Rows(formats) => shown(rows.schema(), formats),
        Sent::Described => {
            let shown = shown(rows.schema(), &[]);
            answer::columns(out, &shown);
            shown
        }
        Sent::Copied(layout) => {
            let binary = layout.format == Format::Binary;
            let shown = shown(rows.schema(), &[i16::from(binary)]);
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
