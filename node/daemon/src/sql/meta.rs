//! The commands that begin with a backslash.

use activestore_types::{Error, Result};
use clap::ValueEnum;

use crate::cli::OutputFormat;

/// Every command and what it does.
pub const COMMANDS: [(&str, &str); 9] = [
    (
        "\\d",
        "list the tables, or describe one: \\d KEYSPACE.TABLE",
    ),
    ("\\dt", "list the tables"),
    ("\\dn", "list the keyspaces"),
    ("\\timing", "print the time after each statement: on or off"),
    (
        "\\format",
        "print rows as table, csv, json, ndjson or arrow",
    ),
    ("\\x", "print each cell on a line of its own: on or off"),
    ("\\i", "run the statements of a file: \\i FILE"),
    ("\\q", "leave (Ctrl-D does too)"),
    ("\\?", "this list"),
];

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Meta {
    /// Run this SQL.
    Sql(String),
    /// Turn timing on or off.
    Timing,
    /// Turn expanded rows on or off.
    Expanded,
    /// Print rows so.
    Format(OutputFormat),
    /// Run a file's statements.
    Include(String),
    /// Leave.
    Quit,
    /// Print the commands.
    Help,
}

/// The meaning of a line that starts with a backslash; also `help`, `exit` and `quit`.
/// `None` where the line is SQL.
///
/// # Errors
/// `Invalid` for a command that does not exist or is used wrongly.
pub fn parse(line: &str) -> Result<Option<Meta>> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (command, argument) = match line.split_once(char::is_whitespace) {
        Some((command, argument)) => (command, argument.trim()),
        None => (line, ""),
    };
    let meta = match (command, argument) {
        ("help", "") | ("\\?" | "\\h" | "\\help", _) => Meta::Help,
        ("exit" | "quit", "") | ("\\q", _) => Meta::Quit,
        ("\\d", "") | ("\\dt", _) => Meta::Sql("SHOW TABLES".to_owned()),
        ("\\d", name) => Meta::Sql(format!("DESCRIBE {name}")),
        ("\\dn", _) => Meta::Sql("SHOW KEYSPACES".to_owned()),
        ("\\timing", _) => Meta::Timing,
        ("\\x", _) => Meta::Expanded,
        ("\\format", name) => match OutputFormat::from_str(name, true) {
            Ok(OutputFormat::Parquet) => {
                return Err(Error::invalid("sql does not print Parquet")
                    .with_hint("activestore export writes it; here: arrow, csv or ndjson"));
            }
            Ok(format) => Meta::Format(format),
            Err(_) => {
                return Err(Error::invalid("\\format takes the name of a format")
                    .with_hint("table, csv, json, ndjson or arrow"));
            }
        },
        ("\\i", "") => return Err(Error::invalid("\\i takes the name of a file")),
        ("\\i", file) => Meta::Include(file.to_owned()),
        _ if command.starts_with('\\') => {
            return Err(
                Error::invalid(format!("{command} is not a command")).with_hint("\\? lists them")
            );
        }
        _ => return Ok(None),
    };
    Ok(Some(meta))
}
