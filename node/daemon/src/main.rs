//! The `activestore` program: the node and every command that talks to one. It parses the command
//! line, reads settings and wires parts together; it decides nothing about data.

mod backup;
mod cli;
mod client;
mod completions;
mod config;
#[cfg(all(feature = "line-protocol", feature = "mqtt"))]
mod demo;
mod doctor;
mod enrol;
mod export;
mod figures;
mod follow;
mod key;
mod load;
mod logging;
mod login;
mod otlp;
mod outside;
mod plugin;
mod progress;
mod receipt;
mod role;
mod sql;
mod start;
mod sync_report;

use std::process::ExitCode;

use activestore_types::{Error, Result};
use clap::Parser;

use cli::{Cli, Command};

/// Queries take and give back arrays of a few KiB by the thousand, which the allocator of most C libraries is slow at
/// and keeps much memory of.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The request failed.
const EXIT_FAILED: u8 = 1;

fn main() -> ExitCode {
    // clap itself ends the process with 2 where the usage is wrong.
    let cli = Cli::parse();
    logging::start(cli.log_format, spans_of(&cli.command));
    login::log_in_as(cli.user);
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Start(args) => start::run(&args),
        Command::Sql(args) => sql::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Plugin(command) => plugin::run(command),
        Command::Role(command) => role::run(&command),
        Command::Auth(command) => role::auth(&command),
        Command::Token(command) => enrol::run(&command),
        Command::Join(args) => enrol::join(&args),
        Command::Sync(command) => sync_report::run(&command),
        Command::Backup(command) => backup::run(&command),
        Command::Restore(args) => backup::restore(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::RotateKey(args) => key::rotate(&args),
        Command::Completions { shell } => completions::run(shell),
        #[cfg(all(feature = "line-protocol", feature = "mqtt"))]
        Command::Demo(args) => demo::run(args),
    }
}

/// What follows spans, where a node is to send them.
fn spans_of(command: &Command) -> Option<otlp::SpanLayer> {
    match command {
        Command::Start(args) => start::spans(args),
        _ => None,
    }
}

/// One sentence on stderr, and below it what to do.
fn report(error: &Error) {
    eprintln!("error: {}", error.message());
    if let Some(hint) = error.hint() {
        eprintln!("hint: {hint}");
    }
}
