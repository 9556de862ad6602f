//! `plugin logs`: what a plugin said, and with `--follow` what it goes on to say, until Ctrl-C.

use std::process::ExitCode;

use activestore_types::Result;
use serde_json::Value;

use super::encoded;
use crate::cli::{LineLevel, NodeUrl};
use crate::client::Client;
use crate::follow::{Lines, print};

/// Prints a plugin's lines.
///
/// # Errors
/// What the node says.
pub fn run(name: &str, follow: bool, level: LineLevel, node: &NodeUrl) -> Result<ExitCode> {
    let lines = Lines {
        path: format!(
            "/v1/plugins/{}/logs?level={}",
            encoded(name),
            level_name(level)
        ),
        list: "logs",
        gap: "lines are missing here: the plugin said more than its log keeps",
        show: shown,
    };
    print(&Client::new(&node.url)?, lines, follow)
}

fn shown(line: &Value) -> String {
    let cell = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
    format!("{} {:5} {}", cell("time"), cell("level"), cell("message"))
}

fn level_name(level: LineLevel) -> &'static str {
    match level {
        LineLevel::Debug => "debug",
        LineLevel::Info => "info",
        LineLevel::Warn => "warn",
        LineLevel::Error => "error",
    }
}
