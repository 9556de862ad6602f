//! `activestore doctor`: looks at a data directory that no node is running on and says what is
//! wrong, reading every byte that has a checksum. It changes nothing unless it is told to repair, and
//! runs nothing of what it finds.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use activestore_db::{check_blobs, defined_tables, further_outboxes};
use activestore_env::{Disk, Env, Keyring};
use activestore_store::repair::{self, Findings, Known};
use activestore_store::{StoreOptions, open_keyring};
use activestore_types::{Error, ErrorKind, NodeId, Result};

use crate::cli::DoctorArgs;
use crate::figures::{grouped, size};
use crate::key;
use crate::progress::Bar;

/// Less free space than this is a finding.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;

const NODE_ID_FILE: &str = "node-id";

/// Runs the command; the exit code is 1 where something is wrong, and after a repair where something
/// is lost.
///
/// # Errors
/// `NotFound` where there is no data directory.
pub fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let dir = args.data_dir.as_path();
    if !dir.is_dir() {
        return Err(
            Error::not_found(format!("{} is not a directory", dir.display()))
                .with_hint("name it with --data-dir"),
        );
    }
    let mut report = Report::default();
    let Some(env) = admitted(dir, &mut report) else {
        return Ok(report.verdict(dir));
    };
    let keyring = keys(&env, args, &report)?;
    space(env.disk.as_ref(), &mut report);
    let node = identity(dir, &mut report);
    let own = ["catalog.redb", "outbox.redb", "downstream.redb"].map(str::to_owned);
    for file in own.into_iter().chain(further_outboxes(dir)?) {
        if dir.join(&file).exists() {
            match database(&dir.join(&file)) {
                Ok(()) => report.fine(&file, "whole"),
                Err(error) => report.wrong(&file, &error),
            }
        }
    }
    // A damaged catalog was named above.
    let tables = defined_tables(dir, keyring.as_ref()).unwrap_or_default();
    let known = Known {
        node,
        schemas: tables.clone(),
        keyring: keyring.clone(),
    };
    let findings = store(&env.disk, &known, &mut report)?;
    blobs(dir, keyring.as_ref(), &mut report);
    if args.repair && !findings.faults.is_empty() {
        return mend(&env, dir, node.or(findings.owner), known);
    }
    if !findings.faults.is_empty() {
        println!(
            "activestore doctor --repair --data-dir {} goes on without what is lost and keeps the damaged files.",
            dir.display()
        );
    }
    Ok(report.verdict(dir))
}

#[derive(Default)]
struct Report {
    problems: u32,
}

impl Report {
    fn fine(&self, what: &str, says: &str) {
        println!("ok       {what}: {says}");
    }

    fn wrong(&mut self, what: &str, error: &Error) {
        self.problems += 1;
        println!("PROBLEM  {what}: {}", error.message());
        if let Some(hint) = error.hint() {
            println!("         {hint}");
        }
    }

    fn verdict(&self, dir: &Path) -> ExitCode {
        match self.problems {
            0 => {
                println!("Nothing is wrong with {}.", dir.display());
                return ExitCode::SUCCESS;
            }
            1 => println!("1 problem."),
            many => println!("{many} problems."),
        }
        ExitCode::FAILURE
    }
}

/// The directory, held so that no node starts while its files are read; `None` where there is no
/// node's directory to look at.
fn admitted(dir: &Path, report: &mut Report) -> Option<Env> {
    let marks = [NODE_ID_FILE, "manifest.redb", "manifest.copy", "sst", "wal"];
    if !marks.iter().any(|mark| dir.join(mark).exists()) {
        report.wrong(
            "data directory",
            &Error::not_found(format!("{} holds no node", dir.display()))
                .with_hint("name the directory that activestore start was given"),
        );
        return None;
    }
    match Env::real(dir) {
        Ok(env) => {
            report.fine("lock", "no node is running");
            Some(env)
        }
        Err(error) if error.kind() == ErrorKind::Conflict => {
            let running = Error::conflict("a node is running on this directory")
                .with_hint("ask it with activestore sql -c \"SELECT * FROM system.sstables\", or stop it first");
            report.wrong("lock", &running);
            None
        }
        Err(error) => {
            report.wrong("lock", &error);
            None
        }
    }
}

fn space(disk: &dyn Disk, report: &mut Report) {
    match disk.free_bytes() {
        Ok(free) if free < FREE_BYTES_MIN => report.wrong(
            "disk",
            &Error::disk_full(format!("only {} are free", size(free)))
                .with_hint("free some space: a node without any refuses writes"),
        ),
        Ok(free) => report.fine("disk", &format!("{} free", size(free))),
        Err(error) => report.wrong("disk", &error.into()),
    }
}

