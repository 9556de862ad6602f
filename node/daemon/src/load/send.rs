//! Sends pieces and finds the refused records. Where the node refuses a piece as a whole without
//! naming a line, the piece is halved until the guilty records are found.

use std::thread::sleep;
use std::time::{Duration, Instant};

use activestore_types::{ErrorKind, Result, TableName};
use serde_json::Value;

use super::Piece;
use crate::cli::FileFormat;
use crate::client::Client;

/// How long a node that is at a limit is asked again.
const OVERLOAD_MAX: Duration = Duration::from_secs(60);

/// How often, at first; doubled up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The most requests spent on finding the refused records of one piece. A file whose every record
/// is refused is then reported with the first reason, not record by record.
const SEARCH_REQUESTS_MAX: u32 = 128;

/// A refused record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its line (or row) in the file.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// What became of a piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows stored.
    pub rows: u64,
    /// Records refused.
    pub refused: Vec<Refused>,
}

/// Where pieces go.
pub struct Sender<'c> {
    client: &'c Client,
    path: String,
    content_type: &'static str,
    requests_left: u32,
}

impl<'c> Sender<'c> {
    /// For one file.
    pub fn new(client: &'c Client, table: &TableName, format: FileFormat) -> Self {
        let rows = format!(
            "/v1/tables/{}/{}/rows?partial=accept",
            table.keyspace, table.table
        );
        let (path, content_type) = match format {
            FileFormat::Csv => (rows, "text/csv"),
            // Arrays are cut into lines before they are sent.
            FileFormat::Json | FileFormat::Ndjson => (rows, "application/x-ndjson"),
            FileFormat::Lp => (
                format!("/v1/write?partial=accept&keyspace={}", table.keyspace),
                "text/plain; charset=utf-8",
            ),
            FileFormat::Arrow | FileFormat::Parquet => {
                (rows, "application/vnd.apache.arrow.stream")
            }
        };
        Sender {
            client,
            path,
            content_type,
            requests_left: 0,
        }
    }

    /// Sends a piece; everything good in it is durable when this returns.
    ///
    /// # Errors
    /// What the node says, where it is not about single records.
    pub fn send(&mut self, piece: &Piece) -> Result<Outcome> {
        self.requests_left = SEARCH_REQUESTS_MAX;
        let mut outcome = Outcome::default();
        self.part(piece, &mut outcome)?;
        outcome.refused.sort_by_key(|refused| refused.line);
        Ok(outcome)
    }

    fn part(&mut self, piece: &Piece, outcome: &mut Outcome) -> Result<()> {
        match self.request(&piece.request()) {
            Ok(answer) => {
                count(piece, &answer, outcome);
                Ok(())
            }
            Err(error) if error.kind() != ErrorKind::Invalid => Err(error),
            Err(error) => {
                self.requests_left = self.requests_left.saturating_sub(1);
                if self.requests_left == 0 {
                    return Err(error);
                }
                match piece.halves() {
                    Some((first, second)) => {
                        self.part(&first, outcome)?;
                        self.part(&second, outcome)
                    }
                    None if piece.records.len() == 1 && piece.end_offset > 0 => {
                        let line = piece.records.first().map_or(0, |(_, line)| *line);
                        outcome.refused.push(Refused {
                            line,
                            reason: error.message().to_owned(),
                        });
                        Ok(())
                    }
                    None => Err(error),
                }
            }
        }
    }

    fn request(&self, body: &[u8]) -> Result<Value> {
        let started = Instant::now();
        let mut pause = PAUSE;
        loop {
            match self.client.post(&self.path, self.content_type, body) {
                Err(error)
                    if error.kind() == ErrorKind::Overloaded
                        && started.elapsed() < OVERLOAD_MAX =>
                {
                    sleep(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                other => return other,
            }
        }
    }
}

/// Adds the node's answer; an answer without a body says that every record is stored.
fn count(piece: &Piece, answer: &Value, outcome: &mut Outcome) {
    let number = |name| answer.get(name).and_then(Value::as_u64);
    let refused = answer
        .get("refused")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let listed = refused.iter().map(|one| Refused {
        line: piece.file_line(one.get("line").and_then(Value::as_u64).unwrap_or(1)),
        reason: one
            .get("reason")
            .and_then(Value::as_str)
            .unwrap_or("refused")
            .to_owned(),
    });
    outcome.refused.extend(listed);
    outcome.rows += number("rows").unwrap_or_else(|| said_records(piece));
}

/// How many records of line protocol a piece holds.
fn said_records(piece: &Piece) -> u64 {
    piece
        .body
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .count() as u64
}
