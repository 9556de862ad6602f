//! Plugins on a node.

use std::process::ExitCode;

use activestore_db::PluginInfo;
use activestore_types::{Error, Result, TableName};
use serde_json::Value;

use super::node::plugins;
use super::runner::read;
use super::setup::{Setup, Source, name_of};
use super::{replay, rollout, trial};
use crate::cli::{DeployArgs, ListFormat, NodeUrl};
use crate::client::Client;
use crate::figures::{grouped, size};
use crate::sql::Grid;

/// Differences that a check shows.
const DIFFERENCES_SHOWN: usize = 20;

/// Sends a component; with `--check-replay` only where it gets through the rows and does on them what the
/// version in force does.
///
/// # Errors
/// Where the file cannot be read, what the check found, or what the node says.
pub fn deploy(args: &DeployArgs) -> Result<ExitCode> {
    let bytes = read(&args.wasm)?;
    let name = name_of(&args.wasm, args.name.as_deref())?;
    match &args.check_replay {
        Some(table) => check(args, table)?,
        None => {
            if let Some(option) = args.select.given().or_else(|| args.using.given()) {
                return Err(Error::invalid(format!(
                    "{option} is about a check that is not asked for"
                ))
                .with_hint("add --check-replay KEYSPACE.TABLE"));
            }
        }
    }
    let mut path = format!("/v1/plugins?name={}", encoded(&name));
    if let Some(version) = &args.version {
        path.push_str("&version=");
        path.push_str(&encoded(version));
    }
    if !args.grants.is_empty() {
        let none = |grant: &&String| grant.as_str() != "none";
        let grants: Vec<&str> = args
            .grants
            .iter()
            .filter(none)
            .map(String::as_str)
            .collect();
        path.push_str("&grant=");
        path.push_str(&encoded(&grants.join(",")));
    }
    path.push_str(&rollout::parameters(args)?);
    let info = Client::new(&args.node.url)?.post(&path, "application/wasm", &bytes)?;
    if !args.waves.is_empty() {
        println!("{}", rollout::begun(&info)?);
        return Ok(ExitCode::SUCCESS);
    }
    let text = |name: &str| shown(info.get(name)).unwrap_or_default();
    let (name, kind) = (text("name"), text("kind"));
    let put_to_use = match kind.as_str() {
        "processor" => {
            format!("CREATE PROCESSOR … ON KEYSPACE.TABLE USING PLUGIN '{name}' puts it to use")
        }
        "model" => {
            format!("CREATE MODEL … USING PLUGIN '{name}' WITH (file = '…') puts it to use")
        }
        "filter" => format!("CREATE FILTER … USING PLUGIN '{name}' puts it to use"),
        _ => {
            // One name may stand for several, for other types of arguments.
            let functions = text("functions");
            let mut names: Vec<&str> = functions.split(", ").collect();
            names.dedup();
            names.join(", ")
        }
    };
    println!("deployed {name} {} ({kind}): {put_to_use}", text("version"));
    Ok(ExitCode::SUCCESS)
}

/// Runs the component on the rows beside the version in force, and says what came of it.
fn check(args: &DeployArgs, table: &TableName) -> Result<()> {
    let source = Source::Table(table.clone(), args.select.clone());
    let mut setup = Setup::new(
        &args.wasm,
        args.name.as_deref(),
        source,
        &args.using,
        &args.node,
        None,
    )?;
    let in_force = plugins(&setup.client)?
        .iter()
        .any(|plugin| plugin.name == setup.name);
    let old = if in_force {
        Some(trial::deployed(&setup, None)?)
    } else {
        let note =
            "nothing is deployed under this name yet: what is checked is that it gets through";
        setup.notes.push(note.to_owned());
        None
    };
    let label = args.wasm.display().to_string();
    let report = replay::run(trial::of(&mut setup, old, label, DIFFERENCES_SHOWN)?)?;
    println!("{}", report.render());
    let refused = |why: String| Error::conflict(format!("not deployed: {why}"));
    if report.rows == 0 {
        return Err(refused(format!(
            "table {table} has no such rows, so nothing was checked"
        ))
        .with_hint(
            "choose others with --last, --where or --limit, or deploy without --check-replay",
        ));
    }
    if let Some(fault) = report.fault() {
        return Err(refused(fault));
    }
    match report.difference() {
        Some(difference) if !args.accept_differences => Err(refused(difference).with_hint(
            "look at the differences above; --accept-differences deploys it all the same",
        )),
        _ => Ok(()),
    }
}

/// Puts an earlier version in force.
///
/// # Errors
/// What the node says.
pub fn rollback(name: &str, version: Option<&str>, node: &NodeUrl) -> Result<ExitCode> {
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
    Ok(ExitCode::SUCCESS)
}

/// Prints the node's plugins.
///
/// # Errors
/// What the node says.
pub fn list(format: ListFormat, node: &NodeUrl) -> Result<ExitCode> {
    let client = Client::new(&node.url)?;
    if format == ListFormat::Json {
        let answer = client.get("/v1/plugins")?;
        let plugins = answer.get("plugins").unwrap_or(&Value::Null);
        println!("{plugins:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let plugins = plugins(&client)?;
    if plugins.is_empty() {
        println!("No plugins. Deploy one with: activestore plugin deploy FILE");
        return Ok(ExitCode::SUCCESS);
    }
    let names = [
        "name",
        "versions",
        "kind",
        "signer",
        "state",
        "calls",
        "rows",
        "ns a row",
        "memory peak",
        "faults",
        "last fault",
    ];
    let rows = plugins.iter().map(listed).collect();
    println!("{}", Grid::of_text(&names, rows).render(None));
    Ok(ExitCode::SUCCESS)
}

/// A plugin as a row of the list.
fn listed(plugin: &PluginInfo) -> Vec<Option<String>> {
    let versions = plugin.versions.iter().map(|held| {
        let in_force = if held.in_force { " (in force)" } else { "" };
        format!("{}{in_force}", held.version)
    });
    let versions: Vec<String> = versions.collect();
    let state = match plugin.off_for_s {
        Some(seconds) => format!("off for another {seconds} s"),
        None => plugin.state.clone(),
    };
    let per_row = (plugin.rows > 0).then(|| grouped(plugin.busy_ns / plugin.rows));
    let or_none = |text: &Option<String>| Some(text.as_deref().unwrap_or("–").to_owned());
    vec![
        Some(plugin.name.clone()),
        Some(versions.join(", ")),
        Some(plugin.kind.clone()),
        or_none(&plugin.signed_by),
        Some(state),
        Some(grouped(plugin.calls)),
        Some(grouped(plugin.rows)),
        or_none(&per_row),
        Some(size(plugin.memory_bytes_peak)),
        Some(grouped(plugin.traps)),
        or_none(&plugin.last_fault),
    ]
}

/// Removes a plugin.
///
/// # Errors
/// What the node says.
pub fn remove(name: &str, node: &NodeUrl) -> Result<ExitCode> {
    Client::new(&node.url)?.delete(&format!("/v1/plugins/{}", encoded(name)))?;
    println!("removed {name}");
    Ok(ExitCode::SUCCESS)
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
