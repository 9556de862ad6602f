//! `activestore doctor`: looks at a data directory that no node is running on and says what is
//! wrong. It repairs nothing and runs nothing of what it finds.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use activestore_env::{Disk, RealDisk};
use activestore_sst::Sst;
use activestore_types::{Error, ErrorKind, NodeId, Result};

use crate::cli::DoctorArgs;
use crate::figures::{grouped, size};

/// Less free space than this is a finding.
const FREE_BYTES_MIN: u64 = 256 * 1024 * 1024;

const NODE_ID_FILE: &str = "node-id";
const SST_DIR: &str = "sst";
const WAL_DIR: &str = "wal";

/// Runs the command; the exit code is 1 where something is wrong.
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
    check(dir, &mut report);
    if report.problems == 0 {
        println!("Nothing is wrong with {}.", dir.display());
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} problems.", report.problems);
    Ok(ExitCode::FAILURE)
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
}

fn check(dir: &Path, report: &mut Report) {
    if !dir.join(NODE_ID_FILE).exists() {
        report.wrong(
            "data directory",
            &Error::not_found(format!("{} holds no node", dir.display()))
                .with_hint("name the directory that activestore start was given"),
        );
        return;
    }
    // Held until the end, so that no node starts while its files are read.
    let disk: Arc<dyn Disk> = match RealDisk::open(dir) {
        Ok(disk) => Arc::new(disk),
        Err(error) if error.kind() == ErrorKind::Conflict => {
            let running = Error::conflict("a node is running on this directory")
                .with_hint("ask it with activestore sql -c \"SELECT * FROM system.sstables\", or stop it first");
            report.wrong("lock", &running);
            return;
        }
        Err(error) => {
            report.wrong("lock", &error);
            return;
        }
    };
    report.fine("lock", "no node is running");
    space(disk.as_ref(), report);
    identity(dir, report);
    for file in ["catalog.redb", "manifest.redb"] {
        match database(&dir.join(file)) {
            Ok(()) => report.fine(file, "whole"),
            Err(error) => report.wrong(file, &error),
        }
    }
    files(&disk, report);
    blobs(&dir.join("blobs"), report);
    log(disk.as_ref(), report);
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

fn identity(dir: &Path, report: &mut Report) {
    let node = std::fs::read_to_string(dir.join(NODE_ID_FILE))
        .map_err(Error::from)
        .and_then(|text| text.trim().parse::<NodeId>());
    match node {
        Ok(node) => report.fine("identity", &node.to_string()),
        Err(error) => report.wrong(
            "identity",
            &error.with_hint("restore node-id from a backup"),
        ),
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

fn files(disk: &Arc<dyn Disk>, report: &mut Report) {
    let names = match disk.list(SST_DIR) {
        Ok(names) => names,
        Err(error) => return report.wrong("SSTables", &error.into()),
    };
    let (mut rows, mut bytes, mut whole) = (0, 0, 0_u64);
    for name in names {
        let path = format!("{SST_DIR}/{name}");
        match Sst::open(disk, &path).and_then(|sst| sst.verify().map(|()| sst)) {
            Ok(sst) => {
                whole += 1;
                rows += sst.meta().rows;
                bytes += sst.meta().bytes;
            }
            Err(error) => report.wrong(&path, &error),
        }
    }
    report.fine(
        "SSTables",
        &format!(
            "{} files with {} rows in {}, every checksum right",
            grouped(whole),
            grouped(rows),
            size(bytes)
        ),
    );
}

fn blobs(dir: &Path, report: &mut Report) {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => return report.wrong("plugins and models", &error.into()),
    };
    let mut whole = 0_u64;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match std::fs::read(entry.path()) {
            Ok(bytes) if sha256(&bytes) == name || name.ends_with(".part") => whole += 1,
            Ok(_) => report.wrong(
                &format!("blobs/{name}"),
                &Error::corrupt("the file does not match its hash")
                    .with_hint("remove it and deploy the plugin or model again"),
            ),
            Err(error) => report.wrong(&format!("blobs/{name}"), &error.into()),
        }
    }
    report.fine("plugins and models", &format!("{} files", grouped(whole)));
}

fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Only whether the log is there: it is checked record by record at each start.
fn log(disk: &dyn Disk, report: &mut Report) {
    match disk.list(WAL_DIR) {
        Ok(segments) if segments.is_empty() => report.wrong(
            "log",
            &Error::corrupt("the folder wal holds no segment")
                .with_hint("restore it: rows written last may be only there"),
        ),
        Ok(segments) => report.fine(
            "log",
            &format!("{} segments, checked at the next start", segments.len()),
        ),
        Err(error) => report.wrong("log", &error.into()),
    }
}
