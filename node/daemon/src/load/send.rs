//! Sends rows, and finds those that the node refuses: where it refuses a part as a whole without naming a row, the part is
//! halved until the guilty rows are found.

use std::cell::Cell;
use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, Instant};

use activestore_formats::values_bytes;
use activestore_types::{Error, ErrorKind, Result, TableName};
use arrow::ipc::writer::StreamWriter;
use parking_lot::Mutex;
use serde_json::Value;

use super::piece::{Lines, Refused};
use super::rows::Rows;
use crate::client::Client;

/// How long a node that is at a limit is asked again.
const OVERLOAD_MAX: Duration = Duration::from_secs(60);

/// How often, at first; doubled up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(20);

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The most requests spent on finding the refused rows of one piece. A file whose every row is refused is then reported
/// with the first reason, not row by row.
const SEARCH_REQUESTS_MAX: u32 = 256;

/// What the columns' names and places take in a request, about.
const HEAD_BYTES: usize = 4096;

/// What became of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows stored.
    pub rows: u64,
    /// Records refused.
    pub refused: Vec<Refused>,
    /// Rows that a processor of the table refused, which the node keeps.
    pub rejected: u64,
}

/// Where rows go.
#[derive(Debug)]
pub struct Sender<'c> {
    /// The node; `None` where nothing is to be sent.
    client: Option<&'c Client>,
    rows_path: String,
    lines_path: String,
    /// Bodies that have been sent, whose memory is used again: at most one for each lane.
    sent: Mutex<Vec<Vec<u8>>>,
}

impl<'c> Sender<'c> {
    /// For one table, lines without a time at this one. Without a client it only counts.
    pub fn new(client: Option<&'c Client>, table: &TableName, now_ns: Option<i64>) -> Self {
        let now = now_ns.map_or_else(String::new, |now_ns| format!("&now={now_ns}"));
        Sender {
            client,
            rows_path: format!("/v1/tables/{}/{}/rows", table.keyspace, table.table),
            lines_path: format!("/v1/write?partial=accept&keyspace={}{now}", table.keyspace),
            sent: Mutex::default(),
        }
    }

    /// Sends rows; everything good in them is durable when this returns.
    ///
    /// # Errors
    /// What the node says, where it is not about single rows.
    pub fn rows(&self, rows: &Rows, outcome: &mut Outcome) -> Result<()> {
        let requests_left = Cell::new(SEARCH_REQUESTS_MAX);
        self.range(rows, 0..rows.batch.rows, &requests_left, outcome)
    }

    fn range(
        &self,
        rows: &Rows,
        range: Range<usize>,
        requests_left: &Cell<u32>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let Some(client) = self.client else {
            outcome.rows += range.len() as u64;
            return Ok(());
        };
        let body = self.sent.lock().pop().unwrap_or_default();
        let body = if range.len() == rows.batch.rows {
            encoded(rows, body)?
        } else {
            encoded(&rows.slice(&range), body)?
        };
        let answer = request(|| {
            client.post(
                &self.rows_path,
                "application/vnd.apache.arrow.stream",
                &body,
            )
        });
        self.sent.lock().push(body);
        let error = match answer {
            Ok(answer) => {
                count(&answer, range.len() as u64, outcome);
                return Ok(());
            }
            Err(error) if error.kind() != ErrorKind::Invalid => return Err(error),
            Err(error) => error,
        };
        spend(requests_left, &error)?;
        if range.len() == 1 {
            outcome.refused.push(Refused {
                line: rows.lines.of(range.start),
                reason: error.message().to_owned(),
            });
            return Ok(());
        }
        let middle = range.start + range.len() / 2;
        self.range(rows, range.start..middle, requests_left, outcome)?;
        self.range(rows, middle..range.end, requests_left, outcome)
    }

    /// Sends line protocol, which the node reads.
    ///
    /// # Errors
    /// As [`Sender::rows`].
    pub fn lines(&self, lines: &Lines, outcome: &mut Outcome) -> Result<()> {
        let requests_left = Cell::new(SEARCH_REQUESTS_MAX);
        self.part_of_lines(lines, &requests_left, outcome)
    }