fn identity(dir: &Path, report: &mut Report) -> Option<NodeId> {
    let node = std::fs::read_to_string(dir.join(NODE_ID_FILE))
        .map_err(Error::from)
        .and_then(|text| text.trim().parse::<NodeId>());
    match node {
        Ok(node) => {
            report.fine("identity", &node.to_string());
            Some(node)
        }
        Err(error) => {
            let hint = "the log and the manifest name it too: --repair writes it again";
            report.wrong("identity", &error.with_hint(hint));
            None
        }
    }
}

/// Checks a copy: opening would otherwise already repair.
fn database(path: &Path) -> Result<()> {
    let corrupt = |error: String| {
        Error::corrupt(format!("the file is damaged: {error}"))
            .with_hint("restore the directory from a backup, or let a new node be filled by sync")
    };
    let dir = tempfile::tempdir()?;
    let copy = dir.path().join("copy.redb");
    std::fs::copy(path, &copy)
        .map_err(|error| Error::from(error).context(format!("reading {}", path.display())))?;
    redb::Database::open(&copy)
        .map_err(|error| corrupt(error.to_string()))?
        .check_integrity()
        .map_err(|error| corrupt(error.to_string()))
        .map(drop)
}

/// Every checksum of the store.
fn store(disk: &Arc<dyn Disk>, known: &Known, report: &mut Report) -> Result<Findings> {
    let bar = Bar::bytes("checking");
    let examined = repair::examine(disk, known, &mut |step| bar.store(step));
    bar.end();
    let findings = examined?;
    for fault in &findings.faults {
        report.wrong(&fault.path, &fault.error);
        for lost in &fault.lost {
            println!("         lost: {lost}");
        }
    }
    report.fine(
        "store",
        &format!(
            "{} tables; {} SSTables with {} rows in {}; {} records in the log; {}",
            grouped(findings.tables),
            grouped(findings.files),
            grouped(findings.rows),
            size(findings.bytes),
            grouped(findings.records),
            if findings.faults.is_empty() {
                "every checksum right"
            } else {
                "damaged as said above"
            }
        ),
    );
    Ok(findings)
}

fn mend(env: &Env, dir: &Path, node: Option<NodeId>, known: Known) -> Result<ExitCode> {
    let node = node.ok_or_else(|| {
        Error::corrupt("neither node-id nor the store says whose directory this is")
            .with_hint("write the node's 32 hex digits to the file node-id, or restore a backup")
    })?;
    let bar = Bar::bytes("repairing");
    let options = StoreOptions {
        encryption: known.keyring,
        ..StoreOptions::new(node)
    };
    let mended = repair::repair(env, &options, known.schemas, &mut |step| {
        bar.store(step);
    });
    bar.end();
    let mended = mended?;
    write_identity(dir, node)?;
    for done in &mended.done {
        println!("repaired {done}");
    }
    for lost in &mended.lost {
        println!("LOST     {lost}");
    }
    if mended.lost.is_empty() {
        println!("{} is whole again; nothing is lost.", dir.display());
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{} can be started. A peer or a backup may have what is lost.",
        dir.display()
    );
    Ok(ExitCode::FAILURE)
}

/// Writes `node-id` where it does not say so already.
fn write_identity(dir: &Path, node: NodeId) -> Result<()> {
    let path = dir.join(NODE_ID_FILE);
    let said = std::fs::read_to_string(&path).ok();
    if said.is_some_and(|said| said.trim() == node.to_string()) {
        return Ok(());
    }
    if path.exists() {
        std::fs::rename(&path, dir.join("node-id.damaged"))?;
    }
    let part = dir.join("node-id.part");
    let mut file = std::fs::File::create(&part)?;
    writeln!(file, "{node}")?;
    file.sync_all()?;
    std::fs::rename(&part, &path)?;
    std::fs::File::open(dir)?.sync_all()?;
    println!("repaired node-id says {node} again");
    Ok(())
}

fn blobs(dir: &Path, keyring: Option<&Arc<Keyring>>, report: &mut Report) {
    let (whole, damaged) = match check_blobs(dir, keyring) {
        Ok(checked) => checked,
        Err(error) => return report.wrong("plugins and models", &error),
    };
    for (name, error) in damaged {
        report.wrong(&format!("blobs/{name}"), &error);
    }
    report.fine("plugins and models", &format!("{} files", grouped(whole)));
}

/// The keys of the directory, if it is an encrypted one.
fn keys(env: &Env, args: &DoctorArgs, report: &Report) -> Result<Option<Arc<Keyring>>> {
    let master = key::find(args.key.encryption_key_file.as_deref())?;
    let keyring = open_keyring(env, master.as_ref(), true)?;
    if keyring.is_some() {
        report.fine("encryption", "the key opens the keyring");
    }
    Ok(keyring)
}
