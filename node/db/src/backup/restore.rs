//! Restoring a backup to an empty directory. Every object is looked for before anything is written
//! and compared with its hash before it gets its name; the directory is a node's only when everything
//! is in place, and until then says that it is not.
//!
//! The node keeps its identity, its keys and its stamps. Its sync epoch is new: it may have shipped
//! segments after the backup whose numbers its peers remember with other contents. What waited in
//! the outbox is numbered again in the new epoch; a peer that has rows of it already merges them into
//! what it has. Only one of the node and its restored image may run.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use activestore_env::seal::KEYRING_FILE;
use activestore_env::{Disk, Env, Keyring, MasterKey};
use activestore_store::open_keyring;
use activestore_types::{Epoch, Error, Lsn, NodeId, Result};
use ring::digest;

use super::index::{self, Index, IndexFile};
use super::target::Target;
use super::{BackupStep, object};
use crate::blobs::hex;
use crate::clouds;
use crate::outbox::queue::Queue;

/// Lies in a directory whose restore has begun and not ended; holds the backup's name.
const UNFINISHED: &str = "restore-unfinished";

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The backup's name.
    pub id: String,
    /// The node.
    pub node: NodeId,
    /// `edge`, `gateway` or `cloud`.
    pub role: String,
    /// When the backup was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// Files in it.
    pub files: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// Files that were left out, because the key of their partition was destroyed since.
    pub erased_files: u64,
    /// The new sync epoch, where the node ships rows.
    pub epoch: Option<Epoch>,
}

/// Refuses a directory whose restore was cut off.
pub(crate) fn refuse_unfinished(dir: &Path) -> Result<()> {
    if dir.join(UNFINISHED).exists() {
        return Err(
            Error::conflict(format!("the restore of {} was not finished", dir.display()))
                .with_hint("run the same activestore restore again: it goes on where it stopped"),
        );
    }
    Ok(())
}

/// Restores a backup, the newest one unless `id` names another, to `dir`, which is empty, missing,
/// or left by a restore of the same backup that was cut off. `master` is the key of an encrypted
/// node's backup. `step` as in [`crate::Db::backup`].
///
/// # Errors
/// `Denied` where the backup is encrypted and `master` is missing or another key; `NotFound` where there is no such backup; `Conflict` where the directory is not empty; `Corrupt`
/// where the backup lacks an object or one is not what was backed up.
pub fn restore(
    target: &dyn Target,
    id: Option<&str>,
    dir: &Path,
    master: Option<&MasterKey>,
    step: &mut dyn FnMut(BackupStep) -> Result<()>,
) -> Result<Restored> {
    let id = match id {
        Some(id) => id.to_owned(),
        None => index::ids(target)?.pop().ok_or_else(|| {
            Error::not_found(format!("{} holds no backup", target.describe()))
                .with_hint("name the place that activestore backup create was given with --to")
        })?,
    };
    let index = Index::read(target, &id)?;
    let node: NodeId = index
        .node
        .parse()
        .map_err(|error: Error| error.context(format!("backup {id}")))?;
    if index.file(KEYRING_FILE).is_some() && master.is_none() {
        return Err(
            Error::denied(format!("backup {id} is encrypted, and no key was given")).with_hint(
                "name the file of the key that the node had then, with --encryption-key-file",
            ),
        );
    }
    admit(dir, &id)?;
    look_for_all(target, &index)?;
    let bytes = index.files.iter().map(|file| file.bytes).sum();
    step(BackupStep::Total {
        files: index.files.len() as u64,
        bytes,
    })?;
    fs::create_dir_all(dir).map_err(|error| Error::from(error).context(dir.display()))?;
    let mark = dir.join(UNFINISHED);
    fs::write(&mark, &id)?;
    File::open(&mark)?.sync_all()?;
    sync(dir)?;
    for file in &index.files {
        let copied = fetch(target, file, dir)?;
        step(BackupStep::File {
            path: file.path.clone(),
            bytes: file.bytes,
            copied,
        })?;
    }
    let folders = ["sst", "wal"].into_iter().chain(super::FOLDERS);
    for folder in folders.map(str::to_owned).chain(clouds::directories(dir)?) {
        if dir.join(&folder).is_dir() {
            sync(&dir.join(folder))?;
        }
    }
    sync(dir)?;
    let env = Env::real(dir)?;
    let disk: Arc<dyn Disk> = env.disk.clone();
    let keyring = open_keyring(&env, master, true)?;
    let erased_files = activestore_store::backup::install(&disk, node, keyring.as_ref())?;
    let epoch = renumber(&env, dir, node, keyring.as_ref())?;
    fs::remove_file(&mark)?;
    sync(dir)?;
    Ok(Restored {
        id,
        node,
        role: index.role,
        made_ms: index.made_ms,
        files: index.files.len() as u64,
        bytes,
        erased_files,
        epoch,
    })
}

