//! Plugins on a node.

use std::path::Path;

use activestore_types::{Error, Result};
use serde_json::Value;

use crate::cli::NodeUrl;
use crate::client::Client;
use crate::sql::Grid;

/// Sends a component.
///
/// # Errors
/// Where the file cannot be read, or what the node says.
pub fn deploy(
    wasm: &Path,
    name: Option<&str>,
    version: Option<&str>,
    node: &NodeUrl,
) -> Result<()> {
    let bytes = std::fs::read(wasm)
        .map_err(|error| Error::invalid(format!("{} cannot be read: {error}", wasm.display())))?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => wasm
            .file_stem()
            .and_then(|stem| stem.to_str())
            .ok_or_else(|| Error::invalid("the file has no name").with_hint("add --name NAME"))?
            .to_owned(),
    };
    let mut path = format!("/v1/plugins?name={}", encoded(&name));
    if let Some(version) = version {
        path.push_str("&version=");
        path.push_str(&encoded(version));
    }
    let info = Client::new(&node.url)?.post(&path, "application/wasm", &bytes)?;
    let text = |name: &str| shown(info.get(name)).unwrap_or_default();
    println!(
        "deployed {} {} ({}): {}",
        text("name"),
        text("version"),
        text("kind"),
        text("functions")
    );
    Ok(())
}

/// Puts an earlier version in force.
///
/// # Errors
/// What the node says.
pub fn rollback(name: &str, version: Option<&str>, node: &NodeUrl) -> Result<()> {
    let mut path = format!("/v1/plugins/{}/rollback", encoded(name));
    if let Some(version) = version {
        path.push_str("?version=");
        path.push_str(&encoded(version));
    }
    let info = Client::new(&node.url)?.post(&path, "application/json", b"")?;
    println!(
        "{name} {} is in force",
        shown(info.get("version")).unwrap_or_default()
    );
    Ok(())
}

/// Prints the node's plugins.
///
/// # Errors
/// What the node says.
pub fn list(node: &NodeUrl) -> Result<()> {
    const COLUMNS: [&str; 9] = [
        "name",
        "version",
        "kind",
        "functions",
        "size_bytes",
        "signed_by",
        "state",
        "calls",
        "traps",
    ];
    let answer = Client::new(&node.url)?.get("/v1/plugins")?;
    let plugins = answer
        .get("plugins")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    if plugins.is_empty() {
        println!("No plugins. Deploy one with: activestore plugin deploy FILE");
        return Ok(());
    }
    let rows = plugins
        .iter()
        .map(|plugin| {
            COLUMNS
                .iter()
                .map(|column| shown(plugin.get(*column)))
                .collect()
        })
        .collect();
    println!("{}", Grid::of_text(&COLUMNS, rows).render(None));
    Ok(())
}

/// Prints a plugin's last log lines.
///
/// # Errors
/// What the node says.
pub fn logs(name: &str, node: &NodeUrl) -> Result<()> {
    let answer = Client::new(&node.url)?.get(&format!("/v1/plugins/{}/logs", encoded(name)))?;
    for line in answer
        .get("logs")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
    {
        let text = |name: &str| shown(line.get(name)).unwrap_or_default();
        println!("{} {:5} {}", text("time"), text("level"), text("message"));
    }
    Ok(())
}

/// Removes a plugin.
///
/// # Errors
/// What the node says.
pub fn remove(name: &str, node: &NodeUrl) -> Result<()> {
    Client::new(&node.url)?.delete(&format!("/v1/plugins/{}", encoded(name)))?;
    println!("removed {name}");
    Ok(())
}

fn shown(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => Some(
            items
                .iter()
                .filter_map(|item| shown(Some(item)))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        other => Some(other.to_string()),
    }
}

/// A name as part of an address.
pub fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