    fn part_of_lines(
        &self,
        lines: &Lines,
        requests_left: &Cell<u32>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let Some(client) = self.client else {
            outcome.rows += said_lines(lines);
            return Ok(());
        };
        let sent =
            request(|| client.post(&self.lines_path, "text/plain; charset=utf-8", &lines.body));
        let error = match sent {
            Ok(answer) => {
                let read = Read::of(&answer, lines);
                // It names only the first of very many; sending good ones again does no harm.
                if read.unnamed > 0
                    && let Some((one, other)) = lines.halves()
                {
                    spend(requests_left, &read.error())?;
                    self.part_of_lines(&one, requests_left, outcome)?;
                    return self.part_of_lines(&other, requests_left, outcome);
                }
                outcome.rows += read.rows;
                outcome.rejected += read.rejected;
                outcome.refused.extend(read.refused);
                return Ok(());
            }
            Err(error) if error.kind() != ErrorKind::Invalid => return Err(error),
            Err(error) => error,
        };
        spend(requests_left, &error)?;
        match lines.halves() {
            Some((one, other)) => {
                self.part_of_lines(&one, requests_left, outcome)?;
                self.part_of_lines(&other, requests_left, outcome)
            }
            None => {
                outcome.refused.push(Refused {
                    line: lines.first,
                    reason: error.message().to_owned(),
                });
                Ok(())
            }
        }
    }
}

fn spend(requests_left: &Cell<u32>, error: &Error) -> Result<()> {
    requests_left.set(requests_left.get().saturating_sub(1));
    if requests_left.get() == 0 {
        return Err(error.clone());
    }
    Ok(())
}

/// Asks again while the node is at a limit.
fn request(ask: impl Fn() -> Result<Value>) -> Result<Value> {
    let started = Instant::now();
    let mut pause = PAUSE;
    loop {
        match ask() {
            Err(error)
                if error.kind() == ErrorKind::Overloaded && started.elapsed() < OVERLOAD_MAX =>
            {
                sleep(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
            other => return other,
        }
    }
}

/// Rows as a request, in memory that is there already or as much more as they take.
fn encoded(rows: &Rows, mut body: Vec<u8>) -> Result<Vec<u8>> {
    let batch = rows.batch.to_record_batch()?;
    body.clear();
    body.reserve(values_bytes(&batch) + HEAD_BYTES);
    let mut writer = StreamWriter::try_new(&mut body, &batch.schema())?;
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    Ok(body)
}

/// Adds the node's answer; one without a body says that every row is stored.
fn count(answer: &Value, sent: u64, outcome: &mut Outcome) {
    let number = |name| answer.get(name).and_then(Value::as_u64);
    outcome.rows += number("rows").unwrap_or(sent);
    outcome.rejected += number("rejected").unwrap_or(0);
}

/// What the node has made of lines.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    rows: u64,
    /// Rows that a processor refused; sent again, they would only be refused again.
    rejected: u64,
    /// Lines that are no rows, as far as it names them.
    refused: Vec<Refused>,
    /// How many more there are.
    unnamed: u64,
}

impl Read {
    fn of(answer: &Value, lines: &Lines) -> Read {
        let number = |name| answer.get(name).and_then(Value::as_u64);
        let refused = refused_lines(answer, lines);
        let in_all = number("rejected").unwrap_or(0);
        // A node that does not say how many lines it refuses counts both in one.
        let lines_refused = number("refused_total").unwrap_or(in_all);
        Read {
            rows: number("rows").unwrap_or_else(|| said_lines(lines)),
            rejected: in_all.saturating_sub(lines_refused),
            unnamed: lines_refused.saturating_sub(refused.len() as u64),
            refused,
        }
    }

    fn error(&self) -> Error {
        let first = self.refused.first();
        Error::invalid(first.map_or_else(
            || "the node refuses very many lines".to_owned(),
            |first| {
                format!(
                    "the node refuses very many lines, the first of them {}: {}",
                    first.line, first.reason
                )
            },
        ))
    }
}

fn refused_lines(answer: &Value, lines: &Lines) -> Vec<Refused> {
    let listed = answer.get("refused").and_then(Value::as_array);
    let listed = listed.map_or(&[][..], Vec::as_slice);
    let text = |one: &Value| one.get("reason").and_then(Value::as_str).map(str::to_owned);
    listed
        .iter()
        .map(|one| Refused {
            line: lines.file_line(one.get("line").and_then(Value::as_u64).unwrap_or(1)),
            reason: text(one).unwrap_or_else(|| "refused".to_owned()),
        })
        .collect()
}

/// How many records of line protocol there are.
fn said_lines(lines: &Lines) -> u64 {
    lines
        .lp_records()
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .count() as u64
}

#[cfg(test)]
mod tests;
