//! Examining and repairing a store's directory that no store has open: every checksum of SSTables,
//! log, manifest and its copy, every fault with its file and place, and a repair that keeps all that
//! can be read. It restores nothing from elsewhere and deletes no damaged byte: a damaged file is
//! renamed to `….damaged`, and says in a sentence what is lost with it.
//!
//! Steps of a repair, each of which may be cut off and started again: 1. examine; 2. write the log
//! anew where it lacks records; 3. write the readable rows of each damaged SSTable to a new file and
//! rename the damaged one; 4. write a new manifest beside the old one, which is renamed, and put it
//! in place. Where rows are lost, the log is replayed from its first record at the next start, so
//! that what it still has of them comes back.

mod examine;
mod key;
mod rebuild;
mod salvage;

use std::sync::Arc;

use activestore_env::{Disk, Env, Keyring};
use activestore_types::{Error, Lsn, NodeId, OriginId, Result, TableSchema};

use crate::disks::SstDisks;
use crate::manifest::{self, EntrySealer, inspect};
use crate::options::StoreOptions;
use crate::store::SST_DIR;
use crate::wal::rewrite;
use examine::Examined;

/// What a damaged file's name is given.
pub(crate) const DAMAGED: &str = ".damaged";

/// How far an examination is. Bytes are those of the files, as they lie on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// There are about this many bytes to read.
    Total(u64),
    /// This many bytes more of this file have been read.
    Read(&'a str, u64),
}

/// What is known of the store from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Whose store it must be.
    pub node: Option<NodeId>,
    /// The tables as the catalog defines them: taken where the store's own definitions are lost.
    pub schemas: Vec<Arc<TableSchema>>,
    /// The keys of an encrypted directory.
    pub keyring: Option<Arc<Keyring>>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The file.
    pub path: String,
    /// What is wrong, and where in the file.
    pub error: Error,
    /// What a repair goes on without, one sentence each; empty where it restores everything.
    pub lost: Vec<String>,
}

/// What an examination found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Everything that is wrong, in the order of the files.
    pub faults: Vec<Fault>,
    /// Tables that the store knows.
    pub tables: u64,
    /// SSTables that it names.
    pub files: u64,
    /// Row fragments in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Records of the log that can be read.
    pub records: u64,
    /// Whose store it is, where anything says so.
    pub owner: Option<NodeId>,
}

/// What a repair did.
#[derive(Clone, Debug, Default)]
pub struct Repair {
    /// What was done, one sentence each; empty where nothing was wrong.
    pub done: Vec<String>,
    /// What is lost, one sentence each; empty where everything could be restored.
    pub lost: Vec<String>,
}

