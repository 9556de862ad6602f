//! Builds the program and its plugins and runs `activestore demo`.

use std::process::Command;

use crate::plugins;
use crate::run::run as execute;

/// Runs the demo with the arguments given.
///
/// # Errors
/// A sentence that names the step that failed.
pub fn run(arguments: &[String]) -> Result<(), String> {
    plugins::build()?;
    execute(
        "activestore demo",
        Command::new(plugins::program())
            .arg("demo")
            .arg("--components")
            .arg(plugins::components_dir())
            .args(arguments),
    )
}
