//! `activestore completions`: a completion script on stdout.

use std::process::ExitCode;

use activestore_types::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

/// Prints the script.
///
/// # Errors
/// None.
pub fn run(shell: Shell) -> Result<ExitCode> {
    clap_complete::generate(
        shell,
        &mut Cli::command(),
        "activestore",
        &mut std::io::stdout().lock(),
    );
    Ok(ExitCode::SUCCESS)
}