/// Reads and checks everything, changing nothing.
///
/// # Errors
/// `Conflict` when it belongs to another node; as the disk. Damage is a finding, not an error.
pub fn examine(
    disk: &Arc<dyn Disk>,
    known: &Known,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Findings> {
    Ok(Examined::take(disk, known, progress)?.findings)
}

/// Examines the store of `options.node` and mends what it finds; `schemas` as [`Known::schemas`].
///
/// # Errors
/// `Conflict` when it belongs to another node; `DiskFull` when there is no space for what is written
/// anew; as the disk. A repair that failed may be started again.
pub fn repair(
    env: &Env,
    options: &StoreOptions,
    schemas: Vec<Arc<TableSchema>>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Repair> {
    let disk = &env.disk;
    let known = Known {
        node: Some(options.node),
        schemas,
        keyring: options.encryption.clone(),
    };
    let mut examined = Examined::take(disk, &known, progress)?;
    let mut repair = Repair::default();
    for fault in &examined.findings.faults {
        repair.lost.extend(fault.lost.iter().cloned());
    }
    mend_log(env, options, &examined, &mut repair)?;
    let lost_rows = mend_files(env, options, &mut examined, &mut repair)?;
    if lost_rows {
        let contents = &mut examined.contents;
        let first = examined.survey.range().map(|(first, _)| first);
        if let Some(first) = first.filter(|first| first.0 <= contents.flushed.0) {
            contents.flushed = Lsn(first.0.saturating_sub(1));
            repair.done.push(
                "the next start replays the whole log: what it has of the lost rows comes back"
                    .to_owned(),
            );
        }
    }
    if examined.manifest_fault || lost_rows || !examined.damaged.is_empty() {
        mend_manifest(env, options, &mut examined, &mut repair)?;
    } else if examined.copy_fault {
        let sealer = EntrySealer::new(options.encryption.as_ref());
        let path = manifest::copy::PATH;
        manifest::copy::write(disk.as_ref(), path, &examined.contents, &sealer)?;
        repair
            .done
            .push("the manifest's copy is written anew".to_owned());
    }
    Ok(repair)
}

fn mend_log(
    env: &Env,
    options: &StoreOptions,
    examined: &Examined,
    repair: &mut Repair,
) -> Result<()> {
    let survey = &examined.survey;
    if survey.gaps.is_empty() && survey.bad.is_empty() && !examined.log_missing {
        return Ok(());
    }
    let first = survey.range().map_or(examined.needed, |(first, _)| first);
    let old = rewrite::rewrite(env, options, survey, first.min(examined.needed))?;
    let damaged = |path: &String| {
        let gaps = survey.gaps.iter();
        gaps.filter_map(|gap| gap.at.as_ref())
            .any(|(in_file, _)| in_file == path)
            || survey.bad.iter().any(|(bad, _)| bad == path)
    };
    for path in &old {
        if damaged(path) {
            let aside = set_aside(env.disk.as_ref(), path)?;
            repair.done.push(format!("{path} is kept as {aside}"));
        } else {
            env.disk.remove(path)?;
        }
    }
    env.disk.sync_dir(crate::wal::WAL_DIR)?;
    repair.done.push(format!(
        "the write-ahead log is written anew with its {} readable records",
        survey.len()
    ));
    Ok(())
}

/// Puts a new file in the place of each damaged one; whether rows are lost.
fn mend_files(
    env: &Env,
    options: &StoreOptions,
    examined: &mut Examined,
    repair: &mut Repair,
) -> Result<bool> {
    let disk = &env.disk;
    let tables = SstDisks::new(disk, options.encryption.as_ref());
    let mut lost = false;
    for damaged in &examined.damaged {
        lost |= damaged.lost_rows > 0;
        let contents = &mut examined.contents;
        contents.files.retain(|file| file.id != damaged.record.id);
        let id = contents.next_file;
        contents.next_file += 1;
        let saved = salvage::save(&tables, damaged, id)?;
        let rows = saved.as_ref().map_or(0, |record| record.meta.rows);
        contents.files.extend(saved);
        if disk.exists(&damaged.path) && !damaged.path.ends_with(DAMAGED) {
            let aside = set_aside(disk.as_ref(), &damaged.path)?;
            repair.done.push(format!(
                "{rows} readable rows of {} are in a new file; the damaged one is kept as {aside}",
                damaged.path
            ));
        }
    }
    if !examined.damaged.is_empty() {
        disk.sync_dir(SST_DIR)?;
    }
    Ok(lost)
}

fn mend_manifest(
    env: &Env,
    options: &StoreOptions,
    examined: &mut Examined,
    repair: &mut Repair,
) -> Result<()> {
    let disk = &env.disk;
    let contents = &mut examined.contents;
    contents.changes += 1;
    // Rows of nodes that nothing names any more keep a number that no other node is given.
    contents.origins.insert(OriginId(0), options.node);
    for origin in &examined.unknown_origins {
        let mut id = [0; 16];
        env.rng.fill(&mut id);
        contents.origins.insert(*origin, NodeId(id));
    }
    let keyring = options.encryption.as_ref();
    inspect::prepare(disk, contents, options.node, keyring)?;
    if examined.manifest_fault && disk.exists(manifest::PATH) {
        let aside = set_aside(disk.as_ref(), manifest::PATH)?;
        repair
            .done
            .push(format!("the damaged manifest is kept as {aside}"));
    }
    inspect::install(disk)?;
    let sealer = EntrySealer::new(keyring);
    manifest::copy::write(disk.as_ref(), manifest::copy::PATH, contents, &sealer)?;
    repair.done.push(if examined.manifest_fault {
        "the manifest is rebuilt".to_owned()
    } else {
        "the manifest names the files as they are now".to_owned()
    });
    Ok(())
}

/// Renames a damaged file; its new name.
fn set_aside(disk: &dyn Disk, path: &str) -> Result<String> {
    let mut aside = format!("{path}{DAMAGED}");
    let mut number = 1;
    while disk.exists(&aside) {
        number += 1;
        aside = format!("{path}.{number}{DAMAGED}");
    }
    disk.rename(path, &aside)?;
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    disk.sync_dir(dir)?;
    Ok(aside)
}
