//! `SUBSCRIBE` on the command line: events as they come, a line each, until Ctrl-C. A node that restarts is waited for,
//! and told where to go on.

use std::io::{BufRead, BufReader, ErrorKind as IoErrorKind, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use activestore_types::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::lexer::{Kind, tokens};
use crate::cli::OutputFormat;
use crate::client::{Client, kind};
use crate::follow::until_interrupted;

/// How long to wait before a node that is away is asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// Columns of a table are at least so wide, since what comes later is not known.
const WIDTH_MIN: usize = 12;

/// Whether a statement has no end.
pub fn is_subscription(statement: &str) -> bool {
    let first = tokens(statement).into_iter();
    let first = first.map(|token| (token.kind, token.text));
    let mut words = first.filter(|(kind, text)| *kind != Kind::Comment && !text.trim().is_empty());
    matches!(words.next(), Some((Kind::Word, word)) if word.eq_ignore_ascii_case("SUBSCRIBE"))
}

/// Prints events until Ctrl-C, or until nobody reads them.
///
/// # Errors
/// What the node says.
pub fn run(client: &Client, statement: &str, format: OutputFormat) -> Result<ExitCode> {
    let mut printer = Printer::new(format)?;
    let (asking, statement) = (client.clone(), statement.to_owned());
    until_interrupted(client, move |stopped| {
        follow(&asking, &statement, &mut printer, Some(stopped))
    })
}

/// The same within a session, whose Ctrl-C closes the connection.
///
/// # Errors
/// What the node says, or that the connection was closed.
pub fn print(client: &Client, statement: &str, format: OutputFormat) -> Result<()> {
    follow(client, statement, &mut Printer::new(format)?, None)
}

/// With `stopped` a node that went away is waited for, until that is closed.
fn follow(
    client: &Client,
    statement: &str,
    printer: &mut Printer,
    stopped: Option<&Receiver<()>>,
) -> Result<()> {
    let mut away = false;
    loop {
        let ended = match client.subscribe(statement, printer.token.as_deref()) {
            Ok(body) => {
                away = false;
                printer.print(BufReader::new(body))
            }
            Err(error) => Err(error),
        };
        let error = match ended {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // Before the first event nobody knows whether there is such a node.
        let waits = error.kind() == ErrorKind::Closed && printer.token.is_some();
        let Some(stopped) = stopped.filter(|_| waits) else {
            return Err(error);
        };
        if !away && matches!(stopped.try_recv(), Err(TryRecvError::Empty)) {
            eprintln!("{}; still trying", error.message());
        }
        away = true;
        if !matches!(stopped.recv_timeout(PAUSE), Err(RecvTimeoutError::Timeout)) {
            return Ok(());
        }
    }
}

/// Names and values in the order in which they came.
#[derive(Default)]
struct Cells(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Cells {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Cells;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Cells, A::Error> {
                let mut cells = Vec::new();
                while let Some(cell) = map.next_entry()? {
                    cells.push(cell);
                }
                Ok(Cells(cells))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// One event; members that are not known here are passed over.
#[derive(Deserialize)]
struct Event {
    op: String,
    id: Option<String>,
    row: Option<Cells>,
    key: Option<Cells>,
    from: Option<Cells>,
    through: Option<Cells>,
    before: Option<Cells>,
    events: Option<u64>,
    error: Option<Value>,
}

struct Printer {
    table: bool,
    /// The widths of the columns, once a row has come.
    widths: Option<Vec<usize>>,
    token: Option<String>,
}

impl Printer {
    fn new(format: OutputFormat) -> Result<Self> {
        let table = match format {
            OutputFormat::Table => true,
            OutputFormat::Ndjson | OutputFormat::Json => false,
            OutputFormat::Csv | OutputFormat::Arrow | OutputFormat::Parquet => {
                return Err(
                    Error::invalid("events of several kinds have no form in this format")
                        .with_hint("use --format table or ndjson"),
                );
            }
        };
        Ok(Printer {
            table,
            widths: None,
            token: None,
        })
    }

    /// Prints events until nobody reads them.
    fn print(&mut self, body: impl BufRead) -> Result<()> {
        let broke = |error: &dyn std::fmt::Display| {
            Error::closed(format!("the node's answer broke off: {error}"))
        };
        for line in body.lines() {
            let line = line.map_err(|error| broke(&error))?;
            let event: Event = serde_json::from_str(&line).map_err(|error| broke(&error))?;
            if let Some(error) = &event.error {
                return Err(error_of(error));
            }
            let text = match event.op.as_str() {
                "live" | "beat" => None,
                "dropped" => {
                    let events = event.events.map(|events| events.to_string());
                    let events = events.unwrap_or_else(|| "an unknown number of".to_owned());
                    eprintln!("{events} events were left out: this end did not keep up");
                    (!self.table).then_some(line)
                }
                _ if self.table => Some(self.line(&event)),
                _ => Some(line),
            };
            if let Some(text) = text {
                let mut out = std::io::stdout().lock();
                match writeln!(out, "{text}").and_then(|()| out.flush()) {
                    Err(error) if error.kind() == IoErrorKind::BrokenPipe => return Ok(()),
                    written => written?,
                }
            }
            // Behind it only once it was printed.
            if event.id.is_some() {
                self.token = event.id;
            }
        }
        Err(broke(&"the connection was closed"))
    }

    fn line(&mut self, event: &Event) -> String {
        let Some(Cells(row)) = &event.row else {
            let part = |word: &str, cells: &Option<Cells>| {
                let Cells(cells) = cells.as_ref()?;
                let cells: Vec<String> = cells
                    .iter()
                    .map(|(name, value)| format!("{name}={}", text(value)))
                    .collect();
                Some(format!("{word}{}", cells.join(" ")))
            };
            let parts = [
                part("", &event.key),
                part("from ", &event.from),
                part("through ", &event.through),
                part("before ", &event.before),
            ];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            return format!("{:8}  {}", event.op, parts.join(" "));
        };
        let width = |(name, value): &(String, Value)| {
            let widest = name.chars().count().max(text(value).chars().count());
            widest.max(WIDTH_MIN)
        };
        let mut out = String::new();
        let first = self.widths.is_none();
        let widths = self
            .widths
            .get_or_insert_with(|| row.iter().map(width).collect());
        if first {
            let names = row.iter().map(|(name, _)| name.clone());
            out = padded("op", names, widths);
            out.push('\n');
        }
        out.push_str(&padded(
            &event.op,
            row.iter().map(|(_, value)| text(value)),
            widths,
        ));
        out
    }
}

fn padded(op: &str, cells: impl Iterator<Item = String>, widths: &[usize]) -> String {
    let mut line = format!("{op:8}");
    for (cell, width) in cells.zip(widths.iter().copied().chain(std::iter::repeat(WIDTH_MIN))) {
        line.push_str(&format!("  {cell:width$}"));
    }
    line.trim_end().to_owned()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn error_of(error: &Value) -> Error {
    let member = |name: &str| error.get(name).and_then(Value::as_str);
    let code = member("code").map_or(ErrorKind::Internal, kind);
    let said = Error::new(code, member("message").unwrap_or("the subscription ended"));
    match member("hint") {
        Some(hint) => said.with_hint(hint),
        None => said,
    }
}

#[cfg(test)]
mod tests;
