//! Letting edges in: `activestore token …` at the cloud, `activestore join` at the edge.

use std::process::ExitCode;
use std::time::Duration;

use activestore_types::{Error, Result};
use serde_json::Value;

use crate::cli::{JoinArgs, NodeUrl, TokenCommand};
use crate::client::Client;
use crate::plugin::encoded;
use crate::start;

/// Runs `token …`.
///
/// # Errors
/// What the node says.
pub fn run(command: &TokenCommand) -> Result<ExitCode> {
    match command {
        TokenCommand::Create {
            ttl,
            labels,
            note,
            addresses,
            node,
        } => create_token(ttl.0, labels, note, addresses, node),
        TokenCommand::Label { edge, labels, node } => {
            let path = format!(
                "/v1/edges/{}/labels?labels={}",
                encoded(edge.trim()),
                encoded(&labels.join(","))
            );
            Client::new(&node.url)?.post(&path, "application/json", b"")?;
            println!("edge {edge} has the labels: {}", labels.join(", "));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints a new token on stdout and nothing else.
fn create_token(
    ttl: Duration,
    labels: &[String],
    note: &str,
    addresses: &[String],
    node: &NodeUrl,
) -> Result<ExitCode> {
    if let Some(label) = labels.iter().find(|label| !label.contains('=')) {
        return Err(Error::invalid(format!(
            "--label {label} has no value: a label is NAME=VALUE, by which a rollout finds the edge"
        ))
        .with_hint(format!(
            "write --label ring={label}, or --note '{label}' for a note that only people read"
        )));
    }
    let path = format!(
        "/v1/tokens?ttl={}s&label={}&labels={}&address={}",
        ttl.as_secs(),
        encoded(note),
        encoded(&labels.join(",")),
        encoded(&addresses.join(","))
    );
    let answer = Client::new(&node.url)?.post(&path, "application/json", b"")?;
    let token = answer
        .get("token")
        .and_then(Value::as_str)
        .ok_or_else(|| Error::internal("the node's answer holds no token"))?;
    println!("{token}");
    Ok(ExitCode::SUCCESS)
}

/// Enrols a data directory that no node is running on.
///
/// # Errors
/// What the cloud says; `Conflict` where a node is running on the directory.
pub fn join(args: &JoinArgs) -> Result<ExitCode> {
    start::join(args)?;
    if let Some(name) = &args.further {
        println!(
            "joined {peer} as '{name}'; name it in the configuration of this edge, and start it with that:\n\n[[sync.also]]\nname = \"{name}\"\npeers = [\"{peer}\"]",
            peer = args.peer
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "joined {}; start the edge with: activestore start --data-dir {} --peer {}",
        args.peer,
        args.data_dir.display(),
        args.peer
    );
    Ok(ExitCode::SUCCESS)
}
