//! Letting edges in: `activestore token create` at the cloud, `activestore join` at the edge.

use std::process::ExitCode;

use activestore_types::{Error, Result};
use serde_json::Value;

use crate::cli::{JoinArgs, TokenCommand};
use crate::client::Client;
use crate::plugin::encoded;
use crate::start;

/// Prints a new token on stdout and nothing else.
///
/// # Errors
/// What the node says.
pub fn create_token(command: &TokenCommand) -> Result<ExitCode> {
    let TokenCommand::Create {
        ttl,
        label,
        addresses,
        node,
    } = command;
    let path = format!(
        "/v1/tokens?ttl={}s&label={}&address={}",
        ttl.0.as_secs(),
        encoded(label),
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
    println!(
        "joined {}; start the edge with: activestore start --data-dir {} --peer {}",
        args.peer,
        args.data_dir.display(),
        args.peer
    );
    Ok(ExitCode::SUCCESS)
}
