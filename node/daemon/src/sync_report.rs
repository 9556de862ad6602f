//! `activestore sync …`: what the node knows about its peers, for people or as JSON.

use std::process::ExitCode;

use activestore_types::{Result, TableName};
use serde_json::Value;

use crate::cli::{NodeUrl, SyncCommand};
use crate::client::Client;
use crate::follow::{self, Lines};
use crate::plugin::encoded;
use crate::receipt::time;
use crate::sql::Grid;

/// What of a node's status tells of its further clouds.
const FURTHER: &str = "also";

/// Runs the command; `verify` gives 1 where the ends differ.
///
/// # Errors
/// What the node says.
pub fn run(command: &SyncCommand) -> Result<ExitCode> {
    match command {
        SyncCommand::Status { tables, json, node } => {
            let path = if *tables {
                "/v1/sync?tables=all"
            } else {
                "/v1/sync"
            };
            let status = Client::new(&node.url)?.get(path)?;
            show(&status, *json);
            Ok(ExitCode::SUCCESS)
        }
        SyncCommand::Events { follow, node } => {
            let lines = Lines {
                path: "/v1/sync/events?".to_owned(),
                list: "events",
                gap: "events are missing here: more happened than are kept",
                show: event,
            };
            follow::print(&Client::new(&node.url)?, lines, *follow)
        }
        SyncCommand::RetryRejected {
            table,
            discard,
            node,
        } => retry_rejected(table.as_ref(), *discard, node),
        SyncCommand::Receipt(command) => crate::receipt::run(command),
        SyncCommand::Verify {
            repair,
            cloud,
            json,
            node,
        } => {
            let of_cloud = cloud
                .as_ref()
                .map_or_else(String::new, |name| format!("&cloud={}", encoded(name)));
            let path = format!("/v1/sync/verify?repair={repair}{of_cloud}");
            let report = Client::new(&node.url)?.post(&path, "application/json", b"")?;
            show(&report, *json);
            let equal = report.get("equal").and_then(Value::as_bool);
            if !*json {
                println!(
                    "{}",
                    match equal {
                        Some(true) if leaves_out(&report) => {
                            "Both ends hold the same, but for tables that are filtered: those are not compared."
                        }
                        Some(true) if count(&report, "mended") > 0 => {
                            "Everything that differed is mended, or on its way."
                        }
                        Some(true) => "Both ends hold the same.",
                        _ if count(&report, "behind") > 0 => {
                            "The ends differ; what is still on its way counts as a difference, and nothing is mended before it has arrived."
                        }
                        _ if *repair => "Differences are left.",
                        _ => "The ends differ; activestore sync verify --repair mends that.",
                    }
                );
            }
            Ok(ExitCode::from(u8::from(equal != Some(true))))
        }
    }
}

/// An event as a line.
fn event(event: &Value) -> String {
    let cell = |name: &str| event.get(name).and_then(Value::as_str);
    let other = cell("name").filter(|name| !name.is_empty());
    let other = other.or(cell("node")).map(|name| format!("{name}: "));
    let times = match count(event, "times") {
        0 | 1 => String::new(),
        times => format!(" ({times} times)"),
    };
    format!(
        "{} {:16} {}{}{times}",
        time(count(event, "last_ms")),
        cell("kind").unwrap_or_default(),
        other.unwrap_or_default(),
        cell("text").unwrap_or_default()
    )
}

fn retry_rejected(table: Option<&TableName>, discard: bool, node: &NodeUrl) -> Result<ExitCode> {
    let act = if discard { "discard" } else { "retry" };
    let of_table = table.map_or_else(String::new, |table| {
        format!("&table={}", encoded(&table.to_string()))
    });
    let path = format!("/v1/sync/rejected?act={act}{of_table}");
    let report = Client::new(&node.url)?.post(&path, "application/json", b"")?;
    let (rows, left) = (count(&report, "rows"), count(&report, "left"));
    let reasons = report.get("reasons").and_then(Value::as_array);
    for reason in reasons.into_iter().flatten().filter_map(Value::as_str) {
        eprintln!("{reason}");
    }
    println!(
        "{}",
        match (discard, rows, left) {
            (true, rows, _) => format!("{} discarded.", amount(rows)),
            (false, 0, 0) => "There is nothing to try again.".to_owned(),
            (false, rows, 0) => format!("{} taken, none is left.", amount(rows)),
            (false, rows, left) => format!("{} taken, {left} still do not fit.", amount(rows)),
        }
    );
    Ok(ExitCode::from(u8::from(!discard && left > 0)))
}

/// Rows with their verb.
fn amount(rows: u64) -> String {
    match rows {
        1 => "1 row was".to_owned(),
        rows => format!("{rows} rows were"),
    }
}

fn count(report: &Value, name: &str) -> u64 {
    report.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// Whether tables were not compared.
fn leaves_out(report: &Value) -> bool {
    let tables = report.get("tables").and_then(Value::as_array);
    let not_compared = |table: &Value| table.get("not_compared").is_some();
    tables.is_some_and(|tables| tables.iter().any(not_compared))
}

fn show(value: &Value, as_json: bool) {
    if as_json {
        println!("{value:#}");
        return;
    }
    let mut out = String::new();
    write(value, "", &mut out);
    println!("{}", out.trim_end());
}

/// Each further cloud as a paragraph of its own.
fn write_further(clouds: &[Value], out: &mut String) {
    for cloud in clouds {
        let name = cloud.get("cloud").and_then(Value::as_str);
        let members = cloud.as_object().into_iter().flatten();
        for (member, inner) in members.filter(|(member, _)| *member != "cloud") {
            let member = member.replace('_', " ");
            let path = format!("cloud {}: {member}", name.unwrap_or_default());
            write(inner, &path, out);
        }
    }
}

/// Plain members as `name: value` lines, lists of several objects as tables under their name.
fn write(value: &Value, path: &str, out: &mut String) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                if let (FURTHER, Some(clouds)) = (name.as_str(), inner.as_array()) {
                    write_further(clouds, out);
                    continue;
                }
                let name = name.replace('_', " ");
                let path = if path.is_empty() {
                    name
                } else {
                    format!("{path} {name}")
                };
                write(inner, &path, out);
            }
        }
        Value::Array(rows) if rows.len() == 1 && rows.iter().all(Value::is_object) => {
            rows.iter().for_each(|row| write(row, path, out));
        }
        Value::Array(rows) if rows.iter().any(Value::is_object) => {
            out.push_str(&format!("{path}:\n{}\n", table(rows)));
        }
        Value::Array(rows) if rows.is_empty() => out.push_str(&format!("{path}: none\n")),
        _ => out.push_str(&format!(
            "{path}: {}\n",
            text(value).unwrap_or_else(|| "–".to_owned())
        )),
    }
}

fn table(rows: &[Value]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in rows
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|row| row.keys())
    {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let cells = rows
        .iter()
        .map(|row| {
            names
                .iter()
                .map(|name| row.get(*name).and_then(text))
                .collect()
        })
        .collect();
    let titles: Vec<String> = names.iter().map(|name| name.replace('_', " ")).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    Grid::of_text(&titles, cells).render(None)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
