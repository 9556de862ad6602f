//! `activestore backup` and `activestore restore`: a node backs itself up when it is asked over
//! HTTP; a directory that no node is running on is backed up from here.

mod place;
mod s3;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use activestore_db::backup::{self as backups, BackupReport, BackupStep};
use activestore_db::{Db, DbOptions, Role};
use activestore_types::{Error, Result};
use futures::StreamExt;
use futures::channel::mpsc;
use futures::stream::BoxStream;
use serde_json::{Value, json};

use crate::cli::{BackupCommand, KeyFile, RestoreArgs};
use crate::client::{Client, kind};
use crate::figures::{grouped, size};
use crate::key;
use crate::progress::Bar;
use crate::start::EDGES_IDENTITY_DIR;

pub use place::place;

/// Lines of a running backup that may wait for a slow client.
const STEPS_WAITING: usize = 64;

/// Runs `activestore backup`.
///
/// # Errors
/// What the node, the place or the directory says.
pub fn run(command: &BackupCommand) -> Result<ExitCode> {
    match command {
        BackupCommand::Create {
            to,
            data_dir,
            key,
            node,
        } => {
            let report = match data_dir {
                Some(dir) => offline(dir, key, to)?,
                None => online(&Client::new(&node.url)?, to)?,
            };
            println!(
                "backup {}: {} files in {}, of which {} in {} were new",
                report.id,
                grouped(report.files),
                size(report.bytes),
                grouped(report.files_copied),
                size(report.bytes_copied)
            );
            if report.erased_from > 0 {
                println!(
                    "erased partitions are gone from earlier backups too, {} in number: they hold the keyring of today, which today's encryption key opens",
                    grouped(report.erased_from)
                );
            }
        }
        BackupCommand::List { from, json } => list(from, *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a node was when it ran last on a directory: what a tool opens it as, so that it takes nothing away.
pub(crate) fn role_of(dir: &Path) -> Role {
    let ships = dir.join("outbox.redb").exists();
    match (ships, dir.join(EDGES_IDENTITY_DIR).exists()) {
        (true, true) => Role::Gateway,
        (true, false) => Role::Edge,
        (false, _) => Role::Cloud,
    }
}

/// Backs up a directory that no node is running on.
fn offline(dir: &Path, key: &KeyFile, to: &str) -> Result<BackupReport> {
    if !dir.join("node-id").exists() {
        return Err(Error::not_found(format!("{} holds no node", dir.display()))
            .with_hint("name the directory that activestore start was given"));
    }
    let target = place(to)?;
    let role = role_of(dir);
    let mut options = DbOptions::new(dir, role);
    options.outbox = role.has_cloud();
    options.evicts = false;
    options.encryption_key = key::find(key.encryption_key_file.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let db = Db::open(options)?;
    let bar = Bar::bytes("backing up");
    let report = db.backup(target.as_ref(), &mut |step| {
        show(&bar, step);
        Ok(())
    });
    bar.end();
    runtime.block_on(db.shutdown())?;
    report
}

fn show(bar: &Bar, step: BackupStep) {
    match step {
        BackupStep::Total { bytes, .. } => bar.total(bytes),
        BackupStep::File { path, bytes, .. } => bar.done(&path, bytes),
    }
}

/// Has a running node back itself up.
fn online(client: &Client, to: &str) -> Result<BackupReport> {
    let to = if to.contains("://") {
        to.to_owned()
    } else {
        // The node runs somewhere else than this command.
        std::path::absolute(to)?.display().to_string()
    };
    let body = serde_json::to_vec(&json!({ "to": to }))
        .map_err(|error| Error::internal(error.to_string()))?;
    let lines = BufReader::new(client.post_body("/v1/backup", "application/json", &body)?);
    let bar = Bar::bytes("backing up");
    let mut report = None;
    for line in lines.lines() {
        let line = line.map_err(broke_off)?;
        let step: Value = serde_json::from_str(&line)
            .map_err(|_| Error::internal("the node's answer is not JSON"))?;
        let number = |name: &str| step.get(name).and_then(Value::as_u64).unwrap_or(0);
        if let Some(error) = step.get("error") {
            bar.end();
            return Err(error_of(error));
        }
        match step.get("step").and_then(Value::as_str) {
            Some("total") => bar.total(number("bytes")),
            Some("file") => {
                let path = step.get("path").and_then(Value::as_str);
                bar.done(path.unwrap_or_default(), number("bytes"));
            }
            Some("done") => {
                let id = step.get("id").and_then(Value::as_str);
                report = Some(BackupReport {
                    id: id.unwrap_or_default().to_owned(),
                    files: number("files"),
                    bytes: number("bytes"),
                    files_copied: number("files_copied"),
                    bytes_copied: number("bytes_copied"),
                    lsn: number("lsn"),
                    erased_from: number("erased_from"),
                });
            }
            _ => {}
        }
    }
    bar.end();
    report.ok_or_else(|| broke_off("the node stopped"))
}

fn broke_off(why: impl std::fmt::Display) -> Error {
    Error::internal(format!("the backup broke off: {why}"))
        .with_hint("start it again: what was copied is not copied again")
}

fn error_of(value: &Value) -> Error {
    let text = |name| value.get(name).and_then(Value::as_str);
    let error = Error::new(
        kind(text("code").unwrap_or_default()),
        text("message").unwrap_or("the backup failed"),
    );
    match text("hint") {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Runs a backup of this node on a thread of its own; what it says, as JSON objects: steps, and at
/// the end `done` or an error. It stops when nobody listens any more.
///
/// # Errors
/// `Invalid` for a place that cannot be named so.
pub fn stream(db: &Db, to: &str) -> Result<BoxStream<'static, Value>> {
    let target = place(to)?;
    let db = db.clone();
    let (said, heard) = mpsc::channel(STEPS_WAITING);
    let said = Arc::new(parking(said));
    std::thread::Builder::new()
        .name("backup".to_owned())
        .spawn(move || {
            let outcome = db.backup(target.as_ref(), &mut |step| said(step_value(&step)));
            let last = match outcome {
                Ok(report) => json!({
                    "step": "done",
                    "id": report.id,
                    "files": report.files,
                    "bytes": report.bytes,
                    "files_copied": report.files_copied,
                    "bytes_copied": report.bytes_copied,
                    "lsn": report.lsn,
                    "erased_from": report.erased_from,
                }),
                Err(error) => {
                    tracing::warn!(%error, "a backup failed");
                    json!({ "error": {
                        "code": error.kind().code(),
                        "message": error.message(),
                        "hint": error.hint(),
                    }})
                }
            };
            // Whoever asked may be gone; the node's log has it.
            let _ = said(last);
        })?;
    Ok(heard.boxed())
}

/// Sends from a thread, waiting while the channel is full.
fn parking(said: mpsc::Sender<Value>) -> impl Fn(Value) -> Result<()> {
    use futures::SinkExt;
    let said = std::sync::Mutex::new(said);
    move |value| {
        let mut said = said
            .lock()
            .map_err(|_| Error::internal("the backup's thread broke"))?;
        futures::executor::block_on(said.send(value))
            .map_err(|_| Error::closed("whoever asked for the backup is gone"))
    }
}

fn step_value(step: &BackupStep) -> Value {
    match step {
        BackupStep::Total { files, bytes } => {
            json!({ "step": "total", "files": files, "bytes": bytes })
        }
        BackupStep::File {
            path,
            bytes,
            copied,
        } => json!({ "step": "file", "path": path, "bytes": bytes, "copied": copied }),
    }
}

fn list(from: &str, as_json: bool) -> Result<()> {
    let target = place(from)?;
    let all = backups::backups(target.as_ref())?;
    if as_json {
        let all: Vec<Value> = all
            .iter()
            .map(|info| {
                json!({
                    "id": info.id, "node": info.node, "name": info.name, "role": info.role,
                    "made_ms": info.made_ms, "lsn": info.lsn, "files": info.files, "bytes": info.bytes,
                })
            })
            .collect();
        println!("{}", Value::from(all));
        return Ok(());
    }
    if all.is_empty() {
        println!("{} holds no backup.", target.describe());
        return Ok(());
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["backup", "node", "role", "files", "size"]);
    for info in all {
        table.add_row([
            info.id,
            format!("{} ({})", info.name, info.node),
            info.role,
            grouped(info.files),
            size(info.bytes),
        ]);
    }
    println!("{table}");
    Ok(())
}

/// Runs `activestore restore`.
///
/// # Errors
/// What the place or the directory says.
pub fn restore(args: &RestoreArgs) -> Result<ExitCode> {
    let target = place(&args.from)?;
    let dir: PathBuf = args.data_dir.clone();
    let master = key::find(args.key.encryption_key_file.as_deref())?;
    let bar = Bar::bytes("restoring");
    let name = args.backup.as_deref();
    let restored = backups::restore(target.as_ref(), name, &dir, master.as_ref(), &mut |step| {
        show(&bar, step);
        Ok(())
    });
    bar.end();
    let restored = restored?;
    println!(
        "restored backup {} of node {}: {} files in {}",
        restored.id,
        restored.node,
        grouped(restored.files),
        size(restored.bytes)
    );
    if restored.erased_files > 0 {
        println!(
            "left out, since the keys of their partitions were destroyed after the backup: {} of the files",
            grouped(restored.erased_files)
        );
    }
    if restored.epoch.is_some() {
        println!(
            "What it ships from now on is a new epoch. Do not start the node that was backed up beside it."
        );
    }
    println!(
        "start it with: activestore start --role {} --data-dir {}",
        restored.role,
        dir.display()
    );
    Ok(ExitCode::SUCCESS)
}
