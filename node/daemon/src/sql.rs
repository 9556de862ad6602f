//! `activestore sql`: one statement, a script, or an interactive session.

mod completer;
mod highlighter;
mod history;
mod lexer;
mod meta;
mod prompt;
mod repl;
mod session;
mod subscribe;
mod table;

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use activestore_types::{Error, Result};

use crate::cli::{OutputFormat, SqlArgs};
use crate::client::Client;
use session::Session;

pub use lexer::statements;
pub use table::Grid;

/// Runs the command.
///
/// # Errors
/// The first statement's that fails.
pub fn run(args: &SqlArgs) -> Result<ExitCode> {
    if args.format == OutputFormat::Parquet {
        return Err(Error::invalid("sql does not print Parquet")
            .with_hint("activestore export --sql \"SELECT …\" -o FILE.parquet writes it"));
    }
    let mut session = Session::new(Client::new(&args.node.url)?, args.format);
    let text = match &args.command {
        Some(text) => text.clone(),
        None if std::io::stdin().is_terminal() => return repl::run(session),
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
    };
    let statements = statements(&text);
    if statements.is_empty() {
        return Err(Error::invalid("there is no statement to run")
            .with_hint("write one after -c, or run activestore sql on a terminal"));
    }
    for (place, statement) in statements.iter().enumerate() {
        if subscribe::is_subscription(statement) {
            if place + 1 < statements.len() {
                return Err(
                    Error::invalid("SUBSCRIBE has no end: nothing behind it is run")
                        .with_hint("make it the last statement"),
                );
            }
            return subscribe::run(&session.client, statement, session.format);
        }
        session.run(statement)?;
    }
    Ok(ExitCode::SUCCESS)
}
