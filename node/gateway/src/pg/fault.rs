//! Errors as PostgreSQL's clients tell them apart: by five characters.

use activestore_types::{Error, ErrorKind};

/// What a client is told of a failure.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// The character of the statement's text that it is about, from 1.
    pub(super) position: Option<usize>,
    /// Whether the connection ends with it.
    pub(super) fatal: bool,
}

/// What the client sent is not the protocol.
pub(super) const PROTOCOL_VIOLATION: &str = "08P01";
pub(super) const NOT_SUPPORTED: &str = "0A000";
pub(super) const WRONG_LOGIN: &str = "28P01";
pub(super) const NO_LOGIN: &str = "28000";
pub(super) const IN_FAILED_TRANSACTION: &str = "25P02";
pub(super) const READ_ONLY: &str = "25006";
pub(super) const NO_STATEMENT: &str = "26000";
pub(super) const NO_PORTAL: &str = "34000";
pub(super) const DUPLICATE_STATEMENT: &str = "42P05";
pub(super) const DUPLICATE_PORTAL: &str = "42P03";
pub(super) const SYNTAX: &str = "42601";
pub(super) const NO_SETTING: &str = "42704";
pub(super) const WRONG_VALUE: &str = "22023";
pub(super) const WRONG_TEXT: &str = "22P02";
pub(super) const WRONG_BINARY: &str = "22P03";
pub(super) const BAD_COPY: &str = "22P04";
pub(super) const TOO_MANY_CONNECTIONS: &str = "53300";
pub(super) const TOO_LARGE: &str = "54000";
pub(super) const CANCELLED: &str = "57014";
pub(super) const SHUTTING_DOWN: &str = "57P01";
pub(super) const CONNECTION_LOST: &str = "08006";

/// A prepared statement gives other columns than it was described with. Drivers know PostgreSQL's words for it, and
/// prepare such a statement anew.
pub(super) const OTHER_RESULT: &str = "cached plan must not change result type";

impl Fault {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Fault {
            code,
            message: message.into(),
            hint: None,
            position: None,
            fatal: false,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The connection ends with it.
    pub(super) fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// The client broke the protocol: what it sends next cannot be read.
    pub(super) fn protocol(error: &Error) -> Self {
        Fault::new(PROTOCOL_VIOLATION, error.message()).fatal()
    }

    /// The place that the message names, as a character of `text`, whose statement begins at `start`.
    pub(super) fn within(mut self, text: &str, start: usize) -> Self {
        if let Some((line, column)) = place(&self.message) {
            let before = text.get(..start).unwrap_or_default().chars().count();
            let statement = text.get(start..).unwrap_or_default();
            let lines = statement.split_inclusive('\n');
            let above: usize = lines.take(line - 1).map(|line| line.chars().count()).sum();
            self.position = Some(before + above + column);
        }
        self
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let mut fault = Fault::new(code(&error), error.message());
        fault.hint = error.hint().map(str::to_owned);
        fault
    }
}

/// `line 2, column 5: …`.
fn place(message: &str) -> Option<(usize, usize)> {
    let rest = message.strip_prefix("line ")?;
    let (line, rest) = rest.split_once(", column ")?;
    let (column, _) = rest.split_once(':')?;
    let line: usize = line.parse().ok()?;
    Some((line.max(1), column.parse().ok()?))
}

fn code(error: &Error) -> &'static str {
    let message = error.message();
    match error.kind() {
        ErrorKind::Invalid if place(message).is_some() => SYNTAX,
        ErrorKind::Invalid if message.contains("division by zero") => "22012",
        ErrorKind::Invalid if message.contains("is not a valid") => WRONG_TEXT,
        ErrorKind::Invalid if message.contains("not available") => NOT_SUPPORTED,
        ErrorKind::Invalid if message.contains("is in more than one table") => "42702",
        ErrorKind::Invalid if message.contains("values are given") => SYNTAX,
        ErrorKind::Invalid => WRONG_VALUE,
        ErrorKind::NotFound if message.contains("no column") => "42703",
        ErrorKind::NotFound if message.contains("function") => "42883",
        ErrorKind::NotFound if message.contains("keyspace") => "3F000",
        ErrorKind::NotFound if message.contains("table") => "42P01",
        ErrorKind::NotFound => NO_SETTING,
        ErrorKind::Conflict if message.starts_with("a row of") => "23505",
        ErrorKind::Conflict if message.contains("keyspace") && message.contains("exists") => {
            "42P06"
        }
        ErrorKind::Conflict if message.contains("table") && message.contains("exists") => "42P07",
        ErrorKind::Conflict if message == OTHER_RESULT => NOT_SUPPORTED,
        ErrorKind::Conflict if message.contains("exists") => "42710",
        ErrorKind::Conflict => "23514",
        ErrorKind::Denied => "42501",
        ErrorKind::Overloaded if message.contains("memory") => "53200",
        ErrorKind::Overloaded => "53000",
        ErrorKind::DiskFull => "53100",
        ErrorKind::Corrupt => "XX001",
        ErrorKind::Poisoned => "58030",
        ErrorKind::Closed => SHUTTING_DOWN,
        ErrorKind::Internal => "XX000",
    }
}