/// Whether the directory may be written to.
fn admit(dir: &Path, id: &str) -> Result<()> {
    match fs::read_to_string(dir.join(UNFINISHED)) {
        Ok(begun) if begun == id => return Ok(()),
        Ok(begun) => {
            return Err(Error::conflict(format!(
                "{} holds a restore of backup {begun} that was not finished",
                dir.display()
            ))
            .with_hint(format!(
                "finish it with --backup {begun}, or name an empty directory"
            )));
        }
        Err(_) => {}
    }
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::from(error).context(dir.display())),
    };
    if entries.next().is_some() {
        return Err(Error::conflict(format!("{} is not empty", dir.display()))
            .with_hint("a restore overwrites nothing: name an empty directory or a new one"));
    }
    Ok(())
}

fn look_for_all(target: &dyn Target, index: &Index) -> Result<()> {
    for file in &index.files {
        let found = target.size(&object(&file.sha256))?;
        if found != Some(file.bytes) {
            let what = match found {
                None => "lacks".to_owned(),
                Some(found) => format!("has {found} bytes in place of {} of", file.bytes),
            };
            return Err(
                Error::corrupt(format!("{} {what} {}", target.describe(), file.path))
                    .with_hint("restore another backup with --backup; nothing was written"),
            );
        }
    }
    Ok(())
}

/// Puts one file in its place; false where it was there already.
fn fetch(target: &dyn Target, file: &IndexFile, dir: &Path) -> Result<bool> {
    let path = dir.join(&file.path);
    if let Ok(mut there) = File::open(&path)
        && hex(&super::hashed(&mut there)?) == file.sha256
    {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let part = dir.join(format!("{}.part", file.path));
    let mut to = Hashing {
        file: create(
            &part,
            file.path.starts_with("identity") || clouds::is_private(&file.path),
        )?,
        context: digest::Context::new(&digest::SHA256),
    };
    target.get(&object(&file.sha256), &mut to)?;
    to.file.sync_all()?;
    let found = hex(to.context.finish().as_ref());
    if found != file.sha256 {
        fs::remove_file(&part)?;
        return Err(Error::corrupt(format!(
            "{} of the backup is not what was backed up: its hash does not match",
            file.path
        ))
        .with_hint("restore another backup with --backup"));
    }
    fs::rename(&part, &path)?;
    Ok(true)
}

/// Makes a file; keys are for their owner's eyes.
fn create(path: &Path, private: bool) -> Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if private {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    Ok(options.open(path)?)
}

struct Hashing {
    file: File,
    context: digest::Context,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.context
            .update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Gives the outboxes new epochs, and says that of the node's own cloud; `None` where the node ships nothing.
fn renumber(
    env: &Env,
    dir: &Path,
    node: NodeId,
    keyring: Option<&Arc<Keyring>>,
) -> Result<Option<Epoch>> {
    let open = |file: &str| Queue::open(&dir.join(file), node, &env.rng, Lsn(1), keyring);
    for file in clouds::further_outboxes(dir)? {
        open(&file)?.restart_all()?;
    }
    if !dir.join("outbox.redb").exists() {
        return Ok(None);
    }
    open("outbox.redb")?.restart_all().map(Some)
}

fn sync(dir: &Path) -> Result<()> {
    File::open(dir)?.sync_all()?;
    Ok(())
}
