//! `activestore plugin …`: the plugin developer's loop. New, build, sign and precompile need no node; test and
//! bench ask one where their rows are of its tables; deploy, list, logs and remove talk to one.

mod bench;
mod build;
mod logs;
mod new;
mod node;
mod remote;
mod replay;
mod rollout;
mod rows;
mod runner;
mod sdk;
mod setup;
mod shared;
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
    let done = match command {
        PluginCommand::New {
            name,
            language,
            kind,
            sdk,
        } => new::run(&name, language, kind, sdk.as_deref()),
        PluginCommand::Build { dir, output } => build::run(&dir, output.as_deref()),
        PluginCommand::Keygen { key } => sign::keygen(&key),
        PluginCommand::Sign(args) => sign::run(&args.wasm, &args.key, args.output()),
        PluginCommand::Precompile { targets, sign } => {
            sign::precompile(&sign.wasm, &targets, &sign.key, sign.output())
        }
        PluginCommand::Test(args) => return trial::run(&args),
        PluginCommand::Bench(args) => return bench::run(&args),
        PluginCommand::Deploy(args) => return remote::deploy(&args),
        PluginCommand::Rollout(command) => return rollout::run(&command),
        PluginCommand::List { format, node } => return remote::list(format, &node),
        PluginCommand::Logs {
            name,
            follow,
            level,
            node,
        } => return logs::run(&name, follow, level, &node),
        PluginCommand::Rollback {
            name,
            version,
            node,
        } => return remote::rollback(&name, version.as_deref(), &node),
        PluginCommand::Remove { name, node } => return remote::remove(&name, &node),
    };
    done.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
