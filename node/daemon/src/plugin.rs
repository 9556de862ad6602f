//! `activestore plugin …`: the plugin developer's loop. New, build, test and sign need no node; deploy,
//! list, logs and remove talk to one.

mod build;
mod new;
mod remote;
mod sign;
mod trial;

pub use remote::encoded;

use std::process::ExitCode;

use activestore_types::Result;

use crate::cli::PluginCommand;

/// Runs the command.
///
/// # Errors
/// What the step says.
pub fn run(command: PluginCommand) -> Result<ExitCode> {
    match command {
        PluginCommand::New { name, kind, sdk } => new::run(&name, kind, sdk.as_deref()),
        PluginCommand::Build { dir, output } => build::run(&dir, output.as_deref()),
        PluginCommand::Test {
            wasm,
            rows,
            function,
            settings,
            artifact,
        } => trial::run(&trial::Trial {
            wasm,
            rows,
            function,
            settings: settings.into_iter().collect(),
            artifact,
        }),
        PluginCommand::Keygen { key } => sign::keygen(&key),
        PluginCommand::Sign { wasm, key, output } => {
            sign::run(&wasm, &key, output.as_deref().unwrap_or(&wasm))
        }
        PluginCommand::Deploy {
            wasm,
            name,
            version,
            node,
        } => remote::deploy(&wasm, name.as_deref(), version.as_deref(), &node),
        PluginCommand::List { node } => remote::list(&node),
        PluginCommand::Logs { name, node } => remote::logs(&name, &node),
        PluginCommand::Rollback {
            name,
            version,
            node,
        } => remote::rollback(&name, version.as_deref(), &node),
        PluginCommand::Remove { name, node } => remote::remove(&name, &node),
    }
    .map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
