//! Rollouts of plugins at a cloud: what `deploy --wave` began.

use std::process::ExitCode;

use activestore_db::RolloutInfo;
use activestore_types::{Error, Result};
use serde_json::Value;

use super::encoded;
use crate::cli::{DeployArgs, ListFormat, NodeUrl, RolloutCommand};
use crate::client::Client;
use crate::figures::grouped;
use crate::sql::Grid;

/// Runs the command.
///
/// # Errors
/// What the node says.
pub fn run(command: &RolloutCommand) -> Result<ExitCode> {
    match command {
        RolloutCommand::List { format, node } => list(*format, node),
        RolloutCommand::Pause { plugin, node } => act(plugin, "pause", node),
        RolloutCommand::Resume { plugin, node } => act(plugin, "resume", node),
        RolloutCommand::Abort { plugin, node } => act(plugin, "abort", node),
    }
}

/// What a deployment says of waves, as parameters of its request.
///
/// # Errors
/// `Invalid` for the other options without a wave.
pub fn parameters(args: &DeployArgs) -> Result<String> {
    if args.waves.is_empty() {
        let alone = [
            ("--soak", args.soak.is_some()),
            ("--max-errors", args.max_errors.is_some()),
        ];
        return match alone.into_iter().find(|(_, given)| *given) {
            None => Ok(String::new()),
            Some((option, _)) => Err(Error::invalid(format!(
                "{option} is about waves, and none is named"
            ))
            .with_hint("add --wave ring=canary --wave all")),
        };
    }
    let mut text = format!("&wave={}", encoded(&args.waves.join(";")));
    if let Some(soak) = &args.soak {
        text.push_str(&format!("&soak={}ms", soak.0.as_millis()));
    }
    if let Some(share) = &args.max_errors {
        text.push_str(&format!("&max_errors={}", encoded(share)));
    }
    Ok(text)
}

/// What a deployment that began a rollout is answered with, in a sentence.
///
/// # Errors
/// `Internal` for an answer that is none.
pub fn begun(answer: &Value) -> Result<String> {
    let info = read(answer)?;
    Ok(format!(
        "version {} of {} goes to the edges in {} waves, first {}; until the last is passed {} stays in force\n\
         see how it goes with: activestore plugin rollout list",
        info.to,
        info.plugin,
        info.waves.len(),
        info.waves.first().map_or("", String::as_str),
        info.from,
    ))
}

fn read(value: &Value) -> Result<RolloutInfo> {
    serde_json::from_value(value.clone())
        .map_err(|error| Error::internal(format!("the node's answer is no rollout: {error}")))
}

fn list(format: ListFormat, node: &NodeUrl) -> Result<ExitCode> {
    let answer = Client::new(&node.url)?.get("/v1/rollouts")?;
    let rollouts = answer.get("rollouts").unwrap_or(&Value::Null);
    if format == ListFormat::Json {
        println!("{rollouts:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let rollouts = rollouts.as_array().into_iter().flatten().map(read);
    let rollouts: Vec<RolloutInfo> = rollouts.collect::<Result<_>>()?;
    if rollouts.is_empty() {
        println!(
            "No rollouts. Begin one with: activestore plugin deploy FILE --wave ring=canary --wave all"
        );
        return Ok(ExitCode::SUCCESS);
    }
    let names = [
        "plugin", "from", "to", "state", "wave", "watched", "edges", "with it", "calls",
        "failures", "note",
    ];
    let rows = rollouts.iter().map(listed).collect();
    println!("{}", Grid::of_text(&names, rows).render(None));
    Ok(ExitCode::SUCCESS)
}

fn listed(info: &RolloutInfo) -> Vec<Option<String>> {
    let wave = (info.wave as usize)
        .checked_sub(1)
        .and_then(|at| info.waves.get(at));
    let wave = wave.map_or("", String::as_str);
    let note = info.reason.as_deref().or(info.waiting.as_deref());
    vec![
        Some(info.plugin.clone()),
        Some(info.from.clone()),
        Some(info.to.clone()),
        Some(info.state.clone()),
        Some(format!("{} of {}: {wave}", info.wave, info.waves.len())),
        Some(format!("{:.0} of {:.0} s", info.soaked_s, info.soak_s)),
        Some(grouped(info.edges)),
        Some(grouped(info.edges_with_new)),
        Some(grouped(info.calls)),
        Some(grouped(info.failures)),
        Some(note.unwrap_or("–").to_owned()),
    ]
}

fn act(plugin: &str, act: &str, node: &NodeUrl) -> Result<ExitCode> {
    let path = format!("/v1/rollouts/{}/{act}", encoded(plugin));
    let answer = Client::new(&node.url)?.post(&path, "application/json", b"")?;
    let info = read(&answer)?;
    println!("the rollout of {plugin} {} is {}", info.to, info.state);
    Ok(ExitCode::SUCCESS)
}
